"""The constant predictor: what a model must beat to have learned anything."""

from dataclasses import dataclass

import torch

from mecam.batch import Batch, Output
from mecam.models.base import Model
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry

__all__ = ["ENTRY", "Constant", "ConstantConfig"]


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
        return Output(prediction=self.inputs.task.as_prediction(prior.expand(batch.index.shape[0], -1)))


ENTRY = Entry(Constant, ConstantConfig)
