"""What a corruption is, and what carrying it out takes: the same record for features, texts, sound and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.phonetics import Sounds
from mecam.errors import ConfigError
from mecam.types import Modality, Span, Utterance

__all__ = ["Corruption", "CorruptionContext", "Ids", "spans_of"]

Ids: TypeAlias = Callable[[str], tuple[int, ...]]
"""Turns a word into its sub-word ids."""


@dataclass(frozen=True)
class Corruption:
    """Negative information to be put into a modality of an utterance, or into a recording.

    Attributes:
        kind: its name: of features and texts a key of `OPERATORS`, of recordings of `mecam.features.corruption.KINDS`.
        severity: how strong it is: of recordings in the unit of the kind (decibels, hertz, a share …), of features the
            size of noise in standard deviations; other kinds have none.
        extent: how much is touched, in (0, 1]: part of the rows, columns or words (at least one is, but of misheard
            words); of a recording, part of every ten seconds, one stretch of it at a random place.
        seed: of its place and its noise, where no generator is given with the context.
        modality: where it is put; empty for recordings, where the kind says whether sound or picture.
    """

    kind: str
    severity: float = 1.0
    extent: float = 1.0
    seed: int = 0
    modality: Modality = ""

    def __post_init__(self) -> None:
        if not 0 < self.extent <= 1:
            raise ConfigError(f"a corruption's extent is in (0, 1], got {self.extent:g}")
        if not isfinite(self.severity):
            raise ConfigError(f"a corruption's severity is a finite number, got {self.severity}")


@dataclass(frozen=True)
class CorruptionContext:
    """What carrying out a corruption may need besides the utterance.

    Attributes:
        rng: where its randomness comes from.
        scale: standard deviation of the features, one number or one per column; 1 for normalised features.
        fill: what a dropped row holds, one number or one per column. 0 unless the features were shifted, when it is
            where their zero went.
        partner: the utterance that a contradiction, or another's modality, is taken from.
        unk: id of the tokenizer's unknown token, which stands for a missing word.
        ids_of: turns a new word into its sub-word ids.
        sounds: the vocabulary of what is misheard; None takes common English words.
    """

    rng: np.random.Generator
    scale: float | NDArray[np.floating] = 1.0
    fill: float | NDArray[np.floating] = 0.0
    partner: Utterance | None = None
    unk: int | None = None
    ids_of: Ids | None = None
    sounds: Sounds | None = None


def spans_of(modality: Modality, kind: str, touched: Sequence[bool] | NDArray[np.bool_]) -> tuple[Span, ...]:
    """Write a mask over rows or words as spans, one per run."""
    flags, spans, stop = bytes(np.asarray(touched, np.bool_)), [], 0
    while (start := flags.find(1, stop)) >= 0:
        stop = flags.find(0, start)
        stop = len(flags) if stop < 0 else stop
        spans.append(Span(modality, kind, start, stop))
    return tuple(spans)
