"""What each operator of ONNX is in torch, differentiable; one file for each family, one table of all (`table`)."""
