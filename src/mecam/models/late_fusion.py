"""Late fusion: one network per modality that knows nothing of the others, and a learned average of what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from mecam.batch import Batch, Output, Stream
from mecam.config import Between, Choice, Count, Dropout, Range, Weight
from mecam.models.base import Model, Phase, TextOptions, build_encoder, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean, masked_softmax
from mecam.nn.statistics import stream_statistics
from mecam.nn.tap import Tap
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "LateFusion", "LateFusionConfig"]


@dataclass(frozen=True)
class LateFusionConfig(TextOptions):
    """Options of late fusion."""

    search: ClassVar[Mapping[str, Range]] = {"model.width": Choice((32, 64, 128)), "model.unimodal": Between(0.0, 2.0)}

    lora: Annotated[int, Ge(0)] = 0
    """Rank of low-rank updates (LoRA) learned in place of the text encoder's own weights; 0 is off."""
    width: Count = 64
    """Of the encoders of features."""
    layers: Count = 2
    """Convolution blocks of each."""
    dropout: Dropout = 0.1
    """Inside the encoders of features, and before every head."""
    unimodal: Weight = 1.0
    """Task loss of each modality's own prediction."""


class LateFusion(Model):
    """Encoder, mean, head for each modality; the prediction is the average over those that are present."""

    def __init__(self, config: LateFusionConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.config = config
        self.text_encoder = config.encoder if inputs.raw_text else None
        encoders = {
            modality: build_encoder(
                inputs,
                modality,
                text_encoder=config.encoder,
                freeze=config.freeze_encoder,
                freeze_layers=config.freeze_layers,
                lora=config.lora,
                pretrained=pretrained,
                width=config.width,
                layers=config.layers,
                dropout=config.dropout,
            )
            for modality in self.reads
        }
        self.encoders = nn.ModuleDict(encoders)
        self.dropout = nn.Dropout(config.dropout)
        widths = {m: encoders[m].width for m in self.reads}
        for m in self.reads:
            if not self._has_tokens(m):
                widths[m] += 2 * inputs.features[m].width
        self.heads = nn.ModuleDict({m: prediction_head(inputs, widths[m]) for m in self.reads})
        self.weight_tap = Tap()
        self.trust = nn.Parameter(torch.zeros(len(self.reads)))

    def forward(self, batch: Batch) -> Output:
        """Predict from each modality alone, then average."""
        pooled = {m: self._pooled(m, batch.streams[m]) for m in self.reads}
        own = torch.stack([self.heads[m](self.dropout(pooled[m])) for m in self.reads], dim=1)  # B M outputs
        present = presence(batch, self.reads)  # B M
        shares = self.weight_tap(masked_softmax(self.trust.expand(present.shape[0], -1), present), present)  # B M
        average = (shares.unsqueeze(-1) * own).sum(dim=1)  # B outputs
        task = self.inputs.task
        return Output(
            prediction=self.predicted(average, batch),
            shares={m: shares[:, i] for i, m in enumerate(self.reads)},
            embeddings=pooled,
            extra={f"own_{m}": task.as_prediction(own[:, i]) for i, m in enumerate(self.reads)},
        )

    def _pooled(self, modality: Modality, stream: Stream) -> Float[Tensor, "B D"]:
        """The mean of what the encoder made of the steps, and for features their own statistics."""
        mean = masked_mean(self.encoders[modality](stream.values, stream.mask), stream.mask)
        if self._has_tokens(modality):
            return mean
        whole = stream_statistics(stream.values, stream.mask.to(stream.values.dtype), stream.mask)
        return torch.cat([mean, whole], dim=1)

    def _has_tokens(self, modality: Modality) -> bool:
        return modality == TEXT and self.inputs.raw_text

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, of the average and of each modality where it is present."""
        assert batch.targets is not None
        task, target = self.inputs.task, batch.targets.value
        losses = {"task": task.loss(output.prediction, target)}
        for m in self.reads:
            present = batch.streams[m].mask.any(dim=1)
            losses[f"unimodal_{m}"] = task.loss(output.extra[f"own_{m}"][present], target[present])
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the weights are those of the configuration."""
        return (Phase("main", {"task": 1.0} | {f"unimodal_{m}": self.config.unimodal for m in self.reads}),)


ENTRY = Entry(LateFusion, LateFusionConfig)
