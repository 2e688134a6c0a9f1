"""The processes that train one model together."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import nn

from mecam.errors import MecamError, TrainingError

__all__ = ["World"]

Result = TypeVar("Result")


class World:
    """All processes of a launched Fabric; a `mecam.evaluation.predict.ProcessGroup`.

    A process that fails alone leaves the others waiting for it, some of them for ever: what may fail in one is told to
    all.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.rank, self.count = fabric.global_rank, fabric.world_size
        self._device = fabric.device

    def gather(self, mine: Any) -> list[Any]:
        """What every process gives, in their order; all must call."""
        if self.count == 1:
            return [mine]
        everywhere: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(everywhere, mine)
        return everywhere

    def in_first(self, action: Callable[[], Result]) -> Result | None:
        """Let the first process do something; what it raises, all raise. All must call.

        Returns: what came of it, in the first process.
        """
        if self.count == 1:
            return action()
        result: Result | None = None
        problem: MecamError | None = None
        try:
            result = action() if self.rank == 0 else None
        except MecamError as error:
            problem = error
        except Exception as error:
            self.agree(TrainingError(f"the first process failed: {type(error).__name__}: {error}"))
        self.agree(problem)
        return result

    def agree(self, problem: MecamError | None, *, moment: int = 0) -> None:
        """Raise in all processes what some of them give; all must call.

        Args:
            problem: of this process.
            moment: when it came up; only those that came up first are raised, as one error that names all their places.
        """
        first = _earliest(self._problems(problem, moment))
        if first is not None:
            first.everywhere = self.count > 1
            raise first

    def _problems(self, mine: MecamError | None, moment: int) -> list[tuple[int, MecamError]]:
        if self.count > 1:
            # A number is told much faster than an object, and nearly always there is no problem.
            there = torch.tensor([float(mine is not None)], device=self._device)
            torch.distributed.all_reduce(there)
            if not there.item():
                return []
        return [(when, one) for when, one in self.gather((moment, mine)) if one is not None]

    def share_buffers(self, model: nn.Module) -> None:
        """Let all processes have the first one's buffers, as running statistics: its model is the one that is kept."""
        if self.count == 1:
            return
        first = self.gather({name: b.cpu() for name, b in model.named_buffers()} if self.rank == 0 else None)[0]
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if buffer.shape == first[name].shape:
                    buffer.copy_(first[name])


def _earliest(problems: Sequence[tuple[int, MecamError]]) -> MecamError | None:
    if not problems:
        return None
    start = min(moment for moment, _ in problems)
    first, *others = [error for moment, error in problems if moment == start]
    places = dict.fromkeys(error.where for error in (first, *others) if error.where)
    return type(first)(first.what, where="; ".join(places) or None, fix=first.fix) if others else first
