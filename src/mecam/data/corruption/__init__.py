"""Seeded negative information: corruptions of feature streams and of texts that say what they touched."""

from mecam.data.corruption.corruption import Corruption, CorruptionContext
from mecam.data.corruption.phonetics import Sounds
from mecam.data.corruption.streams import noise_severity
from mecam.data.corruption.utterances import OPERATORS, corrupt_utterance, generator_for, without_modality
from mecam.data.corruption.views import augmented, corrupted_view, random_missing

__all__ = [
    "OPERATORS",
    "Corruption",
    "CorruptionContext",
    "Sounds",
    "augmented",
    "corrupt_utterance",
    "corrupted_view",
    "generator_for",
    "noise_severity",
    "random_missing",
    "without_modality",
]
