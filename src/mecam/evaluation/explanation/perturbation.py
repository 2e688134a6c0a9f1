"""What an utterance can be asked without: words, windows of rows, whole modalities.

Left out means, everywhere in this package:

- a **word** is replaced by the encoder's unknown token: the others keep their places, and it is what a lost word looks
  like in training views and in the protocol of random missing data;
- a **row** is masked: to the model it was never observed, as in a frame without a face;
- a **modality** is absent.

Everything works on utterances as a `Dataset` hands them out: features normalised, text as tokens. `leave_one_out` says
what each removal does, here and for the words of a recording that is predicted. Nothing here needs PyTorch before a
model is asked.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.words import with_choice, word_count
from mecam.task import Task
from mecam.types import TEXT, Modality, Predictions, Utterance

if TYPE_CHECKING:
    from torch import Tensor

    from mecam.models.backend import Backend

__all__ = [
    "WINDOWS",
    "Effect",
    "InputPart",
    "Removal",
    "Target",
    "bare",
    "has_words",
    "inside",
    "leave_one_out",
    "observed",
    "parts_of",
    "perturbed_predictions",
    "read_by",
    "unknown_token",
    "without",
    "words_left_out",
]

WINDOWS = 24
"""A stream is cut into at most this many windows of equal length."""


@dataclass(frozen=True)
class InputPart:
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
        return f"frame{'s' if last else ''} {self.start + 1}{last}"


def bare(utterance: Utterance) -> Utterance:
    """What a model reads of it: tokens and rows, without the transcript and the record of inserted corruption."""
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


def inside(part: InputPart, count: int) -> NDArray[np.bool_]:
    """The rows of a part among `count`."""
    rows = np.zeros(count, np.bool_)
    rows[part.start : part.stop] = True
    return rows


def parts_of(utterance: Utterance, modality: Modality, *, windows: int = WINDOWS) -> tuple[InputPart, ...]:
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
        parts.append(InputPart(start, stop, labels[start], when))
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


def _seconds(utterance: Utterance, modality: Modality, count: int) -> NDArray[np.float64] | None:
    """T × 2 seconds; None unless all are known."""
    if has_words(utterance, modality):
        times = np.array([(word.start, word.stop) for word in utterance.words], np.float64).reshape(-1, 2)
    else:
        times = np.asarray(utterance.intervals.get(modality, np.empty((0, 2))))
    known = len(times) >= count > 0 and bool(np.isfinite(times[:count]).all())
    return times[:count] if known else None


Array = NDArray[np.float64]
_Values = TypeVar("_Values", Array, "Tensor")


@dataclass(frozen=True)
class Effect:
    """What leaving something out does.

    Attributes:
        score: the answer without it.
        adds: the answer with it less the answer without it: positive where it raises the answer by being there. The
            same sign as integrated gradients.
        count: rows or words that were left out; None for whole modalities.
    """

    score: float
    adds: float
    count: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; no count where there is none."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Removal:
    """What is left out of an utterance, and the utterance without it.

    Attributes:
        key: names it among the removals of one utterance.
        count: rows or words that are left out; None for whole modalities.
        variant: the utterance without them.
    """

    key: Any
    count: int | None
    variant: Utterance


def leave_one_out(
    whole: float, removals: Sequence[Removal], predict: Callable[[Sequence[Utterance]], Iterable[float]]
) -> dict[Any, Effect]:
    """What every removal does by itself.

    Args:
        whole: the prediction of the utterance as it is.
        removals: of that utterance.
        predict: utterances → the predictions of as many, in their order; not called for none.

    Returns: key of a removal → its effect.
    """
    found = predict([removal.variant for removal in removals]) if removals else ()
    return {
        removal.key: Effect(float(value), whole - float(value), removal.count)
        for removal, value in zip(removals, found, strict=True)
    }


def words_left_out(utterance: Utterance, *, unk: int | None = None, limit: int | None = None) -> list[Removal]:
    """Every word of the text alone, by its place; of at most `limit` words, the first ones."""
    places = range(word_count(utterance))
    return [
        Removal(out, 1, with_choice(utterance, "missing", [-1 if i == out else i for i in places], unk))
        for out in places[:limit]
    ]


@dataclass(frozen=True)
class Target:
    """The one number that is explained.

    Attributes:
        name: `score`, or whose probability it is.
        column: of the prediction; None for a score.
    """

    name: str
    column: int | None = None

    @classmethod
    def of(cls, task: Task, prediction: Array | float) -> "Target":
        """The score, or the probability of the class (of several labels: the one) that is given first."""
        if task.is_score:
            return cls("score")
        column = int(np.argmax(prediction))
        return cls(f"probability of {task.names[column]}", column)

    def told(self, value: float, digits: int = 2) -> str:
        """A value in print: a score with its sign, a probability in per cent."""
        return f"{value:+.{digits}f}" if self.column is None else f"{100 * value:.{max(digits - 2, 0)}f} %"

    def difference(self, value: float | None, digits: int = 2) -> str:
        """A difference of two values in print: of scores, or of probabilities in points; a dash where it is unknown."""
        if value is None:
            return "–"
        return f"{value:+.{digits}f}" if self.column is None else f"{100 * value:+.{max(digits - 2, 0)}f}"

    @property
    def unit(self) -> str:
        """Of a difference, as it stands behind a heading."""
        return "" if self.column is None else ", points"

    def read(self, predictions: _Values) -> _Values:
        """N values from N scores or N × C probabilities."""
        return predictions if self.column is None else predictions[:, self.column]


def perturbed_predictions(
    backend: "Backend",
    variants: Sequence[Utterance],
    *,
    size: int = 64,
    details: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Predict utterances that are normalised and tokenised already, in the order given.

    Variants of one utterance side by side are cheap: a text encoder reads each distinct text of a batch once.

    Args:
        backend: computes the model.
        variants: as a `Dataset` hands them out.
        size: variants per batch.
        details: as in `ask`.
        progress: called with (variants done, all).
    """
    from mecam.data.datasets import Dataset
    from mecam.evaluation.predict import ask

    dataset = Dataset(variants, task=backend.checkpoint.inputs.task)
    return ask(backend, dataset, backend.preprocessor.collator, size=size, details=details, progress=progress)


def unknown_token(backend: "Backend") -> int | None:
    """Id of the token that stands for a word left out; None for a model that reads no tokens."""
    tokenizer = backend.preprocessor.tokenizer
    return None if tokenizer is None else tokenizer.unk
