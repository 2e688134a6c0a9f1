"""The charts that only the report of a run has: plain data in, one chart out."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.sums import Array
from mecam.report.charts import bars, chart_of, colour_by, heat_map, layered, percent_x, thinned
from mecam.task import Task

__all__ = [
    "confusion",
    "modality_weights",
    "predicted_against_true",
    "projections",
    "residual_histogram",
    "residuals",
    "training_curves",
]

PANEL = 0.96
"""Part of its place that a panel of points takes; the rest is the gap to the next one."""


def training_curves(
    history: Sequence[Mapping[str, float | None]], columns: Mapping[str, str], title: str, *, percent: bool = False
) -> alt.LayerChart:
    """Columns of the history over epochs: a line per seed, the kept epoch ringed.

    Args:
        history: rows with `seed`, `epoch`, `best` and the columns.
        columns: label → column; each label has its colour and stands in the legend if there are several.
        title: of the axis.
        percent: print values as percentages.
    """
    rows = [
        {"epoch": row["epoch"], "value": row[column], "seed": row["seed"], "of": label, "best": bool(row.get("best"))}
        for label, column in columns.items()
        for row in history
        if row["seed"] is not None and row.get(column) is not None
    ]
    several = len(columns) > 1
    x = alt.X("epoch:Q", title="epoch", scale=alt.Scale(nice=False), axis=alt.Axis(format="d", tickMinStep=1))
    axis = alt.Axis(tickCount=5, format=".0%" if percent else "")
    told = [alt.Tooltip("of:N", title="of")] if several else []
    told += [alt.Tooltip(f"{key}:Q", title=key, format=form) for key, form in (("seed", "d"), ("epoch", "d"))]
    base = chart_of(rows).encode(
        x=x,
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis),
        detail="seed:N",
        tooltip=[*told, alt.Tooltip("value:Q", title="value", format=".1%" if percent else ".4g")],
        color=colour_by("of", list(columns)) if several else alt.value("var(--accent)"),
    )
    lines = base.mark_line(strokeWidth=1.5, opacity=0.8, point={"size": 14})
    rings = base.transform_filter("datum.best").mark_point(size=70, fill="var(--paper)", strokeWidth=2, opacity=1)
    return layered(lines, rings)


def predicted_against_true(
    truth: Array, prediction: Array, ends: tuple[float, float], half_width: float | None
) -> alt.LayerChart:
    """Scores as dots around the diagonal, between the dotted lines of the interval where there is one."""
    x = alt.X("true:Q", title="true score", scale=alt.Scale(domain=list(ends)), axis=alt.Axis(tickMinStep=1))
    y = alt.Y("predicted:Q", title="predicted score", scale=alt.Scale(zero=False))
    layers: list[alt.Chart] = []
    for shift in (0.0,) if half_width is None else (0.0, half_width, -half_width):
        line = chart_of([{"true": end, "predicted": end + shift} for end in ends])
        dash = [2, 3] if shift else [1, 0]
        layers.append(line.mark_line(color="var(--muted)", strokeWidth=1, strokeDash=dash).encode(x=x, y=y))
    layers.append(_dots(truth, prediction, "predicted", 0.45).encode(x=x, y=y))
    return layered(*layers)


def residuals(truth: Array, error: Array, steps: Sequence[tuple[float, float]]) -> alt.LayerChart:
    """What is left (prediction − truth) against the truth, and its mean along the truth.

    Args:
        truth: N scores.
        error: N, prediction − truth.
        steps: (true score, mean error around it), from low to high.
    """
    x = alt.X("true:Q", title="true score", scale=alt.Scale(zero=False), axis=alt.Axis(tickMinStep=1))
    y = alt.Y("error:Q", title="predicted − true")
    means = [{"true": round(at, 4), "error": round(mean, 4)} for at, mean in steps]
    told = [alt.Tooltip("true:Q", title="around", format=".2f"), alt.Tooltip("error:Q", title="mean", format=".2f")]
    line = chart_of(means).mark_line(color="var(--mark)", point={"color": "var(--mark)", "size": 40})
    return layered(
        chart_of([{"error": 0}]).mark_rule(color="var(--ink)").encode(y=y),
        _dots(truth, error, "error", 0.35).encode(x=x, y=y),
        line.encode(x=x, y=y, tooltip=told),
    )


def _dots(truth: Array, values: Array, name: str, opacity: float) -> alt.Chart:
    shown = thinned(len(truth))
    pairs = zip(truth[shown].tolist(), values[shown].tolist(), strict=True)
    rows = [{"true": round(true, 4), name: round(value, 4)} for true, value in pairs]
    told = [alt.Tooltip(f"{key}:Q", title=key, format=".2f") for key in ("true", name)]
    drawn = chart_of(rows).mark_circle(size=30, opacity=opacity, color="var(--accent)")
    encoded: alt.Chart = drawn.encode(tooltip=told)
    return encoded


def residual_histogram(errors: Array) -> alt.LayerChart:
    """How often each residual occurs, with a line at zero."""
    counts, edges = np.histogram(errors, bins=min(40, max(10, round(len(errors) ** 0.5))))
    x = alt.X("low:Q", title="predicted − true")
    drawn = bars(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), x, "utterances")
    return layered(drawn, chart_of([{"low": 0}]).mark_rule(color="var(--ink)").encode(x=x))


def confusion(
    counts: NDArray[np.int64], names: Sequence[str], totals: NDArray[np.int64] | None = None
) -> alt.LayerChart:
    """Counts in cells that are shaded by their share of the true class.

    Args:
        counts: C × C; row = truth, column = prediction.
        names: C classes.
        totals: C, how often each class is true, where that is not the row's sum.
    """
    of_class = np.maximum(counts.sum(axis=1) if totals is None else totals, 1)
    cells = [
        {
            "x": predicted,
            "y": true,
            "shade": round(float(counts[i, j] / of_class[i]), 4),
            "text": str(counts[i, j]) if counts[i, j] else "",
            "told": f"true {true}, predicted {predicted}: {counts[i, j]}, {100 * counts[i, j] / of_class[i]:.0f} %",
        }
        for i, true in enumerate(names)
        for j, predicted in enumerate(names)
    ]
    return heat_map(cells, x=names, y=names, title="predicted", rows="true")


def modality_weights(values: Mapping[str, Array]) -> alt.LayerChart:
    """How each modality's weight spreads over utterances, as box plots from the smallest to the largest."""
    keys = ("low", "first", "median", "third", "high")
    rows = [
        {"name": name, **dict(zip(keys, np.round(np.quantile(one, (0, 0.25, 0.5, 0.75, 1)), 4).tolist(), strict=True))}
        for name, one in values.items()
    ]
    told = [alt.Tooltip(f"{key}:Q", title=what, format=".0%") for key, what in zip(keys, QUARTILES, strict=True)]
    base = chart_of(rows).encode(y=alt.Y("name:N", sort=list(values), title=None), tooltip=told)

    def x(key: str) -> alt.X:
        return percent_x(key, "weight in the prediction")

    box = base.mark_bar(color="var(--tint)", stroke="var(--accent)", strokeWidth=1.5, height=26)
    return layered(
        base.mark_rule(color="var(--accent)", strokeWidth=1.5).encode(x=x("low"), x2="high:Q"),
        base.mark_bar(color="var(--paper)", height=26).encode(x=x("first"), x2="third:Q"),
        box.encode(x=x("first"), x2="third:Q"),
        base.mark_tick(color="var(--accent)", thickness=2.5, height=26).encode(x=x("median")),
    )


QUARTILES = ("smallest", "first quartile", "median", "third quartile", "largest")


def projections(
    panels: Mapping[str, tuple[Array, Array]], truth: Mapping[str, Array], task: Task
) -> tuple[alt.LayerChart, int]:
    """One picture: a row per modality, before the filter on the left, after it on the right, one legend for all.

    Args:
        panels: modality → points before and after, N × 2 each.
        truth: modality → truth of the same N utterances: scores, class indices, or N × C values in {0, 1}.
        task: kind of label.

    Returns: the chart, and its height in pixels.
    """
    dots, boxes = [], []
    for row, (name, sides) in enumerate(panels.items()):
        for column, points in enumerate(sides):
            left, top = float(column), float(row)
            side = "after" if column else "before"
            boxes.append({"x": left, "x2": left + PANEL, "y": top + 0.1, "y2": top + 0.98, "name": f"{name}, {side}"})
            dots += _panel(points, truth[name], task, (left, top + 0.1), (PANEL, 0.88))
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, 1 + PANEL], nice=False, zero=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, len(panels)], reverse=True, nice=False, zero=False))
    frames = chart_of(boxes).encode(x=x, y=y)
    colour, told = _colour(task, {row["is"] for row in dots})
    drawn = layered(
        frames.mark_rect(fill=None, stroke="var(--line)").encode(x2="x2:Q", y2="y2:Q"),
        frames.mark_text(align="left", baseline="bottom", dy=-3, fontSize=12).encode(text="name:N"),
        chart_of(dots).mark_circle(size=22, opacity=0.75).encode(x=x, y=y, color=colour, tooltip=told),
    )
    return drawn, 60 + 240 * len(panels)


def _panel(
    points: Array, truth: Array, task: Task, corner: tuple[float, float], size: tuple[float, float]
) -> list[dict[str, Any]]:
    """The utterances of one panel, moved into its place; no axis of a projection has a unit."""
    chosen = thinned(len(points))
    points, truth = points[chosen], truth[chosen]
    span = np.maximum(np.ptp(points, axis=0), 1e-12)
    placed = 0.03 + 0.94 * (points - points.min(axis=0)) / span
    x = np.round(corner[0] + size[0] * placed[:, 0], 4)
    y = np.round(corner[1] + size[1] * (1 - placed[:, 1]), 4)
    kinds = np.round(truth, 4).tolist() if task.is_score else _groups(truth, task)
    return [{"x": a, "y": b, "is": kind} for a, b, kind in zip(x.tolist(), y.tolist(), kinds, strict=True)]


def _groups(truth: Array, task: Task) -> list[str]:
    """The class of each utterance, its only label, or how many labels it has: `none` or `several`."""
    if truth.ndim == 1:
        return [task.names[int(place)] for place in truth]
    count = (truth > 0).sum(axis=1)
    only = (truth > 0).argmax(axis=1)
    return [
        "none" if n == 0 else task.names[place] if n == 1 else "several" for n, place in zip(count, only, strict=True)
    ]


def _colour(task: Task, present: set[Any]) -> tuple[alt.Color, alt.Tooltip]:
    if task.is_score:
        colours = ["var(--negative)", "var(--neutral)", "var(--positive)"]
        middle = (task.low + task.high) / 2
        scale = alt.Scale(domain=[task.low, middle, task.high], range=colours, interpolate="rgb")
        legend = alt.Legend(gradientLength=180, gradientThickness=8, tickCount=5)
        return alt.Color("is:Q", title="true score", scale=scale, legend=legend), alt.Tooltip("is:Q", title="true")
    extra = {name: colour for name, colour in OTHERS.items() if name in present}
    return colour_by("is", task.names, extra), alt.Tooltip("is:N", title="true")


OTHERS = {"none": "var(--line)", "several": "var(--ink)"}
"""Colours of utterances without a label, and with more than one."""
