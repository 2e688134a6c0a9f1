"""Sentiment and emotion from text, audio and video, with negative information filtered out first."""

import os
from typing import TYPE_CHECKING, Any

from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.prediction.predictor import load

__all__ = ["__version__", "load"]

# oneDNN, which multiplies for PyTorch on CPUs, keeps what it made for the last 1024 shapes. Batches of texts come in
# hundreds of shapes: a training grew with its epochs, and keeping fewer costs no time. A user's own setting wins.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")


def __getattr__(name: str) -> Any:
    """Bring in `load`, and PyTorch with it, only when it is asked for."""
    if name == "load":
        from mecam.prediction.predictor import load

        return load
    raise AttributeError(f"module 'mecam' has no attribute {name!r}")
