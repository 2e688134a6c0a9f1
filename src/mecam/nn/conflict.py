"""Which modality says something else than the others."""

import math
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.nn.gate import QUICK

__all__ = ["Conflict"]


class Conflict(nn.Module):
    """Compares what each modality alone would predict, and names the one that contradicts the rest, if any.

    It learns from made contradictions, half of its examples, and is read with the share of them that is to be
    expected: by Bayes' rule the logits of the two sides shift by the logarithm of the ratio.

    Args:
        modalities: how many, M.
        outputs: values of an opinion, O.
        rate: share of utterances that are expected to hold a contradiction, in (0, 1).
        width: of the hidden layer.
    """

    def __init__(self, modalities: int, outputs: int, *, rate: float, width: int = 32) -> None:
        super().__init__()
        self.pairs = tuple(combinations(range(modalities), 2))
        figures = modalities * (2 * outputs + 1) + 2 * len(self.pairs)
        self.linear = nn.Linear(figures, modalities + 1)
        self.curved = nn.Sequential(nn.Linear(figures, width), nn.GELU(), nn.Linear(width, modalities + 1))
        with torch.no_grad():
            for layer in (self.linear, self.curved[2]):
                assert isinstance(layer, nn.Linear)
                layer.weight.zero_()
                layer.bias.zero_()
            self.linear.bias[1:] = (
                -math.log(modalities) / QUICK**2
            )  # in training one of them contradicts in half of the cases
        shift = torch.full((modalities + 1,), math.log(rate / 0.5))
        shift[0] = math.log((1 - rate) / 0.5)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, opinions: Float[Tensor, "B M O"], present: Bool[Tensor, "B M"]) -> Float[Tensor, "B M"]:
        """Probability that each modality is the contradicting one; what is left to 1 is that none is."""
        return (self._logits(opinions, present) + self.shift).softmax(dim=-1)[:, 1:]  # type: ignore[operator]

    def loss(
        self, opinions: Float[Tensor, "B M O"], present: Bool[Tensor, "B M"], partner: Int[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of finding no contradiction as things are, and the one that is made.

        Args:
            opinions: of a batch.
            present: modalities that have an opinion.
            partner: for each utterance another of the batch that feels otherwise, itself where there is none.
        """
        both = present & present[partner]  # B M
        able = (partner != torch.arange(len(partner), device=partner.device)) & (present.sum(1) > 1) & both.any(1)
        as_is = nn.functional.cross_entropy(
            self._logits(opinions, present), torch.zeros_like(partner), reduction="sum"
        ) / max(1, len(partner))
        changed = torch.multinomial(both.float() + 1e-9, 1).squeeze(1)  # B, the modality that comes from the partner
        here = nn.functional.one_hot(changed, present.shape[1]).bool()  # B M
        mixed = torch.where(here.unsqueeze(-1), opinions[partner], opinions)
        found = nn.functional.cross_entropy(self._logits(mixed, present), changed + 1, reduction="none")
        made = found.masked_fill(~able, 0.0).sum() / able.sum().clamp(min=1)
        return (as_is + made) / 2

    def _logits(self, opinions: Tensor, present: Tensor) -> Tensor:
        keep = present.unsqueeze(-1)  # B M 1
        opinions = opinions.masked_fill(~keep, 0.0)
        figures = [opinions, opinions.square(), keep.to(opinions.dtype)]
        parts = [part.flatten(1) for part in figures]
        for i, j in self.pairs:
            known = (present[:, i] & present[:, j]).unsqueeze(1)  # B 1
            apart = (opinions[:, i] - opinions[:, j]).abs().mean(dim=1, keepdim=True)
            alike = (opinions[:, i] * opinions[:, j]).mean(dim=1, keepdim=True)
            parts += [apart.masked_fill(~known, 0.0), alike.masked_fill(~known, 0.0)]
        read = torch.cat(parts, dim=1)
        logits = QUICK**2 * self.linear(read) + QUICK * self.curved(QUICK * read)  # B M+1
        # One voice alone contradicts nobody.
        barred = ~present | (present.sum(dim=1, keepdim=True) < 2)  # B M
        lowest = torch.finfo(logits.dtype).min / 2
        return torch.cat([logits[:, :1], logits[:, 1:].masked_fill(barred, lowest)], dim=1)
