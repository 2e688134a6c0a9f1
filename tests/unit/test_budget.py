import os
from pathlib import Path

import pytest

from mecam.budget import MIN_BYTES, MIN_ELEMENTS, Budget, check_regular_file, small_json, small_text
from mecam.errors import DataError


def test_a_small_file_may_ask_for_the_least_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"x" * 10)
    budget = Budget.for_file(tmp_path / "a.npz")
    budget.take("half", bytes=MIN_BYTES // 2, elements=MIN_ELEMENTS)
    with pytest.raises(DataError, match="the rest would take"):
        budget.take("the rest", bytes=MIN_BYTES // 2 + 1)
    with pytest.raises(DataError, match="elements"):
        Budget.for_file(tmp_path / "a.npz").take("ids without length", elements=10**9)


def test_time_runs_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    Budget.for_file(tmp_path / "a").check_time("reading")
    with pytest.raises(DataError, match="longer than"):
        Budget.for_file(tmp_path / "a", seconds=-1.0).check_time("reading")


@pytest.mark.posix
def test_pipes_and_devices_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(DataError):
            check_regular_file(path)


def test_what_describes_something_is_small(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text('{"a": [1, 2]}')
    assert small_json(path) == {"a": [1, 2]}
    with pytest.raises(DataError, match="has 13 bytes"):
        small_json(path, most=12)
    for content, says in (
        (b"[" * 100_000, "is not valid JSON"),
        (b"\xff", "cannot be read"),
        (b'{"a": ', "is not valid JSON"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=says):
            small_json(path)
    for place in (tmp_path, tmp_path / "none", Path(os.devnull)):
        with pytest.raises(DataError, match=r"this is a|no such file"):
            small_text(place)
