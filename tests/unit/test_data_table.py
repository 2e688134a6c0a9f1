"""A table is rows first; a data frame of any library when that library is there."""

import re

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import light
from mecam.data_table import DataTable
from mecam.errors import MissingExtraError

ROWS = [
    {"name": "a", "count": 1, "share": 0.5, "best": True, "unknown": None},
    {"name": "<b>", "count": np.int64(2), "share": np.float32(0.25), "best": np.bool_(False)},
    {"name": None, "count": None, "share": float("nan"), "best": None, "late": 3},
]


def test_rows_are_plain_values_with_the_same_columns() -> None:
    table = DataTable(ROWS)
    assert table.columns == ("name", "count", "share", "best", "unknown", "late")
    assert table[1] == {"name": "<b>", "count": 2, "share": 0.25, "best": False, "unknown": None, "late": None}
    assert {type(table[1][name]) for name in ("count", "share", "best")} == {int, float, bool}
    assert table.column("share") == [0.5, 0.25, None]
    assert list(table) == table.rows == table[:]
    assert (len(table), table[-1]["late"]) == (3, 3)
    with pytest.raises(IndexError):
        table[3]
    with pytest.raises(KeyError):
        table.column("nothing")


def test_the_kind_of_a_column_follows_its_values_or_what_is_said() -> None:
    kinds = {"name": "text", "count": "integer", "share": "number", "best": "flag", "unknown": "number"}
    assert DataTable(ROWS).kinds == {**kinds, "late": "integer"}
    assert DataTable([{"a": 1}, {"a": 0.5}]).kinds == {"a": "number"}
    assert DataTable([{"a": 1}, {"a": "x"}, {"a": True}]).rows == [{"a": "1"}, {"a": "x"}, {"a": "True"}]
    assert DataTable([{"a": 1, "b": None}], kinds={"a": "number", "b": "text"}).kinds == {"a": "number", "b": "text"}
    assert DataTable([], columns=["a"]).rows == []


def test_a_table_equals_one_with_the_same_cells() -> None:
    assert DataTable(ROWS) == DataTable(ROWS, title="another")
    assert DataTable(ROWS) != DataTable(ROWS[:2])
    assert DataTable([]) != []


@pytest.mark.parametrize("rows", [ROWS, [], [{"text": "half \ud800"}]])
def test_all_frames_hold_the_same(rows: list[dict[str, object]]) -> None:
    table = DataTable(rows)
    frame, polar, arrow = table.to_pandas(), table.to_polars(), table.to_arrow()
    assert list(frame.columns) == polar.columns == arrow.column_names == list(table.columns)
    assert len(frame) == len(polar) == len(arrow) == len(rows)
    assert polar.to_dicts() == arrow.to_pylist()
    if rows is ROWS:
        assert arrow.to_pylist() == table.rows
        assert [str(kind) for kind in frame.dtypes] == ["object", "Int64", "float64", "boolean", "float64", "Int64"]
        assert [str(kind) for kind in polar.dtypes] == ["String", "Int64", "Float64", "Boolean", "Float64", "Int64"]
        assert frame["count"].tolist()[:2] == [1, 2]


def test_other_libraries_take_a_table_as_it_is() -> None:
    table = DataTable(ROWS)
    assert polars.DataFrame(table).to_dicts() == table.rows
    assert pyarrow.table(table).to_pylist() == table.rows
    assert pyarrow.RecordBatchReader.from_stream(table).read_all().to_pylist() == table.rows
    assert pandas.DataFrame(table)["name"].tolist()[:2] == ["a", "<b>"]
    if hasattr(pandas.DataFrame, "from_arrow"):
        assert pandas.DataFrame.from_arrow(table)["share"].tolist()[:2] == [0.5, 0.25]


def test_without_the_extras_there_are_rows_and_errors_that_name_them() -> None:
    said = light.run_light("""
        from mecam.data_table import DataTable
        from mecam.errors import MissingExtraError
        table = DataTable([{"a": 1, "b": "x"}])
        print(table.rows, repr(table), len(table._repr_html_()) > 100)
        for frame in (table.to_pandas, table.to_polars, table.to_arrow, table.__arrow_c_stream__):
            try:
                frame()
            except MissingExtraError as error:
                print(error)
    """)
    assert re.findall(r"mecam\[\w+\]", said) == ["mecam[table]", "mecam[polars]", "mecam[table]", "mecam[table]"]
    assert "[{'a': 1, 'b': 'x'}]" in said
    assert issubclass(MissingExtraError, Exception)


def test_a_terminal_gets_aligned_text_and_nothing_that_steers_it() -> None:
    table = DataTable([{"text": "red \x1b[31m [bold]x[/bold]", "n": 1}, {"text": "y" * 100, "n": 12345}], title="t\x07")
    first, head, row, long = repr(table).splitlines()
    assert first == "t\\x07: 2 rows, 2 columns"
    assert head.split() == ["text", "n"]
    assert "[bold]" in row
    assert "\x1b" not in repr(table)
    assert (len(row), "…" in long, "y" * 41 in long) == (len(long), True, False)
    many = repr(DataTable({"n": i} for i in range(100)))
    assert many.endswith("… and 80 more rows")


def test_a_notebook_gets_the_text_of_a_table_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich displays what it prints in a notebook, and writes nothing."""
    told = repr(DataTable([{"a": 1}]))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert repr(DataTable([{"a": 1}])) == told


def test_a_notebook_gets_text_as_text() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    table = DataTable([{hostile: hostile, "n": 0.123456}] * 61, title=hostile)
    content = table._repr_html_()
    assert content.count("&lt;script&gt;") == 1 + 1 + 60
    assert "<script" not in content
    assert "0.1235" in content
    assert "and 1 more rows" in content
