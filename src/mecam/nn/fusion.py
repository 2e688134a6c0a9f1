"""The fusion of MECAM: talking heads between an anchor and the other modalities."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.attention import CrossBlock
from mecam.nn.gate import Filtered
from mecam.nn.masked import masked_mean, masked_softmax, masked_windows, weighted_mean
from mecam.types import TEXT, Modality

__all__ = ["Fusion"]

TINY = 1e-4
"""Weight that is left to a modality of which nothing is kept: the logarithm stays finite."""


class Fusion(nn.Module):
    """Talking heads between a hub and the other modalities, both ways, then one vector per modality.

    The hub is text where there is text. The others query the hub; the hub queries all others at once.
    """

    def __init__(
        self,
        reads: Sequence[Modality],
        width: int,
        *,
        heads: int,
        window: int,
        talking: bool,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.hub = TEXT if TEXT in reads else reads[0]
        self.others = tuple(m for m in reads if m != self.hub)
        self.reads = tuple(reads)
        self.window = window
        rounds = layers if self.others else 0

        self.rounds = nn.ModuleList(
            _Round(self.hub, self.others, width, heads=heads, talking=talking, dropout=dropout) for _ in range(rounds)
        )
        self.norm = nn.ModuleDict({m: nn.LayerNorm(width) for m in reads})
        self.trust = nn.Parameter(torch.zeros(len(self.reads)))

    def forward(
        self, filtered: Mapping[Modality, Filtered], present: Bool[Tensor, "B M"]
    ) -> tuple[Float[Tensor, "B M D"], Float[Tensor, "B M"]]:
        """Pooled vectors and each modality's share; an absent modality has share 0.

        A modality weighs in proportion to how much of it was kept, and by nothing else: a weight that read the pooled
        vectors varied with what was said, and cost accuracy (docs/decisions.md).
        """
        steps, masks, kept = {}, {}, {}
        for m, part in filtered.items():
            both = torch.cat([part.kept, part.share_kept.unsqueeze(-1)], dim=-1)  # B T D+1
            both, masks[m] = masked_windows(both, part.mask, 1 if m == TEXT else self.window)  # B W D+1
            steps[m], kept[m] = both[..., :-1], both[..., -1:]
        for each in self.rounds:
            steps = each(steps, masks)
        pooled = [weighted_mean(self.norm[m](steps[m]), kept[m].expand_as(steps[m]), masks[m]) for m in self.reads]
        share_kept = torch.cat([masked_mean(kept[m], masks[m]) for m in self.reads], dim=1)  # B M
        shares = masked_softmax(self.trust + (share_kept + TINY).log(), present)  # B M
        return torch.stack(pooled, dim=1), shares


class _Round(nn.Module):
    """Every modality but the hub queries the hub, and the hub queries them, at the same time."""

    def __init__(
        self, hub: Modality, others: Sequence[Modality], width: int, *, heads: int, talking: bool, dropout: float
    ) -> None:
        super().__init__()
        self.hub, self.others = hub, others
        self.blocks = nn.ModuleDict(
            {m: CrossBlock(width, heads, talking=talking, dropout=dropout) for m in (hub, *others)}
        )

    def forward(self, steps: dict[Modality, Tensor], masks: Mapping[Modality, Tensor]) -> dict[Modality, Tensor]:
        outside = torch.cat([steps[m] for m in self.others], dim=1)  # B sum(T) D
        outside_mask = torch.cat([masks[m] for m in self.others], dim=1)
        changed = {m: self.blocks[m](steps[m], steps[self.hub], masks[self.hub]) for m in self.others}
        return changed | {self.hub: self.blocks[self.hub](steps[self.hub], outside, outside_mask)}
