"""A model and data that are small enough to see through, for the tests of the loop."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

import tiny
from mecam.batch import Batch, Output
from mecam.data.collate import Collator
from mecam.models.base import Model, Phase
from mecam.models.inputs import Inputs
from mecam.task import Regression
from mecam.training.loop import Fit, fit
from mecam.types import FeatureSpec, Utterance

TASK = Regression()
INPUTS = Inputs(task=TASK, features={"audio": FeatureSpec(2)})


class Probe(Model):
    """Two linear layers on the mean audio row, and a record of what the loop does with them."""

    def __init__(
        self, *, dropout: float = 0.0, phases: Sequence[Phase] = (Phase("main", {"task": 1.0}),), seed: int = 0
    ) -> None:
        super().__init__(INPUTS, reads=("audio",))
        torch.manual_seed(seed)
        self.first = nn.Linear(2, 4)
        self.second = nn.Linear(4, 1)
        self.dropout = nn.Dropout(dropout)
        self.plan = tuple(phases)
        self.corrupt: Callable[[Batch, Tensor], Tensor] = lambda batch, loss: loss
        self.steps: list[dict[str, Tensor]] = []
        self.seen: list[tuple[str, ...]] = []

    def forward(self, batch: Batch) -> Output:
        if self.training:
            self.seen.append(batch.ids)
        pooled = batch.streams["audio"].values.mean(dim=1)
        return Output(prediction=self.second(self.dropout(torch.tanh(self.first(pooled)))).squeeze(-1))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        assert batch.targets is not None
        gap = output.prediction - batch.targets.value
        return {"task": self.corrupt(batch, gap.square().mean()), "size": output.prediction.abs().mean()}

    def phases(self) -> Sequence[Phase]:
        return self.plan

    def after_step(self, output: Output, batch: Batch) -> None:
        assert len(output.prediction) == len(batch)
        self.steps.append(weights(self))


class ProbeData:
    """Batches of `size`, in an order that follows from the epoch; scores follow a script, or the loss itself."""

    def __init__(self, count: int = 10, size: int = 3, scores: Sequence[float | None] = ()) -> None:
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((count, 1, 2)).astype(np.float32)
        self.utterances = [
            Utterance(id=f"u{i}", streams={"audio": rows[i]}, label=float(rows[i].sum())) for i in range(count)
        ]
        self.size = size
        self.metric = "mse"
        self.scores = list(scores)
        self.validated: list[dict[str, Tensor]] = []
        self.collate = Collator(TASK, {"audio": 2})
        self.at_epoch: Callable[[int, int], None] = lambda epoch, batch: None

    @property
    def steps(self) -> int:
        return -(-len(self.utterances) // self.size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng(epoch).permutation(len(self.utterances))
        for number, start in enumerate(range(0, len(order), self.size)):
            self.at_epoch(epoch, number)
            yield self.collate([self.utterances[i] for i in order[start : start + self.size]])

    def validate(self, model: Model) -> dict[str, float | None]:
        self.validated.append(weights(model))
        if self.scores:
            return {"select": self.scores[len(self.validated) - 1]}
        with torch.no_grad():
            batch = self.collate(self.utterances)
            loss = float(model.eval().losses(model(batch), batch)["task"])
        return {"mse": loss, "select": -loss}


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights."""
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def run(model: Model, data: Any, *, resume: Path | None = None, progress: Any = None, **options: Any) -> Fit:
    """Fit on the CPU with a fixed seed."""
    return fit(
        model,
        data,
        tiny.training(**options),
        fabric=Fabric(accelerator="cpu", devices=1),
        seed=3,
        resume=resume,
        progress=progress,
    )


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Equal to the last bit."""
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
