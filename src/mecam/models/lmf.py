"""LMF: the linear map of TFN's tensor in low-rank factors, one per modality.

Source: Liu, Shen, Lakshminarasimhan, Liang, Zadeh and Morency, "Efficient Low-rank Multimodal Fusion with
Modality-Specific Factors", ACL 2018 (arXiv 1806.00064).
Differs: text is read by a transformers encoder instead of GloVe vectors; the unimodal networks are those of TFN and
LF-DNN; a linear layer follows the fused vector; an absent modality is [0, …, 0, 1]. The widely used reimplementation
never trains the weights of the ranks; here they are ordinary parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.models.base import RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.subnets import build_subnets
from mecam.nn.tensors import LowRankFusion

__all__ = ["ENTRY", "Lmf", "LmfConfig"]


@dataclass(frozen=True)
class LmfConfig(TextOptions):
    """Options of LMF; sizes from the authors' search space (their code's grid) unless said otherwise."""

    search: ClassVar[Mapping[str, Range]] = {"model.width": Choice((16, 32, 64)), "model.rank": Choice((2, 4, 8))}

    text_width: Count = 128
    """Of the text's LSTM and vector."""
    width: Count = 16
    """Of every other modality's three layers and vector."""
    rank: Count = 4
    """R: factors per modality; the paper finds small ranks enough."""
    hidden: Count = 64
    """Of the fused vector (ours: the paper's is as wide as the output)."""
    dropout: Dropout = 0.15
    """In the fully connected layers and on the fused vector."""


class Lmf(RowModel[LmfConfig]):
    """Low-rank fusion."""

    def __init__(self, config: LmfConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        subnets = build_subnets(
            self.widths,
            text_width=config.text_width,
            width=config.width,
            dropout=config.dropout,
        )
        self.subnets = nn.ModuleDict(subnets)
        self.fuse = LowRankFusion({m: s.width for m, s in subnets.items()}, rank=config.rank, width=config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(inputs, config.hidden)

    def forward(self, batch: Batch) -> Output:
        """Encode each modality, fuse, predict."""
        hidden = self.rows(batch)
        vectors = {m: self.subnets[m](hidden[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(vectors)  # B H
        prediction = self.predicted(self.head(self.dropout(joint)), batch)
        return Output(prediction=prediction, embeddings={**vectors, "joint": joint})


ENTRY = Entry(Lmf, LmfConfig)
