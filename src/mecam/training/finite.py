"""Training stops at the first number that is none, in every process, with the utterances of its batch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mecam.batch import Batch
from mecam.errors import TrainingError
from mecam.nn.text import is_queued
from mecam.training.world import World

__all__ = ["FiniteCheck"]


class FiniteCheck:
    """Looks at losses and gradients: on a CPU at once, on a GPU later, where looking at a value means waiting for it.

    There the last values stay on the device, with the ids of their batches, and are looked at together after `MANY` of
    them and at the end of an epoch. A bad number spoils all that follow it: the first one is told.

    Args:
        world: the processes that train together; where one meets a bad number, all stop.
        device: that the values are on.
    """

    MANY = 200
    """Values after which they are looked at, and a GPU is waited for."""

    def __init__(self, world: World, device: torch.device) -> None:
        self._world, self._at_once = world, not is_queued(device)
        self._waiting: list[tuple[Tensor, Mapping[str, Tensor], tuple[str, ...]]] = []

    def add(self, value: Tensor, named: Mapping[str, Tensor], batches: Sequence[Batch]) -> None:
        """Look at a value now or later.

        Args:
            value: that training goes by.
            named: what to tell when it is bad.
            batches: that it is of.

        Raises: TrainingError if it is not finite, or an earlier one was not.
        """
        ids = tuple(name for batch in batches for name in batch.ids)
        told = {name: one.detach() for name, one in named.items()}
        self._waiting.append((torch.isfinite(value.detach()), told, ids))
        if self._at_once or len(self._waiting) == self.MANY:
            self.settle()

    def settle(self) -> None:
        """Look at what was not looked at yet.

        Raises: TrainingError as `add`.
        """
        if not self._waiting:
            return
        good = torch.stack([flag for flag, *_ in self._waiting]).tolist()
        first = good.index(False) if not all(good) else 0
        problem = None if all(good) else self._error(*self._waiting[first][1:])
        self._waiting.clear()
        self._world.agree(problem, moment=first)

    def _error(self, named: Mapping[str, Tensor], ids: Sequence[str]) -> TrainingError:
        bad = ", ".join(f"{name} = {float(value)}" for name, value in named.items() if not torch.isfinite(value))
        process = f"process {self._world.rank}: " if self._world.count > 1 else ""
        return TrainingError(
            f"training produced a value that is not finite: {bad or 'the sum of the losses'}",
            where=f"{process}batch of {', '.join(ids)}",
            fix="check these utterances with `mecam data check`, or lower training.learning_rate",
        )
