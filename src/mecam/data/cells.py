"""Text in CSV cells that a spreadsheet must not run as a formula.

A cell that starts with = + - @, a tab or a carriage return gets an apostrophe in front, which spreadsheets read as
*this is text*. `original_cell` takes it away again, so ids and texts survive the round trip exactly.
"""

import re

__all__ = ["original_cell", "safe_cell"]

_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")
_MADE_SAFE = re.compile(r"'+[=+\-@\t\r]")


def safe_cell(text: str) -> str:
    """The text as it may stand in a CSV cell."""
    return f"'{text}" if _DANGEROUS.match(text) else text


def original_cell(cell: str) -> str:
    """The text that `safe_cell` was given."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell
