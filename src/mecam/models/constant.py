"""The constant predictor: what a model must beat to have learned anything."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mecam.batch import Batch, Output
from mecam.models.base import Inputs, Model
from mecam.models.registry import Entry
from mecam.types import Task

__all__ = ["ENTRY", "Constant", "ConstantConfig", "constant_prediction"]


@dataclass(frozen=True)
class ConstantConfig:
    """No options."""


class Constant(Model):
    """Predicts the same for every utterance; has nothing to train."""

    reads_nothing = True

    def __init__(self, config: ConstantConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=())
        self.register_buffer("prior", torch.tensor(inputs.prior))

    def forward(self, batch: Batch) -> Output:
        """Repeat the prior."""
        prior = self.get_buffer("prior")
        if self.inputs.task.kind == "regression":
            return Output(prediction=prior.expand(len(batch)))
        return Output(prediction=prior.expand(len(batch), -1))


def constant_prediction(task: Task, encoded: NDArray[np.float32] | NDArray[np.int64]) -> tuple[float, ...]:
    """The best constant output on the given training labels.

    Regression: their median, which minimises MAE. Classes: log frequencies. Multilabel: log odds.

    Args:
        task: kind of label.
        encoded: labels as `encode_labels` returns them.
    """
    values = np.asarray(encoded, np.float64)
    if task.kind == "regression":
        return (float(np.median(values)),)
    if task.kind == "classes":
        counts = np.bincount(values.astype(np.int64), minlength=len(task.names)) + 1.0
        return tuple(float(x) for x in np.log(counts / counts.sum()))
    rate = (values.sum(axis=0) + 1) / (len(values) + 2)
    return tuple(float(x) for x in np.log(rate / (1 - rate)))


ENTRY = Entry(Constant, ConstantConfig)
