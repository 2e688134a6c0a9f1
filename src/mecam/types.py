"""The nouns that travel along the road, and their shapes.

    Utterance ─collate→ Batch ─Model→ Output ─evaluate→ Predictions

`mecam.batch` has the two in the middle, which are made of tensors: reading and writing data needs no PyTorch.
An utterance is one labelled piece of speech; any of its modalities may be absent. A modality is a
name: `text`, `audio` and `vision` are the usual ones, a store may bring others (`physio`).
Axes: B batch, T time, D feature, C class, G channel group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AUDIO",
    "MISSING_WORD",
    "RENDERED",
    "SPLITS",
    "TEXT",
    "VISION",
    "FeatureSpec",
    "Label",
    "Modality",
    "Predictions",
    "Span",
    "Utterance",
    "Word",
]

Modality: TypeAlias = str
TEXT: Modality = "text"
AUDIO: Modality = "audio"
VISION: Modality = "vision"

SPLITS = ("train", "valid", "test")

MISSING_WORD = "[UNK]"
"""A word that is not known, as texts show it."""

RENDERED = "rendered"
"""Name of a data set whose clips `mecam.synthetic.clips.talking` rendered."""

Label: TypeAlias = float | str | Mapping[str, float]
"""A score (regression), a class name (classes), or one intensity per emotion (multilabel)."""


@dataclass(frozen=True)
class FeatureSpec:
    """What the rows of one modality are.

    Attributes:
        width: features per row, D.
        extractor: what made them (`covarep`, `facet`, `mecam-audio`), or `unknown`.
        version: version of the extractor, where known.
        names: one name per column, or empty.
        aligned: True when row t belongs to word t.
    """

    width: int
    extractor: str = "unknown"
    version: str = ""
    names: tuple[str, ...] = ()
    aligned: bool = False


@dataclass(frozen=True)
class Word:
    """One spoken word and its time in the video, in seconds; NaN where the source has no times."""

    text: str
    start: float = float("nan")
    stop: float = float("nan")


@dataclass(frozen=True)
class Span:
    """A piece of negative information whose place is known.

    Attributes:
        modality: the stream it sits in.
        kind: the corruption, a name in `mecam.data.corruption.OPERATORS` (`burst`, `frozen`, `shuffled` …).
        start: first row (for text: first word) touched.
        stop: one past the last. Equal to `start` where words are gone: a gap before the word at `start`.
    """

    modality: Modality
    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Utterance:
    """One utterance as it lies in a store.

    Attributes:
        id: unique in the data set, `video_clip` where the source allows.
        split: `train`, `valid` or `test`; empty when unassigned.
        video: the recording it was cut from; statistics resample these, never utterances.
        speaker: who speaks, or empty.
        text: the transcript, or None. In it, `[UNK]` is a word known to be missing.
        words: the transcript's words with times, where the source has them.
        streams: modality → T × D float32; a NaN is a missing value, an absent key or T = 0 an absent
            modality.
        intervals: modality → T × 2 seconds, where the source has them.
        label: of the target that is learned; None when unlabelled.
        targets: the labels of the store's other targets, by name.
        unimodal: modality → score, where the data set labels modalities (SIMS).
        injected: known negative information.
        tokens: sub-word ids, one tuple per whitespace-separated word of `text`; set by the data set
            when a text encoder is used.
    """

    id: str
    split: str = ""
    video: str = ""
    speaker: str = ""
    text: str | None = None
    words: tuple[Word, ...] = ()
    streams: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    intervals: Mapping[Modality, NDArray[np.float64]] = field(default_factory=dict)
    label: Label | None = None
    targets: Mapping[str, Label] = field(default_factory=dict)
    unimodal: Mapping[Modality, float] = field(default_factory=dict)
    injected: tuple[Span, ...] = ()
    tokens: tuple[tuple[int, ...], ...] | None = None

    def with_stream(self, modality: Modality, values: NDArray[np.float32]) -> "Utterance":
        """Return a copy whose `modality` holds `values`."""
        return replace(self, streams={**self.streams, modality: values})


@dataclass(frozen=True)
class Predictions:
    """A model's answers on a split, in the split's order.

    Attributes:
        ids: N utterance ids.
        videos: N recordings that they were cut from; their own ids where none are named.
        prediction: N scores, or N × C probabilities.
        truth: N scores or class indices, N × C for multilabel; None when unlabelled.
        gates: per utterance, modality → T in [0, 1], NaN where the row is missing; empty when not asked for.
        injected: per utterance, modality → T bool; only modalities with known negative information.
        shares: modality → N in [0, 1].
        embeddings: name → N × D.
        conflict_probabilities: modality → N in [0, 1], the probability that this modality contradicts the others; NaN
            where it is absent; empty for models that do not estimate it.
        missing_rates: modality → N in [0, 1], the fraction of its time steps (of text: of its tokens) that are
            missing, 1 where it is absent; only modalities that the model reads.
        interval_scales: N factors, at least 1, on the half width of the interval around a score; None where all are 1.
        speakers: N names of who speaks, empty where it is not known; () where nobody is named.
    """

    ids: tuple[str, ...]
    videos: tuple[str, ...]
    prediction: NDArray[np.float64]
    truth: NDArray[np.float64] | None
    gates: Sequence[Mapping[Modality, NDArray[np.float32]]] = ()
    injected: Sequence[Mapping[Modality, NDArray[np.bool_]]] = ()
    shares: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    conflict_probabilities: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    missing_rates: Mapping[Modality, NDArray[np.float64]] = field(default_factory=dict)
    interval_scales: NDArray[np.float64] | None = None
    speakers: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def interval_half_widths(self, width: float) -> NDArray[np.float64]:
        """N half widths of the interval around a score, where that of a complete utterance is `width`."""
        return np.full(len(self), width) if self.interval_scales is None else width * self.interval_scales
