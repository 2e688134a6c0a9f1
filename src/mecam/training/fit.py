"""What training sees of the data, and what comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from mecam.batch import Batch
from mecam.models.base import Model

__all__ = ["Fit", "TrainingData"]


@runtime_checkable
class TrainingData(Protocol):
    """What the loop may see: the train split in batches, and a score on validation. Never the test split."""

    steps: int
    """Batches per epoch."""

    metric: str
    """Name of the validation metric to choose by, for the progress line."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The train split, in an order that follows from the epoch alone."""

    def validate(self, model: Model) -> dict[str, float | None]:
        """Metrics on the validation split; `select` is the one to choose by, larger is better."""


@dataclass
class Fit:
    """How a training went.

    Attributes:
        history: one row per epoch, ready for `history.csv`.
        best: weights of the best epoch on validation.
        best_epoch: counted from 1; 0 before the first.
        best_score: its selection score.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: float = float("-inf")
