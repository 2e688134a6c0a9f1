"""Hyper-modality learning: what the other modalities say, as the language asks for it."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.transformer import Transformer

__all__ = ["HyperFusion", "HyperLayer", "HyperModality"]


class HyperLayer(nn.Module):
    """One round: language tokens query every other modality, and what they gather is added to the hyper-modality.

    H_hyper + W Σ_m softmax(Q_l K_mᵀ/√d) V_m, in several heads.

    Source: Zhang et al., ALMT, EMNLP 2023 (arXiv 2310.05804), adaptive hyper-modality learning.

    Args:
        width: D.
        heads: H; must divide `width`.
        sources: modalities that are asked.
    """

    def __init__(self, width: int, heads: int, sources: Sequence[str]) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width) for name in ("language", *sources)})
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.ModuleDict({m: nn.Linear(width, width, bias=False) for m in sources})
        self.value = nn.ModuleDict({m: nn.Linear(width, width, bias=False) for m in sources})
        self.out = nn.Linear(width, width)

    def forward(
        self,
        hyper: Float[Tensor, "B S D"],
        language: Float[Tensor, "B S D"],
        sources: Mapping[str, Float[Tensor, "B _ D"]],
        present: Mapping[str, Bool[Tensor, " B"]],
    ) -> Float[Tensor, "B S D"]:
        """The hyper-modality, enriched; an absent modality adds nothing."""
        query = self._split(self.query(self.norm["language"](language)))  # B H S d
        total = torch.zeros_like(query)
        for m, steps in sources.items():
            normed = self.norm[m](steps)
            key, value = self._split(self.key[m](normed)), self._split(self.value[m](normed))  # B H S d
            weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(dim=-1)  # B H S S
            total = total + (weights @ value).masked_fill(~present[m][:, None, None, None], 0.0)
        gathered: Tensor = self.out(total.transpose(1, 2).flatten(2))
        return hyper + gathered

    def _split(self, values: Float[Tensor, "B S D"]) -> Float[Tensor, "B H S d"]:
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


class HyperModality(nn.Module):
    """Rounds of `HyperLayer`, each with the language at a higher scale, starting from learned tokens.

    Source: ALMT, adaptive hyper-modality learning: H_l¹ is given, H_l^(j+1) comes from H_l^j by a transformer layer.

    Args:
        width: D.
        heads: H.
        layers: rounds; none where there is nobody to ask.
        tokens: S.
        sources: modalities that are asked.
        dropout: in the language's layers.
        hidden: width of their feed-forward parts.
    """

    def __init__(
        self, width: int, heads: int, layers: int, tokens: int, sources: Sequence[str], *, dropout: float, hidden: int
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.rounds = nn.ModuleList(HyperLayer(width, heads, sources) for _ in range(layers if sources else 0))
        self.language = nn.ModuleList(
            Transformer(width, heads, 1, dropout=dropout, hidden=hidden) for _ in range(max(1, layers - 1))
        )

    def forward(
        self,
        language: Float[Tensor, "B S D"],
        sources: Mapping[str, Float[Tensor, "B _ D"]],
        present: Mapping[str, Bool[Tensor, " B"]],
    ) -> tuple[Float[Tensor, "B S D"], Float[Tensor, "B S D"]]:
        """The hyper-modality, and the language at its highest scale."""
        everywhere = torch.ones(language.shape[:2], dtype=torch.bool, device=language.device)
        scales = [language]
        for layer in self.language:
            scales.append(layer(scales[-1], everywhere))
        hyper = self.start.to(language.dtype).expand(language.shape[0], -1, -1)
        for each, scale in zip(self.rounds, scales, strict=False):
            hyper = each(hyper, scale, sources, present)
        return hyper, scales[-1]


class HyperFusion(nn.Module):
    """A learned token gathers from the hyper-modality and the language; it is what the prediction is made from.

    Source: ALMT, the last fusion. Differs: the paper's queries (the language with a token before it) see the
    hyper-modality alone, so that the language reaches the token as attention weights only; here it is among the keys.

    Args:
        width: D.
        heads: H.
        layers: of the cross-modal transformer.
        dropout: on the residual branches.
        hidden: width of the feed-forward parts.
    """

    def __init__(self, width: int, heads: int, layers: int, *, dropout: float, hidden: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, width) * 0.5)
        self.transformer = Transformer(width, heads, layers, dropout=dropout, hidden=hidden)
        self.norm = nn.LayerNorm(width)

    def forward(self, language: Float[Tensor, "B S D"], hyper: Float[Tensor, "B S D"]) -> Float[Tensor, "B D"]:
        """The joint representation."""
        token = self.token.to(language.dtype).expand(language.shape[0], -1, -1)  # B 1 D
        keys = torch.cat([hyper, language], dim=1)  # B 2S D
        everywhere = torch.ones(keys.shape[:2], dtype=torch.bool, device=keys.device)
        return self.norm(self.transformer(token, everywhere, keys)).squeeze(1)  # type: ignore[no-any-return]
