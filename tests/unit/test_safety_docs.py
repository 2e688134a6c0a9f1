"""docs/safety.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "safety.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    promises = rows[2:] if rows[1].startswith("| -") else rows[1:]
    assert len(promises) > 20
    for row in promises:
        named = re.findall(r"`((?:tests|benchmarks)/[^`]+)`", row)
        assert named, row
        assert [name for name in named if not (ROOT / name).is_file()] == []
