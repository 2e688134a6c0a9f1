"""A full disk: one line that says where and what to do, nothing half-written, and what was there stays."""

import os
import sys
from pathlib import Path

import pytest

import tiny
from commands import contents, start, write_clips, write_table

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits")

LIMIT = """
import resource, signal, sys

if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
    sys.argv = ["mecam", *sys.argv[2:]]
    from mecam.cli import main
    sys.exit(main())
"""


def short_of_room(folder: Path, room: int, *arguments: object) -> tuple[int, str]:
    """Run a command whose files may have so many bytes."""
    script = folder / "command.py"
    script.write_text(LIMIT if sys.platform != "win32" else "")
    process = start(folder, *arguments, memory=room)
    _, said = process.communicate(timeout=300)
    return process.returncode, said


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_store_that_finds_no_room_leaves_nothing(room: int, tmp_path: Path) -> None:
    table = write_table(tmp_path / "label.csv")
    place = tmp_path / "place"
    place.mkdir()
    code, said = short_of_room(tmp_path, room, "data", "import", table, "-o", place / "store")
    assert code == 1
    told = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "cannot write here" in told[0]
    assert "free some space" in said
    assert "Traceback" not in said
    assert list(place.iterdir()) == []


def test_an_extraction_that_finds_no_room_keeps_the_old_store(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 1)
    task = tiny.TASKS["regression"]
    tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 5))
    before = contents(tmp_path / "store")
    again = ("extract", clips, "-o", tmp_path / "store", "--extractor", "mecam-audio", "--jobs", "1", "--overwrite")
    code, said = short_of_room(tmp_path, 2000, *again)
    assert code == 1, said
    assert "Traceback" not in said
    assert contents(tmp_path / "store") == before
    assert [path.name for path in tmp_path.glob(".*.partial")] == []


@pytest.mark.slow
def test_a_training_that_finds_no_room_says_so(tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    store = tiny.write_store(tmp_path / "store", task, tiny.utterances(task, 50)).path
    small = ("--model", "lf_dnn", "--set", "training.epochs=1", "--set", "data.without=[text]")
    given = ("train", "--data", store, "--out", tmp_path / "run", *small)
    code, said = short_of_room(tmp_path, 4000, *given)
    assert code == 1
    assert "Traceback" not in said
    assert "free some space" in said
    assert [path.name for path in (tmp_path / "run").rglob(".*")] == []
    (tmp_path / "command.py").unlink()
    process = start(tmp_path, *given)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
