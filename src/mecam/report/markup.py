"""Small pieces of HTML and of print: every text that comes from outside is escaped here or by `escape`."""

import html
import json
import math
from collections.abc import Sequence

from mecam.evaluation.metrics import Metric
from mecam.report.figures import Figure

__all__ = [
    "definitions",
    "details",
    "escape",
    "figure",
    "interval",
    "percent",
    "plain",
    "spread",
    "table",
    "titled",
    "value",
]

UNDEFINED = "—"


def escape(text: object) -> str:
    """Text, safe between tags and inside quoted attributes."""
    return html.escape(str(text))


def titled(title: str, *parts: str) -> str:
    """The content of a section: its heading and what follows."""
    return f"<h2>{escape(title)}</h2>\n{''.join(parts)}"


def figure(spec: Figure, caption: str = "", *, label: str, least: int = 0) -> str:
    """A Plotly figure that the page's script draws; the label is read to those who do not see it.

    On a screen that is narrower than `least` pixels the figure scrolls sideways.
    """
    text = json.dumps(spec, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    size = f"min-height:{spec['layout']['height']}px;min-width:{least}px"
    place = f'<div class="plot" role="img" aria-label="{escape(label)}" style="{size}"></div>'
    if least:
        place = f'<div class="scroll">{place}</div>'
    return f'<figure>{place}<script type="application/json" class="spec">{text}</script>{below}</figure>\n'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0, css: str = "") -> str:
    """A table of ready HTML cells; the first column names the row, the last `numbers` columns are aligned right."""

    def cells(row: Sequence[str], tag: str) -> str:
        parts = []
        for place, cell in enumerate(row):
            name = "th" if place == 0 else tag
            scope = "" if name == "td" else f' scope="{"col" if tag == "th" else "row"}"'
            css = ' class="number"' if place >= len(row) - numbers else ""
            parts.append(cell if cell.startswith("<td") else f"<{name}{scope}{css}>{cell}</{name}>")
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(cells(row, "td") for row in rows)
    content = f"<thead>{cells(head, 'th')}</thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{css}">{content}</table></div>\n'


def details(summary: str, content: str) -> str:
    """Content that is folded away on screen, and open in print."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>\n"


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """Terms (text) and what they are (HTML)."""
    return f"<dl>{''.join(f'<dt>{escape(term)}</dt><dd>{meaning}</dd>' for term, meaning in pairs)}</dl>\n"


def plain(number: float | None, digits: int = 3) -> str:
    """A number as it is printed; a dash where it is undefined."""
    if number is None or not math.isfinite(number):
        return UNDEFINED
    return f"{number:.{digits}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a percentage with one digit; a dash where it is undefined."""
    return UNDEFINED if share is None or not math.isfinite(share) else f"{plain(100 * share, 1)} %"


def value(number: float | None, metric: Metric | None) -> str:
    """A metric's value: a fraction as a percentage, anything else with three digits."""
    return percent(number) if metric is not None and metric.fraction else plain(number)


def spread(number: float | None, metric: Metric | None) -> str:
    """± the standard deviation over seeds, in the unit of `value`; nothing for a single seed."""
    if number is None:
        return ""
    return f"± {100 * number:.1f}" if metric is not None and metric.fraction else f"± {plain(number)}"


def interval(ends: Sequence[float] | None, metric: Metric | None, *, points: bool = False) -> str:
    """From … to, in the unit of `value`; `points` for a difference of shares, whose unit is points."""
    if not ends:
        return UNDEFINED
    if metric is not None and metric.fraction:
        if points:
            return f"{plain(100 * ends[0], 1)} to {plain(100 * ends[1], 1)} points"
        return f"{plain(100 * ends[0], 1)} to {plain(100 * ends[1], 1)} %"
    return f"{plain(ends[0])} to {plain(ends[1])}"
