"""Two processes on the CPU against one: the same run within rounding, whoever starts them. Killed: the same run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import tiny
from mecam.config import apply_overrides
from mecam.data.store import Store
from mecam.evaluation.predict import predict
from mecam.models.trained import load_checkpoint
from mecam.runs.config import RunConfig
from mecam.runs.predictions import read_predictions
from mecam.training.run import train as train_here

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]

SCRIPT = """
import sys
from mecam.training import loop
loop.SAVE_SECONDS = -1  # after every epoch, however short
from mecam.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""

TWO = ("--accelerator", "cpu", "--devices", "2")


def environment(**more: str) -> dict[str, str]:
    """Of a process of training: as the test's own, but for what a launcher or a batch system has told this one."""
    told = {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK"}
    known = {key: value for key, value in os.environ.items() if key not in told and not key.startswith("SLURM")}
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [known.get("PYTHONPATH")])])
    return {**known, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def command(
    folder: Path, store: Path, out: str, settings: Sequence[str], *more: str, script: str = SCRIPT
) -> list[str]:
    """`mecam train` by a script that saves its state after every epoch; `*more` goes to it."""
    place = folder / "command.py"
    place.write_text(script, encoding="utf-8")
    return [sys.executable, str(place), *arguments(folder, store, out, settings), *more]


def arguments(folder: Path, store: Path, out: str, settings: Sequence[str]) -> list[str]:
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["train", "--data", str(store), "--out", str(folder / out), *sets]


def run(command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(**more), capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )


def killed(folder: Path, start: Sequence[str], out: str, delays: Iterator[float]) -> int:
    """Start the training and kill it, all its processes at once, some time after its state has changed.

    Returns: how often it was killed before it came to its end.
    """
    kills = 0
    for delay in delays:
        process = subprocess.Popen(
            start, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        before, until = states(folder / out), time.monotonic() + 300
        while states(folder / out) == before and process.poll() is None and time.monotonic() < until:
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


def differing(one: Path, other: Path) -> list[str]:
    """Files that say other things about what was learned."""
    first, second = learned(one), learned(other)
    assert first
    assert first.keys() == second.keys()
    return [name for name in first if first[name] != second[name]]


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 36 utterances of train: 6 batches of 6."""
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "sixty", task, tiny.utterances(task, 60)).path


def small(encoder: str, **options: Any) -> list[str]:
    """MECAM, small. What draws at random has a generator of its own in each process, and is off here."""
    model = {"width": 16, "layers": 1, "dropout": 0.0, "filter.order": 0.0, "filter.conflict": 0.0, **options}
    return [
        *(f"model.encoder={encoder}", "data.batch_size=6", "training.precision=32", "training.epochs=4"),
        *(f"model.{key}={json.dumps(value)}" for key, value in model.items()),
    ]


@pytest.fixture(scope="module")
def two(encoder: str, sixty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that Fabric has started."""
    folder = tmp_path_factory.mktemp("runs")
    done = run([*command(folder, sixty, "two", small(encoder)), *TWO])
    assert done.returncode == 0, done.stderr[-9000:]
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder / "two"


def test_two_processes_equal_one(two: Path, sixty: Path, encoder: str, tmp_path: Path) -> None:
    """Gradients are averaged over two batches, which is what accumulating two batches does in one process."""
    values = apply_overrides({"accelerator": "cpu"}, [*small(encoder), "training.accumulate=2"])
    train_here(RunConfig.decode(values), Store(sixty), tmp_path / "one")
    one, other = (load_file(path / "checkpoint" / "model.safetensors") for path in (tmp_path / "one", two))
    assert one.keys() == other.keys()
    gaps = {key: float(np.abs(one[key] - other[key]).max()) for key in one}
    assert max(gaps.values()) < 2e-3, max(gaps, key=lambda key: gaps[key])
    metrics = [json.loads((path / "metrics.json").read_text(encoding="utf-8")) for path in (tmp_path / "one", two)]
    assert metrics[0]["test"]["mae"]["mean"] == pytest.approx(metrics[1]["test"]["mae"]["mean"], rel=1e-3)


def test_one_of_two_processes_speaks(two: Path) -> None:
    told, noted = ((two.parent / name).read_text() for name in ("stdout", "stderr"))
    assert told.count("report: ") == 1
    assert noted.count("epoch 1") == 1
    assert noted.count("training …") == 1
    assert "Automatic Mixed Precision" not in noted


def test_what_processes_predict_together_is_what_one_predicts(two: Path, sixty: Path) -> None:
    trained, store = load_checkpoint(two), Store(sixty)
    for split in ("valid", "test"):
        alone = predict(trained.model, trained.dataset(store, store.split(split)), trained.collator, details=True)
        (place,) = two.glob(f"seeds/*/{split}.npz")
        together = read_predictions(place)
        assert together.ids == alone.ids
        assert np.array_equal(together.prediction, alone.prediction)
        for one, other in zip(together.gates, alone.gates, strict=True):
            assert all(np.array_equal(one[m], other[m], equal_nan=True) for m in {*one, *other})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", "mecam"]


def finished(*started: "subprocess.Popen[str]") -> list[str]:
    """What each has noted, once all have ended well; none is left behind."""
    try:
        notes = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(process.returncode == 0 for process in started), "\n".join(notes)[-9000:]
    return notes


def started(whole: Sequence[str], **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        whole, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_starts_the_same_run(nodes: int, two: Path, sixty: Path, encoder: str, tmp_path: Path) -> None:
    """On one machine with two processes, and on "two machines" with one process each, which meet at an address."""
    asked = [*arguments(tmp_path, sixty, "run", small(encoder)), "--accelerator", "cpu"]
    if nodes == 1:
        starts = [torchrun("--standalone", "--nnodes", "1", "--nproc-per-node", "2")]
    else:
        meet = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "mecam")
        starts = [torchrun("--nnodes", "2", "--nproc-per-node", "1", *meet)] * 2
    notes = finished(*(started([*start, *asked]) for start in starts))
    assert "".join(notes).count("epoch 1") == 1
    assert differing(two, tmp_path / "run") == []
    kept = RunConfig.decode(read_config(tmp_path / "run"))
    assert (kept.nodes, kept.devices) == (nodes, 2 // nodes)


@pytest.mark.slow
def test_slurm_starts_the_same_run(two: Path, sixty: Path, encoder: str, tmp_path: Path) -> None:
    """As `srun --ntasks-per-node=2 mecam train` does: every task gets the same command and its number."""
    asked = [*arguments(tmp_path, sixty, "run", small(encoder)), "--accelerator", "cpu"]
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    job |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    job |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(free_port())}
    tasks = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
    finished(*(started([sys.executable, "-m", "mecam", *asked], **job, **task) for task in tasks))
    assert differing(two, tmp_path / "run") == []


def read_config(run: Path) -> Mapping[str, Any]:
    import yaml

    found: Mapping[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return found


def test_a_killed_training_ends_as_if_it_had_not_been(two: Path, sixty: Path, encoder: str, tmp_path: Path) -> None:
    """By SIGKILL, wherever it happens to be."""
    again = [*command(tmp_path, sixty, "torn", small(encoder)), *TWO]
    assert killed(tmp_path, again, "torn", iter((0.1,))) == 1
    done = run(again)
    assert done.returncode == 0, done.stderr[-9000:]
    assert differing(two, tmp_path / "torn") == []


@pytest.mark.slow
@pytest.mark.parametrize(("model", "two"), [("mecam", False), ("mecam", True), ("mecam_published", True)])
def test_a_training_may_be_killed_often(model: str, two: bool, encoder: str, sixty: Path, tmp_path: Path) -> None:
    """Dropout is on, so that a generator out of step would show."""
    options = small(encoder, dropout=0.3) if model == "mecam" else [f"model.encoder={encoder}"]
    options += ["training.epochs=12", "training.patience=12"]
    more = ["--model", model, *(TWO if two else ("--accelerator", "cpu"))]
    whole, torn = ([*command(tmp_path, sixty, out, options), *more] for out in ("whole", "torn"))
    done = run(whole)
    assert done.returncode == 0, done.stderr[-9000:]
    assert killed(tmp_path, torn, "torn", iter((0.0, 0.13, 0.37))) >= 1
    done = run(torn)
    assert done.returncode == 0, done.stderr[-9000:]
    assert differing(tmp_path / "whole", tmp_path / "torn") == []


BROKEN = """
import os
from mecam.models.text_only import TextOnly
whole = TextOnly.losses
def losses(self, output, batch):
    bad = float("nan") if os.environ.get("LOCAL_RANK") == "1" else 1.0
    return {name: loss * bad for name, loss in whole(self, output, batch).items()}
TextOnly.losses = losses
"""


def test_a_bad_loss_in_one_process_ends_them_all(encoder: str, sixty: Path, tmp_path: Path) -> None:
    """The other would wait for its gradients for ever. It says which utterances the other one had."""
    script = SCRIPT.replace("if __name__", BROKEN + "if __name__")
    options = [f"model.encoder={encoder}", "data.batch_size=6"]
    done = run([*command(tmp_path, sixty, "out", options, script=script), "--model", "text_only", *TWO])
    assert done.returncode == 1
    assert done.stderr.count("error: training produced a value that is not finite: task = nan") == 1
    (line,) = [line for line in done.stderr.splitlines() if "where:" in line]
    assert "process 1: batch of" in line
    assert len(line.partition("batch of")[2].split(",")) == 6
    assert not (tmp_path / "out" / "metrics.json").exists()
