"""A model asked many things about one utterance, in few passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mecam.data.datasets import Dataset
from mecam.evaluation.predict import predict
from mecam.models.checkpoint import Trained
from mecam.task import Task
from mecam.types import Predictions, Utterance

__all__ = ["Quantity", "answers", "unknown_token"]

Array = NDArray[np.float64]
_Values = TypeVar("_Values", Array, Tensor)


@dataclass(frozen=True)
class Quantity:
    """The one number that is explained.

    Attributes:
        name: `score`, or whose probability it is.
        column: of the prediction; None for a score.
    """

    name: str
    column: int | None = None

    @classmethod
    def of(cls, task: Task, prediction: Array | float) -> "Quantity":
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


def answers(
    trained: Trained,
    variants: Sequence[Utterance],
    *,
    size: int = 64,
    details: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Predict utterances that are normalised and tokenised already, in the order given.

    Variants of one utterance side by side are cheap: a text encoder reads each distinct text of a batch once.

    Args:
        trained: the model.
        variants: as a `Dataset` hands them out.
        size: variants per batch.
        details: as in `predict`.
        progress: called with (variants done, all).
    """
    dataset = Dataset(variants, task=trained.checkpoint.inputs.task)
    return predict(trained.model, dataset, trained.collator, size=size, details=details, progress=progress)


def unknown_token(trained: Trained) -> int | None:
    """Id of the token that stands for a word left out; None for a model that reads no tokens."""
    return None if trained.tokenizer is None else trained.tokenizer.unk
