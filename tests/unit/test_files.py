"""Whole or not at all: nothing half-written, nothing lost, nothing left behind."""

import errno
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.files import replace_folder, whole_file, whole_folder, write_whole


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
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        replace_folder(tmp_path / "new", tmp_path / "target")
    assert names(tmp_path / "target") == {"target"}
