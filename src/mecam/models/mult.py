"""MulT: every modality is enriched by every other through transformers that attend across modalities.

    rows ─ convolution ─ positions ─┬─ crossmodal transformer per source ─ concat ─ transformer ─ last step ─┐
                                    └ …                                                                      ├─ score
                                                                                                             ┘

Source: Tsai, Bai, Liang, Kolter, Morency and Salakhutdinov, "Multimodal Transformer for Unaligned Multimodal Language
Sequences", ACL 2019 (arXiv 1906.00295).
Differs: text is read by a transformers encoder instead of GloVe vectors; GELU in the feed-forward parts; dropout on
residual branches and not on attention weights, which are never held in memory (lengths of 500 would need 10 GB); no
mask over the future, of which the paper does not speak; a single modality has no crossmodal part; an absent modality
is neither query nor key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.errors import ConfigError
from mecam.models.base import RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.transformer import Projection, Transformer, sinusoids
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "Mult", "MultConfig"]


@dataclass(frozen=True)
class MultConfig(TextOptions):
    """Options of MulT; values of the paper's Table 5 for CMU-MOSI unless said otherwise."""

    search: ClassVar[Mapping[str, Range]] = {"model.layers": Choice((2, 4, 5)), "model.kernel": Choice((1, 3, 5))}

    width: Count = 40
    """d, of the transformers."""
    heads: Count = 10
    """Of every transformer; must divide the width."""
    layers: Count = 4
    """D, of every transformer."""
    text_kernel: Count = 1
    """Rows that the text's convolution sees (the paper: 1 or 3); odd."""
    kernel: Count = 3
    """Rows that the other convolutions see; odd."""
    window: Count = 1
    """Rows of other modalities that become one step: more is faster, and is not in the paper."""
    text_dropout: Dropout = 0.2
    """On the text's rows."""
    dropout: Dropout = 0.2
    """In the transformers."""
    output_dropout: Dropout = 0.1
    """In the last layers."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")
        for name in ("kernel", "text_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"model.{name}: must be odd, got {getattr(self, name)}")


class Mult(RowModel[MultConfig]):
    """Multimodal transformer."""

    def __init__(self, config: MultConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        self.enter = nn.ModuleDict()
        for m in self.reads:
            kernel, window = (config.text_kernel, 1) if m == TEXT else (config.kernel, config.window)
            self.enter[m] = Projection(self.widths[m], config.width, kernel=kernel, window=window)
        self.crossmodal = nn.ModuleDict()
        for m in self.reads:
            others = [other for other in self.reads if other != m]
            self.crossmodal[m] = nn.ModuleDict({other: self._transformer(config.width) for other in others})
        joined = config.width * max(1, len(self.reads) - 1)
        self.within = nn.ModuleDict({m: self._transformer(joined) for m in self.reads})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(joined) for m in self.reads})
        self.text_dropout = nn.Dropout(config.text_dropout)
        whole = joined * len(self.reads)
        self.residual = nn.Sequential(
            nn.Linear(whole, whole), nn.ReLU(), nn.Dropout(config.output_dropout), nn.Linear(whole, whole)
        )
        self.head = prediction_head(inputs, whole)

    def _transformer(self, width: int) -> Transformer:
        config = self.config
        return Transformer(width, config.heads, config.layers, dropout=config.dropout, hidden=4 * width)

    def forward(self, batch: Batch) -> Output:
        """Attend across, attend within, predict from the last step of each modality."""
        hidden = self.rows(batch)
        steps, masks = {}, {}
        for m in self.reads:
            steps[m], masks[m] = self._entered(m, hidden[m], batch.streams[m].mask)  # B T D
        last = {m: self._target(m, steps, masks) for m in self.reads}  # each B D'
        joint = torch.cat(list(last.values()), dim=1)
        joint = joint + self.residual(joint)
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**last, "joint": joint})

    def _entered(
        self, modality: Modality, rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B W D"], Bool[Tensor, "B W"]]:
        """Convolved, scaled and with positions."""
        if modality == TEXT:
            rows = self.text_dropout(rows)
        steps, mask = self.enter[modality](rows, mask)
        steps = steps * self.config.width**0.5
        return steps + sinusoids(steps), mask

    def _target(
        self, modality: Modality, steps: dict[Modality, Tensor], masks: dict[Modality, Tensor]
    ) -> Float[Tensor, "B D"]:
        """One modality after all others have been attended to, and then itself: its last observed step."""
        sources = self.crossmodal[modality]
        assert isinstance(sources, nn.ModuleDict)
        found = [cross(steps[modality], masks[m], keys=steps[m]) for m, cross in sources.items()]
        whole = torch.cat(found or [steps[modality]], dim=2)  # B T D'
        mask = masks[modality]
        whole = self.norm[modality](self.within[modality](whole, mask))
        place = (mask * torch.arange(mask.shape[1], device=mask.device)).amax(dim=1)  # B
        last: Tensor = whole[torch.arange(whole.shape[0], device=mask.device), place]  # B D'
        return last.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


ENTRY = Entry(Mult, MultConfig)
