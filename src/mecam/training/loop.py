"""The one training loop, on Lightning Fabric."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import TrainingConfig
from mecam.errors import DataError, TrainingError
from mecam.files import NO_ROOM, whole_file
from mecam.models.base import ClosedFormModel, Model, Phase
from mecam.training.acceleration import Acceleration
from mecam.training.closed_form import solved
from mecam.training.costs import give_back_free_memory
from mecam.training.finite import FiniteCheck
from mecam.training.fit import Fit, TrainingData
from mecam.training.optimizers import check_phases, phase_optimizer, warmup_then_decay
from mecam.training.tensorboard import Record
from mecam.training.world import World

__all__ = ["Fit", "TrainingData", "choose_precision", "fit", "moving_only"]

log = logging.getLogger(__name__)

SAVE_SECONDS = 30
"""Least time between two saves of the state that an interrupted run goes on from."""


Progress = Callable[[int, int, str], None]


def fit(
    model: Model,
    data: TrainingData,
    config: TrainingConfig,
    *,
    fabric: Fabric,
    seed: int,
    resume: Path | None = None,
    progress: Progress | None = None,
    record: Record | None = None,
) -> Fit:
    """Train, keep the weights that are best on validation, and leave the model holding them.

    Args:
        model: on any device; Fabric moves it.
        data: train batches and the validation score.
        config: see `TrainingConfig`.
        fabric: launched, with devices and precision.
        seed: of dropout; the order of the data is the data's own affair.
        resume: file to keep the state in; an existing one is gone on from, and it is deleted at the end.
        progress: called with (steps done, all steps, a line about the last epoch).
        record: called with the history's row of every epoch, as soon as it is over.

    Raises: TrainingError if a loss or a gradient is not finite, with the ids of the batch.
    """
    result = Fit()
    if isinstance(model, ClosedFormModel) and config.epochs:
        return solved(model, data, fabric)
    if not config.epochs or not any(p.requires_grad for p in model.parameters()):
        return _untrained(model, data)
    check_phases(model)
    phases = model.phases()
    steps = -(-data.steps // config.accumulate) * config.epochs
    optimizers = [phase_optimizer(model, phase, config) for phase in phases]
    step, *wrapped = fabric.setup(_Step(model), *optimizers)
    schedule = warmup_then_decay(steps, config.warmup)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o.optimizer, schedule) for o in wrapped]
    average, acceleration = _Average(model, config.average), Acceleration(model, config)
    parts = {"model": model, "average": average, "optimizers": optimizers, "schedulers": schedulers}
    epoch = _restore(resume, parts, result, fabric) if resume else 0
    saved = time.monotonic()
    while epoch < config.epochs and epoch - result.best_epoch < config.patience:
        started = time.monotonic()
        _seed(fabric, seed, epoch)
        rates = [float(group["lr"]) for group in optimizers[0].param_groups]
        means: dict[str, float] = {}
        note = _selected(result, data.metric, config.keep)
        tick = _ticker(progress, epoch, config.epochs, data.steps * len(phases), note)
        for phase, optimizer, scheduler in zip(phases, wrapped, schedulers, strict=True):
            with moving_only(model, phase), acceleration.on():
                means |= _epoch(step, phase, data.batches(epoch), optimizer, scheduler, config, fabric, average, tick)
        with average.swapped_in():
            scores = fabric.broadcast(data.validate(model))  # all processes must agree on when to stop
            epoch += 1
            if (select := scores["select"]) is not None and (config.keep == "last" or select > result.best_score):
                result.best_epoch, result.best_score = epoch, select
                result.best = {key: value.detach().clone() for key, value in model.state_dict().items()}
        row = {"epoch": float(epoch), "seconds": time.monotonic() - started, "learning_rate": max(rates)}
        row |= {f"loss_{name}": value for name, value in means.items()}
        row |= {f"valid_{name}": float("nan") if v is None else v for name, v in scores.items() if name != "select"}
        result.history.append(row | {"best": 0.0})
        if record:
            record(row)
        if resume and fabric.is_global_zero and time.monotonic() - saved > SAVE_SECONDS:
            _save(resume, parts, result, epoch)
            saved = time.monotonic()
        give_back_free_memory()
    if not result.best:
        raise TrainingError("no epoch gave a defined validation score", fix="check the labels of the valid split")
    for row in result.history:
        row["best"] = float(row["epoch"] == result.best_epoch)
    model.load_state_dict(result.best)
    if resume and fabric.is_global_zero:
        resume.unlink(missing_ok=True)
    return result


def choose_precision(
    precision: Literal["auto", "32", "tf32", "bf16", "16"], model: Model, device: torch.device
) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """What Fabric shall compute in.

    `auto` is bf16 where the hardware multiplies it natively and there is a text encoder whose matrices are large
    enough to gain from it, else full precision.
    """
    if precision != "auto":
        return {"32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision]  # type: ignore[return-value]
    if model.text_encoder is None:
        return "32-true"
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    native = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    gains = device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in native)
    return "bf16-mixed" if gains else "32-true"


@contextmanager
def moving_only(model: Model, phase: Phase) -> Iterator[None]:
    """Inside, what the phase does not move asks for no gradient.

    So nothing is computed that nobody uses (a phase that moves a few heads never goes backward through the text
    encoder), and no gradient is left over for the next phase to find.
    """
    learning = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    resting = [parameter for name, parameter in learning if not name.startswith(phase.parameters)]
    for parameter in resting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_(True)


def _seed(fabric: Fabric, seed: int, epoch: int) -> None:
    """Let dropout follow from seed, epoch and process alone.

    So a training that is gone on with needs no generator's state, and no two processes drop the same units.
    """
    mixed = np.random.SeedSequence((seed, epoch, fabric.global_rank)).generate_state(1)[0]
    fabric.seed_everything(int(mixed), verbose=False)


class _Box:
    """Carries a batch through Fabric, which would otherwise try to rebuild the frozen dataclass.

    With it go the names of the losses that are followed: gradients of the others are nobody's business, and several
    processes must not wait for them.
    """

    def __init__(self, batch: Batch, followed: frozenset[str]) -> None:
        self.batch = batch
        self.followed = followed


class _Step(nn.Module):
    """Forward and losses as one module, so that Fabric's wrappers see a call that returns plain tensors."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.output: Output | None = None

    def forward(self, box: _Box) -> dict[str, Tensor]:
        output = self.model(box.batch)
        # Similarities divided by a small temperature need more digits than the encoders do.
        with torch.autocast(box.batch.index.device.type, enabled=False):
            losses = self.model.losses(_each_tensor(output, _in_full_precision), box.batch)
        self.output = _each_tensor(output, Tensor.detach)
        return {name: loss if name in box.followed else loss.detach() for name, loss in losses.items()}


def _in_full_precision(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _each_tensor(output: Output, change: Callable[[Tensor], Tensor]) -> Output:
    """The output with `change` applied to all its tensors, those of its view among them."""

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if isinstance(value, Output):
            return _each_tensor(value, change)
        return {key: changed(part) for key, part in value.items()} if isinstance(value, dict) else value

    return Output(**{name: changed(value) for name, value in vars(output).items()})


class _Means:
    """The mean of every named loss over an epoch; the values stay on the device until there are many of them."""

    MANY = 1000
    """Steps after which the values are copied: so that they take no memory, and the device is hardly waited for."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.waiting: list[dict[str, Tensor]] = []

    def add(self, losses: dict[str, Tensor]) -> None:
        """Remember the losses of one batch."""
        self.waiting.append({name: value.detach() for name, value in losses.items()})
        if len(self.waiting) == self.MANY:
            self._collect()

    def read(self) -> dict[str, float]:
        """Name → mean over the batches that had this loss."""
        self._collect()
        return {name: total / self.counts[name] for name, total in self.totals.items()}

    def _collect(self) -> None:
        tensors = [value for losses in self.waiting for value in losses.values()]
        values = iter(torch.stack(tensors).tolist() if tensors else [])
        for name in (name for losses in self.waiting for name in losses):
            self.totals[name] = self.totals.get(name, 0.0) + next(values)
            self.counts[name] = self.counts.get(name, 0) + 1
        self.waiting.clear()


def _epoch(
    step: Any,
    phase: Phase,
    batches: Iterator[Batch],
    optimizer: Any,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    config: TrainingConfig,
    fabric: Fabric,
    average: "_Average",
    tick: Callable[[], None],
) -> dict[str, float]:
    """One pass through the data in one phase; the mean of every loss, unweighted."""
    step.train()
    followed = frozenset(name for name, weight in phase.weights.items() if weight)
    means, check = _Means(), FiniteCheck(World(fabric), fabric.device)
    for group in _groups(batches, config.accumulate):
        seen: list[tuple[Output, Batch]] = []  # every micro-batch on the device, with its own output
        for i, batch in enumerate(group):
            batch = batch.to(fabric.device, non_blocking=True)
            with fabric.no_backward_sync(step, enabled=i + 1 < len(group)):
                losses = step(_Box(batch, followed))
                loss = sum((w * losses[n] for n, w in phase.weights.items() if w and n in losses), torch.zeros(()))
                assert isinstance(loss, Tensor)
                check.add(loss, losses, [batch])
                fabric.backward(loss / len(group))
            means.add(losses)
            seen.append((step.module.output, batch))
            tick()
        norm = fabric.clip_gradients(step, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
        # In half precision the scaler meets infinite gradients as a matter of course and skips the step itself.
        if norm is not None and fabric._precision.precision != "16-mixed":
            check.add(norm, {"gradient": norm}, group)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        scheduler.step()
        average.update()
        for output, batch in seen:
            step.module.model.after_step(output, batch)
    check.settle()
    return means.read()


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Batches of one optimiser step; the last group may be smaller and still counts."""
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


class _Average:
    """Running average of the weights; validated and kept in their place when its decay is not 0."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model, self.decay = model, decay
        self.steps = 0
        self.values = [p.detach().clone() for p in model.parameters()] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        if not self.decay:
            return
        self.steps += 1
        # Early on the average would be mostly the untrained weights: let the decay grow into its value.
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.model.parameters()], 1 - decay)

    def swapped_in(self) -> "_Average":
        return self

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, value in zip(self.model.parameters(), self.values, strict=False):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.values = state["steps"], state["values"]


def _ticker(progress: Progress | None, epoch: int, epochs: int, steps: int, note: str) -> Callable[[], None]:
    """Counts the batches of one epoch; `steps` is how many it has, over all phases."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(epoch * steps + min(done, steps), epochs * steps, f"epoch {epoch + 1}{note}")

    return tick


def _selected(result: Fit, metric: str, keep: str) -> str:
    """What validation says of the epoch whose weights would be kept now."""
    value = result.history[result.best_epoch - 1].get(f"valid_{metric}") if result.best_epoch else None
    name = f"best {metric} on validation so far" if keep == "best" else f"{metric} on validation"
    return "" if value is None else f", {name}: {value:.3f}"


def _untrained(model: Model, data: TrainingData) -> Fit:
    """A model without parameters is its own best state."""
    scores = data.validate(model)
    row = {f"valid_{name}": float("nan") if v is None else v for name, v in scores.items() if name != "select"}
    score = scores["select"]
    return Fit(
        history=[{"epoch": 0.0, "seconds": 0.0, "learning_rate": 0.0, **row, "best": 1.0}],
        best=dict(model.state_dict()),
        best_score=float("-inf") if score is None else score,
    )


def _save(path: Path, parts: dict[str, Any], result: Fit, epoch: int) -> None:
    state: dict[str, Any] = {
        name: [p.state_dict() for p in part] if isinstance(part, list) else part.state_dict()
        for name, part in parts.items()
    }
    state |= {"fit": vars(result), "epoch": epoch}
    with whole_file(path) as partial:
        try:
            torch.save(state, partial)
        except RuntimeError as error:  # how PyTorch tells that a disk is full
            raise DataError("cannot write here: the disk may be full", where=str(path), fix=NO_ROOM) from error


def _restore(path: Path, parts: dict[str, Any], result: Fit, fabric: Fabric) -> int:
    """Load what `_save` wrote, if anything; the number of finished epochs.

    Raises: TrainingError if it is damaged.
    """
    if not path.exists():
        return 0
    try:
        epoch = _restored(path, parts, result, fabric)
    except Exception as error:  # whatever a cut or foreign file makes of PyTorch
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"the state of the interrupted run cannot be read: {type(error).__name__}: {reason}",
            where=str(path),
            fix="delete this file and give the same command again: the training of this seed starts again",
        ) from error
    log.info("continuing after epoch %d", epoch)
    return epoch


def _restored(path: Path, parts: dict[str, Any], result: Fit, fabric: Fabric) -> int:
    state = torch.load(path, map_location=fabric.device, weights_only=True)
    for name, part in parts.items():
        if isinstance(part, list):
            for item, saved in zip(part, state[name], strict=True):
                item.load_state_dict(saved)
        else:
            part.load_state_dict(state[name])
    for name, value in state["fit"].items():
        setattr(result, name, value)
    return int(state["epoch"])
