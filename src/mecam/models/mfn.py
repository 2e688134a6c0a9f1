"""MFN: LSTMs that step together, attention on the change of their memories, one gated memory of what happens between.

Source: Zadeh, Liang, Mazumder, Poria, Cambria and Morency, "Memory Fusion Network for Multi-view Sequential Learning",
AAAI 2018 (arXiv 1802.00927).
Differs: text is read by a transformers encoder instead of GloVe vectors. The method needs one time axis: where rows do
not belong to words, every modality is divided evenly over the utterance's words, or over `steps` where there are none
(`mecam.nn.axis`). An absent modality's LSTM rests at zero and is not attended to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.models.base import RowModel, TextOptions, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.axis import on_one_axis
from mecam.nn.system import DeltaMemoryAttention, GatedMemory, LstmSystem
from mecam.types import TEXT

__all__ = ["ENTRY", "Mfn", "MfnConfig"]


@dataclass(frozen=True)
class MfnConfig(TextOptions):
    """Options of MFN; sizes from the search space of the authors' code."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.width": Choice((16, 32, 64)),
        "model.memory": Choice((64, 128, 256)),
    }

    text_width: Count = 128
    """Of the text's LSTM."""
    width: Count = 32
    """Of every other modality's LSTM."""
    memory: Count = 128
    """Of the memory between them."""
    hidden: Count = 64
    """Of the networks that attend, update, gate and predict."""
    dropout: Dropout = 0.2
    """In these networks."""
    steps: Count = 50
    """Steps at most, the field's length of word-aligned data; longer utterances share steps evenly."""


class Mfn(RowModel[MfnConfig]):
    """Memory fusion."""

    def __init__(self, config: MfnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        self.aligned = {m for m, spec in inputs.features.items() if spec.aligned}
        sizes = {m: config.text_width if m == TEXT else config.width for m in self.reads}
        self.system = LstmSystem({m: (self.widths[m], sizes[m]) for m in self.reads})
        self.attention = DeltaMemoryAttention(sizes, hidden=config.hidden, dropout=config.dropout)
        self.memory = GatedMemory(self.attention.width, config.memory, hidden=config.hidden, dropout=config.dropout)
        self.leave = nn.Sequential(
            nn.Linear(sum(sizes.values()) + config.memory, config.hidden), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.head = prediction_head(inputs, config.hidden)

    def forward(self, batch: Batch) -> Output:
        """Step through all modalities together, then predict from their last states and the memory."""
        present = presence(batch, self.reads)  # B M
        hidden = self.rows(batch)
        steps, masks = on_one_axis(hidden, batch.streams, self.aligned, limit=self.config.steps)
        last, memories = self.system(steps, masks)
        attended = self.attention([memories[m] for m in self.reads], present)  # B N C
        some = torch.stack([masks[m] for m in self.reads]).any(dim=0)  # B N
        joint = self.leave(torch.cat([*last.values(), self.memory(attended, some)], dim=1))  # B H
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**last, "joint": joint})


ENTRY = Entry(Mfn, MfnConfig)
