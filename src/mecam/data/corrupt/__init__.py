"""Seeded negative information: corruptions of feature streams and of texts that say what they touched."""

from mecam.data.corrupt.streams import Dose
from mecam.data.corrupt.utterances import OPERATORS, Corruption, corrupt_utterance, generator_for
from mecam.data.corrupt.views import augmented, corrupted_view, random_missing
from mecam.data.corrupt.words import MISSING_WORD

__all__ = [
    "MISSING_WORD",
    "OPERATORS",
    "Corruption",
    "Dose",
    "augmented",
    "corrupt_utterance",
    "corrupted_view",
    "generator_for",
    "random_missing",
]
