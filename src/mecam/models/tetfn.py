"""TETFN: text leads every exchange between audio and vision, and every modality has a label of its own.

    text ← audio, text ← vision                            plain cross-modal transformers
    audio ← (vision ← text), vision ← (audio ← text)       text-enhanced transformers
    each: concatenate, self-attention, mean → fused → score; own vector → own score ← pseudo-label

Source: Wang, Guo, Tian, Liu, He and Luo, "TETFN: A text enhanced transformer fusion network for multimodal sentiment
analysis", Pattern Recognition 136, 2023; labels of single modalities from Self-MM (arXiv 2102.04830).
Differs: features are given, not learned from pictures by a vision transformer; sequences are averaged, not read off at
their last step, which padding would spoil; blocks normalise before attention; any further modality is treated like
audio and vision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Choice, Count, Dropout, Range, Rate, Weight
from mecam.errors import ConfigError
from mecam.losses.pseudo_labels import PseudoLabels
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean
from mecam.nn.transformer import Projection, Transformer, sinusoids
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "Tetfn", "TetfnConfig", "TextEnhanced"]


@dataclass(frozen=True)
class TetfnConfig(TextOptions):
    """Options of TETFN. The paper searched its sizes; those without a source are ours.

    Text encoder of the paper: BERT-base.
    """

    search: ClassVar[Mapping[str, Range]] = {"model.layers": Choice((1, 2, 3)), "model.generation": Between(0.0, 2.0)}

    width: Count = 64
    """Size of the space that all modalities share."""
    heads: Count = 4
    """Must divide the width."""
    layers: Count = 2
    """Of every transformer."""
    kernel: Count = 3
    """Rows that the first convolution of a feature stream sees; odd."""
    window: Count = 4
    """Rows of features (not words) that attention sees as one."""
    joint: Count = 128
    """Width of the fused representation (Self-MM's)."""
    own: Count = 32
    """Width of a modality's own representation (Self-MM's)."""
    dropout: Dropout = 0.1
    """On residual branches and before the fused and the own representations."""
    generation: Weight = 1.0
    """Weight of the unimodal losses; the paper adds them as they are."""
    least_weight: Rate = 0.0
    """A unimodal loss counts at least so much; the paper's tanh|y_s − y_m| is 0 until labels have moved."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")
        if self.kernel % 2 == 0:
            raise ConfigError(f"model.kernel: an odd number, got {self.kernel}")


class TextEnhanced(nn.Module):
    """What one modality takes from another, with the text in between.

    The source first gathers from the text; what came of it is what the target gathers from.

    Source: TETFN, the text-enhanced transformer.
    """

    def __init__(self, width: int, heads: int, layers: int, *, dropout: float) -> None:
        super().__init__()
        self.lower = Transformer(width, heads, 1, dropout=dropout)
        self.upper = Transformer(width, heads, layers, dropout=dropout)

    def forward(
        self,
        target: Float[Tensor, "B Tm D"],
        source_mask: Bool[Tensor, "B Tn"],
        source: Float[Tensor, "B Tn D"],
        text: Float[Tensor, "B Tt D"],
        text_mask: Bool[Tensor, "B Tt"],
    ) -> Float[Tensor, "B Tm D"]:
        """The target's steps, enriched."""
        enhanced = self.lower(source, text_mask, text)  # B Tn D
        return self.upper(target, source_mask, enhanced)  # type: ignore[no-any-return]


class Tetfn(RowModel[TetfnConfig]):
    """Pairwise transformers around the text, with generated unimodal labels."""

    needs_text = True

    def __init__(self, config: TetfnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        width, heads, layers, dropout = config.width, config.heads, config.layers, config.dropout
        self.project = nn.ModuleDict(
            {
                m: Projection(self.widths[m], width, kernel=1 if m == TEXT else config.kernel, window=self._window(m))
                for m in self.reads
            }
        )
        others = self.reads[1:]
        self.sources = {m: tuple(n for n in others if n != m) for m in self.reads}
        self.exchange = nn.ModuleDict()
        for m in self.reads:
            for n in self.sources[m]:
                plain = Transformer(width, heads, layers, dropout=dropout)
                through_text = TextEnhanced(width, heads, layers, dropout=dropout)
                self.exchange[f"{m}_from_{n}"] = plain if m == TEXT else through_text
        self.enter = nn.ModuleDict({m: nn.Linear(width * (1 + len(self.sources[m])), width) for m in self.reads})
        self.summary = nn.ModuleDict({m: Transformer(width, heads, 1, dropout=dropout) for m in self.reads})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(width) for m in self.reads})
        self.dropout = nn.Dropout(dropout)
        self.fuse = nn.Linear(width * len(self.reads), config.joint)
        self.head = prediction_head(inputs, config.joint)
        self.own = nn.ModuleDict({m: nn.Linear(width, config.own) for m in self.reads})
        self.own_heads = nn.ModuleDict({m: prediction_head(inputs, config.own) for m in self.reads})
        self.labels = PseudoLabels(inputs.task, dict.fromkeys(self.reads, config.own), config.joint)

    def _window(self, modality: Modality) -> int:
        return 1 if modality == TEXT else self.config.window

    def forward(self, batch: Batch) -> Output:
        """Predict from all modalities and from each alone."""
        steps, masks = {}, {}
        for m, rows in self.rows(batch).items():
            steps[m], masks[m] = self.project[m](rows, batch.streams[m].mask)  # B T D
        placed = {m: value + sinusoids(value) for m, value in steps.items()}
        pooled = [self._fused_steps(m, placed, masks) for m in self.reads]  # each B D
        joint = torch.relu(self.fuse(self.dropout(torch.cat(pooled, dim=1))))  # B J
        own = {m: torch.relu(self.own[m](self.dropout(masked_mean(steps[m], masks[m])))) for m in self.reads}
        return Output(
            prediction=self.predicted(self.head(joint), batch),
            embeddings={"joint": joint, **own},
            extra={f"own_{m}": self.own_heads[m](own[m]) for m in self.reads},
        )

    def _fused_steps(
        self, modality: Modality, steps: dict[Modality, Tensor], masks: dict[Modality, Tensor]
    ) -> Float[Tensor, "B D"]:
        """One modality after its exchange with all others."""
        here, mask = steps[modality], masks[modality]
        parts = [here]
        for n in self.sources[modality]:
            exchange = self.exchange[f"{modality}_from_{n}"]
            text = () if modality == TEXT else (steps[TEXT], masks[TEXT])
            parts.append(exchange(here, masks[n], steps[n], *text))
        mixed = self.enter[modality](torch.cat(parts, dim=-1))  # B T D
        mixed = self.norm[modality](self.summary[modality](mixed, mask))
        return masked_mean(mixed, mask)

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


ENTRY = Entry(Tetfn, TetfnConfig)
