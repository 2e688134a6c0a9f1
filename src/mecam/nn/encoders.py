"""Sequence encoders for features: convolutional (the default) and recurrent (the published variant)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.recurrent import Lstm

__all__ = ["ConvEncoder", "RecurrentEncoder", "Rows", "row_sizes"]


def row_sizes(values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T 2"]:
    """Size of each row and of its change from the row before, on a logarithmic scale; 0 at masked rows.

    Noise shows in the first, frozen and dropped frames in the second.
    """
    parts = (values, _change(values, mask))
    sizes = torch.cat([torch.log(part.abs().mean(dim=-1, keepdim=True) + 1e-2) for part in parts], dim=-1)
    return sizes.masked_fill(~mask.unsqueeze(-1), 0.0)


def _change(values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T F"]:
    """|row − row before|; for the first row, and next to a masked one, the change to the row after."""
    both = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)  # B T-1 1
    steps = (values[:, 1:] - values[:, :-1]).abs().masked_fill(~both, 0.0)  # B T-1 F
    before, after = (nn.functional.pad(steps, (0, 0, *ends)) for ends in ((1, 0), (0, 1)))  # B T F
    known = nn.functional.pad(both, (0, 0, 1, 0))  # B T 1
    return torch.where(known, before, after)


class Rows(nn.Module):
    """Rows as they are, masked ones zero: for models that bring encoders of their own.

    Args:
        features: D of the rows.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.width = features

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T F"]:
        """Blank what the mask leaves out."""
        return values.masked_fill(~mask.unsqueeze(-1), 0.0)


class ConvEncoder(nn.Module):
    """Rows of one modality in their neighbourhood, without recurrence.

    The input is every row, the size of its change from the row before, and the overall size of both on a
    logarithmic scale: noise shows in the one, frozen and dropped frames in the other. Masked rows are zero before
    each convolution, so padding changes nothing.

    Args:
        features: D of the input rows.
        width: D of the result.
        layers: residual depth-wise blocks; each sees 5 rows.
        dropout: on each residual branch.
    """

    def __init__(self, features: int, width: int, *, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Linear(2 * features + 2, width)
        self.blocks = nn.ModuleList(_ConvBlock(width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Encode; masked rows come out as zeros."""
        keep = mask.unsqueeze(-1)  # B T 1
        values = values.masked_fill(~keep, 0.0)
        parts = [values, _change(values, mask), row_sizes(values, mask)]
        hidden = self.enter(torch.cat(parts, dim=-1)).masked_fill(~keep, 0.0)  # B T D
        for block in self.blocks:
            hidden = block(hidden, keep)
        encoded: Tensor = self.norm(hidden)
        return encoded.masked_fill(~keep, 0.0)


class _ConvBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.around = nn.Conv1d(width, width, kernel_size=5, padding=2, groups=width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Float[Tensor, "B T D"], keep: Bool[Tensor, "B T 1"]) -> Float[Tensor, "B T D"]:
        # The norm turns a masked row of zeros into its bias: zero it again before it reaches its neighbours.
        normed = self.norm(hidden).masked_fill(~keep, 0.0)
        around = self.around(normed.transpose(1, 2)).transpose(1, 2)  # B T D
        changed: Tensor = hidden + self.dropout(self.mix(around))
        return changed.masked_fill(~keep, 0.0)


class RecurrentEncoder(nn.Module):
    """A one-layer LSTM over the observed rows; the result is a linear map of its last hidden state.

    Source: the MECAM paper's encoder of audio and vision. Differs: rows that are missing within a sequence are left
    out, and a sequence without rows gives zeros.

    Args:
        features: D of the input rows.
        hidden: size of the LSTM's state.
        width: D of the result.
        dropout: on the last hidden state.
    """

    def __init__(self, features: int, hidden: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.lstm = Lstm(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(hidden, width)

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """Encode each sequence into one vector."""
        vector = self.leave(self.dropout(self.lstm(values, mask).last))  # B D
        return vector.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)  # type: ignore[no-any-return]
