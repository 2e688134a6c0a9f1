"""A trained model computed by PyTorch."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.evaluation.torch_network import TorchNetwork
from mecam.models.checkpoint import Trained, check_features
from mecam.types import Utterance

__all__ = ["TorchBackend"]


class TorchBackend(TorchNetwork):
    """A trained model on a device, as a `mecam.prediction.backend.Backend`.

    Args:
        trained: from `load_checkpoint`; it is moved to the device.
        device: where to compute; None takes the GPU if there is one.
    """

    def __init__(self, trained: Trained, *, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        trained.model.to(self.device)
        super().__init__(trained.model, trained.checkpoint.inputs.task)
        self.trained, self.checkpoint = trained, trained.checkpoint
        self.tokenizer, self.allow_encoder, self.collator = trained.tokenizer, trained.allow_encoder, trained.collator

    def dataset(self, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None = None) -> Dataset:
        """As `Backend.dataset`."""
        return self.trained.dataset(source, indices)

    def check_features(self, store: Store) -> None:
        """As `Backend.check_features`."""
        check_features(self.trained, store)
