"""A trained model for use without PyTorch: its network in ONNX, checked, and smaller where that is asked for."""
