"""TFR-Net: rebuild what is missing from what the modalities know of each other.

    each modality ← itself, ← every other (transformers) ─┬─ linear → the rows as they were (training only)
                                                          └─ gated convolution, maximum → concatenate → score

Source: Yuan, Li, Xu and Yu, "Transformer-based Feature Reconstruction Network for Robust Multimodal Sentiment
Analysis", ACM Multimedia 2021.
Differs: what is missing is the corrupted part of the view, of many kinds and with known places; each
utterance is learned from whole as well; transcripts are rebuilt word by word, since a lost word changes the tokens;
the gated convolution stands without a recurrent layer before it; any further modality is treated like audio and vision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output, Stream
from mecam.config import Between, Choice, Count, Dropout, Range, Weight
from mecam.errors import ConfigError
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.axis import resampled, word_counts
from mecam.nn.masked import masked_max, masked_windows
from mecam.nn.tap import Tap
from mecam.nn.transformer import Projection, Transformer, sinusoids
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "ConvolutionGate", "TfrNet", "TfrNetConfig", "reconstruction_loss"]


@dataclass(frozen=True)
class TfrNetConfig(TextOptions):
    """Options of TFR-Net; those without a source are ours. Text encoder of the paper: BERT-base."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.layers": Choice((1, 2, 3)),
        "model.reconstruction": Between(0.1, 10.0, log=True),
    }

    width: Count = 32
    """Size of the space that all modalities share (theirs: 30)."""
    heads: Count = 4
    """Must divide the width (theirs: 6 of 30)."""
    layers: Count = 3
    """Of every transformer (theirs for MOSI)."""
    kernel: Count = 3
    """Rows that a convolution over features sees (theirs: audio 5, vision 3); odd."""
    window: Count = 4
    """Rows of features (not words) that attention sees as one; ours, the paper has 1."""
    gated: Count = 36
    """Width of a modality's vector behind the gate (theirs: text 36, audio 20, vision 48)."""
    joint: Count = 128
    """Width of the layer before the prediction (theirs)."""
    dropout: Dropout = 0.2
    """On residual branches and before the last layers (theirs)."""
    view: Weight = 1.0
    """Task loss on the corrupted view, which is all that the paper trains on; that on the whole counts 1."""
    reconstruction: Weight = 1.0
    """Smooth L1 of the rebuilt rows, per modality (theirs for MOSI: 5, 2 and 20, on features of other scales)."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")
        if self.kernel % 2 == 0:
            raise ConfigError(f"model.kernel: an odd number, got {self.kernel}")


class ConvolutionGate(nn.Module):
    """One vector per sequence: the maximum over time of tanh(conv(H)) ∘ σ(conv(H)), over three steps each.

    Source: TFR-Net, the CNN gate encoder.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.value = nn.Conv1d(features, width, 3, padding=1)
        self.gate = nn.Conv1d(features, width, 3, padding=1)
        self.tap = Tap()

    def forward(self, steps: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """Encode; zeros where there is nothing."""
        steps = steps.masked_fill(~mask.unsqueeze(-1), 0.0).transpose(1, 2)  # B F T
        gate = self.tap(torch.sigmoid(self.gate(steps)).transpose(1, 2), mask)  # B T D
        return masked_max(torch.tanh(self.value(steps)).transpose(1, 2) * gate, mask)


class TfrNet(RowModel[TfrNetConfig]):
    """Intra- and inter-modal transformers that learn to rebuild."""

    views = True

    def __init__(self, config: TfrNetConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        width, heads, dropout = config.width, config.heads, config.dropout
        self.windows = {m: 1 if m == TEXT else config.window for m in self.reads}
        kernels = {m: 1 if m == TEXT else config.kernel for m in self.reads}
        self.enter = nn.ModuleDict(
            {m: Projection(self.widths[m], width, kernel=kernels[m], window=self.windows[m]) for m in self.reads}
        )
        self.attend = nn.ModuleDict(
            {
                f"{m}_to_{n}": Transformer(width, heads, config.layers, dropout=dropout)
                for m in self.reads
                for n in self.reads
            }
        )
        everything = width * len(self.reads)
        self.rebuild = nn.ModuleDict({m: nn.Linear(everything, self.widths[m]) for m in self.reads})
        gates = {m: ConvolutionGate(everything, config.gated) for m in self.reads}
        self.gates = nn.ModuleDict(gates)
        self.gate_taps = nn.ModuleDict({m: gate.tap for m, gate in gates.items()})
        self.fuse = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(config.gated * len(self.reads), config.joint), nn.ReLU()
        )
        self.head = prediction_head(inputs, config.joint)

    def forward(self, batch: Batch) -> Output:
        """Predict; while a view is given, for it too."""
        whole = self._read(batch)
        return whole if batch.view is None else replace(whole, view=self._read(batch.view))

    def _read(self, batch: Batch) -> Output:
        rows = self.rows(batch)
        steps, masks = {}, {}
        for m in self.reads:
            value, masks[m] = self.enter[m](rows[m], batch.streams[m].mask)
            steps[m] = value + sinusoids(value)
        known = {m: self._known(m, steps, masks) for m in self.reads}  # each B T M·D
        vectors = [self.gates[m](known[m], masks[m]) for m in self.reads]
        joint = self.fuse(torch.cat(vectors, dim=1))  # B J
        extra = {f"rows_{m}": rows[m] for m in self.reads} | {f"known_{m}": known[m] for m in self.reads}
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={"joint": joint}, extra=extra)

    def _known(
        self, modality: Modality, steps: Mapping[Modality, Tensor], masks: Mapping[Modality, Tensor]
    ) -> Float[Tensor, "B T D"]:
        """What a modality's steps gather from itself and from every other, side by side. Source: TFR-Net."""
        parts = [self.attend[f"{modality}_to_{n}"](steps[modality], masks[n], steps[n]) for n in self.reads]
        return torch.cat(parts, dim=-1)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss; with a view, also its own and that of what is rebuilt of each modality."""
        assert batch.targets is not None
        losses = super().losses(output, batch)
        if output.view is None or batch.view is None:
            return losses
        losses["view"] = self.inputs.task.loss(output.view.prediction, batch.targets.value)
        for m in self.reads:
            whole, view = batch.streams[m], batch.view.streams[m]
            rebuilt = self.rebuild[m](output.view.extra[f"known_{m}"])  # B T F
            target = output.extra[f"rows_{m}"].detach()
            if whole.words is not None:
                places = _by_word(rebuilt, target, whole, view)
            else:
                places = _by_window(rebuilt, target, whole, view, self.windows[m])
            losses[f"reconstruction_{m}"] = reconstruction_loss(*places)
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the weights are those of the configuration."""
        weights = {f"reconstruction_{m}": self.config.reconstruction for m in self.reads}
        return (Phase("main", {"task": 1.0, "view": self.config.view, **weights}),)


def reconstruction_loss(
    rebuilt: Float[Tensor, "B N F"], target: Float[Tensor, "B N F"], missing: Bool[Tensor, "B N"]
) -> Float[Tensor, ""]:
    """Smooth L1 between what was rebuilt and what was there, at the missing places; 0 where nothing is missing.

    Source: TFR-Net, the reconstruction loss: smooth L1 over what was missing.
    """
    gap = nn.functional.smooth_l1_loss(rebuilt, target, reduction="none").mean(dim=2)  # B N
    return (gap * missing).sum() / missing.sum().clamp(min=1)


def _by_window(
    rebuilt: Tensor, target: Tensor, whole: Stream, view: Stream, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rebuilt windows of rows, the windows as they were, and which had a row corrupted."""
    assert view.injected is not None
    places, there = masked_windows(target, whole.mask, window)  # B W F
    corrupted, _ = masked_windows(view.injected.unsqueeze(-1).to(target.dtype), view.mask, window)  # B W 1
    return rebuilt, places, there & (corrupted.squeeze(-1) > 0)


def _by_word(rebuilt: Tensor, target: Tensor, whole: Stream, view: Stream) -> tuple[Tensor, Tensor, Tensor]:
    """The same for the words of a transcript, each the mean of its tokens."""
    assert view.injected is not None
    words = word_counts({TEXT: whole}, ())  # B
    here, seen = resampled(rebuilt, view, words=words, steps=words)  # B N F
    places, there = resampled(target, whole, words=words, steps=words)
    corrupted, _ = resampled(view.injected.unsqueeze(-1).to(target.dtype), view, words=words, steps=words)  # B N 1
    return here, places, seen & there & (corrupted.squeeze(-1) > 0)


ENTRY = Entry(TfrNet, TfrNetConfig)
