"""Whole or not at all: nothing half-written, nothing lost, nothing left behind."""

import errno
import json
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.files import claimed, clear, replace_folder, restore, usual_mode, whole_file, whole_folder, write_whole


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail(whole: AbstractContextManager[Path], error: BaseException) -> None:
    with whole as partial:
        (partial / "half" if partial.is_dir() else partial).write_text("half")
        raise error


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.npz") as partial:
        partial.write_bytes(b"new")
        assert not (tmp_path / "a.npz").exists()
        assert partial.parent == tmp_path  # the same file system, so that it can be renamed
    assert (tmp_path / "a.npz").read_bytes() == b"new"
    assert write_whole(tmp_path / "a.npz", "é\r\n").read_bytes() == "é\r\n".encode()
    assert names(tmp_path) == {"a.npz"}


@pytest.mark.parametrize("error", [ValueError("what went wrong"), KeyboardInterrupt()])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "kept").write_text("old")
    for whole in (whole_file(tmp_path / "a"), whole_folder(tmp_path / "b")):
        with pytest.raises(type(error)):
            fail(whole, error)
    assert names(tmp_path) == {"a", "b"}
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "kept").read_text() == "old"


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with whole_folder(tmp_path / "a") as partial:
        (partial / "new").touch()
    assert names(tmp_path) == {"a"}
    assert names(tmp_path / "a") == {"new"}


def test_a_refusal_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write here") as caught:
        write_whole(tmp_path / "none" / "a.txt", "")
    assert str(tmp_path / "none" / "a.txt") in str(caught.value)
    with pytest.raises(DataError, match="cannot write here"):
        write_whole(tmp_path / "file" / "a.txt", "")
    with pytest.raises(DataError, match="cannot write here"):
        write_whole(tmp_path / ("a" * 300), "")
    with pytest.raises(DataError, match="cannot write here"), whole_folder(tmp_path / "file" / "a"):
        pass
    with pytest.raises(DataError, match="free some"):
        fail(whole_file(tmp_path / "a", fix="free some"), OSError(errno.ENOSPC, "No space left on device"))
    assert names(tmp_path) == {"file"}


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace = os.replace

    def refuse(path: Path, target: Path) -> None:
        if path.name == "new":
            raise OSError(errno.EACCES, "Permission denied")
        replace(path, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        replace_folder(tmp_path / "new", tmp_path / "target")
    assert names(tmp_path / "target") == {"target"}


def left_behind(folder: Path, name: str, what: str) -> Path:
    """What a killed writer of `name` leaves."""
    place = folder / f".{name}.0a1b2c3d.{what}"
    place.mkdir()
    (place / "half").touch()
    return place


def test_what_killed_writers_left_is_cleared_by_the_next_one_of_that_name(tmp_path: Path) -> None:
    mine, of_another = left_behind(tmp_path, "a", "partial"), left_behind(tmp_path, "b", "partial")
    longer = left_behind(tmp_path, "a.b", "partial")
    with whole_folder(tmp_path / "a"):
        assert not mine.exists()
    assert of_another.exists()
    assert longer.exists()
    write_whole(tmp_path / "b", "text")
    assert names(tmp_path) == {"a", "b", longer.name}


def test_what_was_being_replaced_comes_back(tmp_path: Path) -> None:
    """A command was killed after it had taken the old store away and before the new one was in its place."""
    left_behind(tmp_path, "a", "old")
    left_behind(tmp_path, "a", "partial")
    assert restore(tmp_path / "a")
    assert names(tmp_path) == {"a"}
    assert names(tmp_path / "a") == {"half"}
    left_behind(tmp_path, "a", "old")  # killed a moment later: the new one stands
    assert not restore(tmp_path / "none")
    with claimed(tmp_path / "a"):
        assert not any(name.endswith("old") for name in names(tmp_path))


def test_clearing_a_folder_leaves_alone_what_is_being_written(tmp_path: Path) -> None:
    orphan = left_behind(tmp_path, "b", "partial")
    ready, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with whole_file(tmp_path / "a") as partial:
            partial.write_text("half")
            ready.set()
            go_on.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    ready.wait(10)
    with claimed(tmp_path):
        clear([tmp_path])
        assert not orphan.exists()
    go_on.set()
    thread.join()
    assert (tmp_path / "a").read_text() == "half"


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="free some space there") as caught:
        fail(whole_folder(tmp_path / "a"), OSError(errno.ENOSPC, "No space left on device"))
    assert str(tmp_path / "a") in str(caught.value)
    assert names(tmp_path) == set()


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such permissions")
def test_a_file_has_the_permissions_of_any_other_whoever_made_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a") as partial:
            partial.unlink()
            partial.touch(mode=0o600)  # as the library for weights does
        assert (tmp_path / "a").stat().st_mode & 0o777 == usual_mode(tmp_path) == 0o640
    finally:
        os.umask(before)


def test_text_that_is_no_unicode_is_written_with_escapes(tmp_path: Path) -> None:
    """A file name on Linux may hold bytes that are no text; it appears in JSON, CSV and HTML."""
    text = json.dumps({"name": "caf\udce9"}, ensure_ascii=False)
    assert json.loads(write_whole(tmp_path / "a", text).read_text(encoding="utf-8")) == {"name": "caf\udce9"}
