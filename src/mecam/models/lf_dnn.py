"""LF-DNN: one network per modality, their vectors side by side, fully connected layers.

Source: Cambria, Hazarika, Poria, Bandyopadhyay and Subramanyam, "Benchmarking Multimodal Sentiment Analysis", CICLing
2017 (arXiv 1707.09538): late fusion of separately encoded modalities; the baseline's form is that of Williams,
Comanescu, Radu and Tian, "DNN Multimodal Fusion Techniques for Predicting Video Sentiment", Challenge-HML at ACL 2018
(W18-3309).
Differs: the unimodal networks are those of TFN and LMF, so that the three models differ in the fusion alone; text is
read by a transformers encoder instead of GloVe vectors; an absent modality is a vector of zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.models.base import RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.subnets import build_subnets

__all__ = ["ENTRY", "LfDnn", "LfDnnConfig"]


@dataclass(frozen=True)
class LfDnnConfig(TextOptions):
    """Options of LF-DNN; widths as in TFN (Zadeh et al., 2017)."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.width": Choice((16, 32, 64)),
        "model.hidden": Choice((64, 128, 256)),
    }

    text_width: Count = 128
    """Of the text's LSTM and vector."""
    width: Count = 32
    """Of every other modality's three layers and vector."""
    hidden: Count = 128
    """Of the two layers behind the fusion."""
    dropout: Dropout = 0.15
    """In all fully connected layers."""


class LfDnn(RowModel[LfDnnConfig]):
    """Late fusion by concatenation."""

    def __init__(self, config: LfDnnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        subnets = build_subnets(
            self.widths,
            text_width=config.text_width,
            width=config.width,
            dropout=config.dropout,
        )
        self.subnets = nn.ModuleDict(subnets)
        self.fuse = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(sum(subnet.width for subnet in subnets.values()), config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
        )
        self.head = prediction_head(inputs, config.hidden)

    def forward(self, batch: Batch) -> Output:
        """Encode each modality, concatenate, predict."""
        hidden = self.rows(batch)
        vectors = {m: self.subnets[m](hidden[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(torch.cat(list(vectors.values()), dim=1))  # B H
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**vectors, "joint": joint})


ENTRY = Entry(LfDnn, LfDnnConfig)
