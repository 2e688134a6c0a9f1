"""A run folder as one object: its predictions, its store, and when it is finished."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from mecam.cli import main
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import DataError, ModelError, TrainingError
from mecam.report.run_page import write_report
from mecam.runs.config import RunConfig
from mecam.runs.predictions import interval_around, prediction_rows, predictions_of_rows
from mecam.runs.run import RunFolder
from mecam.training.run import train
from mecam.types import Predictions

CONSTANT = {"model": "constant", "seeds": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and a finished run of it, as they lie on a machine. Copy before changing."""
    folder = tmp_path_factory.mktemp("machine")
    task = tiny.TASKS["regression"]
    store = tiny.write_store(folder / "data" / "fifty", task, tiny.utterances(task, 50))
    train(RunConfig.decode(CONSTANT), store, folder / "runs" / "mine", command="mecam train --out runs/mine")
    return folder


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    shutil.copytree(home, tmp_path / "somewhere")
    return tmp_path / "somewhere"


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text("utf-8"))
    how(content)
    path.write_text(json.dumps(content), "utf-8")


def test_predictions_are_those_of_the_seeds(home: Path) -> None:
    run = RunFolder.open(home / "runs" / "mine")
    assert run.seeds == (1111, 1112)
    assert list(run.predictions) == ["test", "valid"]
    for seeds in run.predictions.values():
        assert len(seeds) == 2
    mae = [float(np.abs(p.prediction - p.truth).mean()) for p in run.predictions["test"]]  # type: ignore[operator]
    assert mae == pytest.approx(run.metrics["test"]["mae"]["per_seed"], rel=1e-12)


def test_a_folder_without_its_seeds_says_the_same(copied: Path) -> None:
    run = RunFolder.open(copied / "runs" / "mine")
    kept = run.predictions
    ends = run.intervals("test")
    shutil.rmtree(copied / "runs" / "mine" / "seeds")
    older = RunFolder.open(copied / "runs" / "mine")
    assert list(older.predictions) == list(kept)
    for split, seeds in kept.items():
        for one, other in zip(seeds, older.predictions[split], strict=True):
            assert (one.ids, one.videos, one.speakers) == (other.ids, other.videos, other.speakers)
            np.testing.assert_array_equal(one.prediction, other.prediction)
            np.testing.assert_array_equal(one.truth, other.truth)
    assert ends is not None
    np.testing.assert_allclose(older.intervals("test"), ends, atol=1e-12)
    write_report(copied / "runs" / "mine")


def test_intervals_of_the_table_are_those_that_were_written() -> None:
    """Of utterances with more or less missing, some of them at an end of the scale."""
    task = tiny.TASKS["regression"]
    scores, wider = np.array([-2.9, 0.1, 2.5, 1.0]), np.array([1.0, 1.5, 2.0, 1.0])
    p = Predictions(
        ("a", "b", "c", "d"), ("v", "v", "w", "w"), scores, np.array([0.5, 1.0, -1.0, 2.0]), interval_scales=wider
    )
    utterances = [replace(u, id=name) for u, name in zip(tiny.utterances(task, 4), p.ids, strict=True)]
    dataset = Dataset(utterances, task=task)
    rows = [
        {k: str(v) for k, v in row.items()}
        for row in prediction_rows(dataset.task, {"test": dataset.texts}, {7: ({"test": p}, 0.8)})
    ]
    (found, half), *none = predictions_of_rows(task, rows).values()
    assert not none
    assert half == pytest.approx(0.8)
    for i, score in enumerate(scores):
        written = interval_around(task, score, 0.8 * wider[i])
        assert interval_around(task, score, float(found["test"].interval_half_widths(half)[i])) == pytest.approx(
            written
        )


def test_seeds_that_predict_other_utterances_are_refused(copied: Path) -> None:
    place = copied / "runs" / "mine"
    shutil.rmtree(place / "seeds")
    change(place / "environment.json", lambda facts: facts.pop("files"))
    table = (place / "predictions.csv").read_text("utf-8").splitlines()
    (place / "predictions.csv").write_text("\n".join(table[:-1]) + "\n", "utf-8")
    with pytest.raises(DataError, match="different utterances"):
        RunFolder.open(place).predictions  # noqa: B018


def test_the_store_is_found_where_the_run_says_it_lay(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunFolder(home / "runs" / "mine")
    assert run.store().path.resolve() == (home / "data" / "fifty").resolve()
    shutil.copytree(home / "runs", tmp_path / "elsewhere")  # the run alone has moved
    assert RunFolder(tmp_path / "elsewhere" / "mine").store().path.resolve() == (home / "data" / "fifty").resolve()


def test_a_run_and_its_store_may_move_together(copied: Path, home: Path) -> None:
    assert RunFolder(copied / "runs" / "mine").store().path.resolve() == (copied / "data" / "fifty").resolve()


def test_other_data_in_its_place_is_refused_unless_it_is_given(copied: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(copied)
    run, place = RunFolder(copied / "runs" / "mine"), copied / "data" / "fifty"
    change(copied / "runs" / "mine" / "environment.json", lambda facts: facts["data"].pop("path"))
    shutil.rmtree(place)
    task = tiny.TASKS["regression"]
    tiny.write_store(place, task, tiny.utterances(task, 40, seed=1))
    with pytest.raises(DataError, match="contain other data") as caught:
        run.store()
    assert str(place) in str(caught.value)
    assert "--data" in str(caught.value)
    assert len(run.store(place)) == 40
    shutil.rmtree(place)
    with pytest.raises(DataError, match="there is no store"):
        run.store()


def test_runs_of_earlier_versions_name_the_store_in_their_command(copied: Path, monkeypatch: Any) -> None:
    def earlier(facts: dict[str, Any]) -> None:
        del facts["data"]["path"], facts["data"]["path_from_run"]
        facts["command"] = "mecam train --data data/fifty --out runs/mine"

    place = copied / "runs" / "mine"
    change(place / "environment.json", earlier)
    assert RunFolder(place).store().path.resolve() == (copied / "data" / "fifty").resolve()
    monkeypatch.chdir(copied)
    (place / "environment.json").unlink()
    with pytest.raises(DataError, match="not found"):
        RunFolder(place).store()


def test_every_command_finds_the_store(home: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    shutil.copytree(home, tmp_path / "somewhere")
    monkeypatch.chdir(tmp_path)
    run = str(tmp_path / "somewhere" / "runs" / "mine")
    first = Store(home / "data" / "fifty").column("id")[0]
    assert main(["evaluate", run]) == 0
    assert main(["robustness", run, "--protocol", "random-missing", "--seeds", "1"]) == 0
    assert main(["explain", run, "--utterance", first]) == 0


def test_no_page_shows_where_the_store_lies(copied: Path, home: Path) -> None:
    place = copied / "runs" / "mine"
    assert str(home.resolve()) in (place / "environment.json").read_text("utf-8")
    page = write_report(place).read_text("utf-8")
    assert str(home.resolve()) not in page
    assert str(copied.resolve()) not in page


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no run here"):
        RunFolder.open(tmp_path)
    with pytest.raises(ModelError, match="there is no run here"):
        RunFolder(tmp_path).store()
    with pytest.raises(ModelError, match="no checkpoint"):
        RunFolder(tmp_path).checkpoints  # noqa: B018
    assert not RunFolder(tmp_path).is_finished()


def test_a_run_that_grows_is_not_finished_before_it_has_grown(copied: Path, home: Path) -> None:
    run, store = RunFolder(copied / "runs" / "mine"), Store(copied / "data" / "fifty")
    assert run.is_finished()
    longer = RunConfig.decode({**CONSTANT, "seeds": 3})
    read = {key: run.options[key] for key in ("store",)}
    run.claim(longer, read, overwrite=False)
    assert not RunFolder(run.folder).is_finished()
    train(longer, store, run.folder)
    assert RunFolder(run.folder).is_finished(longer, read)
    assert RunFolder(run.folder).seeds == (1111, 1112, 1113)


def test_a_run_without_its_report_gets_it_by_the_same_command(copied: Path, capsys: Any) -> None:
    """As when it was interrupted between the two."""
    place = copied / "runs" / "mine"
    same = ["train", "--data", str(copied / "data" / "fifty"), "--model", "constant", "--seeds", "2"]
    assert not (place / "report.html").exists()
    weights = (place / "seeds" / "1111" / "seed.json").read_bytes()
    assert main([*same, "--out", str(place)]) == 0
    assert (place / "report.html").stat().st_size > 1000
    assert (place / "seeds" / "1111" / "seed.json").read_bytes() == weights


def test_a_finished_demonstration_without_its_report_gets_it(copied: Path, capsys: Any) -> None:
    place = copied / "runs" / "mine"
    shutil.copytree(copied / "data" / "fifty", copied / "runs" / "mine-corpus")
    assert main(["demo", "--out", str(place)]) == 0
    assert "exists already" in capsys.readouterr().err
    assert (place / "report.html").exists()
