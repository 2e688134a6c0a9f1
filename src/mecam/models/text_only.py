"""The plain text baseline: a pretrained encoder, mean pooling, one linear layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt
from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Between, Choice, Range
from mecam.models.base import Model, TextOptions, build_encoder, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean
from mecam.types import TEXT

__all__ = ["ENTRY", "TextOnly", "TextOnlyConfig"]


@dataclass(frozen=True)
class TextOnlyConfig(TextOptions):
    """Options of the text baseline."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.freeze_layers": Choice((0, 2, 4)),
        "training.clip_norm": Between(0.3, 3.0, log=True),
    }

    lora: Annotated[int, Ge(0)] = 0
    """Rank of low-rank updates (LoRA) learned in place of the text encoder's own weights; 0 is off."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Before the head."""
    width: Annotated[int, Ge(1)] = 128
    """Of the encoder of precomputed text features, where there is no transcript."""
    layers: Annotated[int, Ge(1)] = 2
    """Of the same."""


class TextOnly(Model):
    """Fine-tunes a text encoder and uses no other modality."""

    def __init__(self, config: TextOnlyConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=(TEXT,))
        self.text_encoder = config.encoder if inputs.raw_text else None
        encoder = build_encoder(
            inputs,
            TEXT,
            text_encoder=config.encoder,
            freeze=config.freeze_encoder,
            freeze_layers=config.freeze_layers,
            lora=config.lora,
            pretrained=pretrained,
            width=config.width,
            layers=config.layers,
            dropout=config.dropout,
        )
        self.encoders = nn.ModuleDict({TEXT: encoder})
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(inputs, encoder.width)

    def forward(self, batch: Batch) -> Output:
        """Encode, average, predict."""
        stream = batch.streams[TEXT]
        hidden = self.encoders[TEXT](stream.values, stream.mask)  # B T D
        pooled = masked_mean(hidden, stream.mask)  # B D
        return Output(prediction=self.predicted(self.head(self.dropout(pooled)), batch), embeddings={TEXT: pooled})


ENTRY = Entry(TextOnly, TextOnlyConfig)
