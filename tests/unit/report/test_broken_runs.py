"""Run folders that are broken in any way: every command that reads one says so in one error, and writes nothing."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from mecam.cli import main
from mecam.data.store import Store
from mecam.runs.config import RunConfig
from mecam.training.run import train

FILES = ["config.yaml", "environment.json", "metrics.json", "history.csv", "predictions.csv", "embeddings.npz"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "fifty", task, tiny.utterances(task, 50))


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = RunConfig.decode(
        {"model": {"name": "late_fusion"}, "data": {"without": ["text"]}, "training": {"epochs": 1}, "seeds": 2}
    )
    return train(config, store, tmp_path_factory.mktemp("runs") / "finished")


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 1])


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """Who opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def huge(path: Path) -> None:
    """It takes no room on the disk."""
    os.truncate(path, 8 << 30)


def swapped(path: Path) -> None:
    """Something valid of another kind."""
    path.write_text({".json": "[1]", ".yaml": "- a\n- b\n", ".csv": "a,b\n1,x\n"}.get(path.suffix, ""))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "cut": cut,
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00\x80" * 9),
    "empty": lambda path: path.write_text(""),
    "a folder": folder,
    **({"a pipe": pipe} if hasattr(os, "mkfifo") else {}),
    "huge": huge,
    "of another kind": swapped,
    "nested": lambda path: path.write_text("[" * 100_000),
}


def commands(run: Path, store: Path, other: Path) -> Iterator[list[str]]:
    yield ["report", str(run)]
    yield ["compare", str(run), str(other)]
    yield ["evaluate", str(run), "--data", str(store)]
    yield ["predict", str(store), "--model", str(run)]
    yield ["explain", "utterance", str(run), "none-such"]
    yield ["robustness", str(run), "--protocol", "missing-modality", "--seeds", "1", "--only", "audio.absent"]


QUICK = [name for name in ("cut", "nested", "a pipe") if name in DAMAGES]
READERS = ("report", "compare")
"""Commands that read every file of a run; the others are tried on the files that are cut, and on all with `-m slow`."""


@pytest.mark.parametrize(
    ("damage", "asked"),
    [
        *((name, READERS) for name in QUICK),
        ("cut", ("evaluate", "predict", "explain", "robustness")),
        *(pytest.param(name, None, marks=pytest.mark.slow) for name in DAMAGES),
    ],
)
def test_a_broken_run_is_one_error(
    damage: str,
    asked: tuple[str, ...] | None,
    store: Store,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in FILES:
        run = tmp_path / name / "run"
        shutil.copytree(finished, run)
        if not (run / name).exists():
            continue
        DAMAGES[damage](run / name)
        for command in commands(run, store.path, finished):
            if asked is not None and command[0] not in asked:
                continue
            capsys.readouterr()
            code = main(command)  # whatever is no MecamError comes through
            said = capsys.readouterr().err
            if command[0] in ("report", "compare") and name != "embeddings.npz":
                harmless = name == "config.yaml" and damage in ("empty", "cut", "of another kind", "nested")
                assert code == 1 or harmless, (name, command)
            if code:
                assert code == 1
                assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1, said


@pytest.mark.parametrize("name", ["seed.json", "history.csv", "valid.npz", "resume.pt"])
@pytest.mark.parametrize(
    "damage", ["cut", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bytes", "empty", "of another kind"))]
)
def test_a_broken_seed_says_what_to_delete(
    damage: str, name: str, store: Store, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    seed = run / "seeds" / "1112"
    if name == "resume.pt":  # an interrupted seed
        (seed / "seed.json").unlink()
        shutil.copyfile(seed / "checkpoint" / "model.safetensors", seed / name)
    DAMAGES[damage](seed / name)
    again = ["train", "--data", str(store.path), "--out", str(run), "--config", str(run / "config.yaml")]
    assert main(again) == 1
    said = capsys.readouterr().err
    assert "delete" in said
    assert str(seed) in " ".join(said.split()).replace(" ", "") or str(seed) in said
    (seed / name).unlink() if name == "resume.pt" else shutil.rmtree(seed)
    assert main(again) == 0
    for same in ("predictions.csv", "metrics.json"):
        assert (run / same).read_bytes() == (finished / same).read_bytes()


def test_a_configuration_that_cannot_be_read_is_not_overwritten(
    store: Store, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "config.yaml").write_text("a: &a [*a]\n")
    assert main(["train", "--data", str(store.path), "--out", str(run), "--model", "constant"]) == 1
    assert "config.yaml cannot be read" in capsys.readouterr().err
    assert json.loads((run / "metrics.json").read_text())
