"""How each speaker usually sounds and looks, and what an utterance would be if another had spoken it.

A high voice or a heavy brow is a habit, not a feeling, but a model that has met few speakers takes the one for the
other. An utterance that is moved from its speaker's mean to another's keeps what it says of the feeling.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.types import Modality, Utterance

__all__ = ["Habits", "Shifts", "moved"]

Shifts: TypeAlias = Mapping[Modality, NDArray[np.float32]]
"""Modality → D numbers to add to every row."""


class Habits:
    """The mean row of every speaker.

    Args:
        speakers: of each utterance.
        streams: of each utterance, normalised; rows that are missing hold NaN.
    """

    def __init__(self, speakers: Sequence[str], streams: Iterable[Mapping[Modality, NDArray[np.float32]]]) -> None:
        self._speakers = speakers
        rows: dict[Modality, dict[str, list[NDArray[np.float32]]]] = {}
        for speaker, given in zip(speakers, streams, strict=True):
            for modality, values in given.items():
                known = values[~np.isnan(values).any(axis=1)]
                if len(known):
                    rows.setdefault(modality, {}).setdefault(speaker, []).append(known.mean(axis=0))
        # Utterances count alike, however long they are.
        self._means = {m: {name: np.mean(found, axis=0) for name, found in by.items()} for m, by in rows.items()}

    def shifts(self, position: int, rate: float, rng: np.random.Generator) -> Shifts:
        """From the speaker of an utterance to others, drawn for each modality; nothing for a modality that stays.

        Args:
            position: of the utterance.
            rate: probability in [0, 1] per modality.
            rng: a generator of this utterance and epoch.
        """
        own = self._speakers[position]
        result = {}
        for modality, means in self._means.items():
            if own in means and rng.random() < rate:
                names = list(means)
                result[modality] = means[names[int(rng.integers(len(names)))]] - means[own]
        return result


def moved(utterance: Utterance, shifts: Shifts) -> Utterance:
    """The utterance with shifted rows; what is missing stays missing."""
    if not shifts:
        return utterance
    streams = {m: rows + shifts[m] if m in shifts else rows for m, rows in utterance.streams.items()}
    return replace(utterance, streams=streams)
