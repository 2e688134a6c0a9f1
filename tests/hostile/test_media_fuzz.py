"""Damaged recordings: an answer or one clear error, in 1.5 GB and a minute each."""

from pathlib import Path

import pytest

from bounded import run_bounded
from media_fuzz import KINDS


def check(folder: Path, each: int, seed: int) -> None:
    result = run_bounded("media_fuzz", str(folder), str(each), str(seed), seconds=60 * len(KINDS) * each)
    assert result["problems"] == []
    assert sum(result["counts"].values()) == each * len(KINDS)
    assert result["counts"]["read"] > 0, "some damaged files are still recordings"
    assert result["counts"]["refused"] > 0, "some are not"


def test_damage_ends_in_an_error_or_an_answer(tmp_path: Path) -> None:
    check(tmp_path, 2, seed=1)


@pytest.mark.slow
def test_much_damage_ends_in_an_error_or_an_answer(tmp_path: Path) -> None:
    check(tmp_path, 72, seed=1000)
