"""What a notebook shows of an object: a headline, a table and remarks in HTML, without a script, everything escaped."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["MAX_ROWS", "notebook_html"]

MAX_ROWS = 60
"""Rows of a table; a notebook is no place for more."""


def notebook_html(
    heading: str,
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    *,
    says: str = "",
    remarks: Sequence[str] = (),
) -> str:
    """The HTML of one object.

    Args:
        heading: what it is.
        columns: titles of the columns; a column in which nothing stands is left out.
        rows: a text per column.
        says: the main result, beside the heading.
        remarks: in small print below the table.
    """
    shown = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return _template().render(
        heading=heading,
        says=says,
        columns=[columns[place] for place in shown],
        rows=[[row[place] for place in shown] for row in rows],
        remarks=remarks,
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader

    made = Environment(loader=PackageLoader("mecam"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("notebook.j2")
