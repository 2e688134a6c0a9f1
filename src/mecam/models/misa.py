"""MISA: each modality in a space shared by all and in one of its own, then attention over these representations.

Source: Hazarika, Zimmermann and Poria, "MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment
Analysis", ACM MM 2020 (arXiv 2005.03545).
Differs: text is the mean of the tokens of any transformers encoder; the LSTMs of other modalities are `recurrent` wide
instead of as wide as their features; the transformer normalises before its parts, not after; losses count only the
utterances that have the modalities in question, and an absent modality is not attended to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Count, Dropout, Range, Weight
from mecam.errors import ConfigError
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.masked import masked_mean
from mecam.nn.recurrent import Lstm
from mecam.nn.text import TextEncoder
from mecam.nn.transformer import Transformer

__all__ = ["ENTRY", "Misa", "MisaConfig", "central_moment_discrepancy", "orthogonality"]


def central_moment_discrepancy(
    first: Float[Tensor, "N D"], second: Float[Tensor, "K D"], *, order: int = 5
) -> Float[Tensor, ""]:
    """Distance of two samples: ‖E(X) − E(Y)‖₂ + Σ_{k=2}^{order} ‖C_k(X) − C_k(Y)‖₂, C_k the k-th central moments.

    Args:
        first: X, with values in an interval of width 1 (sigmoid outputs).
        second: Y, likewise.
        order: the highest moment.

    Returns: ≥ 0; 0 if a sample is empty.
    Source: Zellinger et al., ICLR 2017 (arXiv 1702.08811), as in MISA, "Similarity Loss".
    """
    if not len(first) or not len(second):
        return first.sum() * 0.0 + second.sum() * 0.0
    means = first.mean(dim=0), second.mean(dim=0)  # D
    total: Tensor = torch.linalg.vector_norm(means[0] - means[1])
    centred = first - means[0], second - means[1]
    for power in range(2, order + 1):
        total = total + torch.linalg.vector_norm((centred[0] ** power).mean(dim=0) - (centred[1] ** power).mean(dim=0))
    return total


def orthogonality(first: Float[Tensor, "N D"], second: Float[Tensor, "N E"]) -> Float[Tensor, ""]:
    """Mean square of the entries of XᵀY, with rows centred over the sample and of unit length.

    Args:
        first: X, one row per utterance.
        second: Y, of the same utterances.

    Returns: ≥ 0; 0 if there are no rows.
    Source: Bousmalis et al., NeurIPS 2016 (arXiv 1608.06019), as in MISA, "Difference Loss". Differs: the mean over
    the D × E entries instead of their sum, as in the authors' code, so that the weight does not depend on the width.
    """
    if not len(first):
        return first.sum() * 0.0 + second.sum() * 0.0
    x, y = (torch.nn.functional.normalize(part - part.mean(dim=0), dim=1, eps=1e-6) for part in (first, second))
    return (x.T @ y).square().mean()


@dataclass(frozen=True)
class MisaConfig(TextOptions):
    """Options of MISA; values of the authors' code for MOSI unless said otherwise.

    Text encoder of the paper: BERT-base.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.similarity": Between(0.0, 1.0),
        "model.difference": Between(0.0, 1.0),
    }

    width: Count = 128
    """d_h, of all representations."""
    recurrent: Count = 64
    """Of both LSTMs of a feature stream, in each direction (ours: theirs are as wide as the features)."""
    heads: Count = 2
    """Of the fusion's attention; must divide the width."""
    hidden: Count = 512
    """Of the feed-forward part behind the attention (ours: theirs is 2048)."""
    dropout: Dropout = 0.1
    """In the transformer and before the last layer."""
    similarity: Weight = 1.0
    """α: shared representations alike in distribution."""
    difference: Weight = 0.3
    """β: shared and private representations orthogonal."""
    reconstruction: Weight = 1.0
    """γ: both together say what the modality said."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")


class Misa(RowModel[MisaConfig]):
    """Invariant and specific representations."""

    def __init__(self, config: MisaConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        self.recurrent = nn.ModuleDict()
        sizes = {}
        for m, width in self.widths.items():
            if isinstance(self.encoders[m], TextEncoder):
                sizes[m] = width
            else:
                self.recurrent[m] = _StackedLstm(width, config.recurrent)
                sizes[m] = 4 * config.recurrent
        width = config.width
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.LayerNorm(width)) for m, size in sizes.items()}
        )
        self.shared = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        self.private = nn.ModuleDict({m: nn.Sequential(nn.Linear(width, width), nn.Sigmoid()) for m in self.reads})
        self.rebuild = nn.ModuleDict({m: nn.Linear(width, width) for m in self.reads})
        self.attention = Transformer(width, config.heads, 1, dropout=config.dropout, hidden=config.hidden)
        count = 2 * len(self.reads)
        self.fuse = nn.Sequential(nn.Linear(count * width, count * width // 2), nn.Dropout(config.dropout), nn.ReLU())
        self.head = prediction_head(inputs, count * width // 2)

    def forward(self, batch: Batch) -> Output:
        """Represent every modality twice, let the representations attend to each other, predict."""
        present = presence(batch, self.reads)  # B M
        hidden = self.rows(batch)
        vectors = {m: self.project[m](self._utterance(m, hidden[m], batch.streams[m].mask)) for m in self.reads}
        shared = {m: self.shared(vectors[m]) for m in self.reads}  # each B D
        private = {m: self.private[m](vectors[m]) for m in self.reads}
        tokens = torch.stack([*private.values(), *shared.values()], dim=1)  # B 2M D
        seen = present.repeat(1, 2)
        tokens = self.attention(tokens, seen).masked_fill(~seen.unsqueeze(2), 0.0)
        joint = self.fuse(tokens.flatten(1))
        embeddings = {f"shared_{m}": shared[m] for m in self.reads}
        embeddings |= {f"private_{m}": private[m] for m in self.reads}
        extra = {f"vector_{m}": vectors[m] for m in self.reads}
        extra |= {f"rebuilt_{m}": self.rebuild[m](shared[m] + private[m]) for m in self.reads}
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings=embeddings, extra=extra)

    def _utterance(
        self, modality: str, rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B U"]:
        if modality in self.recurrent:
            return self.recurrent[modality](rows, mask)  # type: ignore[no-any-return]
        return masked_mean(rows, mask)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Task, similarity, difference and reconstruction: the four losses of the paper's "Learning".

        Differs: the similarity is the mean over pairs of modalities, the others are sums, as in the authors' code.
        """
        assert batch.targets is not None
        present = {m: batch.streams[m].mask.any(dim=1) for m in self.reads}
        shared = {m: output.embeddings[f"shared_{m}"] for m in self.reads}
        private = {m: output.embeddings[f"private_{m}"] for m in self.reads}
        losses = {"task": self.inputs.task.loss(output.prediction, batch.targets.value)}
        difference = [orthogonality(shared[m][present[m]], private[m][present[m]]) for m in self.reads]
        similarity = []
        for m, other in combinations(self.reads, 2):
            both = present[m] & present[other]
            similarity.append(central_moment_discrepancy(shared[m][both], shared[other][both]))
            difference.append(orthogonality(private[m][both], private[other][both]))
        if similarity:
            losses["similarity"] = torch.stack(similarity).mean()
        losses["difference"] = torch.stack(difference).sum()
        gaps = []
        for m in self.reads:
            gap = (output.extra[f"rebuilt_{m}"] - output.extra[f"vector_{m}"]).square().mean(dim=1)  # B
            gaps.append((gap * present[m]).sum() / present[m].sum().clamp(min=1))
        losses["reconstruction"] = torch.stack(gaps).mean()
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase; a single modality has no other to be similar to."""
        config = self.config
        weights = {"task": 1.0, "difference": config.difference, "reconstruction": config.reconstruction}
        if len(self.reads) > 1:
            weights["similarity"] = config.similarity
        return (Phase("main", weights),)


class _StackedLstm(nn.Module):
    """Two bidirectional LSTMs with a norm between; the last states of both."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.first = Lstm(features, hidden, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.second = Lstm(2 * hidden, hidden, bidirectional=True)

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B U"]:
        first = self.first(values, mask)
        second = self.second(self.norm(first.steps), first.mask)
        return torch.cat([first.last, second.last], dim=1)


ENTRY = Entry(Misa, MisaConfig)
