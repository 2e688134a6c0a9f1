"""Negative information in raw media: sound and pictures are damaged between decoding and the extractors."""

from mecam.features.corruption.kinds import KINDS, Damage, parse_damage
from mecam.features.corruption.media import DamagedMedia

__all__ = ["KINDS", "Damage", "DamagedMedia", "parse_damage"]
