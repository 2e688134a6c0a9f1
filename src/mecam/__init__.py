"""Sentiment and emotion from text, audio and video, with negative information filtered out first."""

from typing import TYPE_CHECKING, Any

from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.prediction.predictor import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Bring in `load`, and PyTorch with it, only when it is asked for."""
    if name == "load":
        from mecam.prediction.predictor import load
        from mecam.threads import keep_few_shapes

        keep_few_shapes()
        return load
    raise AttributeError(f"module 'mecam' has no attribute {name!r}")
