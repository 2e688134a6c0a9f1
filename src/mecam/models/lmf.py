"""LMF: the linear map of TFN's tensor in low-rank factors, one per modality.

Source: Liu, Shen, Lakshminarasimhan, Liang, Zadeh and Morency, "Efficient Low-rank Multimodal Fusion with
Modality-Specific Factors", ACL 2018 (arXiv 1806.00064).
Differs: text is read by a transformers encoder instead of GloVe vectors; the unimodal networks are those of TFN and
LF-DNN; a linear layer follows the fused vector; an absent modality is [0, …, 0, 1]. The widely used reimplementation
never trains the weights of the ranks; here they are ordinary parameters.
"""

from dataclasses import dataclass

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
from mecam.nn.tensors import LowRankFusion
from mecam.types import TEXT

__all__ = ["Lmf", "LmfConfig"]


@dataclass(frozen=True)
class LmfConfig(TextOptions):
    """Options of LMF; sizes from the authors' search space (their code's grid) unless said otherwise."""

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


class Lmf(Model):
    """Low-rank fusion."""

    def __init__(self, config: LmfConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
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
        self.fuse = LowRankFusion({m: s.width for m, s in subnets.items()}, rank=config.rank, width=config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(inputs, config.hidden)

    def forward(self, batch: Batch) -> Output:
        """Encode each modality, fuse, predict."""
        hidden = read_rows(self.encoders, batch)
        vectors = {m: self.subnets[m](hidden[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(vectors)  # B H
        values = or_prior(self.inputs, self.head(self.dropout(joint)), presence(batch, self.reads).any(dim=1))
        return Output(prediction=as_prediction(self.inputs.task, values), embeddings={**vectors, "joint": joint})

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        assert batch.targets is not None
        return {"task": task_loss(self.inputs.task, output.prediction, batch.targets.value)}
