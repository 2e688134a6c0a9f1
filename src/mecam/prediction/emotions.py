"""The emotions that words express: 28 of GoEmotions, and the seven groups that they form.

Source: Demszky, Movshovitz-Attias, Ko, Cowen, Nemade and Ravi, GoEmotions, ACL 2020 (arXiv 2005.00547): labels, and
their grouping by Ekman's six emotions.
"""

from collections.abc import Mapping

__all__ = ["GROUPS"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        *("admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love"),
        *("optimism", "pride", "relief"),
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}
"""Group → its labels."""
