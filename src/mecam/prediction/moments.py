"""A recording by stretches of equal length: what is said of each second, whatever the utterances are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np

from mecam.errors import ConfigError
from mecam.prediction.result import Face, Prediction, Voice
from mecam.prediction.rows import mean_of_known
from mecam.types import TEXT, Modality, Utterance

__all__ = ["SHORTEST", "FaceOf", "OthersOf", "VoiceOf", "check_every", "moments_of", "row_times"]

SHORTEST = 0.1
"""Seconds of a moment, at least: features are not made more often."""


class Numbered(Protocol):
    """Somebody with a number: `mecam.features.people.Person`."""

    @property
    def number(self) -> int:
        """From 1."""


VoiceOf: TypeAlias = Callable[[float, float], Voice | None]
"""How it sounds from a second to another; None where nobody speaks."""
FaceOf: TypeAlias = Callable[[float, float], tuple[Numbered | None, bool, Face | None]]
"""Whose face is told from a second to another, whether they speak, and how it looks; None where it is not seen."""
OthersOf: TypeAlias = Callable[[float, float], Sequence[Prediction]]
"""A prediction for everybody else who is seen from a second to another."""


def check_every(every: float) -> None:
    """Whether moments can be so long.

    Raises: ConfigError if it is less than `SHORTEST`, or no length.
    """
    if not math.isfinite(every) or every < SHORTEST:
        raise ConfigError(f"a moment cannot last {every:g} seconds", where="every", fix=f"give at least {SHORTEST:g}")


def moments_of(
    parts: Sequence[Prediction],
    utterances: Sequence[Utterance],
    duration: float,
    every: float,
    *,
    voice: VoiceOf | None = None,
    face: FaceOf | None = None,
    others: OthersOf | None = None,
) -> tuple[Prediction, ...]:
    """Predictions for [0, every), [every, 2 every) … of a recording; the last one ends with it.

    A moment says what is said of the utterance that covers most of it: score, label, probabilities, emotions, who
    contradicts, what is absent, which person. Where there is none, its label is empty and it has no score. Its text is
    the words whose middle lies in it, and its `kept` of a modality one number: the mean gate of the rows whose middle
    lies in it. Its voice and its face are its own; where faces are told, the person is the one whose face it is.

    Args:
        parts: one prediction an utterance, with `start` and `stop`.
        utterances: what they were made from, with the times of rows and words.
        duration: of the recording, in seconds.
        every: length of a moment, in seconds.
        voice: gives the voice of a moment; None: voices are not told.
        face: gives the person of a moment and their face; None: faces are not told.
        others: gives predictions for the other people who are seen, each beside that of the moment.

    Returns: the moments in time; the one of the speaker before those of the others.
    Raises: ConfigError if `every` is too short.
    """
    check_every(every)
    edges = [*(number * every for number in range(max(math.ceil(duration / every - 1e-6), 1))), duration]
    covering = _covering(parts, edges, every)
    words, gates = _rows_by_moment(parts, utterances, len(covering), every)
    moments: list[Prediction] = []
    for place, (start, stop) in enumerate(pairwise(edges)):
        moment = replace(
            parts[covering[place]] if covering[place] >= 0 else NOTHING,
            text=" ".join(words[place]) or None,
            kept={m: [mean_of_known(given)] for m, given in gates[place].items()},
            start=start,
            stop=stop,
            voice=voice(start, stop) if voice is not None else None,
            face=None,
        )
        if face is not None:
            who, speaking, seen = face(start, stop)
            moment = replace(moment, face=seen, person=None if who is None else who.number, speaking=speaking)
        moments.append(moment)
        moments += [replace(other, id=moment.id) for other in others(start, stop)] if others is not None else []
    return tuple(moments)


NOTHING = Prediction("", None, None, None, None, "")
"""What is said where nothing is."""


def row_times(part: Prediction, utterance: Utterance, modality: Modality, count: int) -> Sequence[tuple[float, float]]:
    """When the rows of a modality, or the words, begin and end; words without times lie evenly over the utterance."""
    if modality != TEXT:
        return [(start, stop) for start, stop in utterance.intervals.get(modality, np.empty((0, 2))).tolist()]
    known = [(word.start, word.stop) for word in utterance.words]
    if len(known) >= count and np.isfinite(np.array(known[:count])).all():
        return known
    return list(pairwise(np.linspace(part.start or 0.0, part.stop or 0.0, count + 1).tolist()))


def _covering(parts: Sequence[Prediction], edges: Sequence[float], every: float) -> list[int]:
    """For each moment, the place of the utterance that covers most of it, the earlier of two alike; -1 for none."""
    count = len(edges) - 1
    best, most = [-1] * count, [0.0] * count
    for place, part in enumerate(parts):
        start, stop = part.start or 0.0, part.stop or 0.0
        for number in range(max(math.floor(start / every), 0), min(math.ceil(stop / every), count)):
            covered = min(stop, edges[number + 1]) - max(start, edges[number])
            if covered > most[number] + 1e-9:
                best[number], most[number] = place, covered
    return best


def _rows_by_moment(
    parts: Sequence[Prediction], utterances: Sequence[Utterance], count: int, every: float
) -> tuple[list[list[str]], list[dict[Modality, list[float | None]]]]:
    """The words and the gates of each moment: those whose middle lies in it."""
    words: list[list[str]] = [[] for _ in range(count)]
    gates: list[dict[Modality, list[float | None]]] = [{} for _ in range(count)]

    def place(start: float, stop: float) -> int:
        return min(max(int((start + stop) / 2 / every), 0), count - 1)

    for part, utterance in zip(parts, utterances, strict=True):
        said = (part.text or "").split()
        for word, time in zip(said, row_times(part, utterance, TEXT, len(said)), strict=False):
            words[place(*time)].append(word)
        for modality, kept in part.kept.items():
            for gate, time in zip(kept, row_times(part, utterance, modality, len(kept)), strict=False):
                gates[place(*time)].setdefault(modality, []).append(gate)
    return words, gates
