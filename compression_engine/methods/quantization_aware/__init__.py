"""The parts of `quantize_aware_training`: the rounded network, and the file that answers as it does."""
