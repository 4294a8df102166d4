"""A trained network for other tools: as arrays, for ONNX, and for ``torch.export``."""
