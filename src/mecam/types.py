"""The nouns that travel along the road, and their shapes.

    Utterance ─collate→ Batch ─Model→ Output ─evaluate→ Predictions

An utterance is one labelled piece of speech; any of its modalities may be absent. A modality is a
name: `text`, `audio` and `vision` are the usual ones, a store may bring others (`physio`).
Axes: B batch, T time, D feature, C class, G channel group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "AUDIO",
    "SPLITS",
    "TEXT",
    "VISION",
    "Batch",
    "Device",
    "FeatureSpec",
    "Label",
    "Modality",
    "Output",
    "Predictions",
    "Span",
    "Stream",
    "Targets",
    "Task",
    "Utterance",
    "Word",
]

Modality: TypeAlias = str
TEXT: Modality = "text"
AUDIO: Modality = "audio"
VISION: Modality = "vision"

Device: TypeAlias = str | torch.device
_Movable = TypeVar("_Movable", "Stream", "Targets", "Batch")

SPLITS = ("train", "valid", "test")

Label: TypeAlias = float | str | Mapping[str, float]
"""A score (regression), a class name (classes), or one intensity per emotion (multilabel)."""


@dataclass(frozen=True)
class Task:
    """What a data set asks for; heads, losses, metrics and the report follow from it.

    Attributes:
        kind: `regression` (one score), `classes` (one of `names`) or `multilabel` (each of `names`
            present or not).
        low: the lowest possible score; regression only.
        high: the highest possible score; regression only.
        names: the classes or emotions, in the order of the output columns.
    """

    kind: Literal["regression", "classes", "multilabel"]
    low: float = -3.0
    high: float = 3.0
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Number of values that a model predicts for one utterance."""
        return 1 if self.kind == "regression" else len(self.names)


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
        kind: the corruption, a name in `mecam.data.corrupt.OPERATORS` (`burst`, `frozen`, `shuffled` …).
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
        label: None when unlabelled.
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
    unimodal: Mapping[Modality, float] = field(default_factory=dict)
    injected: tuple[Span, ...] = ()
    tokens: tuple[tuple[int, ...], ...] | None = None

    def with_stream(self, modality: Modality, values: NDArray[np.float32]) -> "Utterance":
        """Return a copy whose `modality` holds `values`."""
        return replace(self, streams={**self.streams, modality: values})


@dataclass(frozen=True)
class Stream:
    """One modality of a batch, padded on the right.

    Attributes:
        values: features B × T × D (float), or token ids B × T (int) for text read by an encoder.
        mask: B × T, True for a real, observed row.
        lengths: B, rows before padding; at least `mask.sum(1)`. 0 when the modality is absent.
        injected: B × T, True where negative information is known to lie; None when nothing is known.
        words: B × T, index of the word that a token belongs to, −1 for special tokens and padding;
            None for features.
    """

    values: Float[Tensor, "B T D"] | Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    injected: Bool[Tensor, "B T"] | None = None
    words: Int[Tensor, "B T"] | None = None

    def to(self, device: Device) -> "Stream":
        """Return the stream on `device`."""
        return _moved(self, device)


@dataclass(frozen=True)
class Targets:
    """What the utterances of a batch are labelled with.

    Attributes:
        value: B scores (regression), B class indices (classes), or B × C values in {0, 1} (multilabel).
        unimodal: modality → B scores, NaN where unlabelled.
    """

    value: Float[Tensor, " B"] | Int[Tensor, " B"] | Float[Tensor, "B C"]
    unimodal: Mapping[Modality, Float[Tensor, " B"]] = field(default_factory=dict)

    def to(self, device: Device) -> "Targets":
        """Return the targets on `device`."""
        return _moved(self, device)


@dataclass(frozen=True)
class Batch:
    """Utterances side by side.

    Attributes:
        ids: B utterance ids.
        index: B, position in the split the batch was drawn from.
        streams: modality → stream.
        targets: None when serving.
        view: the same utterances with fresh negative information put in (its place in
            `Stream.injected`); only while training, only when the run asks for it.
    """

    ids: tuple[str, ...]
    index: Int[Tensor, " B"]
    streams: Mapping[Modality, Stream]
    targets: Targets | None = None
    view: "Batch | None" = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: Device) -> "Batch":
        """Return the batch on `device`."""
        return _moved(self, device)


@dataclass(frozen=True)
class Output:
    """What a model says about a batch.

    Attributes:
        prediction: B scores (regression) or B × C logits (classes, multilabel).
        gates: modality → B × T in [0, 1], how much of each row was kept; empty for models without a
            filter.
        shares: modality → B in [0, 1], each modality's part in the prediction; sums to 1 over modalities.
        embeddings: name → B × D, for the losses, the report and the tests.
        view: the output on `Batch.view`.
        extra: further tensors that the model's own losses read; `doubt`, B × M in the order of `Model.reads`, is also
            shown: how probable it is that a modality contradicts the others.
    """

    prediction: Float[Tensor, " B"] | Float[Tensor, "B C"]
    gates: Mapping[Modality, Float[Tensor, "B T"]] = field(default_factory=dict)
    shares: Mapping[Modality, Float[Tensor, " B"]] = field(default_factory=dict)
    embeddings: Mapping[str, Float[Tensor, "B D"]] = field(default_factory=dict)
    view: "Output | None" = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """A model's answers on a split, in the split's order.

    Attributes:
        ids: N utterance ids.
        videos: N groups for the bootstrap.
        prediction: N scores, or N × C probabilities.
        truth: N scores or class indices, N × C for multilabel; None when unlabelled.
        gates: per utterance, modality → T in [0, 1], NaN where the row is missing; empty when not asked for.
        injected: per utterance, modality → T bool; only modalities with known negative information.
        shares: modality → N in [0, 1].
        embeddings: name → N × D.
        doubts: modality → N in [0, 1], how probable it is that this modality contradicts the others; NaN where it is
            absent; empty for models that do not ask.
        lost: modality → N in [0, 1], the share of its rows (of text: of its tokens) that are missing, 1 where it is
            absent; only modalities that the model reads.
    """

    ids: tuple[str, ...]
    videos: tuple[str, ...]
    prediction: NDArray[np.float64]
    truth: NDArray[np.float64] | None
    gates: Sequence[Mapping[Modality, NDArray[np.float32]]] = ()
    injected: Sequence[Mapping[Modality, NDArray[np.bool_]]] = ()
    shares: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    doubts: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    lost: Mapping[Modality, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def _moved(value: _Movable, device: Device) -> _Movable:
    """Move every tensor of a dataclass of this module, however deep."""

    def moved(item: object) -> object:
        if isinstance(item, Tensor | Stream | Targets | Batch):
            return item.to(device)
        return {key: moved(part) for key, part in item.items()} if isinstance(item, Mapping) else item

    changed: dict[str, Any] = {name: moved(item) for name, item in vars(value).items()}
    return replace(value, **changed)
