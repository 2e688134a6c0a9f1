"""What a trained network reads and says, as NumPy arrays: the same for every library that may compute it.

`mecam.batch` has the same shapes as PyTorch tensors, for training. Axes: B batch, T time, D feature, C class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.types import Modality

__all__ = ["BatchArrays", "Network", "OutputArrays", "StreamArrays", "TargetArrays"]


@dataclass(frozen=True)
class StreamArrays:
    """One modality of a batch, padded on the right; the attributes are those of `mecam.batch.Stream`."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    injected: NDArray[np.bool_]
    words: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TargetArrays:
    """What the utterances of a batch are labelled with; the attributes are those of `mecam.batch.Targets`."""

    value: NDArray[Any]
    unimodal: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchArrays:
    """Utterances side by side; the attributes are those of `mecam.batch.Batch`."""

    ids: tuple[str, ...]
    index: NDArray[np.int64]
    streams: Mapping[Modality, StreamArrays]
    targets: TargetArrays | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class OutputArrays:
    """What a network says about a batch.

    Attributes:
        prediction: B scores, or B × C probabilities.
        gates: modality → B × T in [0, 1], how much of each row was kept; empty for networks without a filter.
        shares: modality → B in [0, 1], each modality's part in the prediction.
        embeddings: name → B × D.
        conflict: B × M in [0, 1] in the order of `Network.reads`: how probable it is that a modality contradicts the
            others; None for networks that do not ask.
    """

    prediction: NDArray[np.float64]
    gates: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    shares: Mapping[Modality, NDArray[np.float32]] = field(default_factory=dict)
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    conflict: NDArray[np.float32] | None = None


@runtime_checkable
class Network(Protocol):
    """A trained network, whichever library computes it. Several threads may share one."""

    @property
    def reads(self) -> Sequence[Modality]:
        """The modalities that it is given."""
        ...

    def run(self, batch: BatchArrays, *, total: int, details: bool = False) -> OutputArrays:
        """Its answers to a batch, in full precision, without dropout.

        Args:
            batch: of utterances.
            total: utterances of the whole question that the batch is a part of; few need few threads.
            details: also give gates and embeddings.
        """
        ...

    def weights_fault(self) -> str:
        """What of its weights is not a finite number, in words; empty where all are. Asked when an answer is none."""
        ...
