"""Many runs at once: none redone, no failure in the way of the others, and the rows that a table is made of."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import tiny
from mecam.data.mixture import WeightedStore
from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.experiments import executors, grid
from mecam.experiments.executors import Call, Ears, Line, Over
from mecam.experiments.grid import Member, train_grid
from mecam.experiments.variants import FULL, Variant, ablation, members_of, model_variants, tuned_variants
from mecam.models.registry import MODELS
from mecam.runs.config import RunConfig, record_of
from mecam.runs.run import RunFolder
from mecam.training.costs import resident_mb


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "s", task, tiny.utterances(task, 30))


def member(name: str, model: str = "constant", **changes: Any) -> Member:
    return Member(name, RunConfig.decode({"model": {"name": model}, "accelerator": "cpu", **changes}))


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run what a child would run here and now, and note what was trained."""
    trained: list[str] = []

    class Done:
        exitcode = 0

        def __init__(self, target: Any, args: Any, daemon: bool) -> None:
            self.target, self.args = target, args

        def start(self) -> None:
            trained.append(self.args[1].name)
            self.target(*self.args)

        def join(self) -> None:
            pass

        def terminate(self) -> None:
            pass

    context = executors._context()
    monkeypatch.setattr(executors, "_context", lambda: type("C", (), {"Process": Done, "Pipe": context.Pipe}))
    return trained


def test_a_grid_goes_on_and_its_failures_stay_its_own(
    store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = in_this_process(monkeypatch)
    members = [member("a"), member("broken", "text_only"), member("b", seeds=2)]
    broken = {"name": "text_only", "encoder": str(tmp_path / "nowhere")}
    members[1] = Member("broken", RunConfig.decode({"model": broken, "accelerator": "cpu"}))
    calls: list[tuple[int, int, str]] = []
    outcome = train_grid(members, store, tmp_path / "runs", progress=lambda *call: calls.append(call))
    assert list(outcome.folders) == ["a", "b"]
    assert "nowhere" in outcome.failed["broken"]
    assert trained == ["a", "broken", "b"]
    assert calls[-1][0] == calls[-1][1] == 3 * grid.PARTS
    assert [done for done, *_ in calls] == sorted(done for done, *_ in calls)
    before = (outcome.folders["a"] / "metrics.json").stat().st_mtime_ns
    trained.clear()
    again = train_grid(members, store, tmp_path / "runs")
    assert trained == ["broken"]  # what is finished is left alone, what failed is tried again
    assert again.folders == outcome.folders
    assert (outcome.folders["a"] / "metrics.json").stat().st_mtime_ns == before
    trained.clear()
    train_grid([member("a", seeds=2)], store, tmp_path / "runs")
    assert trained == ["a"]  # it grows by a seed
    assert json.loads((tmp_path / "runs" / "a" / "environment.json").read_text())["seeds"] == [1111, 1112]


def test_a_finished_run_is_known_by_all_that_it_read(store: Store, tmp_path: Path) -> None:
    one = member("a")
    read = record_of([WeightedStore(store)])
    assert not RunFolder(tmp_path / "runs" / "a").is_finished(one.config, read)
    from mecam.training.run import train

    train(one.config, store, tmp_path / "runs" / "a")
    assert RunFolder(tmp_path / "runs" / "a").is_finished(one.config, read)
    assert not RunFolder(tmp_path / "runs" / "a").is_finished(member("a", seeds=2).config, read)
    assert not RunFolder(tmp_path / "runs" / "a").is_finished(one.config, {"store": {"name": "other"}})
    (tmp_path / "runs" / "a" / "environment.json").unlink()
    assert not RunFolder(tmp_path / "runs" / "a").is_finished(one.config, read)


def die(line: Line) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def talk(line: Line) -> str:
    line.tell(1, 2, "half")
    return f"{line.ask('how much?')} {line.again}"


@pytest.mark.slow
def test_processes_run_side_by_side_and_one_that_is_killed_is_reported(store: Store, tmp_path: Path) -> None:
    members = [member("a"), member("b"), member("c")]
    outcome = train_grid(members, store, tmp_path / "runs", jobs=2)
    assert list(outcome.folders) == ["a", "b", "c"]
    assert not outcome.failed


@pytest.mark.posix
def test_a_job_talks_to_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_context", lambda: multiprocessing.get_context("fork"))
    told: list[Any] = []
    ears = Ears(told=lambda *what: told.append(what), asked=lambda name, question: (name, question))
    executor = executors.ProcessExecutor(2)
    executor.start(Call("talks", talk))
    executor.start(Call("dies", die))
    ended: list[Over] = []
    until = time.monotonic() + 60
    while len(ended) < 2 and time.monotonic() < until:
        ended += executor.listen(ears)
    by_name = {over.name: over for over in ended}
    assert by_name["talks"].result == "('talks', 'how much?') False"
    assert told == [("talks", 1, 2, "half")]
    assert "killed by signal 9" in str(by_name["dies"].error)


def hog(*arguments: Any) -> None:
    """Stands for a run: takes more and more memory, slowly enough to be seen."""
    held = []
    while True:
        held.append(bytearray(16 * 2**20))
        time.sleep(0.01)


def test_a_run_that_takes_too_much_memory_is_stopped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_work", hog)
    monkeypatch.setattr(executors, "_context", lambda: multiprocessing.get_context("fork"))
    monkeypatch.setattr(executors, "WATCHED_SECONDS", 0.05)
    limit = (resident_mb(os.getpid()) or 0) / 1024 + 0.2
    outcome = train_grid([member("a"), member("b")], store, tmp_path / "runs", jobs=2, memory_gb=limit)
    assert not outcome.folders
    assert all(f"GB of memory where {limit:g} GB are allowed" in reason for reason in outcome.failed.values())


def test_a_limit_of_memory_is_not_for_a_cluster(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Ray watches"):
        train_grid([member("a")], store, tmp_path / "runs", memory_gb=1.0, ray="local")


def test_a_tuned_row_takes_what_was_found_below_what_all_share(tmp_path: Path) -> None:
    found = {"model": {"name": "lf_dnn", "dropout": 0.4, "width": 16}, "training": {"learning_rate": 0.002}}
    for name in ("lf_dnn", "mult"):
        (tmp_path / name).mkdir()
        best = RunConfig.decode({**found, "model": found["model"] if name == "lf_dnn" else name, "tuned": "9 trials"})
        (tmp_path / name / "best.yaml").write_text(best.to_yaml())
    assert [row.name for row in tuned_variants(tmp_path)] == ["lf_dnn", "mult"]
    rows = tuned_variants(tmp_path, ["lf_dnn", "tfn"])
    members, missing = members_of(rows, {"model": {"width": 64}, "training": {"epochs": 3}, "seeds": 5})
    assert not missing
    tuned, plain = (one.config for one in members)
    assert (tuned.tuned, plain.tuned) == ("9 trials", "")
    assert (tuned.options.dropout, tuned.options.width, tuned.training.learning_rate) == (0.4, 64, 0.002)
    assert (tuned.training.epochs, tuned.seeds) == (3, 5)
    assert plain == RunConfig.decode({"model": {"name": "tfn", "width": 64}, "training": {"epochs": 3}, "seeds": 5})
    with pytest.raises(ConfigError, match="no finished search"):
        tuned_variants(tmp_path / "lf_dnn")


def test_a_grid_is_for_one_device_per_run(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one device"):
        train_grid([member("a", devices=2)], store, tmp_path / "runs")


def test_the_rows_of_an_ablation_differ_from_the_full_one_in_what_they_name() -> None:
    rows = ablation(("text", "audio", "vision"))
    assert rows[0].name == FULL
    assert len({row.name for row in rows}) == len(rows)
    wanted = {"no-filter", "with-contrast", "no-gate", "no-views", "no-talking-heads", "no-vision"}
    assert wanted | {"published", "text-only", "late-fusion"} <= {row.name for row in rows}
    members, missing = members_of(rows, {"training": {"epochs": 1}})
    by_name = {m.name: m.config for m in members}
    assert set(by_name) | set(missing) == {row.name for row in rows}
    full = by_name[FULL]
    assert full.model == "mecam"
    for name, config in by_name.items():
        assert (config == full) == (name == FULL), name
        assert config.training.epochs == 1
    assert by_name["no-filter"].options.filter.enabled is False
    assert by_name["no-filter"].options.fusion == full.options.fusion
    assert by_name["no-vision"].data.without == ("vision",)
    for name, reason in missing.items():
        assert "no such option" in reason or "there is no model" in reason, name


def test_data_of_one_modality_has_fewer_rows() -> None:
    names = {row.name for row in ablation(("audio",))}
    assert "text-only" not in names
    assert "no-audio" not in names
    assert "no-talking-heads" not in names
    assert {FULL, "no-filter", "published"} <= names


def test_shared_options_go_to_the_models_that_have_them() -> None:
    rows = [Variant("m", "", "mecam"), Variant("t", "", "text_only"), Variant("c", "", "constant")]
    members, missing = members_of(rows, {"model": {"freeze_layers": 2, "fusion": {"heads": 8}}, "seeds": 3})
    assert not missing
    options = {m.name: m.config.options for m in members}
    assert options["m"].freeze_layers == options["t"].freeze_layers == 2
    assert options["m"].fusion.heads == 8
    assert all(m.config.seeds == 3 for m in members)
    with pytest.raises(ConfigError, match="did you mean 'freeze_layers'"):
        members_of(rows, {"model": {"freze_layers": 2}})
    with pytest.raises(ConfigError, match="no such option"):
        members_of(rows, {"training": {"epoch": 2}})


def test_models_by_name() -> None:
    assert [v.name for v in model_variants(["text_only", " mecam", "text_only"])] == ["text_only", "mecam"]
    every = [v.name for v in model_variants(["all"])]
    assert "constant" not in every
    assert set(every) == set(MODELS) - {"constant"}
    with pytest.raises(ConfigError, match="there is no model 'mecan'"):
        model_variants(["mecan"])
