"""Negative information in recordings: sound and pictures are corrupted between decoding and the extractors."""

from mecam.features.corruption.kinds import KINDS, LEVELS, check_corruption, parse_corruption
from mecam.features.corruption.media import CorruptedMedia

__all__ = ["KINDS", "LEVELS", "CorruptedMedia", "check_corruption", "parse_corruption"]
