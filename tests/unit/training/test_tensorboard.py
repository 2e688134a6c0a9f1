"""TensorBoard holds the history, and is asked for by name when it is missing."""

import csv
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

import tiny
from mecam.data.store import Store
from mecam.errors import MissingExtraError
from mecam.runs.config import RunConfig
from mecam.training.run import train
from mecam.training.tensorboard import tensorboard

HAVE_IT = importlib.util.find_spec("tensorboard") is not None
needs_it = pytest.mark.skipif(not HAVE_IT, reason="the extra `tensorboard` is not installed")
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's own imports


def written(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "thirty", task, tiny.utterances(task, 30))


def config(encoder: str, **training: Any) -> RunConfig:
    return RunConfig.decode(
        {
            "model": {"name": "mecam", "encoder": encoder, "width": 16, "layers": 1},
            "training": {"epochs": 2, "precision": "32", **training},
            "accelerator": "cpu",
            "seeds": 2,
        }
    )


@needs_it
@quiet
def test_a_run_leaves_every_term_of_its_history_seed_by_seed(store: Store, encoder: str, tmp_path: Path) -> None:
    out = train(config(encoder, tensorboard=True), store, tmp_path / "run")
    assert sorted(path.name for path in (out / "tensorboard").iterdir()) == ["1111", "1112"]
    with (out / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [row for row in csv.DictReader(file) if row["seed"] == "1112"]
    scalars = written(out / "tensorboard" / "1112")
    columns = [key for key in history[0] if key not in ("seed", "epoch", "best")]
    assert {"loss/task", "valid/mae", "learning_rate", "seconds"} <= set(scalars)
    assert len(columns) > 20
    for column in columns:
        tag = column.replace("_", "/", 1) if column.startswith(("loss_", "valid_")) else column
        known = [(int(float(row["epoch"])), float(row[column])) for row in history]
        known = [(step, value) for step, value in known if math.isfinite(value)]
        assert scalars.get(tag, []) == [(step, pytest.approx(value, rel=1e-5)) for step, value in known]


@needs_it
@quiet
def test_a_row_is_on_disk_before_the_training_is_over(tmp_path: Path) -> None:
    with tensorboard(tmp_path / "run") as record:
        record({"epoch": 1.0, "loss_task": 0.5, "valid_corr": float("nan")})
        assert written(tmp_path / "run") == {"loss/task": [(1, 0.5)]}


def test_without_the_option_nothing_is_written(store: Store, encoder: str, tmp_path: Path) -> None:
    out = train(config(encoder, epochs=1), store, tmp_path / "run")
    assert not (out / "tensorboard").exists()


def test_without_the_package_the_extra_is_named_before_anything_is_written(
    store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    missing = {"tensorboard", "tensorboardX"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest))
    with pytest.raises(MissingExtraError, match=r'pip install "mecam\[tensorboard\]"'):
        train(config(encoder, tensorboard=True), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()
