"""LF-DNN: one network per modality, their vectors side by side, fully connected layers.

Source: Cambria, Hazarika, Poria, Bandyopadhyay and Subramanyam, "Benchmarking Multimodal Sentiment Analysis", CICLing
2017 (arXiv 1707.09538): late fusion of separately encoded modalities; the baseline's form is that of Williams,
Comanescu, Radu and Tian, "DNN Multimodal Fusion Techniques for Predicting Video Sentiment", Challenge-HML at ACL 2018
(W18-3309).
Differs: the unimodal networks are those of TFN and LMF, so that the three models differ in the fusion alone; text is
read by a transformers encoder instead of GloVe vectors; an absent modality is a vector of zeros.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Count, Dropout
from mecam.losses.regression import task_loss
from mecam.models.base import (
    Inputs,
    Model,
    TextOptions,
    as_prediction,
    build_readers,
    or_prior,
    prediction_head,
    presence,
    read_rows,
)
from mecam.nn.subnets import build_subnets
from mecam.types import TEXT

__all__ = ["LfDnn", "LfDnnConfig"]


@dataclass(frozen=True)
class LfDnnConfig(TextOptions):
    """Options of LF-DNN; widths as in TFN (Zadeh et al., 2017)."""

    text_width: Count = 128
    """Of the text's LSTM and vector."""
    width: Count = 32
    """Of every other modality's three layers and vector."""
    hidden: Count = 128
    """Of the two layers behind the fusion."""
    dropout: Dropout = 0.15
    """In all fully connected layers."""


class LfDnn(Model):
    """Late fusion by concatenation."""

    def __init__(self, config: LfDnnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.text_encoder = config.encoder if TEXT in self.reads and inputs.raw_text else None
        readers = build_readers(config, inputs, self.reads, pretrained=pretrained)
        self.encoders = nn.ModuleDict(readers)
        subnets = build_subnets(
            {m: reader.width for m, reader in readers.items()},
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
        hidden = read_rows(self.encoders, batch)
        vectors = {m: self.subnets[m](hidden[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(torch.cat(list(vectors.values()), dim=1))  # B H
        values = or_prior(self.inputs, self.head(joint), presence(batch, self.reads).any(dim=1))
        return Output(prediction=as_prediction(self.inputs.task, values), embeddings={**vectors, "joint": joint})

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        assert batch.targets is not None
        return {"task": task_loss(self.inputs.task, output.prediction, batch.targets.value)}
