"""The filter's gate: how much of every step of a modality is kept."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.encoders import row_sizes
from mecam.nn.masked import masked_mean, weighted_mean

OPEN = 3.0
"""Logit at the start: 0.95 of everything is kept."""

QUICK = 5.0
"""Steps of an adaptive optimiser are of one size for all weights. A gate starts from nothing and has to learn within
the few hundred steps that a pretrained text encoder is fine-tuned for, so its layers count this many times."""

ROW_SIGNS = 12
"""Figures per row that `row_signs` returns."""

__all__ = ["QUICK", "ROW_SIGNS", "Filtered", "Gate", "reverse_gradient", "row_signs"]


class Filtered:
    """What a gate made of one modality.

    Attributes:
        gate: B × T × G in (0, 1).
        kept: B × T × D, gate ∘ hidden.
        kept_mean: B × D, the hidden steps averaged by how much of them was kept.
        removed_mean: B × D, the same by how much was removed.
        mask: B × T observed steps.
    """

    def __init__(self, hidden: Float[Tensor, "B T D"], gate: Float[Tensor, "B T G"], mask: Bool[Tensor, "B T"]) -> None:
        full = gate.repeat_interleave(hidden.shape[-1] // gate.shape[-1], dim=-1)  # B T D
        self.gate = gate
        self.mask = mask
        self.kept = full * hidden
        self.kept_mean = weighted_mean(hidden, full, mask)
        self.removed_mean = weighted_mean(hidden, 1 - full, mask)

    @property
    def share_kept(self) -> Float[Tensor, "B T"]:
        """Mean gate over the channel groups."""
        return self.gate.mean(dim=-1)


class Gate(nn.Module):
    """σ(f(hidden step, whole utterance, the other modalities) + linear in the signs), per step and channel group.

    It starts open: about 0.95 of everything is kept before training.

    Args:
        width: D of the hidden steps; channels are split into equal groups.
        groups: G, must divide `width`.
        context: let the gate see the other modalities.
        signs: figures per step by which it is judged too.
        dropout: inside f.
    """

    def __init__(self, width: int, *, groups: int, context: bool, signs: int, dropout: float) -> None:
        super().__init__()
        self.context = context
        self.local = nn.Linear(2 * width, width)
        self.whole = nn.Linear(4 * width if context else width, width)
        self.leave = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, groups))
        last = self.leave[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            for layer in (self.local, self.whole):
                layer.weight.div_(QUICK)
                layer.bias.div_(QUICK)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        self.signs = nn.Linear(signs, groups, bias=False) if signs else None
        if self.signs is not None:
            nn.init.zeros_(self.signs.weight)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B T"],
        others: Float[Tensor, "B D"],
        signs: Float[Tensor, "B T S"] | None = None,
    ) -> Float[Tensor, "B T G"]:
        """Gate values; whatever they are at masked steps, nothing reads them there.

        Args:
            hidden: encoded steps.
            mask: observed steps.
            others: summary of the other modalities, zeros where there are none.
            signs: what marks a spoilt step before anything is learned; needed if the gate judges by signs.
        """
        own = masked_mean(hidden, mask)  # B D
        parts = [own]
        if self.context:
            parts += [others, own * others, (own - others).abs()]
        whole = self.whole(torch.cat(parts, dim=-1))  # B D
        # The distance from the utterance's mean is what makes a step stand out, in either direction.
        away = (hidden - own.unsqueeze(1)).abs()  # B T D
        local = self.local(torch.cat([hidden, away], dim=-1))  # B T D
        logits = OPEN + QUICK * self.leave(QUICK * (local + whole.unsqueeze(1)))  # B T G
        if self.signs is not None:
            assert signs is not None
            logits = logits + QUICK**2 * self.signs(signs)
        return torch.sigmoid(logits)


def row_signs(rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T S"]:
    """What marks a spoilt row before anything is learned; 0 at masked rows.

    Four sizes on a logarithmic scale (of the row, of its change, of its distance from the utterance's mean, of
    its largest value), each as it is, relative to the utterance's mean, and as the distance from that mean.
    """
    keep = mask.unsqueeze(-1)  # B T 1
    rows = rows.masked_fill(~keep, 0.0)
    away = (rows - masked_mean(rows, mask).unsqueeze(1)).abs().mean(dim=-1, keepdim=True)  # B T 1
    largest = rows.abs().amax(dim=-1, keepdim=True)  # B T 1
    sizes = torch.cat([row_sizes(rows, mask), torch.log(torch.cat([away, largest], dim=-1) + 1e-2)], dim=-1)  # B T 4
    sizes = sizes.masked_fill(~keep, 0.0)
    relative = (sizes - masked_mean(sizes, mask).unsqueeze(1)).masked_fill(~keep, 0.0)
    return torch.cat([sizes, relative, relative.abs()], dim=-1)


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
