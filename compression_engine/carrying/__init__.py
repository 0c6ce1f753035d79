"""Carries models of torch to ONNX at the door, so that everything behind it works on one form."""
