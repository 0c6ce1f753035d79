"""The parts of `low_rank`: which layers, which ranks, which factors, and how they are written."""
