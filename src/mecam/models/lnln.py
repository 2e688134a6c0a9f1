"""LNLN: where the language is incomplete, a proxy made from the other modalities takes its place.

    each modality → summary tokens → reconstructor (training only)
    completeness w of the language; H = w · language + (1 − w) · proxy(audio, vision)
    hyper-modality learning guided by H → score

Source: Zhang, Wang and Yu, "Towards Robust Multimodal Sentiment Analysis with Incomplete Data", NeurIPS 2024 (arXiv
2409.20012). Its weights of the losses are α = 0.9, β = 0.8, γ = 0.1 and δ = 1.
Differs: what is incomplete comes from the loop's corrupted views, of many kinds, and each utterance is learned from
whole as well; completeness is the share of the language that a view left alone; see `SummaryTokens`, `HyperFusion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mecam.batch import Batch, Output, Stream
from mecam.config import Between, Count, Dropout, Range, Weight
from mecam.errors import ConfigError
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head, presence
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.hyper import HyperFusion, HyperModality
from mecam.nn.tap import Tap
from mecam.nn.transformer import Projection, SummaryTokens, Transformer
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "Lnln", "LnlnConfig", "completeness", "corrected"]


@dataclass(frozen=True)
class LnlnConfig(TextOptions):
    """Options of LNLN; sizes and weights of the authors' configuration for MOSI unless said otherwise.

    Text encoder of the paper: BERT-base.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.completeness": Between(0.0, 1.0),
        "model.reconstruction": Between(0.0, 1.0),
    }

    width: Count = 128
    """Of all tokens, and of the feed-forward parts."""
    heads: Count = 8
    """Must divide the width."""
    layers: Count = 2
    """Of every transformer but hyper-modality learning."""
    tokens: Count = 8
    """Summary tokens per modality."""
    rounds: Count = 3
    """Of hyper-modality learning."""
    window: Count = 4
    """Rows of features (not words) that attention sees as one; ours, the paper has 1."""
    dropout: Dropout = 0.0
    """On residual branches; the paper's configuration has none."""
    view: Weight = 1.0
    """Task loss on the corrupted view (δ); that on the whole utterance counts 1."""
    completeness: Weight = 0.9
    """Completeness against what is known of the view (α)."""
    adversary: Weight = 0.8
    """The proxy should not be told from the language (β)."""
    reconstruction: Weight = 0.1
    """Tokens of the whole utterance from those of the view (γ)."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: {self.heads} does not divide the width {self.width}")


class Lnln(RowModel[LnlnConfig]):
    """Language-dominated, noise-resistant learning."""

    views = True

    needs_text = True

    def __init__(self, config: LnlnConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        width, heads, layers, tokens, dropout = config.width, config.heads, config.layers, config.tokens, config.dropout
        others = self.reads[1:]

        def summary(count: int) -> SummaryTokens:
            return SummaryTokens(width, heads, layers, count, dropout=dropout, hidden=width)

        self.enter = nn.ModuleDict(
            {m: Projection(self.widths[m], width, window=1 if m == TEXT else config.window) for m in self.reads}
        )
        self.summary = nn.ModuleDict({m: summary(tokens) for m in self.reads})
        if others:
            self.weight_tap = Tap()
            self.check = nn.ModuleList([summary(1), nn.Linear(width, 1)])
            self.proxy = summary(tokens)
            self.discriminator = nn.Sequential(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, 1))
        self.reconstructors = nn.ModuleDict(
            {m: Transformer(width, heads, layers, dropout=dropout, hidden=width) for m in self.reads}
        )
        self.hyper = HyperModality(width, heads, config.rounds, tokens, others, dropout=dropout, hidden=width)
        self.fusion = HyperFusion(width, heads, layers, dropout=dropout, hidden=width)
        self.head = prediction_head(inputs, width)

    def forward(self, batch: Batch) -> Output:
        """Predict; while a view is given, for it too."""
        whole = self._read(batch)
        return whole if batch.view is None else replace(whole, view=self._read(batch.view))

    def _read(self, batch: Batch) -> Output:
        tokens = {}
        for m, rows in self.rows(batch).items():
            tokens[m] = self.summary[m](*self.enter[m](rows, batch.streams[m].mask))  # B S D
        there = presence(batch, self.reads)  # B M
        present = {m: there[:, i] for i, m in enumerate(self.reads)}
        extra = {f"tokens_{m}": value for m, value in tokens.items()}
        sources = {m: tokens[m] for m in self.reads[1:]}
        dominant = tokens[TEXT]
        if sources:
            complete = self._completeness(tokens[TEXT]).masked_fill(~present[TEXT], 0.0)  # B
            proxy = self._proxy(sources, present)  # B S D
            shares = torch.stack([complete, 1 - complete], dim=1)  # of the language and of its proxy
            shares = self.weight_tap(shares, torch.stack([present[TEXT], torch.ones_like(present[TEXT])], dim=1))
            dominant = corrected(dominant, proxy, shares[:, 0])
            extra |= {"complete": complete, "proxy": proxy}
        hyper, language = self.hyper(dominant, sources, present)
        joint = self.fusion(language, hyper)  # B D
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={"joint": joint}, extra=extra)

    def _completeness(self, language: Float[Tensor, "B S D"]) -> Float[Tensor, " B"]:
        """The share w in (0, 1). Source: LNLN, completeness check."""
        reader, leave = self.check
        everything = torch.ones(language.shape[:2], dtype=torch.bool, device=language.device)
        return torch.sigmoid(leave(reader(language, everything)).flatten())

    def _proxy(self, sources: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """Stand-in for the language, from all other modalities. Source: LNLN, proxy dominant feature."""
        steps = torch.cat(list(sources.values()), dim=1)  # B nS D
        mask = torch.cat([present[m].unsqueeze(1).expand(-1, sources[m].shape[1]) for m in sources], dim=1)
        proxy: Tensor = self.proxy(steps, mask)
        return proxy

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss; with a view, also what the correction and the reconstructors learn from it."""
        assert batch.targets is not None
        losses = super().losses(output, batch)
        if output.view is None or batch.view is None:
            return losses
        seen, view = output.view, batch.view
        losses["view"] = self.inputs.task.loss(seen.prediction, batch.targets.value)
        if "proxy" in seen.extra:
            known = completeness(view.streams[TEXT], batch.streams[TEXT])  # B
            guess = torch.stack([output.extra["complete"], seen.extra["complete"]])  # 2 B
            whole = batch.streams[TEXT].mask.any(dim=1).float()
            losses["completeness"] = (guess - torch.stack([whole, known])).square().mean()
            losses["adversary"] = self._adversary(output, batch) + self._adversary(seen, view)
        losses["reconstruction"] = self._reconstruction(output, batch, seen, view)
        return losses

    def _adversary(self, output: Output, batch: Batch) -> Tensor:
        """Proxy or language? The discriminator learns to tell, the generator learns the opposite. Source: LNLN."""
        there = presence(batch, self.reads)  # B M
        both = there[:, 0] & there[:, 1:].any(dim=1)
        language = self.discriminator(output.extra[f"tokens_{TEXT}"].detach()[both]).flatten()
        proxy = self.discriminator(reverse_gradient(output.extra["proxy"][both])).flatten()
        signs = torch.cat([nn.functional.softplus(-language), nn.functional.softplus(proxy)])
        return signs.sum() / max(1, len(signs))

    def _reconstruction(self, output: Output, batch: Batch, seen: Output, view: Batch) -> Tensor:
        """Mean squared error of the tokens, over modalities that both have. Source: LNLN, reconstructor."""
        total = output.prediction.new_zeros(())
        there = presence(batch, self.reads) & presence(view, self.reads)  # B M
        for i, m in enumerate(self.reads):
            tokens = seen.extra[f"tokens_{m}"]  # B S D
            everywhere = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            rebuilt = self.reconstructors[m](tokens, everywhere)
            gap = (rebuilt - output.extra[f"tokens_{m}"].detach()).square().mean(dim=(1, 2))  # B
            total = total + (gap * there[:, i]).sum() / there[:, i].sum().clamp(min=1)
        return total / len(self.reads)

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the weights are those of the configuration."""
        c = self.config
        weights = {"task": 1.0, "view": c.view, "reconstruction": c.reconstruction}
        if len(self.reads) > 1:
            weights |= {"completeness": c.completeness, "adversary": c.adversary}
        return (Phase("main", weights),)


def corrected(
    language: Float[Tensor, "B S D"], proxy: Float[Tensor, "B S D"], complete: Float[Tensor, " B"]
) -> Float[Tensor, "B S D"]:
    """The dominant modality: w · language + (1 − w) · proxy. Source: LNLN, dominant modality correction."""
    share = complete[:, None, None]
    return share * language + (1 - share) * proxy


def completeness(view: Stream, whole: Stream) -> Float[Tensor, " B"]:
    """How much of a modality the view left alone: the share of its rows without injected information; 0 if absent."""
    there = view.mask & whole.mask.any(dim=1, keepdim=True)  # B T
    assert view.injected is not None
    return (there & ~view.injected).sum(dim=1) / there.sum(dim=1).clamp(min=1)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return -gradients[0]


def reverse_gradient(values: Tensor) -> Tensor:
    """The values as they are; their gradient with the sign turned round.

    Source: Ganin and Lempitsky, 2015 (arXiv 1409.7495).
    """
    result: Tensor = _ReverseGradient.apply(values)  # type: ignore[no-untyped-call]
    return result


ENTRY = Entry(Lnln, LnlnConfig)
