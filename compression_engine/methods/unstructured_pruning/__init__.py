"""The parts of `prune_unstructured`: masks, and the rounds in which they grow."""
