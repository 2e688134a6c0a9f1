"""ALMT: the language, at several scales, picks from audio and vision what becomes a hyper-modality.

    each modality → 8 summary tokens;  language tokens → higher scales
    hyper-modality += what the language's tokens gather from audio and vision, at each scale
    learned token ← hyper-modality and language → score

Source: Zhang, Wang, Yin, Liu, Liu and Yu, "Learning Language-guided Adaptive Hyper-modality Representation for
Multimodal Sentiment Analysis", EMNLP 2023 (arXiv 2310.05804).
Differs: see `SummaryTokens` and `HyperFusion`; blocks normalise before attention; any further modality is asked like
audio and vision, an absent one adds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Range
from mecam.errors import ConfigError
from mecam.models.base import RowModel, TextOptions, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.hyper import HyperFusion, HyperModality
from mecam.nn.transformer import SummaryTokens
from mecam.types import TEXT

__all__ = ["ENTRY", "Almt", "AlmtConfig"]


@dataclass(frozen=True)
class AlmtConfig(TextOptions):
    """Options of ALMT; sizes of the authors' configuration for MOSI. Text encoder of the paper: BERT-base."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.rounds": Choice((2, 3, 4)),
        "model.fusion_layers": Choice((1, 2, 4)),
    }

    width: Count = 128
    """Of all tokens, and of the feed-forward parts."""
    heads: Count = 8
    """Must divide the width."""
    tokens: Count = 8
    """Summary tokens per modality."""
    rounds: Count = 3
    """Of hyper-modality learning."""
    fusion_layers: Count = 2
    """Of the cross-modal transformer at the end (2 for MOSI, 4 for MOSEI and SIMS)."""
    dropout: Dropout = 0.0
    """On residual branches; the paper's configuration has none."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")


class Almt(RowModel[AlmtConfig]):
    """Language-guided learning of a hyper-modality."""

    needs_text = True

    def __init__(self, config: AlmtConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        width, heads, dropout = config.width, config.heads, config.dropout
        self.enter = nn.ModuleDict({m: nn.Linear(self.widths[m], width) for m in self.reads})
        self.summary = nn.ModuleDict(
            {m: SummaryTokens(width, heads, 1, config.tokens, dropout=dropout, hidden=width) for m in self.reads}
        )
        self.hyper = HyperModality(
            width, heads, config.rounds, config.tokens, self.reads[1:], dropout=dropout, hidden=width
        )
        self.fusion = HyperFusion(width, heads, config.fusion_layers, dropout=dropout, hidden=width)
        self.head = prediction_head(inputs, width)

    def forward(self, batch: Batch) -> Output:
        """Summarise, gather, predict."""
        tokens = {
            m: self.summary[m](self.enter[m](rows), batch.streams[m].mask) for m, rows in self.rows(batch).items()
        }  # each B S D
        there = presence(batch, self.reads)  # B M
        present = {m: there[:, i] for i, m in enumerate(self.reads)}
        hyper, language = self.hyper(tokens[TEXT], {m: tokens[m] for m in self.reads[1:]}, present)
        joint = self.fusion(language, hyper)  # B D
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={"joint": joint})


ENTRY = Entry(Almt, AlmtConfig)
