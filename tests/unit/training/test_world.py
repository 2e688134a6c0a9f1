"""Processes that train together: who has started them, what they predict together, and what all are told."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

import tiny
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError, MecamError, ModelError, TrainingError
from mecam.evaluation.predict import predict
from mecam.models.torch_network import TorchNetwork
from mecam.runs.config import RunConfig
from mecam.training.preparation import as_launched, make_fabric
from mecam.training.world import World
from mecam.types import Predictions


@dataclass(frozen=True)
class Thread:
    """One of several threads that stand for processes."""

    rank: int
    count: int
    given: list[Any]
    meeting: threading.Barrier

    def gather(self, mine: Any) -> list[Any]:
        self.given[self.rank] = mine
        self.meeting.wait(timeout=60)
        return list(self.given)


def together(count: int, work: Callable[[Thread], Any]) -> list[Any]:
    """What each of the threads gives, or raises."""
    given, meeting = [None] * count, threading.Barrier(count)

    def result(rank: int) -> Any:
        try:
            return work(Thread(rank, count, given, meeting))
        except MecamError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(result, range(count)))


def parts(predictions: Predictions) -> list[Any]:
    """All numbers of predictions, as bytes."""
    columns = [
        predictions.shares,
        predictions.embeddings,
        predictions.conflict_probabilities,
        predictions.missing_rates,
    ]
    columns += predictions.gates
    numbers = [{name: values.tobytes() for name, values in one.items()} for one in columns]
    return [predictions.ids, predictions.prediction.tobytes(), *numbers]


@pytest.mark.parametrize("count", [3, 7, 40])  # of 30 utterances in 8 batches
def test_several_predict_what_one_does_to_the_last_bit(count: int, store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder, used=True)
    dataset = tiny.dataset(trained, store)

    def work(group: Any) -> Predictions:
        return predict(trained.model, dataset, trained.collator, size=4, details=True, processes=group)

    alone = parts(work(None))
    assert all(parts(found) == alone for found in together(count, work))


def test_each_takes_its_share(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = tiny.build("late_fusion", store, encoder)
    dataset = tiny.dataset(trained, store)
    seen: list[tuple[str, ...]] = []
    whole = TorchNetwork.run

    def watched(self: TorchNetwork, batch: Any, **options: Any) -> Any:
        seen.append(batch.ids)
        return whole(self, batch, **options)

    monkeypatch.setattr(TorchNetwork, "run", watched)
    together(3, lambda group: predict(trained.model, dataset, trained.collator, size=4, processes=group))
    assert sorted(name for ids in seen for name in ids) == sorted(dataset.ids)


def test_what_one_cannot_predict_stops_all(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = tiny.build("late_fusion", store, encoder)
    dataset = tiny.dataset(trained, store)
    whole = TorchNetwork.run

    def broken(self: TorchNetwork, batch: Any, **options: Any) -> Any:
        output = whole(self, batch, **options)
        if dataset.ids[0] in batch.ids:
            output.prediction[batch.ids.index(dataset.ids[0])] = np.nan
        return output

    monkeypatch.setattr(TorchNetwork, "run", broken)
    found = together(3, lambda group: predict(trained.model, dataset, trained.collator, size=4, processes=group))
    assert [type(error) for error in found] == [ModelError] * 3
    assert {error.where for error in found} == {f"utterance {dataset.ids[0]}"}
    assert all(error.everywhere for error in found)


class Told(World):
    """A process of two, of which the other gives what is said here."""

    def __init__(self, rank: int, other: Any) -> None:
        super().__init__(Fabric(accelerator="cpu", devices=1))
        self.rank, self.count, self.other = rank, 2, other

    def gather(self, mine: Any) -> list[Any]:
        return [mine, self.other] if self.rank == 0 else [self.other, mine]

    def _problems(self, mine: MecamError | None, moment: int) -> Any:
        return [(when, one) for when, one in self.gather((moment, mine)) if one is not None]


def test_the_first_problem_is_told_with_all_its_places() -> None:
    mine, other = (TrainingError("gradient = nan", where=f"process {i}: batch of {i}") for i in range(2))
    Told(0, (0, None)).agree(None)
    with pytest.raises(TrainingError) as caught:
        Told(0, (3, other)).agree(mine, moment=3)
    assert caught.value.where == "process 0: batch of 0; process 1: batch of 1"
    for world in (Told(0, (2, other)), Told(1, (2, other))):
        with pytest.raises(TrainingError) as caught:
            world.agree(mine, moment=3)
        assert caught.value.where == "process 1: batch of 1"  # it was bad before ours was


def test_what_the_first_process_cannot_do_stops_all() -> None:
    done: list[int] = []
    assert World(Fabric(accelerator="cpu", devices=1)).in_first(lambda: done.append(1) or 7) == 7
    problem = DataError("cannot write here", where="runs/a")
    with pytest.raises(DataError, match="cannot write here"):
        Told(1, (0, problem)).in_first(lambda: done.append(2))
    assert done == [1]

    def fails() -> None:
        raise OSError("no such thing")

    with pytest.raises(TrainingError, match="the first process failed: OSError: no such thing"):
        Told(0, (0, None)).in_first(fails)


SLURM = {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_NAME": "train"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(("launcher", "told"), [("SLURM", SLURM), ("torchrun", TORCHRUN)])
def test_a_launcher_says_how_many_there_are(
    launcher: str, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RunConfig.decode({"model": "constant", "accelerator": "cpu"})
    assert as_launched(plain) == plain
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    found = as_launched(plain)
    assert (found.nodes, found.devices) == (2, 4)
    assert as_launched(found) == found  # they may be repeated
    wrong = RunConfig.decode({"model": "constant", "devices": 8})
    with pytest.raises(ConfigError, match=f"{launcher} has started 8 processes, 4 on each of 2 nodes") as caught:
        as_launched(wrong)
    assert "8 on each of 1" in caught.value.what


def test_the_script_of_a_job_is_alone(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tasks SLURM has room for: only `srun` starts them, and nobody is to be waited for."""
    for name, value in {**SLURM, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}.items():
        if "STEP" not in name:
            monkeypatch.setenv(name, value)
    two = RunConfig.decode({"model": "text_only", "accelerator": "cpu", "devices": 2})
    assert as_launched(two) == two
    model = tiny.build("text_only", store, encoder).model
    assert isinstance(starter(make_fabric(two, model)), LightningEnvironment)  # starts the other process itself
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    four = replace(two, nodes=2, devices=4)
    assert as_launched(four) == four
    assert isinstance(starter(make_fabric(four, model)), SLURMEnvironment)


def starter(fabric: Fabric) -> Any:
    """What says which process this is, and starts the others."""
    strategy: Any = fabric.strategy
    return strategy.cluster_environment
