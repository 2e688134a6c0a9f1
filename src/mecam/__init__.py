"""Sentiment and emotion from text, audio and video, with negative information filtered out first."""

__version__ = "0.1.0"

__all__ = ["__version__"]
