"""The parts of `distill`: where a student is cut out of its teacher, and what of it is narrower."""
