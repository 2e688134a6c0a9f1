"""Text in CSV cells that a spreadsheet must not run as a formula.

A cell that starts with = + - @, a tab or a line end gets an apostrophe in front, which spreadsheets read as
*this is text*. `original_cell` takes it away again, so ids and texts survive the round trip exactly.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text", "original_cell", "safe_cell", "safe_row"]

# The wide forms (U+FF1D …) are signs of a formula to spreadsheets in East Asian settings.
_DANGEROUS = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_MADE_SAFE = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def safe_cell(text: str) -> str:
    """The text as it may stand in a CSV cell."""
    return f"'{text}" if _DANGEROUS.match(text) else text


def safe_row(values: Iterable[Any]) -> list[Any]:
    """A row of cells: texts made safe, numbers as they are."""
    return [safe_cell(value) if isinstance(value, str) else value for value in values]


def original_cell(cell: str) -> str:
    """The text that `safe_cell` was given."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell


def csv_text(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """CSV; no text in it is a formula to a spreadsheet."""
    lines = []
    for row in (head, *rows):
        line = io.StringIO()
        csv.writer(line).writerow(safe_row(row))  # its own line end has it quote both a bare \r and a bare \n
        lines.append(line.getvalue().removesuffix("\r\n"))
    return "".join(f"{line}\n" for line in lines)
