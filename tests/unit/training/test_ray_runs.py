"""Many runs on a cluster of Ray: what processes learn, to the last bit, though workers and machines are lost."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tiny
from local_cluster import two_nodes
from mecam.data.store import Store
from mecam.experiments.executors import Call, Ears, Line, Over
from mecam.experiments.grid import Member, train_grid
from mecam.experiments.ray_executor import ray_executor
from mecam.runs.config import RunConfig

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two "machines" with a core each."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with two_nodes() as made:
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the machines do not have this file
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "s", task, tiny.utterances(task, 30))


def learned(runs: Path) -> dict[str, bytes]:
    """Every file below a folder that says what was learned, apart from what tells the time."""
    timed = {"environment.json", "history.csv", "seed.json"}
    files = [path for path in sorted(runs.rglob("*")) if path.is_file() and path.name not in timed]
    return {str(path.relative_to(runs)): path.read_bytes() for path in files}


def member(name: str, encoder: str, epochs: int = 2) -> Member:
    small = {"name": "text_only", "encoder": encoder, "dropout": 0.3}
    training = {"epochs": epochs, "precision": "32"}
    return Member(name, RunConfig.decode({"model": small, "training": training, "accelerator": "cpu"}))


def test_runs_on_a_cluster_are_those_of_processes(cluster: Any, store: Store, encoder: str, tmp_path: Path) -> None:
    members = [
        member("a", encoder),
        member("b", encoder, epochs=1),
        Member("none", RunConfig.decode({"model": {"name": "text_only", "encoder": str(tmp_path / "none")}})),
    ]
    calls: list[tuple[int, int, str]] = []
    here = train_grid(members, store, tmp_path / "here", jobs=2)
    there = train_grid(
        members, store, tmp_path / "there", ray=cluster.address, progress=lambda *call: calls.append(call)
    )
    assert list(there.folders) == list(here.folders) == ["a", "b"]
    assert there.failed == here.failed
    assert learned(tmp_path / "there") == learned(tmp_path / "here") != {}
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, *_ in calls] == sorted(done for done, *_ in calls)


def test_a_trial_on_a_cluster_is_that_of_this_process(cluster: Any, store: Store, encoder: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra `tune` is not installed")
    from mecam.experiments.tuning import tune

    config = member("a", encoder).config
    here = tune(config, store, tmp_path / "here", trials=1)
    there = tune(config, store, tmp_path / "there", trials=1, ray=cluster.address)
    assert there == here
    for name in ("trials.csv", "best.yaml"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def killed_once(line: Line, member: Member, store: Store, folder: Path) -> None:
    """Train; the first worker is killed once its state is saved."""
    from mecam.experiments import grid
    from mecam.training import loop

    loop.SAVE_SECONDS = -1

    class Deadly:
        again = line.again

        def tell(self, done: int, total: int, note: str) -> None:
            if not self.again and list(folder.glob("seeds/*/resume.pt")):
                os.kill(os.getpid(), signal.SIGKILL)
            line.tell(done, total, f"{note}{' again' * self.again}")

    # `overwrite` is of the first beginning: what was lost is gone on with.
    grid._train(member.config, store, folder, Deadly(), overwrite=True, command="")  # type: ignore[arg-type]


def test_a_run_whose_worker_is_killed_goes_on_elsewhere(
    cluster: Any, store: Store, encoder: str, tmp_path: Path
) -> None:
    one = member("a", encoder, epochs=4)
    train_grid([one], store, tmp_path / "here")
    told: list[tuple[str, int, int, str]] = []
    job = partial(killed_once, member=one, store=store, folder=tmp_path / "there" / "a")
    (over,) = done(cluster, [Call("a", job)], Ears(told=lambda *what: told.append(what), asked=lambda *_: None))
    assert over.error is None
    again = [done for _, done, _, note in told if note.endswith("again")]
    assert again
    assert min(again) > 1  # an epoch is a step, and the first was saved
    assert learned(tmp_path / "there") == learned(tmp_path / "here")


def stuck_once(line: Line) -> str:
    """Stand for a run that takes long; the one that takes it up finishes it."""
    import ray

    return "taken up" if line.again else str(line.ask(ray.get_runtime_context().get_node_id()))


def test_a_run_whose_machine_is_lost_is_taken_up_by_another(cluster: Any) -> None:
    """Two runs, each on a machine: the one beside the command is well, the other's answer comes when it is gone."""
    import ray

    def lose(name: str, machine: str) -> str:
        if machine == ray.get_runtime_context().get_node_id():
            return "well"
        (lost,) = [node for node in cluster.list_all_nodes() if node.node_id == machine]
        cluster.remove_node(lost, allow_graceful=False)
        cluster.add_node(num_cpus=1)
        return "too late"

    ears = Ears(told=lambda *_: None, asked=lose)
    ended = done(cluster, [Call("a", stuck_once), Call("b", stuck_once)], ears)
    assert [over.error for over in ended] == [None, None]
    assert sorted(over.result for over in ended) == ["taken up", "well"]


def done(cluster: Any, jobs: list[Call], ears: Ears) -> list[Over]:
    """Jobs, done by the cluster."""
    with ray_executor(cluster.address, None, gpus=False) as executor:
        for job in jobs:
            executor.start(job)
        ended: list[Over] = []
        until = time.monotonic() + 240
        while len(ended) < len(jobs) and time.monotonic() < until:
            ended += executor.listen(ears)
        return ended
