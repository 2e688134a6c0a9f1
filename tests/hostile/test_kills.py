"""Whatever a command was doing when it was killed: the same command again gives what it gives undisturbed.

Nothing is left behind but what the command makes. One kill of each kind by default, twenty with `-m slow`.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tiny
from commands import contents, start, write_clips, write_table
from trained_runs import make_run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

SAME = ("predictions.csv", "manifest.json", "utterances.jsonl", "robustness.csv", "comparison_pairs.csv")
"""Files without a time, a speed or a use of memory in them; with all arrays, they are what must not change."""

Command = Callable[[Path], Sequence[object]]


def encoder_of(folder: Path) -> Sequence[object]:
    return ("--set", f"model.encoder={folder.parent / 'encoder'}", "--set", "training.precision=32")


def imported(folder: Path) -> Sequence[object]:
    return ("data", "import", folder / "table" / "label.csv", "-o", folder / "out", "--overwrite")


def extracted(folder: Path, jobs: str = "2") -> Sequence[object]:
    names = ("--extractor", "mecam-audio", "--jobs", jobs, "--overwrite")
    return ("extract", folder / "talks", "-o", folder / "out", *names)


def extracted_by_one(folder: Path) -> Sequence[object]:
    return extracted(folder, "1")


def trained(folder: Path) -> Sequence[object]:
    small = ("--model", "lf_dnn", "--seeds", "2", "--set", "training.epochs=2", *encoder_of(folder))
    return ("train", "--data", folder / "store", "--out", folder / "out", *small)


def compared(folder: Path) -> Sequence[object]:
    small = ("--models", "lf_dnn,constant", "--set", "training.epochs=1", *encoder_of(folder))
    return ("train", "--data", folder / "store", "--out", folder / "out", *small)


def measured(folder: Path) -> Sequence[object]:
    small = ("--protocol", "missing-modality", "--seeds", "1", "--data", folder / "store")
    return ("robustness", folder / "run", "--out", folder / "out", *small)


COMMANDS: dict[str, Command] = {
    "import": imported,
    "extract": extracted,
    "extract by one": extracted_by_one,
    "train": trained,
    "compare": compared,
    "robustness": measured,
}


def prepared(folder: Path, encoder: str) -> Path:
    """All that the commands read, the same in every folder."""
    folder.mkdir()
    shutil.copytree(encoder, folder.parent / "encoder", dirs_exist_ok=True)
    (folder / "table").mkdir()  # which gives the data set its name
    write_table(folder / "table" / "label.csv")
    write_clips(folder / "talks")
    task = tiny.TASKS["regression"]
    store = tiny.write_store(folder / "store", task, tiny.utterances(task, 50))
    make_run(folder / "run", "lf_dnn", store, encoder)
    return folder


def result(folder: Path) -> dict[str, str]:
    """What must be the same."""
    made = contents(folder / "out")
    return {name: sha for name, sha in made.items() if name.rpartition("/")[2] in SAME or name.endswith(".safetensors")}


def finish(folder: Path, command: Command) -> float:
    """Run to the end; how long it took."""
    began = time.monotonic()
    process = start(folder, *command(folder))
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return time.monotonic() - began


def kill(folder: Path, command: Command, after: float) -> None:
    process = start(folder, *command(folder))
    time.sleep(after)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def killed_and_given_again(name: str, folder: Path, encoder: str, kills: int) -> None:
    command, draw = COMMANDS[name], random.Random(name)
    taken = finish(prepared(folder / "whole", encoder), command)
    expected = result(folder / "whole")
    assert expected
    disturbed = prepared(folder / "disturbed", encoder)
    for number in range(kills):
        if number % 4 == 0 and (disturbed / "out").is_dir() and name != "import":
            (disturbed / "out").rename(folder / f"done{number}")
        kill(disturbed, command, draw.uniform(0.2, 1.1) * taken)
        if number % 4 == 3 or number == kills - 1:
            finish(disturbed, command)
            assert result(disturbed) == expected
            left = [path.name for path in disturbed.rglob(".*") if not path.name.startswith((".command", ".lock"))]
            assert left == [], "something was left behind"


@pytest.mark.parametrize("name", ["import", pytest.param("extract by one", marks=pytest.mark.slow)])
def test_a_killed_command_given_again_gives_the_same(name: str, encoder: str, tmp_path: Path) -> None:
    killed_and_given_again(name, tmp_path, encoder, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_are_killed_twenty_times(name: str, encoder: str, tmp_path: Path) -> None:
    killed_and_given_again(name, tmp_path, encoder, 20)
