"""Graph-MFN: MFN whose attention is a graph over all sets of modalities, with an efficacy on every edge.

Source: Zadeh, Liang, Vanbriesen, Poria, Tong, Cambria, Chen and Morency, "Multimodal Language Analysis in the Wild:
CMU-MOSEI Dataset and Interpretable Dynamic Fusion Graph", ACL 2018 (P18-1208); the rest as in MFN (AAAI 2018,
arXiv 1802.00927).
Differs: text is read by a transformers encoder instead of GloVe vectors. The method needs one time axis: where rows do
not belong to words, every modality is divided evenly over the utterance's words, or over `steps` where there are none
(`mecam.nn.axis`). A set with an absent modality contributes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.errors import ModelError
from mecam.models.base import RowModel, TextOptions, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.axis import on_one_axis
from mecam.nn.system import DynamicFusionGraph, GatedMemory, LstmSystem
from mecam.types import TEXT

__all__ = ["ENTRY", "GraphMfn", "GraphMfnConfig"]

MAX_MODALITIES = 6
"""Modalities at most: 63 vertices and 665 edges."""


@dataclass(frozen=True)
class GraphMfnConfig(TextOptions):
    """Options of Graph-MFN; sizes from the search space of the authors' code for MFN."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.width": Choice((16, 32, 64)),
        "model.memory": Choice((64, 128, 256)),
    }

    text_width: Count = 128
    """Of the text's LSTM."""
    width: Count = 32
    """Of every other modality's LSTM."""
    vertex: Count = 64
    """Of every vertex of the graph."""
    memory: Count = 128
    """Of the memory between the modalities."""
    hidden: Count = 64
    """Of the networks of the graph, the memory and the prediction."""
    dropout: Dropout = 0.2
    """In these networks."""
    steps: Count = 50
    """Steps at most, the field's length of word-aligned data; longer utterances share steps evenly."""


class GraphMfn(RowModel[GraphMfnConfig]):
    """Memory fusion through a graph."""

    def __init__(self, config: GraphMfnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        if len(self.reads) > MAX_MODALITIES:
            raise ModelError(
                f"a graph over {len(self.reads)} modalities has {2 ** len(self.reads) - 1} vertices",
                fix=f"use at most {MAX_MODALITIES} modalities, or choose `mfn`",
            )
        self.aligned = {m for m, spec in inputs.features.items() if spec.aligned}
        sizes = {m: config.text_width if m == TEXT else config.width for m in self.reads}
        self.system = LstmSystem({m: (self.widths[m], sizes[m]) for m in self.reads})
        self.graph = DynamicFusionGraph(
            {m: 2 * size for m, size in sizes.items()},
            width=config.vertex,
            hidden=config.hidden,
            dropout=config.dropout,
        )
        self.memory = GatedMemory(config.vertex, config.memory, hidden=config.hidden, dropout=config.dropout)
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
        changes = [torch.cat([memories[m][:, :-1], memories[m][:, 1:]], dim=2) for m in self.reads]  # each B N 2H
        fused, _ = self.graph(changes, present)  # B N V
        some = torch.stack([masks[m] for m in self.reads]).any(dim=0)  # B N
        joint = self.leave(torch.cat([*last.values(), self.memory(fused, some)], dim=1))  # B H
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**last, "joint": joint})


ENTRY = Entry(GraphMfn, GraphMfnConfig)
