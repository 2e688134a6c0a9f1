"""The page's figures, as plain Plotly JSON in the style of the report's."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.scores import Value
from mecam.evaluation.sums import Array
from mecam.report.figures import CLASS_COLOURS, Figure, axis, compose
from mecam.report.markup import value

__all__ = ["Line", "curves", "heat_map"]

Line = tuple[str, Sequence[float], Sequence[Value]]
"""Name, where each value stands on the axis, and the values."""


def curves(lines: Sequence[Line], metric: Metric, across: str, *, percent: bool = True, plain: int = 0) -> Figure:
    """A metric over rates or severities: a line per run, a band for its 95 % interval.

    Args:
        lines: one per run.
        metric: what is drawn.
        across: title of the axis.
        percent: print the places on it as percentages.
        plain: so many of the last lines are drawn grey, dashed and without a band: what the others are held against.
    """
    bands: list[dict[str, Any]] = []
    data: list[dict[str, Any]] = []
    form = ".1%" if metric.fraction else ".3f"
    for number, (name, places, values) in enumerate(lines):
        grey = number >= len(lines) - plain
        colour = "var(--muted)" if grey else f"var(--class{number % CLASS_COLOURS})"
        entries = [one.to_json() for one in values]
        known = [(x, e["ci95"]) for x, e in zip(places, entries, strict=True) if e["ci95"]]
        if known and not grey:
            bands.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [x for x, _ in known] + [x for x, _ in reversed(known)],
                    "y": [round(ends[0], 5) for _, ends in known] + [round(ends[1], 5) for _, ends in reversed(known)],
                    "fill": "toself",
                    "fillcolor": colour,
                    "line": {"color": colour, "width": 0},
                    "opacity": 0.18,
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if grey else "lines+markers",
                "name": html.escape(name),
                "x": list(places),
                "y": [None if e["mean"] is None else round(e["mean"], 5) for e in entries],
                "line": {"color": colour, "width": 1.5 if grey else 2, "dash": "dot" if grey else "solid"},
                "marker": {"color": colour, "size": 6},
                "hovertemplate": f"{html.escape(name)}: %{{y:{form}}}<extra></extra>",
            }
        )
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}}
    return compose(
        [*bands, *data],
        axis(across, tickformat=".0%" if percent else None, dtick=None if percent else 1),
        axis(metric.name, nticks=6, tickformat=".0%" if metric.fraction else None),
        height=300,
        showlegend=len(lines) > 1,
        legend=legend,
    )


def heat_map(
    harm: Array,
    shown: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    metric: Metric,
    worst: float,
    *,
    across: str = "severity",
) -> Figure:
    """Every corruption at every severity, or of every run: shaded by what is lost against clean data.

    Args:
        harm: C × K, what is lost; NaN where unknown.
        shown: C × K values of the metric, which are written in.
        rows: C names of corruptions.
        columns: K names.
        metric: what is drawn.
        worst: loss that is shaded fully, the same for all maps that are compared.
        across: what the columns are.
    """
    text = [["" if one is None else value(one, metric).removesuffix(" %") for one in row] for row in shown]
    data = [
        {
            "type": "heatmap",
            "z": [[None if np.isnan(one) else round(float(max(one, 0.0)), 5) for one in row] for row in harm],
            "x": [html.escape(name) for name in columns],
            "y": [html.escape(name) for name in rows],
            "text": text,
            "texttemplate": "%{text}",
            "colorscale": [[0.0, "var(--paper)"], [1.0, "var(--accent)"]],
            "zmin": 0,
            "zmax": max(worst, 1e-9),
            "showscale": False,
            "xgap": 2,
            "ygap": 2,
            "hovertemplate": f"%{{y}}, {across} %{{x}}: %{{text}}<extra></extra>",
        }
    ]
    x = axis(across, type="category", showgrid=False)
    y = axis("", type="category", showgrid=False, autorange="reversed")
    return compose(data, x, y, height=80 + 26 * len(rows))
