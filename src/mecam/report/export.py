"""A page's figures as SVG, PDF or PNG for a paper: the same records that the page draws, drawn by Matplotlib.

Needs no browser and no network. Text stays text of 8 points at the width that is asked for; fonts are embedded
as publishers want them (TrueType); the same page gives the same bytes.
"""

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mecam.errors import MissingExtraError, TrainingError
from mecam.files import whole_file, writing
from mecam.report.figures import Figure

if TYPE_CHECKING:
    import matplotlib.figure

__all__ = ["COLUMN", "FORMATS", "Format", "figures_of", "write_figures"]

Format: TypeAlias = Literal["svg", "pdf", "png"]
FORMATS = ("svg", "pdf", "png")

COLUMN = 3.4
"""Inches: the width of one column of a two-column page."""

METADATA: Mapping[str, Mapping[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""Nothing that would make two files of the same figure differ."""


def write_figures(
    page: Path,
    folder: Path,
    kind: Format = "svg",
    *,
    width: float = COLUMN,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw every figure of a report, or of a comparison, into files of their own.

    Args:
        page: `report.html`, or another page of `document`.
        folder: is made if it is missing; figures of the same name are replaced.
        kind: `svg` and `pdf` are vectors; `png` has 300 dots per inch.
        width: of every figure, in inches.
        progress: called with (figures done, all).

    Returns: the files, in the order of the page.
    Raises: MissingExtraError without Matplotlib; TrainingError if the page cannot be read; DataError if a file cannot
        be written.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "figures") from error
    from mecam.report.drawing import STYLE, draw

    try:
        found = figures_of(page.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"the report cannot be read: {error.strerror}", where=str(page)) from error
    places = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        options: Any = matplotlib.rcParams
        options.update(STYLE)
        for name, spec in found:
            places.append(_write(draw(spec, width=width), folder / f"{name}.{kind}", kind))
            if progress:
                progress(len(places), len(found))
    return places


def figures_of(page: str) -> list[tuple[str, Figure]]:
    """Return every figure of a page with a name for its file, colours put in as the light theme has them."""
    colours = _light()
    found = _Finder(page).found
    result: dict[str, Figure] = {}
    for label, text in found:
        plain = re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], text)
        name = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:60] or "figure"
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        result[next(one for one in names if one not in result)] = json.loads(plain)
    return list(result.items())


class _Finder(HTMLParser):
    """Finds what `markup.figure` writes: a labelled place, and the script with the figure after it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._label = ""
        self._inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Remember a figure's label, and whether its record begins."""
        values = dict(attrs)
        if values.get("class") == "plot":
            self._label = values.get("aria-label") or "figure"
        self._inside = tag == "script" and values.get("class") == "spec"

    def handle_data(self, data: str) -> None:
        """Take a figure's record."""
        if self._inside:
            self.found.append((self._label, data))
            self._inside = False


def _light() -> dict[str, str]:
    """Name → value of the light theme's colours."""
    css = resources.files("mecam.report").joinpath("style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", css[: css.index("}")]))


def _write(figure: "matplotlib.figure.Figure", path: Path, kind: Format) -> Path:
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        figure.savefig(partial, format=kind, metadata=dict(METADATA[kind]))
    return path
