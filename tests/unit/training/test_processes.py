"""Two processes on the CPU against one: the same run within rounding."""

import json
import os
import subprocess
import sys
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
from mecam.training.run import RunConfig, train
import json
if __name__ == "__main__":
    values = json.loads(sys.argv[1])
    train(RunConfig.decode(values), Store(sys.argv[2]), Path(sys.argv[3]), overwrite="--overwrite" in sys.argv)
"""


def train(folder: Path, store: Path, out: str, values: object, *more: str) -> subprocess.CompletedProcess[str]:
    script = folder / "train.py"
    script.write_text(SCRIPT.format(paths=[str(Path(__file__).parents[3] / "src")]), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), json.dumps(values), str(store), str(folder / out), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_two_processes_equal_one(encoder: str, tmp_path: Path) -> None:
    """Gradients are averaged over two batches, which is what accumulating two batches does in one process."""
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 60))  # 36 of train: 6 batches of 6
    values = {
        "model": {"encoder": encoder, "width": 16, "layers": 1, "dropout": 0.0},
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
