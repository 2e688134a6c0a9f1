"""The charts of a page as SVG, PDF or PNG for a paper: the same descriptions that the page draws, in its light colours.

Needs no browser and no network. Text stays text of 8 points at the width that is asked for; the same page gives the
same bytes.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from mecam.files import whole_file, writing
from mecam.report.charts import Format, as_bytes
from mecam.report.page import PALETTES, Chart, Section

__all__ = ["COLUMN", "FORMATS", "charts_of", "write_figures"]

FORMATS: Sequence[str] = get_args(Format)

COLUMN = 3.4
"""Inches: the width of one column of a two-column page."""


def write_figures(
    sections: Iterable[Section],
    folder: Path,
    kind: Format = "svg",
    *,
    width: float = COLUMN,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw every chart of a page into a file of its own.

    Args:
        sections: of the page.
        folder: is made if it is missing; figures of the same name are replaced.
        kind: `svg` and `pdf` are vectors; `png` has 300 dots per inch.
        width: of every figure, in inches.
        progress: called with (figures done, all).

    Returns: the files, in the order of the page.
    Raises: DataError if a file cannot be written.
    """
    charts = charts_of(sections)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    places = []
    for name, chart in charts.items():
        drawn = as_bytes(chart.spec, PALETTES["light"], kind, width=width)
        with whole_file(folder / f"{name}.{kind}") as partial:
            partial.write_bytes(drawn)
        places.append(folder / f"{name}.{kind}")
        if progress:
            progress(len(places), len(charts))
    return places


def charts_of(sections: Iterable[Section]) -> dict[str, Chart]:
    """Every chart of a page, with a name for its file."""
    result: dict[str, Chart] = {}
    for chart in itertools.chain.from_iterable(_charts_in(section.content) for section in sections):
        name = re.sub(r"[^a-z0-9]+", "-", chart.label.lower()).strip("-")[:60] or "figure"
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        result[next(one for one in names if one not in result)] = chart
    return result


def _charts_in(content: Any) -> Iterator[Chart]:
    if isinstance(content, Chart):
        yield content
    elif isinstance(content, Mapping):
        for part in content.values():
            yield from _charts_in(part)
    elif isinstance(content, list | tuple):
        for part in content:
            yield from _charts_in(part)
