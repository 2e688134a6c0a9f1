"""What a model reads and what it says: tensors of several utterances side by side.

Axes: B batch, T time, D feature, C class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mecam.arrays import BatchArrays, StreamArrays
from mecam.types import Modality

__all__ = ["Batch", "Device", "Output", "Stream", "Targets"]

Device: TypeAlias = str | torch.device
_Movable = TypeVar("_Movable", "Stream", "Targets", "Batch")


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

    def to(self, device: Device, *, non_blocking: bool = False) -> "Stream":
        """Return the stream on `device`; with `non_blocking`, from pinned memory without waiting for the copy."""
        return _each_part(self, "to", device, non_blocking=non_blocking)

    def pin_memory(self) -> "Stream":
        """Return the stream in page-locked memory, from where a GPU copies it."""
        return _each_part(self, "pin_memory")


@dataclass(frozen=True)
class Targets:
    """What the utterances of a batch are labelled with.

    Attributes:
        value: B scores (regression), B class indices (classes), or B × C values in {0, 1} (multilabel).
        unimodal: modality → B scores, NaN where unlabelled.
    """

    value: Float[Tensor, " B"] | Int[Tensor, " B"] | Float[Tensor, "B C"]
    unimodal: Mapping[Modality, Float[Tensor, " B"]] = field(default_factory=dict)

    def to(self, device: Device, *, non_blocking: bool = False) -> "Targets":
        """Return the targets on `device`; with `non_blocking`, from pinned memory without waiting for the copy."""
        return _each_part(self, "to", device, non_blocking=non_blocking)

    def pin_memory(self) -> "Targets":
        """Return the targets in page-locked memory, from where a GPU copies it."""
        return _each_part(self, "pin_memory")


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

    @classmethod
    def of(cls, arrays: BatchArrays, view: "Batch | None" = None) -> "Batch":
        """The same batch as tensors, which share the arrays' memory."""
        targets, given = None, arrays.targets
        if given is not None:
            unimodal = {modality: torch.from_numpy(score) for modality, score in given.unimodal.items()}
            targets = Targets(torch.from_numpy(given.value), unimodal)
        return cls(
            ids=arrays.ids,
            index=torch.from_numpy(arrays.index),
            streams={modality: _stream(stream) for modality, stream in arrays.streams.items()},
            targets=targets,
            view=view,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: Device, *, non_blocking: bool = False) -> "Batch":
        """Return the batch on `device`; with `non_blocking`, from pinned memory without waiting for the copy."""
        return _each_part(self, "to", device, non_blocking=non_blocking)

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from where a GPU copies it."""
        return _each_part(self, "pin_memory")


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


def _stream(arrays: StreamArrays) -> Stream:
    tensors: dict[str, Any] = {
        name: None if part is None else torch.from_numpy(part) for name, part in vars(arrays).items()
    }
    return Stream(**tensors)


def _each_part(value: _Movable, method: str, *arguments: Any, **options: Any) -> _Movable:
    """Call the method on every tensor of a dataclass of this module, however deep."""

    def changed(item: object) -> object:
        if isinstance(item, Tensor | Stream | Targets | Batch):
            return getattr(item, method)(*arguments, **options)
        return {key: changed(part) for key, part in item.items()} if isinstance(item, Mapping) else item

    parts: dict[str, Any] = {name: changed(item) for name, item in vars(value).items()}
    return replace(value, **parts)
