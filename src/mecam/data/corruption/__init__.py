"""Seeded negative information: corruptions of feature streams and of texts that say what they touched."""

from mecam.data.corruption.sounds import Sounds
from mecam.data.corruption.streams import Dose, noise_strength
from mecam.data.corruption.utterances import OPERATORS, Corruption, corrupt_utterance, generator_for
from mecam.data.corruption.views import augmented, corrupted_view, random_missing
from mecam.data.corruption.words import MISSING_WORD

__all__ = [
    "MISSING_WORD",
    "OPERATORS",
    "Corruption",
    "Dose",
    "Sounds",
    "augmented",
    "corrupt_utterance",
    "corrupted_view",
    "generator_for",
    "noise_strength",
    "random_missing",
]
