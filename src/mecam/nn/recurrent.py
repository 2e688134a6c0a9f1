"""LSTMs over the rows that are there: missing rows and padding are passed over."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from mecam.nn.exporting import exporting
from mecam.nn.masked import compacted, length_mask

__all__ = ["Lstm", "LstmStates", "stepped"]


State = TypeVar("State", bound=tuple[Tensor, ...])


def stepped(
    step: Callable[[State, Sequence[Tensor]], State], state: State, given: Sequence[Shaped[Tensor, "B N _"]]
) -> tuple[State, Float[Tensor, "B S _"]]:
    """Go through a sequence, one step after the other.

    Args:
        step: (state, what is given at this step) → the state after it.
        state: at the start, tensors B × D.
        given: sequences.

    Returns: the last state, and its first tensor at the start and after every step.
    """
    track = [state[0]]
    if exporting():
        from torch._higher_order_ops.scan import scan

        def tracked(carry: State, here: Sequence[Tensor]) -> tuple[State, Tensor]:
            after = step(carry, here)
            return after, after[0].clone()

        last, steps = scan(tracked, tuple(part.clone() for part in state), tuple(given), dim=1)
        return last, torch.cat([state[0].unsqueeze(1), steps], dim=1)
    for n in range(given[0].shape[1]):
        state = step(state, [part[:, n] for part in given])
        track.append(state[0])
    return state, torch.stack(track, dim=1)


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
        steps, last = (self._as_operators if exporting() else self._packed)(rows, count.clamp(min=1))
        kept = length_mask(count, steps.shape[1])  # B U
        return LstmStates(
            steps=steps.masked_fill(~kept.unsqueeze(-1), 0.0),
            mask=kept,
            last=last.masked_fill((count == 0).unsqueeze(1), 0.0),
        )

    def _packed(
        self, rows: Float[Tensor, "B T F"], count: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B U D"], Float[Tensor, "B D"]]:
        """Hidden states of the first rows, `count` of each, and the last ones."""
        packed = nn.utils.rnn.pack_padded_sequence(rows, count.cpu(), batch_first=True, enforce_sorted=False)
        out, (last, _) = self.lstm(packed)
        steps, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)  # B U D
        return steps, torch.cat([last[-2], last[-1]], dim=1) if self.lstm.bidirectional else last[-1]

    def _as_operators(
        self, rows: Float[Tensor, "B T F"], count: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B D"]]:
        """The same, as ONNX has it: an operator per layer, that is told the number of rows."""
        from torch.onnx.ops import symbolic_multi_out

        lstm, directions = self.lstm, 2 if self.lstm.bidirectional else 1
        batch, length, _ = rows.shape
        steps, last = rows.transpose(0, 1), rows  # T B F
        for layer in range(lstm.num_layers):
            steps, last = symbolic_multi_out(
                "LSTM",
                [steps, *_weights(lstm, layer), count.int()],
                {"hidden_size": lstm.hidden_size, "direction": "bidirectional" if lstm.bidirectional else "forward"},
                dtypes=[rows.dtype, rows.dtype],
                shapes=[[length, directions, batch, lstm.hidden_size], [directions, batch, lstm.hidden_size]],
            )  # T directions B H, directions B H
            steps = steps.transpose(1, 2).flatten(2)  # T B D
        return steps.transpose(0, 1), last.transpose(0, 1).flatten(1)


def _weights(lstm: nn.LSTM, layer: int) -> list[Tensor]:
    """Of the input, of the state, and biases of one layer, its directions stacked, in the order of ONNX's gates.

    PyTorch's gates are input, forget, cell, output; those of ONNX input, output, forget, cell.
    """
    ways = ["", "_reverse"] if lstm.bidirectional else [""]
    order = torch.tensor([0, 3, 1, 2])

    def part(kind: str) -> Tensor:
        gates = [getattr(lstm, f"{kind}_l{layer}{way}").unflatten(0, (4, -1)) for way in ways]  # each 4 H ...
        return torch.stack([each.index_select(0, order).flatten(0, 1) for each in gates])

    return [part("weight_ih"), part("weight_hh"), torch.cat([part("bias_ih"), part("bias_hh")], dim=1)]
