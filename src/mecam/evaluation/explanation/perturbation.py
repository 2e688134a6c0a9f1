"""What an utterance can be asked without: words, windows of rows, whole modalities.

Left out means, everywhere in this package:

- a **word** is replaced by the encoder's unknown token: the others keep their places, and it is what a lost word looks
  like in training views and in the protocol of random missing data;
- a **row** is masked: to the model it was never observed, as in a frame without a face;
- a **modality** is absent.

Everything works on utterances as a `Dataset` hands them out: features normalised, text as tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import Corruption, corrupt_utterance
from mecam.data.corruption.utterances import with_choice
from mecam.types import TEXT, Modality, Utterance

__all__ = [
    "WINDOWS",
    "Part",
    "bare",
    "has_words",
    "inside",
    "observed",
    "parts_of",
    "read_by",
    "without",
    "without_modality",
]

WINDOWS = 24
"""A stream is cut into at most this many windows of equal length."""


@dataclass(frozen=True)
class Part:
    """A word, or a window of rows.

    Attributes:
        start: first row (for text: word).
        stop: one past the last.
        label: the word; None for rows.
        seconds: when it begins and ends, where known.
    """

    start: int
    stop: int
    label: str | None = None
    seconds: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The word, or which rows, counted from 1."""
        if self.label is not None:
            return self.label
        last = "" if self.stop == self.start + 1 else f"–{self.stop}"
        return f"row{'s' if last else ''} {self.start + 1}{last}"


def bare(utterance: Utterance) -> Utterance:
    """What a model reads of it: tokens and rows, without the transcript and the record of what was put in."""
    return replace(utterance, text=None, words=(), injected=()) if utterance.tokens else replace(utterance, injected=())


def has_words(utterance: Utterance, modality: Modality) -> bool:
    """True if the parts of this modality are words."""
    return modality == TEXT and utterance.tokens is not None


def observed(utterance: Utterance, modality: Modality) -> NDArray[np.bool_]:
    """Which rows (for text: words) the model sees: T."""
    if has_words(utterance, modality):
        assert utterance.tokens is not None
        return np.ones(len(utterance.tokens), bool)
    rows = utterance.streams.get(modality)
    if rows is None:
        return np.zeros(0, np.bool_)
    missing: NDArray[np.bool_] = np.asarray(np.isnan(rows).any(axis=1))
    return np.logical_not(missing)


def read_by(reads: Sequence[Modality], utterance: Utterance) -> tuple[Modality, ...]:
    """Those of the modalities `reads` of which the utterance has anything to see, in their order."""
    return tuple(m for m in reads if observed(utterance, m).any())


def inside(part: Part, count: int) -> NDArray[np.bool_]:
    """The rows of a part among `count`."""
    rows = np.zeros(count, np.bool_)
    rows[part.start : part.stop] = True
    return rows


def parts_of(utterance: Utterance, modality: Modality, *, windows: int = WINDOWS) -> tuple[Part, ...]:
    """Every word, or the rows in at most `windows` windows of one length; the last may be shorter."""
    count = len(observed(utterance, modality))
    times = _seconds(utterance, modality, count)
    labels: Sequence[str | None] = [None] * count
    size = max(1, -(-count // windows))
    if has_words(utterance, modality):
        size = 1
        labels = (utterance.text or "").split()[:count] or labels
    parts = []
    for start in range(0, count, size):
        stop = min(start + size, count)
        when = None if times is None else (float(times[start, 0]), float(times[stop - 1, 1]))
        parts.append(Part(start, stop, labels[start], when))
    return tuple(parts)


def without(utterance: Utterance, modality: Modality, left_out: NDArray[np.bool_], unk: int | None) -> Utterance:
    """The utterance without some rows or words of one modality.

    Args:
        utterance: left as it is.
        modality: one that it has.
        left_out: T, True for what goes.
        unk: id of the unknown token; needed for words.
    """
    if has_words(utterance, modality):
        choice = [-1 if gone else place for place, gone in enumerate(left_out.tolist())]
        return with_choice(bare(utterance), "missing", choice, unk)
    rows = utterance.streams[modality].copy()
    rows[left_out] = np.nan
    return utterance.with_stream(modality, rows)


def without_modality(utterance: Utterance, modality: Modality) -> Utterance:
    """The utterance without a whole modality; the same where it lacks it."""
    return corrupt_utterance(utterance, np.random.default_rng(0), plan=[Corruption(modality, "absent")])


def _seconds(utterance: Utterance, modality: Modality, count: int) -> NDArray[np.float64] | None:
    """T × 2 seconds; None unless all are known."""
    if has_words(utterance, modality):
        times = np.array([(word.start, word.stop) for word in utterance.words], np.float64).reshape(-1, 2)
    else:
        times = np.asarray(utterance.intervals.get(modality, np.empty((0, 2))))
    known = len(times) >= count > 0 and bool(np.isfinite(times[:count]).all())
    return times[:count] if known else None
