"""EF-LSTM: all modalities side by side at every step, read by one LSTM.

Source: Williams, Kleinegesse, Comanescu and Radu, "Recognizing Emotions in Video Using Multimodal DNN Feature Fusion",
Challenge-HML at ACL 2018 (W18-3302): input-level fusion and a bidirectional LSTM.
Differs: text is read by a transformers encoder instead of GloVe vectors. The method needs one time axis: where rows do
not belong to words, every modality is divided evenly over the utterance's words, or over `steps` where there are none
(`mecam.nn.axis`). A modality that is absent at a step is zeros there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Between, Choice, Count, Dropout, Range
from mecam.models.base import RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.axis import on_one_axis
from mecam.nn.recurrent import Lstm

__all__ = ["ENTRY", "EfLstm", "EfLstmConfig"]


@dataclass(frozen=True)
class EfLstmConfig(TextOptions):
    """Options of EF-LSTM; the paper gives no sizes that fit other features than its own, these are ours."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.width": Choice((64, 128, 256)),
        "training.clip_norm": Between(0.3, 3.0, log=True),
    }

    width: Count = 64
    """State of the LSTM in each direction, and the layer behind it."""
    layers: Count = 1
    """LSTMs upon one another."""
    dropout: Dropout = 0.2
    """Between LSTM layers and before both last layers."""
    steps: Count = 50
    """Steps at most, the field's length of word-aligned data; longer utterances share steps evenly."""


class EfLstm(RowModel[EfLstmConfig]):
    """Early fusion."""

    def __init__(self, config: EfLstmConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        self.aligned = {m for m, spec in inputs.features.items() if spec.aligned}
        self.lstm = Lstm(
            sum(self.widths.values()),
            config.width,
            layers=config.layers,
            bidirectional=True,
            dropout=config.dropout,
        )
        self.leave = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(self.lstm.width, config.width), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.head = prediction_head(inputs, config.width)

    def forward(self, batch: Batch) -> Output:
        """Concatenate, read, predict."""
        hidden = self.rows(batch)
        steps, masks = on_one_axis(hidden, batch.streams, self.aligned, limit=self.config.steps)
        together = torch.cat([steps[m] for m in self.reads], dim=2)  # B N sum(D)
        some = torch.stack([masks[m] for m in self.reads]).any(dim=0)  # B N
        vector = self.leave(self.lstm(together, some).last)  # B D
        return Output(prediction=self.predicted(self.head(vector), batch), embeddings={"joint": vector})


ENTRY = Entry(EfLstm, EfLstmConfig)
