"""TFN: the outer product of all modalities, each with a constant 1 added.

Source: Zadeh, Chen, Poria, Cambria and Morency, "Tensor Fusion Network for Multimodal Sentiment Analysis", EMNLP 2017
(arXiv 1707.07250).
Differs: text is read by a transformers encoder instead of GloVe vectors; the score comes from a linear layer with the
field's L1 loss instead of a scaled sigmoid with squared error; any number of modalities, as long as the tensor fits in
memory; an absent modality is [0, …, 0, 1], which leaves the products of the others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.errors import ModelError
from mecam.models.base import RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.subnets import build_subnets
from mecam.nn.tensors import tensor_product
from mecam.types import TEXT

__all__ = ["ENTRY", "Tfn", "TfnConfig"]

MAX_TENSOR_VALUES = 2_000_000
"""Values of the tensor at most: 256 million weights behind it at the default width."""


@dataclass(frozen=True)
class TfnConfig(TextOptions):
    """Options of TFN; sizes and dropout of the paper."""

    search: ClassVar[Mapping[str, Range]] = {"model.width": Choice((16, 32)), "model.hidden": Choice((64, 128))}

    text_width: Count = 128
    """Of the text's LSTM and vector."""
    width: Count = 32
    """Of every other modality's three layers and vector."""
    hidden: Count = 128
    """Of the two layers behind the tensor."""
    dropout: Dropout = 0.15
    """In all fully connected layers."""


class Tfn(RowModel[TfnConfig]):
    """Tensor fusion."""

    def __init__(self, config: TfnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        widths = {m: config.text_width if m == TEXT else config.width for m in self.reads}
        size = math.prod(width + 1 for width in widths.values())
        if size > MAX_TENSOR_VALUES:
            raise ModelError(
                f"the tensor of {', '.join(self.reads)} would have {size:,} values, more than {MAX_TENSOR_VALUES:,}",
                where="model.width, model.text_width",
                fix="lower them, use fewer modalities, or choose `lmf`, which never builds the tensor",
            )
        self.subnets = nn.ModuleDict(
            build_subnets(self.widths, text_width=config.text_width, width=config.width, dropout=config.dropout)
        )
        self.fuse = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(size, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
        )
        self.head = prediction_head(inputs, config.hidden)

    def forward(self, batch: Batch) -> Output:
        """Encode each modality, multiply, predict."""
        hidden = self.rows(batch)
        vectors = {m: self.subnets[m](hidden[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(tensor_product(list(vectors.values())))  # B H
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**vectors, "joint": joint})


ENTRY = Entry(Tfn, TfnConfig)
