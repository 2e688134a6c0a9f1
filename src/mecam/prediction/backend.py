"""What computes a prediction: one small protocol, behind which PyTorch is one library of several.

A backend reads arrays and gives arrays (`mecam.arrays`). Nothing in `mecam.prediction` but the module of a backend
imports the library that it uses.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.arrays import Network
from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.data.tokens import Tokenizer
from mecam.types import Utterance

if TYPE_CHECKING:
    from mecam.models.checkpoint import Checkpoint

__all__ = ["Backend", "open_backend"]


@runtime_checkable
class Backend(Network, Protocol):
    """A trained network with all that predicting needs beside it."""

    @property
    def checkpoint(self) -> "Checkpoint":
        """What is known about the model beside its weights."""
        ...

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of its text encoder, if it has one."""
        ...

    @property
    def allow_encoder(self) -> bool:
        """Whether it may name encoders (of speech too) that are fetched, or lie elsewhere on this machine."""
        ...

    @property
    def collator(self) -> Collator:
        """Makes the batches that the network reads."""
        ...

    def dataset(self, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None = None) -> Dataset:
        """Utterances, or some of a store, as the network reads them: features normalised, texts tokenised."""
        ...

    def check_features(self, store: Store) -> None:
        """Refuse a store whose features are not those that the model was trained on; absent ones are fine.

        Raises: ModelError naming the first stream that differs.
        """
        ...


def open_backend(run: str | Path, *, device: str | None = None, allow_encoder: bool | None = None) -> Backend:
    """The backend that computes the model of a run folder or a checkpoint folder.

    Args:
        run: the folder.
        device: where to compute; None takes the GPU if there is one.
        allow_encoder: let the checkpoint name encoders that are fetched, or read from elsewhere on this machine.

    Raises: ModelError if the checkpoint cannot be used.
    """
    from mecam.models.checkpoint import load_checkpoint
    from mecam.prediction.torch_backend import TorchBackend

    return TorchBackend(load_checkpoint(run, allow_encoder=allow_encoder), device=device)
