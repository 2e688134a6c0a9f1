"""Charts for pages and papers from one description: Altair makes it, Vega draws it.

A colour `var(--name)` is one of `PALETTES`. A page puts in the value of the light or dark theme; a file has the
light ones. Nothing here reads files or writes HTML.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

import altair as alt
import numpy as np
import vl_convert
from altair.utils._importers import vl_version_for_vl_convert
from numpy.typing import NDArray

__all__ = [
    "Chart",
    "as_bytes",
    "bars",
    "chart_of",
    "colour_by",
    "dodged_intervals",
    "forest",
    "heat_map",
    "interval_curves",
    "layered",
    "percent_x",
    "reliability",
    "rows_of",
    "script",
    "spec",
    "thinned",
    "thinning",
]

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.HConcatChart | alt.VConcatChart | alt.ConcatChart

Format: TypeAlias = Literal["svg", "pdf", "png"]

CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "titlePadding": 8,
        "labelLimit": 160,
        "labelSeparation": 5,
    },
    "legend": {"labelColor": "var(--ink)", "titleColor": "var(--muted)", "orient": "top", "symbolSize": 60},
    "range": {"ramp": ["var(--paper)", "var(--full)"], "heatmap": ["var(--paper)", "var(--full)"]},
    "text": {"color": "var(--ink)"},
    "title": {"color": "var(--ink)", "fontSize": 13, "anchor": "start"},
    "header": {"labelColor": "var(--ink)", "titleColor": "var(--ink)"},
}
"""How every chart looks."""

COLOURS = 8
"""Colours of classes in `PALETTES`: `class0` and so on."""

MAX_POINTS = 1500
"""More dots than this make a page slow and a picture no clearer."""


MAX_LEVEL_LABELS = 40
"""Letters of all names together, up to which they stand side by side below a heat map."""


def rows_of(rows: Iterable[Mapping[str, Any]]) -> alt.Data:
    """Rows of plain values as the data of a chart."""
    return alt.Data(values=list(rows))  # type: ignore[no-untyped-call]


def chart_of(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """A chart of rows of plain values; encodings must name their types (`x:Q`)."""
    return alt.Chart(rows_of(rows))


def layered(*layers: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts upon each other."""
    drawn = alt.layer(*layers)
    assert isinstance(drawn, alt.LayerChart)
    return drawn


def spec(chart: Chart, *, height: int | None = None, width: int | Literal["container"] = "container") -> dict[str, Any]:
    """The description of a chart, in the style of the page, as Vega-Lite.

    Args:
        chart: any.
        height: of the whole, in pixels; None leaves what the chart says.
        width: of the whole in pixels, or that of the place it is put into; charts of several views keep their own.
    """
    described: dict[str, Any] = chart.to_dict()
    described.pop("usermeta", None)
    if isinstance(chart, alt.Chart | alt.LayerChart):
        described |= {"width": width, "autosize": {"type": "fit", "contains": "padding"}}
        described |= {} if height is None else {"height": height}
    return described | {"config": dict(CONFIG)}


def coloured(described: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, Any]:
    """The description with every `var(--name)` replaced by its colour."""
    text = re.sub(r"var\(--([\w-]+)\)", lambda found: colours[found[1]], json.dumps(described))
    result: dict[str, Any] = json.loads(text)
    return result


def as_bytes(described: Mapping[str, Any], colours: Mapping[str, str], kind: Format, *, width: float) -> bytes:
    """A chart as a file for a paper; the same chart gives the same bytes.

    Args:
        described: by `spec`.
        colours: name → value.
        kind: `svg` and `pdf` are vectors, `png` has 300 dots per inch.
        width: of the file, in inches; text stays 8 points high.
    """
    fixed = coloured(described, colours)
    fixed["background"] = "white" if kind == "png" else "transparent"
    fixed["config"]["font"] = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first comes with vl-convert
    if "width" in fixed:
        fixed["width"] = round(72 * UNITS_PER_POINT * width)
    drawn = vl_convert.vegalite_to_svg(fixed, vl_version=vl_version_for_vl_convert())
    unit = "pt" if kind == "svg" else ""
    head = re.compile(r'width="([\d.]+)" height="([\d.]+)"')
    drawn = head.sub(lambda m: " ".join(f'{k}="{float(m[g]) / UNITS_PER_POINT:.2f}{unit}"' for g, k in SIDES), drawn, 1)
    if kind == "svg":
        return drawn.encode()
    if kind == "png":
        return vl_convert.svg_to_png(drawn, scale=1, ppi=300)
    return RESOURCES.sub(lambda m: b"".join(sorted(m[0].splitlines(keepends=True))), vl_convert.svg_to_pdf(drawn))


UNITS_PER_POINT = 1.5
"""Labels are drawn 11 to 12 units high: they come out at 8 points."""

SIDES = ((1, "width"), (2, "height"))

RESOURCES = re.compile(rb"^(?: +/\w+ \d+ 0 R\n){2,}", re.MULTILINE)
"""Names in a PDF that are written in any order."""


@cache
def script() -> str:
    """What draws the charts of a page, packed: 0.4 MB of text."""
    version = vl_version_for_vl_convert()
    bundle = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]  # its stub says too much
    return base64.b64encode(gzip.compress(bundle.encode(), mtime=0)).decode("ascii")


def heat_map(
    cells: Iterable[Mapping[str, Any]],
    *,
    x: Sequence[str],
    y: Sequence[str],
    worst: float = 1.0,
    title: str = "",
    rows: str = "",
) -> alt.LayerChart:
    """Shaded cells with their values in them: the stronger the colour, the larger the shade, in light and dark.

    Args:
        cells: rows with `x`, `y`, `shade` (None leaves the cell empty), `text`, which is written in, and `told`, which
            is shown when the pointer rests on the cell.
        x: the columns from left to right.
        y: the rows from above to below.
        worst: shade of the full colour.
        title: what the columns are.
        rows: what the rows are.
    """
    scale = alt.Scale(
        domain=[0, max(worst, 1e-9)], clamp=True, range=["var(--paper)", "var(--full)"], interpolate="rgb"
    )
    angle = 0 if sum(map(len, x)) <= MAX_LEVEL_LABELS else -45
    base = chart_of(cells).encode(
        x=alt.X("x:N", sort=list(x), title=title or None, axis=alt.Axis(labelAngle=angle)),
        y=alt.Y("y:N", sort=list(y), title=rows or None),
        tooltip=alt.Tooltip("told:N", title=" "),
    )
    squares = base.mark_rect(stroke="var(--paper)", strokeWidth=2).encode(
        color=alt.Color("shade:Q", legend=None, scale=scale)
    )
    return layered(squares, base.mark_text(fontSize=11, color="var(--ink)").encode(text="text:N"))


def forest(
    rows: Iterable[tuple[str, float | None, Sequence[float] | None, Sequence[float | None]]],
    title: str,
    *,
    line: float | None = None,
    percent: bool = False,
) -> alt.LayerChart:
    """A row per model: its mean as a dot, its interval as a bar, its seeds as ticks.

    Args:
        rows: name, mean, ends of the interval, value of every seed; from above to below.
        title: of the axis.
        line: where a line is drawn for the eye, such as the best mean.
        percent: print values as percentages.
    """
    form = ".1%" if percent else ".3f"
    known = [(name, mean, ends or (mean, mean), seeds) for name, mean, ends, seeds in rows if mean is not None]
    means = [{"name": name, "value": mean, "low": ends[0], "high": ends[1]} for name, mean, ends, _ in known]
    ticks = [{"name": name, "value": value} for name, *_, seeds in known for value in seeds if value is not None]
    x = alt.X(
        "value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%" if percent else "", tickCount=6)
    )
    y = alt.Y("name:N", sort=[name for name, *_ in known], title=None)
    told = [
        alt.Tooltip("name:N", title="run"),
        *(
            alt.Tooltip(f"{key}:Q", title=what, format=form)
            for key, what in (("value", "mean"), ("low", "from"), ("high", "to"))
        ),
    ]
    base = chart_of(means).encode(y=y, tooltip=told)
    layers = [
        chart_of([{"value": line}]).mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(x=x),
        base.mark_rule(color="var(--accent)", strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        chart_of(ticks)
        .mark_tick(color="var(--muted)", thickness=1.5, height=11)
        .encode(x=x, y=y, tooltip=alt.Tooltip("value:Q", title="one seed", format=form)),
        base.mark_point(filled=True, size=80, opacity=1, color="var(--accent)").encode(x=x),
    ]
    return layered(*(layers if line is not None else layers[1:]))


def dodged_intervals(
    rows: Iterable[Mapping[str, Any]], names: Sequence[str], kinds: Sequence[str], *, x: alt.X
) -> alt.LayerChart:
    """A row per name, in it below each other a dot with its interval for each kind, and a line at 0.

    Args:
        rows: `name`, `kind`, `value`, `low`, `high`.
        names: from above to below.
        kinds: in the order of their colours.
        x: axis of `value:Q`.
    """
    told = [alt.Tooltip("name:N", title=" "), alt.Tooltip("kind:N", title=" ")]
    told += [
        alt.Tooltip(f"{k}:Q", title=t, format="+.3f")
        for k, t in zip(("value", "low", "high"), ("change", "from", "to"), strict=True)
    ]
    base = chart_of(rows).encode(
        y=alt.Y("name:N", sort=list(names), title=None),
        yOffset=alt.YOffset("kind:N", sort=list(kinds)),
        color=colour_by("kind", kinds) if len(kinds) > 1 else alt.value("var(--accent)"),
        tooltip=told,
    )
    return layered(
        chart_of([{"value": 0}]).mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(x=x),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(x=x),
    )


def interval_curves(
    rows: Iterable[Mapping[str, Any]],
    names: Sequence[str],
    *,
    x: alt.X,
    y: alt.Y,
    form: str,
    reference: str | None = None,
) -> alt.LayerChart:
    """A line per name with a band for its 95 % interval.

    Args:
        rows: `name`, `x`, `mean`, and `low` and `high`, which may be None.
        names: in the order of their colours.
        x: axis of `x:Q`.
        y: axis of `mean:Q`.
        form: how values are written.
        reference: the name that the others are held against: grey, dotted, without a band.
    """
    given = list(rows)
    colours = [f"var(--class{place % COLOURS})" for place in range(len(names))]
    colours = ["var(--muted)" if name == reference else colour for name, colour in zip(names, colours, strict=True)]
    legend = alt.Legend(title=None, labelLimit=220, symbolOpacity=1) if len(names) > 1 else None
    colour = alt.Color("name:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend)
    told = [alt.Tooltip("name:N", title="run"), alt.Tooltip("x:Q", title="at")]
    told += [
        alt.Tooltip(f"{key}:Q", title=title, format=form)
        for key, title in (("mean", "mean"), ("low", "from"), ("high", "to"))
    ]
    ours, other = ([row for row in given if (row["name"] == reference) == grey] for grey in (False, True))
    known = [row for row in ours if row["low"] is not None and row["high"] is not None]
    band = chart_of(known).mark_area(opacity=0.18).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    line = chart_of(ours).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    dots = chart_of(ours).mark_point(filled=True, size=40, opacity=1).encode(x=x, y=y, color=colour, tooltip=told)
    layers = [band, line, dots] if known else [line, dots]
    if other:
        layers.append(chart_of(other).mark_line(strokeWidth=1.5, strokeDash=[2, 3]).encode(x=x, y=y, color=colour))
    return layered(*layers)


def colour_by(field: str, names: Sequence[str], others: Mapping[str, str] | None = None) -> alt.Color:
    """A colour for each of some names, in the order given, and for others that bring their own; with a legend."""
    colours = [f"var(--class{place % COLOURS})" for place in range(len(names))]
    domain, colours = [*names, *(others or {})], [*colours, *(others or {}).values()]
    scale = alt.Scale(domain=domain, range=colours)
    return alt.Color(f"{field}:N", title=None, sort=domain, scale=scale, legend=alt.Legend(columns=4, symbolOpacity=1))


def percent_x(field: str, title: str) -> alt.X:
    """A horizontal axis from 0 to 100 %."""
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=6))


def bars(low: Sequence[float], high: Sequence[float], counts: Sequence[int], x: alt.X, title: str) -> alt.Chart:
    """A bar for each bin.

    Args:
        low: where bins begin.
        high: where they end.
        counts: how much lies in them.
        x: the axis of the field `low`.
        title: what is counted.
    """
    rows = [{"low": a, "high": b, "count": n} for a, b, n in zip(low, high, counts, strict=True)]
    told = [alt.Tooltip(f"{key}:Q", title=what, format=".2~f") for key, what in (("low", "from"), ("high", "to"))]
    told.append(alt.Tooltip("count:Q", title=title))
    y, y2 = alt.Y("count:Q", title=title), alt.Y2Datum(0)
    drawn = chart_of(rows).mark_bar(color="var(--accent)", opacity=0.75, binSpacing=1)
    encoded: alt.Chart = drawn.encode(x=x, x2="high:Q", y=y, y2=y2, tooltip=told)
    return encoded


def reliability(promised: Sequence[float], came: Sequence[float | None], titles: tuple[str, str]) -> alt.LayerChart:
    """What was promised against what came true; on the diagonal the two agree."""
    x = percent_x("x", titles[0])
    y = alt.Y("y:Q", title=titles[1], scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=6))
    rows = [{"x": a, "y": b} for a, b in zip(promised, came, strict=True) if b is not None]
    told = [alt.Tooltip(f"{key}:Q", title=what, format=".1%") for key, what in zip("xy", titles, strict=True)]
    diagonal = chart_of([{"x": 0, "y": 0}, {"x": 1, "y": 1}]).mark_line(color="var(--muted)", strokeWidth=1)
    line = chart_of(rows).mark_line(color="var(--accent)", point={"color": "var(--accent)", "size": 45})
    return layered(diagonal.encode(x=x, y=y), line.encode(x=x, y=y, tooltip=told))


def thinned(count: int) -> NDArray[np.int64]:
    """At most `MAX_POINTS` of `count` positions, evenly spread."""
    if count <= MAX_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, MAX_POINTS).astype(np.int64))


def thinning(count: int) -> str:
    """What a caption must say when not every utterance is drawn."""
    drawn = len(thinned(count))
    return "" if drawn == count else f" {drawn} of {count} utterances are drawn."
