"""A GPU is told what to do and not waited for: no step looks at a value that it computes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch.utils._python_dispatch import TorchDispatchMode

import tiny
from mecam.batch import Batch
from mecam.data.collate import batches
from mecam.data.store import Store
from mecam.errors import TrainingError
from mecam.models.trained import Trained
from mecam.nn import text
from mecam.training import finite, loop

LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "is_nonzero", "equal"}
"""Operations whose result the program has to see: on a GPU, each waits until all that was told before is done."""


class Watch(TorchDispatchMode):
    """Notes the operations that look at values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        places = args[1] if name.startswith("index") and len(args) > 1 and isinstance(args[1], list | tuple) else ()
        if name in LOOKS or any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in places):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Data:
    """Batches of the train split; a validation that is better each time."""

    metric = "none"

    def __init__(self, trained: Trained, store: Store, size: int) -> None:
        self.made = list(batches(tiny.dataset(trained, store, store.split("train")), trained.collator, size))
        self.steps, self.validated = len(self.made), 0.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        yield from self.made

    def validate(self, model: Any) -> dict[str, float | None]:
        self.validated += 1
        return {"select": self.validated}


def trained_on(device: str, store: Store, encoder: str, around: Callable[[], Any]) -> Trained:
    """Two epochs of the text baseline, every pass through the data inside `around()`."""
    trained = tiny.build("text_only", store, encoder)
    whole = loop._epoch

    def watched(*args: Any) -> Any:
        with around():
            return whole(*args)

    config = tiny.training(epochs=2, accumulate=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_epoch", watched)
        fabric = Fabric(accelerator=device, devices=1)
        loop.fit(trained.model, Data(trained, store, 4), config, fabric=fabric, seed=1)
    return trained


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU taken for a device that works off what it is told."""
    monkeypatch.setattr(text, "is_queued", lambda device: True)
    monkeypatch.setattr(finite, "is_queued", lambda device: True)


@pytest.mark.usefixtures("queued")
def test_no_step_looks_at_a_value(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    trained_on("cpu", store, encoder, lambda: watch)
    assert watch.seen == []
    monkeypatch.undo()  # as a CPU, it does look
    trained_on("cpu", store, encoder, lambda: watch)
    assert watch.seen


@pytest.mark.gpu
def test_no_step_waits_for_the_gpu(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    # The end of an epoch looks at what has gathered, and may.
    monkeypatch.setattr(finite.FiniteCheck, "settle", lambda self: None)
    monkeypatch.setattr(loop._Means, "read", lambda self: {})

    class Strict:
        def __enter__(self) -> None:
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *_: object) -> None:
            torch.cuda.set_sync_debug_mode("default")

    trained_on("cuda", store, encoder, Strict)


@pytest.mark.usefixtures("queued")
def test_a_bad_number_that_is_seen_late_still_names_its_utterances(store: Store, encoder: str) -> None:
    """The first one: after it the weights are bad too, and so is all that follows."""
    trained = tiny.build("text_only", store, encoder)
    data = Data(trained, store, 4)
    losses = trained.model.losses
    bad = data.made[1].ids

    def broken(output: Any, batch: Batch) -> dict[str, torch.Tensor]:
        return {
            name: loss * (float("nan") if batch.ids == bad else 1.0) for name, loss in losses(output, batch).items()
        }

    trained.model.losses = broken  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="task = nan") as caught:
        loop.fit(trained.model, data, tiny.training(), fabric=Fabric(accelerator="cpu", devices=1), seed=1)
    assert caught.value.where == "batch of " + ", ".join(bad)


@pytest.mark.usefixtures("queued")
def test_a_gpu_is_asked_now_and_then(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a long epoch does not go on for hours with bad weights."""
    monkeypatch.setattr(finite.FiniteCheck, "MANY", 3)
    trained = tiny.build("text_only", store, encoder)
    data, seen = Data(trained, store, 4), []
    losses = trained.model.losses

    def broken(output: Any, batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(batch.ids)
        return {name: loss * float("nan") for name, loss in losses(output, batch).items()}

    trained.model.losses = broken  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="task = nan"):
        loop.fit(trained.model, data, tiny.training(), fabric=Fabric(accelerator="cpu", devices=1), seed=1)
    assert len(seen) == 2 < data.steps


def test_what_a_gpu_reads_is_what_a_cpu_reads(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row instead of every distinct one, and a mask in the form of fused attention."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # fused attention
    trained = tiny.build("text_only", store, encoder)
    monkeypatch.undo()
    reader = trained.model.encoders["text"]
    stream = tiny.collate(trained, store).streams["text"]
    assert not stream.mask.any(dim=1).all()  # one has no text at all
    for part in reader.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    reader.train()
    expected = reader(stream.values, stream.mask)
    monkeypatch.setattr(text, "is_queued", lambda device: True)
    for repeats in (False, True):
        reader.repeats = repeats
        torch.testing.assert_close(reader(stream.values, stream.mask), expected, rtol=1e-4, atol=1e-5)


def test_compiled_steps_learn_the_same_and_are_saved_under_the_same_names(
    store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    compile_ = torch.compile

    def compiled(function: Any, **options: Any) -> Any:
        fast = compile_(function, backend="eager", **options)  # needs no C++ compiler

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return fast(*args, **kwargs)

        return counted

    monkeypatch.setattr(torch, "compile", compiled)
    weights = []
    for wanted in (False, True):
        trained = tiny.build("text_only", store, encoder)
        data = Data(trained, store, 8)
        config = tiny.training(compile=wanted)
        loop.fit(trained.model, data, config, fabric=Fabric(accelerator="cpu", devices=1), seed=1)
        assert len(calls) == (2 * data.steps if wanted else 0)
        weights.append(trained.model.state_dict())
        with torch.no_grad():
            trained.model(tiny.collate(trained, store))
        assert len(calls) == (2 * data.steps if wanted else 0)  # what is validated is not compiled
    one, other = weights
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5)


def test_matrices_lose_digits_only_where_it_is_asked_for(store: Store, encoder: str) -> None:
    met = set()
    for precision in ("32", "tf32"):
        trained = tiny.build("text_only", store, encoder)
        losses = trained.model.losses

        def noted(output: Any, batch: Batch, losses: Any = losses, precision: str = precision) -> Any:
            met.add((precision, torch.get_float32_matmul_precision()))
            return losses(output, batch)

        trained.model.losses = noted  # type: ignore[method-assign]
        data = Data(trained, store, 8)
        fabric = Fabric(accelerator="cpu", devices=1)
        loop.fit(trained.model, data, tiny.training(precision=precision), fabric=fabric, seed=1)
    assert met == {("32", "highest"), ("tf32", "high")}
    assert torch.get_float32_matmul_precision() == "highest"
