"""A linear model of what a whole utterance looks like on average: the yardstick for every network that reads sequences.

Mean, deviation and three quantiles of every column of every stream, and the mean token of a text encoder that is left
as it is, go into a ridge regression (scores) or logistic regressions (classes, labels), fitted by scikit-learn in
seconds. How strongly it is regularised is chosen on validation. An absent modality counts as an average one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.hub import EMBEDDED
from mecam.models.base import ClosedFormModel, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean, masked_quantiles
from mecam.nn.text import TextEncoder
from mecam.types import TEXT

__all__ = ["ENTRY", "PooledLinear", "PooledLinearConfig"]

QUANTILES = (0.1, 0.5, 0.9)

LIMIT = 5.0
"""Figures are limited to ± this many standard deviations, as features are."""

TINY = 1e-6


@dataclass(frozen=True)
class PooledLinearConfig:
    """Options of the linear yardstick."""

    encoder: str = EMBEDDED
    """Text encoder, left as it is: `minilm`, a hub name, or a folder."""


class PooledLinear(ClosedFormModel):
    """Standardised statistics of the whole utterance, and one linear layer."""

    strengths = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)

    def __init__(self, config: PooledLinearConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.text_encoder = config.encoder if inputs.raw_text else None
        self.encoders = nn.ModuleDict()
        total = 0
        for m in self.reads:
            if m == TEXT and inputs.raw_text:
                self.encoders[m] = encoder = TextEncoder(config.encoder, pretrained=pretrained, frozen=True)
                total += encoder.width
            else:
                total += inputs.features[m].width * (2 + len(QUANTILES))
        self.register_buffer("centre", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        self.head = prediction_head(inputs, total)

    def forward(self, batch: Batch) -> Output:
        """Pool, standardise, predict."""
        figures, known = [], []
        for m in self.reads:
            stream = batch.streams[m]
            if m in self.encoders:
                pooled = masked_mean(self.encoders[m](stream.values, stream.mask), stream.mask)  # B D
            else:
                pooled = statistics(stream.values, stream.mask)  # B 5D
            figures.append(pooled)
            known.append(stream.mask.any(dim=1, keepdim=True).expand_as(pooled))
        raw, there = torch.cat(figures, dim=1).float(), torch.cat(known, dim=1)  # B F
        standard = ((raw - self.centre) / self.scale).clamp(-LIMIT, LIMIT).masked_fill(~there, 0.0)  # type: ignore[operator]
        return Output(
            prediction=self.predicted(self.head(standard), batch),
            extra={"figures": raw.masked_fill(~there, float("nan"))},
        )

    @torch.no_grad()
    def solve(self, figures: NDArray[np.float64], targets: NDArray[Any], strength: float) -> None:
        """Standardise the figures and fit the last layer to them.

        Args:
            figures: N × F, NaN where a modality is absent.
            targets: N encoded labels.
            strength: of the penalty on squared weights, per utterance.
        """
        known = ~np.isnan(figures)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, figures, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(known, figures - centre, 0.0) ** 2).sum(axis=0) / count)
        scale[scale < TINY] = 1.0
        standard = np.where(known, (figures - centre) / scale, 0.0).clip(-LIMIT, LIMIT)
        weight, bias = self.inputs.task.linear(standard, targets, strength)
        for place, values in (
            (self.centre, centre),
            (self.scale, scale),
            (self.head.weight, weight),
            (self.head.bias, bias),
        ):
            assert isinstance(place, Tensor)
            place.copy_(torch.from_numpy(values))


def statistics(values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B F"]:
    """Mean, standard deviation and quantiles of every column over the observed rows; 0 where there are none."""
    mean = masked_mean(values, mask)  # B D
    variance = masked_mean((values - mean.unsqueeze(1)).square(), mask)
    deviation = (variance + TINY).sqrt()
    return torch.cat([mean, deviation, *masked_quantiles(values, mask, QUANTILES)], dim=1)


ENTRY = Entry(PooledLinear, PooledLinearConfig)
