"""The report's figures, as plain Plotly JSON: data in, one dictionary out.

A colour `var(--name)` is a variable of `style.css`; the page's script puts its value in, so that a
figure follows the reader's light or dark theme. Nothing here reads files or writes HTML.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.sums import Array
from mecam.task import Task

__all__ = [
    "CLASS_COLOURS",
    "DIVERGING",
    "Figure",
    "axis",
    "bars",
    "compose",
    "confusion",
    "curves",
    "forest",
    "histogram",
    "predicted_against_true",
    "reliability",
    "residuals",
    "shares",
    "thinned",
    "thinning",
]

Figure: TypeAlias = dict[str, Any]

MOST_POINTS = 1500
"""More dots than this make a page slow and a picture no clearer."""

DIVERGING = [[0.0, "var(--negative)"], [0.5, "var(--neutral)"], [1.0, "var(--positive)"]]
CLASS_COLOURS = 8


def curves(history: Sequence[Mapping[str, float | None]], columns: Mapping[str, str], name: str = "") -> Figure:
    """Columns of the history over epochs: a line per seed, the kept epoch ringed.

    Args:
        history: rows with `seed`, `epoch`, `best` and the columns.
        columns: label → column; each label has its colour and stands in the legend if there are several.
        name: of what is drawn, for those who meet the figure without its caption.
    """
    colours = ["var(--accent)"] if len(columns) == 1 else [f"var(--class{k})" for k in range(CLASS_COLOURS)]
    data: list[dict[str, Any]] = []
    for place, (label, column) in enumerate(columns.items()):
        lines = _lines(history, column, label, colours[place % len(colours)])
        data += [{**line, "showlegend": number == 0} for number, line in enumerate(lines)]
    last = max((row["epoch"] or 0 for row in history), default=0)
    x = axis("epoch", dtick=1 if last <= 10 else None, nticks=6 if last > 10 else None)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}}
    return compose(
        data, x, axis("", nticks=5), height=230, showlegend=len(columns) > 1, legend=legend, meta={"ylabel": name}
    )


def _lines(
    history: Sequence[Mapping[str, float | None]], column: str, label: str, colour: str
) -> Iterator[dict[str, Any]]:
    for seed in sorted({row["seed"] for row in history if row["seed"] is not None}):
        rows = [row for row in history if row["seed"] == seed and row.get(column) is not None]
        kept = [bool(row.get("best")) for row in rows]
        yield {
            "type": "scatter",
            "mode": "lines+markers",
            "name": html.escape(label),
            "legendgroup": column,
            "x": [row["epoch"] for row in rows],
            "y": [row[column] for row in rows],
            "line": {"color": colour, "width": 1.5},
            "marker": {
                "color": ["var(--paper)" if best else colour for best in kept],
                "size": [9 if best else 3 for best in kept],
                "line": {"color": colour, "width": [2 if best else 0 for best in kept]},
            },
            "opacity": 0.75,
            "hovertemplate": f"seed {seed:.0f}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        }


def predicted_against_true(truth: Array, prediction: Array, task: Task, half_width: float | None) -> Figure:
    """Scores as dots around the diagonal, between the lines of the interval where there is one."""
    shown = thinned(len(truth))
    ends = [task.low, task.high]
    lines: list[tuple[float, str]] = [(0.0, "solid")]
    if half_width is not None:
        lines += [(half_width, "dot"), (-half_width, "dot")]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": ends,
            "y": [end + shift for end in ends],
            "line": {"color": "var(--muted)", "width": 1, "dash": dash},
            "hoverinfo": "skip",
        }
        for shift, dash in lines
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": truth[shown].tolist(),
            "y": np.round(prediction[shown], 4).tolist(),
            "marker": {"color": "var(--accent)", "size": 6, "opacity": 0.4},
            "hovertemplate": "true %{x:.2f}, predicted %{y:.2f}<extra></extra>",
        }
    )
    return compose(data, axis("true"), axis("predicted"))


def residuals(truth: Array, error: Array, steps: Sequence[tuple[float, float]]) -> Figure:
    """What is left (prediction − truth) against the truth, and its mean along the truth.

    Args:
        truth: N scores.
        error: N, prediction − truth.
        steps: (true score, mean error around it), from low to high.
    """
    shown = thinned(len(truth))
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "utterance",
            "x": np.round(truth[shown], 4).tolist(),
            "y": np.round(error[shown], 4).tolist(),
            "marker": {"color": "var(--accent)", "size": 6, "opacity": 0.3},
            "hovertemplate": "true %{x:.2f}, off by %{y:.2f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "mean",
            "x": [round(at, 4) for at, _ in steps],
            "y": [round(mean, 4) for _, mean in steps],
            "line": {"color": "var(--mark)", "width": 2},
            "marker": {"color": "var(--mark)", "size": 6},
            "hovertemplate": "around %{x:.2f}: mean %{y:.2f}<extra></extra>",
        },
    ]
    return compose(data, axis("true"), axis("predicted − true", zeroline=True, zerolinecolor="var(--ink)"))


def histogram(values: Array, title: str) -> Figure:
    """How often each value occurs, with a line at zero."""
    counts, edges = np.histogram(values, bins=min(40, max(10, round(len(values) ** 0.5))))
    data = [
        {
            "type": "bar",
            "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
            "y": counts.tolist(),
            "width": float(edges[1] - edges[0]),
            "marker": {"color": "var(--accent)", "opacity": 0.7},
            "hovertemplate": "%{x:.2f}: %{y}<extra></extra>",
        }
    ]
    zero = {
        "type": "line",
        "x0": 0,
        "x1": 0,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": "var(--ink)", "width": 1},
    }
    return compose(data, axis(title), axis("utterances", rangemode="tozero"), shapes=[zero])


def bars(centres: Sequence[float], counts: Sequence[int], titles: tuple[str, str]) -> Figure:
    """Counts over shares from 0 to 1, in bins of equal width."""
    data = [
        {
            "type": "bar",
            "x": list(centres),
            "y": list(counts),
            "width": 0.92 / len(centres),
            "marker": {"color": "var(--accent)", "opacity": 0.7},
            "hovertemplate": "around %{x:.0%}: %{y}<extra></extra>",
        }
    ]
    x = axis(titles[0], range=[0, 1.02], tickformat=".0%", showgrid=False)
    return compose(data, x, axis(titles[1], rangemode="tozero"))


def confusion(counts: NDArray[np.int64], names: Sequence[str], totals: NDArray[np.int64] | None = None) -> Figure:
    """Counts in cells that are shaded by their share of the true class.

    Args:
        counts: C × C; row = truth, column = prediction.
        names: C classes.
        totals: C, how often each class is true, where that is not the row's sum.
    """
    of_class = counts.sum(axis=1) if totals is None else totals
    share = counts / np.maximum(of_class[:, None], 1)
    labels = [html.escape(name) for name in names]
    data = [
        {
            "type": "heatmap",
            "z": np.round(share, 4).tolist(),
            "x": labels,
            "y": labels,
            "text": [[str(count) if count else "" for count in row] for row in counts.tolist()],
            "texttemplate": "%{text}",
            "colorscale": [[0.0, "var(--paper)"], [1.0, "var(--accent)"]],
            "zmin": 0,
            "zmax": 1,
            "showscale": False,
            "xgap": 2,
            "ygap": 2,
            "hovertemplate": "true %{y}, predicted %{x}: %{z:.0%} of the true<extra></extra>",
        }
    ]
    x, y = axis("predicted", type="category", showgrid=False), axis("true", type="category", showgrid=False)
    return compose(data, x, {**y, "autorange": "reversed"}, height=max(320, 42 * len(names) + 90))


def reliability(promised: Sequence[float], kept: Sequence[float | None], titles: tuple[str, str]) -> Figure:
    """What was promised against what came true; on the diagonal the two agree."""
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 1],
            "y": [0, 1],
            "line": {"color": "var(--muted)", "width": 1},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": list(promised),
            "y": list(kept),
            "line": {"color": "var(--accent)", "width": 2},
            "marker": {"color": "var(--accent)", "size": 7},
            "hovertemplate": "%{x:.0%} → %{y:.1%}<extra></extra>",
        },
    ]
    return compose(
        data,
        axis(titles[0], range=[0, 1.02], tickformat=".0%"),
        axis(titles[1], range=[0, 1.02], tickformat=".0%"),
    )


def shares(values: Mapping[str, Array]) -> Figure:
    """How each modality's share spreads over utterances, as box plots."""
    data = [
        {
            "type": "box",
            "name": html.escape(name),
            "x": np.round(share[thinned(len(share))], 4).tolist(),
            "orientation": "h",
            "boxpoints": False,
            "line": {"color": "var(--accent)", "width": 1.5},
            "fillcolor": "var(--tint)",
            "hoverinfo": "x",
        }
        for name, share in values.items()
    ]
    figure = compose(
        data,
        axis("share of the prediction", range=[0, 1], tickformat=".0%"),
        axis("", autorange="reversed", showgrid=False),
        height=80 + 60 * len(values),
    )
    return figure


def forest(
    rows: Sequence[tuple[str, float | None, Sequence[float] | None, Sequence[float | None]]],
    title: str,
    *,
    line: float | None = None,
    percent: bool = False,
) -> Figure:
    """A row per model: its mean as a dot, its interval as a bar, its seeds as ticks.

    Args:
        rows: name, mean, ends of the interval, value of every seed; from above to below.
        title: of the axis.
        line: where a line is drawn for the eye, such as the best mean.
        percent: print values as percentages.
    """
    shown = [(name, mean, ends or (mean, mean), seeds) for name, mean, ends, seeds in rows if mean is not None]
    form = ".1%" if percent else ".3f"
    names = [html.escape(name) for name, *_ in shown]
    ticks = [(name, value) for name, (*_, seeds) in zip(names, shown, strict=True) for value in seeds]
    known = [(name, value) for name, value in ticks if value is not None]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value for _, value in known],
            "y": [name for name, _ in known],
            "marker": {"symbol": "line-ns-open", "size": 11, "color": "var(--muted)", "opacity": 0.8},
            "hovertemplate": f"one seed: %{{x:{form}}}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [mean for _, mean, *_ in shown],
            "y": names,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [ends[1] - mean for _, mean, ends, _ in shown],
                "arrayminus": [mean - ends[0] for _, mean, ends, _ in shown],
                "color": "var(--accent)",
                "thickness": 2,
                "width": 0,
            },
            "marker": {"color": "var(--accent)", "size": 9},
            "customdata": [[ends[0], ends[1]] for _, _, ends, _ in shown],
            "hovertemplate": (
                f"%{{y}}: %{{x:{form}}}, %{{customdata[0]:{form}}} to %{{customdata[1]:{form}}}<extra></extra>"
            ),
        },
    ]
    dashed = {"color": "var(--muted)", "width": 1, "dash": "dot"}
    rule = {"type": "line", "x0": line, "x1": line, "yref": "paper", "y0": 0, "y1": 1, "line": dashed}
    return compose(
        data,
        axis(title, nticks=6, tickformat=".0%" if percent else None),
        axis("", type="category", autorange="reversed", categoryarray=names, showgrid=False),
        height=90 + 30 * len(shown),
        shapes=[] if line is None else [rule],
    )


def thinned(count: int) -> NDArray[np.int64]:
    """At most `MOST_POINTS` of `count` positions, evenly spread."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, MOST_POINTS).astype(np.int64))


def thinning(count: int) -> str:
    """What a caption must say when not every utterance is drawn."""
    kept = len(thinned(count))
    return "" if kept == count else f" {kept} of {count} utterances are drawn."


def axis(title: str, **options: Any) -> dict[str, Any]:
    """A Plotly axis in the style of the page; an option that is None is left out."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": "var(--line)",
        "linecolor": "var(--line)",
        "zerolinecolor": "var(--line)",
        "tickfont": {"color": "var(--muted)"},
        "automargin": True,
        "fixedrange": True,  # on a phone, a finger on a figure scrolls the page
        **{key: value for key, value in options.items() if value is not None},
    }


def compose(data: Sequence[Any], x: dict[str, Any], y: dict[str, Any], *, height: int = 320, **layout: Any) -> Figure:
    """Traces and axes in the style of the page: a whole figure."""
    return {
        "data": list(data),
        "layout": {
            "xaxis": x,
            "yaxis": y,
            "height": height,
            "margin": {"l": 48, "r": 12, "t": 10, "b": 44},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "var(--ink)", "size": 12, "family": "system-ui, sans-serif"},
            "hoverlabel": {"bgcolor": "var(--paper)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)"}},
            "showlegend": False,
            **layout,
        },
    }
