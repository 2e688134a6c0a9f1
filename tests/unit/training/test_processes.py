"""Two processes on the CPU against one: the same run within rounding. Processes that are killed: the same run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import tiny

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from mecam.data.store import Store
from mecam.training import loop
loop.SAVE_SECONDS = -1  # after every epoch, however short
from mecam.runs.config import RunConfig
from mecam.training.run import train
import json
if __name__ == "__main__":
    values = json.loads(sys.argv[1])
    train(RunConfig.decode(values), Store(sys.argv[2]), Path(sys.argv[3]), overwrite="--overwrite" in sys.argv)
"""


def command(folder: Path, store: Path, out: str, values: object) -> list[str]:
    script = folder / "train.py"
    script.write_text(SCRIPT.format(paths=[str(Path(__file__).parents[3] / "src")]), encoding="utf-8")
    return [sys.executable, str(script), json.dumps(values), str(store), str(folder / out)]


def train(folder: Path, store: Path, out: str, values: object, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*command(folder, store, out, values), *more]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=500, check=False)


def killed(folder: Path, store: Path, out: str, values: object, delays: Iterator[float]) -> int:
    """Start the training and kill it, all its processes at once, some time after its state has changed.

    Returns: how often it was killed before it came to its end.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    kills = 0
    for delay in delays:
        process = subprocess.Popen(
            command(folder, store, out, values),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        before = states(folder / out)
        while states(folder / out) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        if process.poll() is not None:
            return kills
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    return kills


def states(run: Path) -> list[tuple[str, int]]:
    """The saved states of a run, by path and time."""
    return [(str(path), path.stat().st_mtime_ns) for path in sorted(run.glob("seeds/*/resume.pt"))]


def learned(run: Path) -> dict[str, bytes]:
    """Every file that says what was learned, apart from what tells the time."""
    timed = {"environment.json", "history.csv", "seed.json", "report.html", "config.yaml"}
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in timed]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


LONG = {"epochs": 12, "precision": "32", "patience": 12}


@pytest.mark.parametrize(("model", "two"), [("mecam", False), ("mecam", True), ("mecam_published", True)])
def test_a_killed_training_ends_as_if_it_had_not_been(model: str, two: bool, encoder: str, tmp_path: Path) -> None:
    """By SIGKILL, wherever it happens to be: dropout is on, so that a generator out of step would show."""
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 60))
    options = {"width": 16, "layers": 1, "dropout": 0.3} if model == "mecam" else {}
    values = {
        "model": {"name": model, "encoder": encoder, **options},
        "data": {"batch_size": 6},
        "training": LONG,
        "accelerator": "cpu",
        **({"devices": 2, "strategy": "ddp"} if two else {}),
    }
    whole = train(tmp_path, tmp_path / "store", "whole", values)
    assert whole.returncode == 0, whole.stderr[-9000:]
    kills = killed(tmp_path, tmp_path / "store", "torn", values, iter((0.0, 0.13, 0.37)))
    assert kills >= 1
    done = train(tmp_path, tmp_path / "store", "torn", values)
    assert done.returncode == 0, done.stderr[-9000:]
    one, other = learned(tmp_path / "whole"), learned(tmp_path / "torn")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_two_processes_equal_one(encoder: str, tmp_path: Path) -> None:
    """Gradients are averaged over two batches, which is what accumulating two batches does in one process."""
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 60))  # 36 of train: 6 batches of 6
    # What draws at random has a generator of its own in each process: dropout, made word pairs, made contradictions.
    model = {"encoder": encoder, "width": 16, "layers": 1, "dropout": 0.0, "filter": {"order": 0.0, "conflict": 0.0}}
    values = {
        "model": model,
        "data": {"batch_size": 6},
        "training": {"epochs": 2, "precision": "32"},
        "seeds": 2,
        "accelerator": "cpu",
    }
    alone = {**values, "training": {**values["training"], "accumulate": 2}}  # type: ignore[dict-item]
    two = {**values, "devices": 2, "strategy": "ddp"}
    for name, settings in (("one", alone), ("two", two)):
        done = train(tmp_path, tmp_path / "store", name, settings)
        assert done.returncode == 0, done.stderr[-9000:]
    for seed in ("1111", "1112"):
        one, other = (
            load_file(tmp_path / n / "seeds" / seed / "checkpoint" / "model.safetensors") for n in ("one", "two")
        )
        assert one.keys() == other.keys()
        gaps = {key: float(np.abs(one[key] - other[key]).max()) for key in one}
        assert max(gaps.values()) < 2e-3, max(gaps, key=lambda key: gaps[key])
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text(encoding="utf-8")) for n in ("one", "two")]
    assert metrics[0]["test"]["mae"]["mean"] == pytest.approx(metrics[1]["test"]["mae"]["mean"], rel=1e-3)
    # The same command again goes on with the run, and --overwrite begins it anew.
    again = train(tmp_path, tmp_path / "store", "two", two)
    assert again.returncode == 0, again.stderr[-9000:]
    anew = train(tmp_path, tmp_path / "store", "two", {**two, "seeds": 1}, "--overwrite")
    assert anew.returncode == 0, anew.stderr[-9000:]
    assert not (tmp_path / "two" / "seeds" / "1112").exists()


def test_the_command_speaks_once(encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 30))
    small = [f"model.encoder={encoder}", "model.width=16", "training.epochs=1", "data.batch_size=5"]
    script = tmp_path / "command.py"
    script.write_text("import sys\nfrom mecam.cli import main\nsys.exit(main())\n", encoding="utf-8")
    command = [
        *(sys.executable, str(script), "train", "--data", str(tmp_path / "store"), "--out", str(tmp_path / "run")),
        *("--accelerator", "cpu", "--devices", "2", "--strategy", "ddp"),
        *(part for setting in small for part in ("--set", setting)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-9000:]
    assert done.stdout.count("report: ") == 1
    assert done.stderr.count("epoch 1") == 1
    assert "Automatic Mixed Precision" not in done.stderr


BROKEN = """
import os
from mecam.models.text_only import TextOnly
whole = TextOnly.losses
def losses(self, output, batch):
    bad = float("nan") if os.environ.get("LOCAL_RANK") == "1" else 1.0
    return {{name: loss * bad for name, loss in whole(self, output, batch).items()}}
TextOnly.losses = losses
"""


def test_a_bad_loss_in_one_process_ends_them_all(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other would wait for its gradients for ever."""
    monkeypatch.setitem(globals(), "SCRIPT", SCRIPT.replace("if __name__", BROKEN + "if __name__"))
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 24))
    values = {
        "model": {"name": "text_only", "encoder": encoder},
        "data": {"batch_size": 6},
        "accelerator": "cpu",
        "devices": 2,
        "strategy": "ddp",
    }
    done = train(tmp_path, tmp_path / "store", "out", values)
    assert done.returncode != 0
    assert "loss" in done.stderr
    assert "a value that is not finite occurred in another process" in done.stderr
    assert not (tmp_path / "out" / "metrics.json").exists()
