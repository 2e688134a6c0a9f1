"""Two commands on one output at the same time: the same result, or one clear refusal; nothing is lost.

One round by default, twenty with `-m slow`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tiny
from commands import contents, start, write_clips, write_table
from mecam.data.store import Store

Command = Callable[[Path, Path], Sequence[object]]


def imported(source: Path, out: Path) -> Sequence[object]:
    return ("data", "import", source / "label.csv", "-o", out)


def extracted(source: Path, out: Path) -> Sequence[object]:
    return ("extract", source / "clips", "-o", out, "--extractor", "mecam-audio", "--jobs", "1")


def trained(source: Path, out: Path) -> Sequence[object]:
    small = ("--model", "lf_dnn", "--set", "training.epochs=1", "--set", "data.without=[text]")
    return ("train", "--data", source / "store", "--out", out, *small)


COMMANDS: dict[str, Command] = {"import": imported, "extract": extracted, "train": trained}
REFUSALS = ("another mecam", "exists already")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("source")
    write_table(folder / "label.csv")
    write_clips(folder / "clips")
    task = tiny.TASKS["regression"]
    tiny.write_store(folder / "store", task, tiny.utterances(task, 50))
    return folder


def twice(name: str, source: Path, folder: Path, rounds: int) -> None:
    command, results = COMMANDS[name], []
    for number in range(rounds):
        out = folder / f"{number}" / "out"
        out.parent.mkdir()
        both = [start(folder, *command(source, out)) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in both]
        codes = [process.returncode for process in both]
        assert 0 in codes, said
        for code, text in zip(codes, said, strict=True):
            assert code in (0, 1), text
            if code:
                told = [line for line in text.splitlines() if line.startswith("error: ")]
                assert len(told) == 1, text
                assert any(refusal in told[0] for refusal in REFUSALS), text
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        if name == "train":
            results.append((out / "predictions.csv").read_bytes())
            assert json.loads((out / "metrics.json").read_text())["test"]
        else:
            assert len(Store(out, verify=True)) == (200 if name == "import" else 6)
            results.append(json.dumps(contents(out)).encode())
    assert len(set(results)) == 1


@pytest.mark.parametrize("name", ["import", pytest.param("extract", marks=pytest.mark.slow)])
def test_two_at_once_lose_nothing(name: str, source: Path, tmp_path: Path) -> None:
    twice(name, source, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_two_at_once_twenty_times(name: str, source: Path, tmp_path: Path) -> None:
    twice(name, source, tmp_path, 20)
