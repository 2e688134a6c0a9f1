"""A gate through which other modalities shift the hidden states of a text encoder."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.types import Modality

__all__ = ["AdaptationGate"]


class AdaptationGate(nn.Module):
    """Z̄ = LayerNorm(Z + αH), H = Σ_m g_m ⊙ (W_m A_m) + b, g_m = ReLU(W_gm [Z; A_m] + b_gm), α = min(β‖Z‖/‖H‖, 1).

    Source: Rahman et al., ACL 2020 (arXiv 1908.05787), "Multimodal Adaptation Gate". Differs: a token without a
    row of any modality is not shifted, not even by b.

    Args:
        width: D of the hidden states.
        widths: modality → F of its rows.
        shift: β.
        dropout: on the result.
    """

    def __init__(self, width: int, widths: Mapping[Modality, int], *, shift: float, dropout: float) -> None:
        super().__init__()
        self.shift = shift
        self.gates = nn.ModuleDict({m: nn.Linear(width + size, width) for m, size in widths.items()})
        self.values = nn.ModuleDict({m: nn.Linear(size, width, bias=False) for m, size in widths.items()})
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "B T D"],
        rows: Mapping[Modality, Float[Tensor, "B T _"]],
        there: Mapping[Modality, Bool[Tensor, "B T"]],
    ) -> Float[Tensor, "B T D"]:
        """Shift the states.

        Args:
            states: Z.
            rows: A_m, one per token.
            there: whether a token has a row of the modality.
        """
        total = self.bias.expand_as(states)
        some = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        for m, gate in self.gates.items():
            opened = gate(torch.cat([states, rows[m].to(states.dtype)], dim=2)).relu()  # B T D
            total = total + (opened * self.values[m](rows[m])).masked_fill(~there[m].unsqueeze(2), 0.0)
            some = some | there[m]
        total = total.masked_fill(~some.unsqueeze(2), 0.0)  # B T D
        length = states.norm(dim=2, keepdim=True)
        # The square root of 0 has no slope: a shift of nothing is kept away from it.
        alpha = (self.shift * length / total.square().sum(dim=2, keepdim=True).add(1e-12).sqrt()).clamp(max=1.0)
        result: Tensor = self.dropout(self.norm(states + alpha * total))
        return result
