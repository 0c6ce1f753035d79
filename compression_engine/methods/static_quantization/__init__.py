"""The parts of `quantize_static`: ranges, roundings, layers, and the graph that is written."""
