from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

import tiny
from mecam.batch import Batch
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.models.trained import Trained
from mecam.runs.config import RunConfig
from mecam.training import preparation
from mecam.training.preparation import SplitData
from mecam.types import Utterance

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class Rank(Fabric):
    """The second of two processes, as far as the data is concerned."""

    @property
    def global_rank(self) -> int:
        return 1

    @property
    def world_size(self) -> int:
        return 2


def data(trained: Trained, store: Store, workers: int, kind: type[Fabric] = Fabric) -> SplitData:
    values = {"model": "mecam", "data": {"batch_size": 4, "workers": workers}, "accelerator": "cpu"}
    splits = [tiny.dataset(trained, store, store.split(name)) for name in ("train", "valid")]
    fabric = kind(accelerator="cpu", devices=1)
    return SplitData(*splits, trained.collator, RunConfig.decode(values), views=True, fabric=fabric, seed=7)


def tensors(value: Any) -> Iterator[Any]:
    """All that a batch holds, in order."""
    if isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors(vars(value))
    else:
        yield value


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(repr(a.tolist()) == repr(b.tolist()) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("kind", [Fabric, Rank])
def test_the_batches_are_the_same_whoever_makes_them(kind: type[Fabric], store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    expected = list(data(trained, store, 0, kind).batches(3))
    before = torch.random.get_rng_state()
    made = data(trained, store, 2, kind)
    found = list(made.batches(3))
    assert torch.equal(torch.random.get_rng_state(), before)  # so that dropout draws the same
    assert len(found) == len(expected) == made.steps > 1
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert not same(expected[0], next(iter(made.batches(4))))


def test_what_a_worker_meets_is_told_as_without_it(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, utterances: list[Utterance], *rest: Any, **more: Any) -> Batch:
        raise DataError("audio has 0 frames", where=utterances[0].id, fix="extract it again")

    trained = tiny.build("mecam", store, encoder)
    monkeypatch.setattr(type(trained.collator), "with_view", broken)
    messages = []
    for workers in (0, 1):
        with pytest.raises(DataError) as caught:
            list(data(trained, store, workers).batches(0))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_only_what_can_work_is_offered_as_a_strategy(encoder: str, store: Store) -> None:
    config = RunConfig.decode({"model": "constant", "strategy": "fsdp", "accelerator": "cpu"})
    with pytest.raises(preparation.ConfigError, match="fsdp") as caught:
        preparation.make_fabric(config, tiny.build("constant", store, encoder).model)
    assert "auto, ddp" in str(caught.value.fix)


def test_a_gpu_has_its_batches_made_beside_it_and_a_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "available_cores", lambda: 16)
    count = preparation._workers_for
    assert [count(torch.device("cpu"), 1), count(torch.device("cuda"), 1), count(torch.device("cuda"), 8)] == [0, 4, 1]
    monkeypatch.setattr(preparation, "available_cores", lambda: 1)
    assert count(torch.device("cuda"), 2) == 0
