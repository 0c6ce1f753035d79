"""Training in the pipeline: an ONNX graph as a torch network, the rows, the loop. Everything here may import torch."""
