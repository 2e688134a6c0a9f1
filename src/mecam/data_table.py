"""A table that Python code gets: plain rows, and a data frame of pandas, Polars or Arrow when it is asked for."""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mecam.errors import missing_extras
from mecam.escaping import safe
from mecam.notebook import MAX_ROWS, notebook_html

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

__all__ = ["DataTable", "Kind", "drawn"]

Kind: TypeAlias = Literal["text", "integer", "number", "flag"]
"""What the cells of a column are; any of them may be None, which is unknown."""

SHOWN = 20
"""Rows in a terminal."""

MAX_TEXT = 40
"""Characters of a text in a terminal."""

WIDTH = 140
"""Columns of a table in a terminal whose cells may break."""


class DataTable(Sequence[Mapping[str, Any]]):
    """Rows of named values: a sequence of dictionaries with the same keys in the same order.

    A cell is a text, an integer, a number or a flag, or None where it is not known; the type of a column is in `kinds`.
    Needs no other library, and becomes a data frame by `to_pandas`, `to_polars` and `to_arrow`. Libraries that read
    Arrow's PyCapsule protocol take it as it is: `polars.DataFrame(table)`, `pandas.DataFrame.from_arrow(table)`,
    `pyarrow.table(table)`. `pandas.DataFrame(table)` reads it as the rows that it is.

    Args:
        rows: column → value; a column that a row lacks is None there.
        columns: the columns from left to right; as they first appear by default.
        kinds: column → kind, where the values need not tell it.
        title: what the table shows.

    Attributes:
        columns: their names.
        kinds: column → kind.
        title: what the table shows.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        columns: Sequence[str] | None = None,
        kinds: Mapping[str, Kind] | None = None,
        title: str = "",
    ) -> None:
        given = list(rows)
        names = dict.fromkeys(name for row in given for name in row) if columns is None else columns
        self.columns = tuple(names)
        self.title = title
        cells = {name: [_plain(row.get(name)) for row in given] for name in self.columns}
        self.kinds: dict[str, Kind] = {name: (kinds or {}).get(name) or _kind(cells[name]) for name in self.columns}
        self._cells = {name: [_as(self.kinds[name], value) for value in column] for name, column in cells.items()}
        self._count = len(given)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row as a dictionary."""
        return [self._row(place) for place in range(self._count)]

    def column(self, name: str) -> list[Any]:
        """The cells of one column.

        Raises: KeyError if there is no such column.
        """
        return list(self._cells[name])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, place: Any) -> Any:
        """One row, or those of a slice."""
        return self.rows[place] if isinstance(place, slice) else self._row(range(self._count)[place])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataTable):
            return NotImplemented
        return (self.columns, self.kinds, self._cells) == (other.columns, other.kinds, other._cells)

    __hash__ = None  # type: ignore[assignment]

    def to_pandas(self) -> "pandas.DataFrame":
        """A DataFrame of pandas: `object`, `Int64`, `float64` and `boolean`, whatever the values are.

        Raises: MissingExtraError if pandas is not installed.
        """
        with missing_extras():
            import pandas as pd
        types = {"text": "object", "integer": "Int64", "number": "float64", "flag": "boolean"}
        frame = pd.DataFrame(self._cells, columns=list(self.columns), dtype=object)
        return frame.astype({name: types[self.kinds[name]] for name in self.columns})

    def to_polars(self) -> "polars.DataFrame":
        """A DataFrame of Polars: `String`, `Int64`, `Float64` and `Boolean`.

        Raises: MissingExtraError if Polars is not installed.
        """
        with missing_extras():
            import polars as pl
        types = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64, "flag": pl.Boolean}
        return pl.DataFrame(self._encodable(), schema={name: types[self.kinds[name]] for name in self.columns})

    def to_arrow(self) -> "pyarrow.Table":
        """A table of Arrow: `string`, `int64`, `double` and `bool`.

        Raises: MissingExtraError if pyarrow is not installed.
        """
        with missing_extras():
            import pyarrow as pa
        types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_()}
        schema = pa.schema([(name, types[self.kinds[name]]) for name in self.columns])
        return pa.Table.from_pydict(self._encodable(), schema=schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table for any library that reads Arrow's PyCapsule protocol.

        Raises: MissingExtraError if pyarrow, which makes it, is not installed.
        """
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        about = f"{self.title or type(self).__name__}: {self._count} rows, {len(self.columns)} columns"
        return f"{safe(about)}\n{self._text()}".rstrip()

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        rows = [[_shown(self._cells[name][i]) for name in self.columns] for i in range(min(self._count, MAX_ROWS))]
        left = self._count - MAX_ROWS
        remarks = [f"and {left} more rows; to_pandas() and rows have all"] if left > 0 else []
        heading = self.title or f"{self._count} rows"
        return notebook_html(heading, self.columns, rows, remarks=remarks)

    def _row(self, place: int) -> dict[str, Any]:
        return {name: self._cells[name][place] for name in self.columns}

    def _text(self) -> str:
        """The first rows, aligned."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for name in self.columns:
            table.add_column(Text(name), justify="left" if self.kinds[name] == "text" else "right", no_wrap=True)
        for row in self.rows[:SHOWN]:
            table.add_row(*(Text(_short(safe(_shown(value)))) for value in row.values()))
        more = f"… and {self._count - SHOWN} more rows" if self._count > SHOWN else ""
        return f"{drawn(table, width=len(self.columns) * (2 * MAX_TEXT))}{more}"

    def _encodable(self) -> dict[str, list[Any]]:
        """The columns with texts that are UTF-8: half a character stands as an escape."""
        return {
            name: [_utf8(cell) if isinstance(cell, str) else cell for cell in column]
            for name, column in self._cells.items()
        }


def drawn(table: Any, *, width: int = WIDTH) -> str:
    """A table of Rich as text that a terminal only shows: no colours, no control characters."""
    from rich.console import Console

    file = io.StringIO()
    # In a notebook, Rich would display the table instead of writing it.
    plain = Console(
        file=file, width=width, color_system=None, force_jupyter=False, highlight=False, markup=False, emoji=False
    )
    plain.print(table)
    return "".join(f"{line.rstrip()}\n" for line in safe(file.getvalue()).split("\n")[:-1])


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    """A value of Python; None for what is not known, NaN too."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _kind(column: Sequence[Any]) -> Kind:
    """What the cells of a column are; numbers where none is known."""
    known = [value for value in column if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "flag"
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        return "text"
    return "integer" if known and all(isinstance(value, int) for value in known) else "number"


def _as(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    return {"text": str, "integer": int, "number": float, "flag": bool}[kind](value)


def _short(text: str) -> str:
    """A text on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _shown(value: Any) -> str:
    """A cell for people: numbers with four digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
