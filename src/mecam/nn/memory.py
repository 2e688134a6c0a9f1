"""What a model remembers of single training utterances from one epoch to the next."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

__all__ = ["Memory", "gathered"]


class Memory(nn.Module):
    """Rows of numbers per utterance, found again by `Batch.index`.

    They are buffers, so they travel with the checkpoint and with the state that an interrupted run goes on from.
    The number of utterances is not told beforehand: the buffers grow as utterances are met.

    Args:
        widths: name → numbers per utterance.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(widths)
        self.register_buffer("times", torch.zeros(0, dtype=torch.long))
        for name, width in widths.items():
            self.register_buffer(name, torch.zeros(0, width))

    def __len__(self) -> int:
        return len(self.get_buffer("times"))

    def times_met(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """How often each utterance has been written."""
        return self._rows("times", index)

    def read(self, name: str, index: Int[Tensor, " B"]) -> Tensor:
        """B × width, what was last written under this name; zeros for an utterance never met."""
        return self._rows(name, index)

    def everything(self, name: str) -> tuple[Tensor, Bool[Tensor, " N"]]:
        """N × width of all utterances, and which of them have been written."""
        return self.get_buffer(name), self.get_buffer("times") > 0

    @torch.no_grad()
    def write(self, index: Int[Tensor, " B"], rows: Mapping[str, Tensor]) -> None:
        """Keep these rows, in place of what was there."""
        if not len(index):
            return
        self._grow(int(index.max()) + 1)
        # A batch that the processes share may hold an utterance twice; it was met once.
        self.get_buffer("times")[index] = self._rows("times", index) + 1
        for name, values in rows.items():
            self.get_buffer(name)[index] = values.to(self.get_buffer(name).dtype)

    def _rows(self, name: str, index: Tensor) -> Tensor:
        values = self.get_buffer(name)
        known = index < len(values)
        if not len(values):
            return values.new_zeros(len(index), *values.shape[1:])
        rows = values[index.clamp(max=len(values) - 1)]
        return rows.masked_fill(~known.view(-1, *[1] * (rows.ndim - 1)), 0)

    def _grow(self, size: int) -> None:
        missing = size - len(self)
        if missing > 0:
            for name in ("times", *self.names):
                values = self.get_buffer(name)
                setattr(self, name, torch.cat([values, values.new_zeros(missing, *values.shape[1:])]))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # The memory of another moment holds another number of utterances.
        for name in ("times", *self.names):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.get_buffer(name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def gathered(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors of all processes one below the other, so that every process remembers the same."""
    here = {name: values.detach() for name, values in rows.items()}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return here
    everywhere: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, {name: values.cpu() for name, values in here.items()})
    return {name: torch.cat([part[name] for part in everywhere]).to(here[name].device) for name in here}
