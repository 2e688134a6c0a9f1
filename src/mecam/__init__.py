"""Sentiment and emotion from text, audio and video, with negative information filtered out first."""

from typing import TYPE_CHECKING, Any

from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.export.push import push
    from mecam.prediction.built_in import predict, predict_text
    from mecam.prediction.predictor import load

__all__ = ["__version__", "load", "predict", "predict_text", "push"]


def __getattr__(name: str) -> Any:
    """Bring in what predicts, and the libraries that compute it, only when it is asked for."""
    if name == "push":
        from mecam.export.push import push

        return push
    if name not in ("load", "predict", "predict_text"):
        raise AttributeError(f"module 'mecam' has no attribute {name!r}")
    from mecam.prediction import built_in, predictor
    from mecam.threads import keep_few_shapes

    keep_few_shapes()
    return predictor.load if name == "load" else getattr(built_in, name)
