"""The parts of `prune_structured`: groups of channels that fall together, which of them go, and the cut."""
