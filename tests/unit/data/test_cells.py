"""Text that a spreadsheet would run as a formula: made safe in every CSV, and read back as it was."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mecam.cli import main
from mecam.data.cells import csv_text, original_cell, safe_cell
from mecam.data.store import StoreWriter
from mecam.runs.run import RunFolder
from mecam.task import Classes
from mecam.types import Utterance

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
FORMULA = "=cmd|' /C calc'!A0"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(SIGNS).map(lambda s: f"''{s}1"))
def test_every_text_survives_and_none_is_a_formula(text: str) -> None:
    assert original_cell(safe_cell(text)) == text
    assert not safe_cell(text).startswith(SIGNS)


CELLS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=2, max_size=2)


@given(st.lists(CELLS, max_size=4))
def test_a_table_of_any_texts_is_read_back(rows: list[list[str]]) -> None:
    """Also where a text holds a line end, of either kind."""
    content = csv_text(["a", "b"], [["\rx", "y\n"], *rows])
    read = [[original_cell(cell) for cell in row] for row in csv.reader(io.StringIO(content, newline=""))]
    assert read == [["a", "b"], ["\rx", "y\n"], *rows]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_no_cell_of_any_table_is_a_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, recordings, texts, classes, names of data sets and runs, all of them formulas."""
    monkeypatch.chdir(tmp_path)
    task = Classes((FORMULA, "@SUM(1)"))
    with StoreWriter(Path("store"), name=FORMULA, task=task, specs={}) as writer:
        for i in range(60):
            label, split = task.names[i // 3 % 2], ("train", "valid", "test")[i % 3]
            writer.add(Utterance(f"{FORMULA}{i}", split=split, video=f"+{i}", text=f"-{i} words", label=label))
    run, other = Path("=run"), Path("@other")
    for out in (run, other):
        assert main(["train", "--data", "store", "--out", str(out), "--model", "constant"]) == 0
    assert main(["evaluate", str(run), "--data", "store"]) == 0
    assert main(["predict", "store", "--model", str(run), "-o", "out.csv"]) == 0
    assert main(["compare", str(run), str(other), "--out", "both"]) == 0
    tables = sorted(tmp_path.rglob("*.csv"))
    assert {table.name for table in tables} >= {"predictions.csv", "out.csv", "comparison.csv", "store.csv"}
    for table in tables:
        with table.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert cells
        assert not [cell for cell in cells if cell.startswith(SIGNS) and not is_number(cell)], table
    kept = RunFolder.open(run).predictions["test"][0]
    shutil.rmtree(run / "seeds")
    read = RunFolder.open(run).predictions["test"][0]  # of the table
    assert read.ids[0].startswith(FORMULA)
    assert (read.ids, read.videos) == (kept.ids, kept.videos)
    np.testing.assert_array_equal(read.prediction, kept.prediction)
    np.testing.assert_array_equal(read.truth, kept.truth)
