"""My model: the mean of every modality, side by side, and two layers. See docs/your_own_model.md."""

from dataclasses import dataclass

import torch
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Count, Dropout
from mecam.hub import EMBEDDED
from mecam.models.base import Model, build_encoder, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean
from mecam.types import TEXT


@dataclass(frozen=True)
class MyConfig:
    """Options: `mecam models my_model` shows them, `--set model.width=32` changes them."""

    encoder: str = EMBEDDED
    """Text encoder: `minilm`, a hub name, or a folder."""
    freeze_encoder: bool = False
    """Leave the text encoder as it is."""
    width: Count = 64
    """Of the encoders of features and of the layer before the last."""
    dropout: Dropout = 0.1
    """Before both layers."""


class MyModel(Model):
    """Reads whatever modalities the data has."""

    def __init__(self, config: MyConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.text_encoder = config.encoder if TEXT in self.reads and inputs.raw_text else None
        text = {"text_encoder": config.encoder, "freeze": config.freeze_encoder, "freeze_layers": 0}
        rows = {"width": config.width, "layers": 2, "dropout": config.dropout}
        encoders = {m: build_encoder(inputs, m, pretrained=pretrained, **text, **rows) for m in self.reads}
        self.encoders = nn.ModuleDict(encoders)
        self.joint = nn.Linear(sum(encoder.width for encoder in encoders.values()), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(inputs, config.width)

    def forward(self, batch: Batch) -> Output:
        """Encode, pool, predict; the constant prediction where an utterance has nothing at all."""
        streams = [(self.encoders[m], batch.streams[m]) for m in self.reads]
        pooled = [masked_mean(encoder(s.values, s.mask), s.mask) for encoder, s in streams]  # each B D
        joint = torch.relu(self.joint(self.dropout(torch.cat(pooled, dim=1))))  # B W
        return Output(prediction=self.predicted(self.head(self.dropout(joint)), batch))


ENTRY = Entry(MyModel, MyConfig)
