"""The networks of extractors on PyTorch: for `mecam.features.encoders` only, as extraction needs no PyTorch."""
