"""Self-MM: every modality learns a label of its own, made from where the utterance lies between the classes.

    text ─encoder─ mean ─┐         ┌─ ReLU ─ own score ←─ pseudo-label (from the second epoch on)
    stream ───LSTM─ last ┼─────────┤
                         └─ concat ─ ReLU ─ score

Source: Yu, Xu, Yuan and Wu, "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for
Multimodal Sentiment Analysis", AAAI 2021 (arXiv 2102.04830).
Differs: the text vector is the mean of the tokens instead of [CLS], which suits encoders that are not BERT; labels are
made for classes and label sets too, each class against the rest; missing rows are skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mecam.batch import Batch, Output, Stream
from mecam.config import Between, Choice, Count, Dropout, Range, Rate, Weight
from mecam.losses.pseudo_labels import PseudoLabels
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.encoders import RecurrentEncoder, Rows
from mecam.nn.masked import masked_mean
from mecam.types import Modality

__all__ = ["ENTRY", "SelfMm", "SelfMmConfig"]


@dataclass(frozen=True)
class SelfMmConfig(TextOptions):
    """Options of Self-MM; sizes of the authors' own configuration for MOSI unless said otherwise.

    Text encoder of the paper: BERT-base.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.recurrent": Choice((16, 32, 64)),
        "model.generation": Between(0.0, 2.0),
    }

    recurrent: Count = 32
    """State and output of the LSTM of a feature stream (theirs: audio 16, vision 32)."""
    joint: Count = 128
    """Width of the fused representation."""
    own: Count = 32
    """Width of a modality's own representation (theirs: text 32, audio 16, vision 32)."""
    dropout: Dropout = 0.1
    """On the text vector and before each representation."""
    generation: Weight = 1.0
    """Weight of the unimodal losses; the paper adds them as they are."""
    least_weight: Rate = 0.0
    """A unimodal loss counts at least so much; the paper's tanh|y_s − y_m| is 0 until labels have moved."""


class SelfMm(RowModel[SelfMmConfig]):
    """Multi-task learning with unimodal labels that nobody had to give."""

    def __init__(self, config: SelfMmConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        streams = [m for m in self.reads if isinstance(self.encoders[m], Rows)]
        self.recurrent = nn.ModuleDict(
            {m: RecurrentEncoder(self.widths[m], config.recurrent, config.recurrent) for m in streams}
        )
        widths = {m: config.recurrent if m in streams else self.widths[m] for m in self.reads}
        self.dropout = nn.Dropout(config.dropout)
        self.fuse = nn.Linear(sum(widths.values()), config.joint)
        self.head = prediction_head(inputs, config.joint)
        self.project = nn.ModuleDict({m: nn.Linear(width, config.own) for m, width in widths.items()})
        self.heads = nn.ModuleDict({m: prediction_head(inputs, config.own) for m in self.reads})
        self.labels = PseudoLabels(inputs.task, dict.fromkeys(self.reads, config.own), config.joint)

    def forward(self, batch: Batch) -> Output:
        """Predict from all modalities and from each alone."""
        vectors = {m: self.dropout(self._vector(m, batch.streams[m])) for m in self.reads}  # each B D
        joint = torch.relu(self.fuse(torch.cat(list(vectors.values()), dim=1)))  # B F
        own = {m: torch.relu(self.project[m](vectors[m])) for m in self.reads}  # each B U
        return Output(
            prediction=self.predicted(self.head(joint), batch),
            embeddings={"joint": joint, **own},
            extra={f"own_{m}": self.heads[m](own[m]) for m in self.reads},
        )

    def _vector(self, modality: Modality, stream: Stream) -> Float[Tensor, "B D"]:
        rows = self.encoders[modality](stream.values, stream.mask)  # B T F
        if modality not in self.recurrent:
            return masked_mean(rows, stream.mask)
        vector: Tensor = self.recurrent[modality](rows, stream.mask)
        return vector

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and each modality's against its own label."""
        own = {m: output.extra[f"own_{m}"] for m in self.reads}
        return super().losses(output, batch) | self.labels.losses(batch, own, least_weight=self.config.least_weight)

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        weights = {f"unimodal_{m}": self.config.generation for m in self.reads}
        return (Phase("main", {"task": 1.0, **weights}),)

    def after_step(self, output: Output, batch: Batch) -> None:
        """Move the labels of the batch and remember its representations."""
        self.labels.update(batch, output.embeddings["joint"], {m: output.embeddings[m] for m in self.reads})


ENTRY = Entry(SelfMm, SelfMmConfig)
