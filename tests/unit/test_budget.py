import os
from pathlib import Path

import pytest

from mecam.budget import MIN_BYTES, MIN_ELEMENTS, Budget, check_regular_file
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


def test_pipes_and_devices_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(DataError):
            check_regular_file(path)
