"""A model of PyTorch as a `mecam.arrays.Network`: arrays in, arrays out."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from mecam.arrays import BatchArrays, OutputArrays
from mecam.batch import Batch
from mecam.models.base import Model
from mecam.task import Task
from mecam.threads import for_work

__all__ = ["TorchNetwork", "not_finite"]

_turns: WeakKeyDictionary[Model, AbstractContextManager[Any]] = WeakKeyDictionary()
_asking = RLock()


def _turn(model: Model) -> AbstractContextManager[Any]:
    """What threads that ask one model wait for: some models put hooks into their encoder while they answer."""
    with _asking:
        return _turns.setdefault(model, RLock())


class TorchNetwork:
    """A model in use, on the device that it is on. Threads may ask it at the same time; it answers one by one.

    Args:
        model: is put into evaluation mode for each answer.
        task: what it predicts.
    """

    def __init__(self, model: Model, task: Task) -> None:
        self.model, self.task, self.reads = model, task, model.reads
        self._device = next((p.device for p in [*model.parameters(), *model.buffers()]), torch.device("cpu"))

    @torch.inference_mode()
    def run(self, batch: BatchArrays, *, total: int, details: bool = False) -> OutputArrays:
        """As `Network.run`."""
        tensors = Batch.of(batch).to(self._device)
        with _turn(self.model):
            was_training = self.model.training
            self.model.eval()
            with for_work(total):
                output = self.model(tensors)
            self.model.train(was_training)
        doubt = output.extra.get("doubt")
        return OutputArrays(
            prediction=self.task.probabilities(output.prediction).cpu().numpy(),
            gates={m: _array(gate) for m, gate in output.gates.items()} if details else {},
            shares={m: _array(share) for m, share in output.shares.items()},
            embeddings={name: _array(values) for name, values in output.embeddings.items()} if details else {},
            conflict=None if doubt is None else _array(doubt),
        )

    def weights_fault(self) -> str:
        """As `Network.weights_fault`."""
        return not_finite(dict(self.model.named_parameters()))


def _array(values: Tensor) -> Any:
    return values.float().cpu().numpy()


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """What is not a finite number among weights, in words; empty where all are."""
    bad = [(name, t) for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if not bad:
        return ""
    kind = "NaN" if any(bool(torch.isnan(t).any()) for _, t in bad) else "infinity"
    return f"{kind}: {bad[0][0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
