"""LSTMs over the rows that are there: missing rows and padding are passed over."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.masked import compacted, length_mask

__all__ = ["Lstm", "LstmStates"]


class LstmStates(NamedTuple):
    """The summary of a sequence by an LSTM.

    Attributes:
        steps: hidden states of the observed rows, moved to the front, zeros behind them.
        mask: which steps are real.
        last: hidden state after the last observed row (with the backward one after the first); zeros where
            nothing was observed.
    """

    steps: Float[Tensor, "B U D"]
    mask: Bool[Tensor, "B U"]
    last: Float[Tensor, "B D"]


class Lstm(nn.Module):
    """An LSTM, possibly of several layers and both directions.

    Args:
        features: D of the input rows.
        hidden: size of the state, of each direction.
        layers: one upon the other.
        bidirectional: read in both directions.
        dropout: between layers.

    Attributes:
        width: D of the result.

    Source: Hochreiter and Schmidhuber, 1997.
    """

    def __init__(
        self, features: int, hidden: int, *, layers: int = 1, bidirectional: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = hidden * (2 if bidirectional else 1)
        self.lstm = nn.LSTM(
            features,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
            batch_first=True,
        )

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> LstmStates:
        """Read the observed rows."""
        rows, count = compacted(values.masked_fill(~mask.unsqueeze(-1), 0.0), mask)
        longest = max(1, int(count.max()))
        packed = nn.utils.rnn.pack_padded_sequence(
            rows, count.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        out, (last, _) = self.lstm(packed)
        steps, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=longest)  # B U D
        kept = length_mask(count, longest)  # B U
        ends = torch.cat([last[-2], last[-1]], dim=1) if self.lstm.bidirectional else last[-1]  # B D
        return LstmStates(
            steps=steps.masked_fill(~kept.unsqueeze(-1), 0.0),
            mask=kept,
            last=ends.masked_fill((count == 0).unsqueeze(1), 0.0),
        )
