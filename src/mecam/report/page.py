"""A run folder → `report.html`: one file that works from disk, offline, on paper and on a phone."""

import base64
import gzip
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from plotly.offline import get_plotlyjs

from mecam.files import write_whole
from mecam.report.markup import escape
from mecam.report.run import calibration
from mecam.report.run import comparison as beside
from mecam.report.run import diagnostics as insides
from mecam.report.run import filter_maps as maps
from mecam.report.run import hard_utterances as cases
from mecam.report.run import predictions as answers
from mecam.report.run import results as scores
from mecam.runs.run import Run
from mecam.runs.tables import understood
from mecam.version import __version__

__all__ = ["document", "write_report"]

SECTIONS: Sequence[tuple[str, str, Callable[[Run], str]]] = (
    ("results", "Results", scores.results),
    ("beside", "Beside others", beside.beside),
    ("training", "Training", insides.training),
    ("answers", "Predictions", answers.answers),
    ("calibration", "Calibration", calibration.calibration),
    ("shares", "Modalities", insides.shares),
    ("filter", "Filter", insides.filter_score),
    ("conflict", "Contradictions", insides.conflict_score),
    ("maps", "Filter maps", maps.filter_maps),
    ("embeddings", "Embeddings", insides.embeddings),
    ("hard", "Hard utterances", cases.hard),
    ("made", "How it was made", insides.made),
)
"""Key, name in the table of contents, and what writes its content; one that returns "" is left out."""

# The page may run what is written in it and load nothing from anywhere.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def write_report(
    run: Path, *, comparison: Mapping[str, Any] | None = None, projection: Literal["pca", "tsne"] = "pca"
) -> Path:
    """Write the report of a finished run into its folder.

    Nothing outside the folder is read.

    Args:
        run: the run folder.
        comparison: this run beside others, as `Standings.to_json` gives it; None takes `comparison.json`.
        projection: how embeddings are drawn: `pca`, or `tsne` as papers do (seconds for each thousand utterances).

    Returns: the path of `report.html`, about 2 MB, nearly all of it Plotly's script.
    Raises: TrainingError if a file is missing or damaged, DataError if the folder cannot be written to.
    """
    opened = Run.open(run)
    if comparison is not None:
        opened.comparison = comparison
    writers = {"embeddings": partial(insides.embeddings, projection=projection)}
    with understood(run):
        written = [(key, name, writers.get(key, write)(opened)) for key, name, write in SECTIONS]
        title = f"{opened.model} on {opened.data.get('name', 'data')}"
        page = document(title, scores.headline(opened), written)
    return write_whole(opened.report, page)


def document(title: str, header: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """Put sections together to one HTML page that loads nothing from anywhere.

    Args:
        title: of the browser's tab, as text.
        header: HTML above the table of contents.
        sections: key, name in the table of contents, HTML; one whose HTML is "" is left out.
    """
    present = [(key, name, content) for key, name, content in sections if content]
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in present)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)} · mecam report</title>
<style>
{_asset("style.css")}</style>
</head>
<body>
<header>
{header}
<nav aria-label="Contents">{links}</nav>
</header>
<main>
{"".join(f'<section id="{key}">{content}</section>' for key, _, content in present)}</main>
<noscript><p class="note">The figures need JavaScript; tables, texts and filter maps do not.</p></noscript>
<footer><p class="note">{_imprint()}</p></footer>
<script type="text/plain" id="plotly">{_plotly()}</script>
<script>
{_asset("figures.js")}</script>
</body>
</html>
"""


def _imprint() -> str:
    size = len(_plotly()) / 1e6
    return f"mecam {__version__}. This file is complete and loads nothing; {size:.1f} MB of it are Plotly's script."


@cache
def _plotly() -> str:
    """Plotly's script, packed: 1.9 MB of text where the script itself is 4.8 MB."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode("ascii")


def _asset(name: str) -> str:
    return resources.files("mecam.report").joinpath(name).read_text(encoding="utf-8")
