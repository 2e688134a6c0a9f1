"""Plotly's records drawn by Matplotlib: the traces and options that the reports use, and no others.

Imported only when figures are asked for; needs the extra `figures`.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

__all__ = ["STYLE", "draw"]

PAGE = 460
"""Pixels of the page that the width of a figure stands for."""

DOT = 0.55
"""Points of a drawn line or dot for each pixel of the record."""

STYLE: Mapping[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "mecam",
}

DASHES = {"solid": "-", "dot": ":", "dash": "--"}
MARKERS = {"line-ns-open": "|"}

Record = Mapping[str, Any]


def draw(spec: Record, *, width: float) -> Figure:
    """Draw a figure.

    Args:
        spec: data and layout as `figures` makes them, colours put in.
        width: inches.

    Raises: KeyError for a kind of trace that no report has.
    """
    layout = spec["layout"]
    figure = Figure(figsize=(width, width * layout["height"] / PAGE), layout="constrained")
    FigureCanvasAgg(figure)
    places = _panels(figure, layout)
    if boxes := [trace for trace in spec["data"] if trace["type"] == "box"]:
        _boxes(places["x"][0], boxes)
    for trace in (trace for trace in spec["data"] if trace["type"] != "box"):
        axes, x, y = places[trace.get("xaxis", "x")]
        TRACES[trace["type"]](axes, trace, x, y, layout)
    for axes, x, y in places.values():
        _dress(axes, x, y)
    for note, (axes, _, _) in zip(layout.get("annotations", []), places.values(), strict=False):
        axes.set_title(html.unescape(note["text"]), fontsize=7, loc="left", pad=2)
    if title := layout.get("meta", {}).get("ylabel"):
        places["x"][0].set_ylabel(title)
    for shape in layout.get("shapes", []):
        _rule(places["x"][0], shape)
    if layout.get("showlegend"):
        _legend(figure, spec["data"])
    if "coloraxis" in layout:
        _colour_bar(figure, layout["coloraxis"], [axes for axes, _, _ in places.values()])
    return figure


def _panels(figure: Figure, layout: Record) -> dict[str, tuple[Axes, Record, Record]]:
    """Key of the x axis → axes and the records of both axes; several panels are placed by their domains."""
    keys = sorted((key for key in layout if key.startswith("xaxis")), key=lambda key: int(key[5:] or 1))
    if len(keys) == 1:
        return {"x": (figure.subplots(), layout["xaxis"], layout["yaxis"])}
    lefts = sorted({layout[key]["domain"][0] for key in keys})
    tops = sorted({layout[f"y{key[1:]}"]["domain"][1] for key in keys}, reverse=True)
    grid = figure.add_gridspec(len(tops), len(lefts))
    places = {}
    for key in keys:
        x, y = layout[key], layout[f"y{key[1:]}"]
        axes = figure.add_subplot(grid[tops.index(y["domain"][1]), lefts.index(x["domain"][0])])
        places[f"x{key[5:]}"] = (axes, x, y)
    return places


def _scatter(axes: Axes, trace: Record, x: Record, y: Record, layout: Record) -> None:
    across, up = _positions(axes.xaxis, trace["x"], x), _positions(axes.yaxis, trace["y"], y)
    line, marker = trace.get("line", {}), trace.get("marker", {})
    alpha = trace.get("opacity", 1.0)
    if "lines" in trace["mode"]:
        style = DASHES[line.get("dash", "solid")]
        axes.plot(across, up, color=line.get("color"), lw=DOT * line.get("width", 2), ls=style, alpha=alpha, zorder=2)
    if error := trace.get("error_x"):
        spread = [error["arrayminus"], error["array"]]
        width = DOT * error.get("thickness", 2)
        axes.errorbar(across, up, xerr=spread, fmt="none", ecolor=error["color"], elinewidth=width, zorder=2)
    if "markers" in trace["mode"]:
        _markers(axes, across, up, marker, alpha * marker.get("opacity", 1.0), layout)


def _markers(axes: Axes, across: Any, up: Any, marker: Record, alpha: float, layout: Record) -> None:
    kind = MARKERS.get(marker.get("symbol", ""), "o")
    ring = marker.get("line", {})
    options: dict[str, Any] = {"s": (np.asarray(marker.get("size", 6)) * DOT) ** 2, "alpha": alpha, "zorder": 3}
    if "coloraxis" in marker:
        scale = layout[marker["coloraxis"]]
        options |= {"c": marker["color"], "cmap": _scale(scale["colorscale"]), "norm": _norm(scale)}
    else:
        options |= {"color" if kind == "|" else "facecolor": marker.get("color")}
    if kind == "|":
        options["linewidths"] = DOT * 1.5
    elif ring:
        options |= {"edgecolors": ring["color"], "linewidths": DOT * np.asarray(ring.get("width", 1))}
    else:
        options["linewidths"] = 0
    axes.scatter(across, up, marker=kind, **options)


def _bar(axes: Axes, trace: Record, x: Record, y: Record, layout: Record) -> None:
    marker = trace["marker"]
    axes.bar(trace["x"], trace["y"], width=trace["width"], color=marker["color"], alpha=marker.get("opacity", 1.0))


def _heatmap(axes: Axes, trace: Record, x: Record, y: Record, layout: Record) -> None:
    shade = np.asarray(trace["z"], np.float64)
    limits = {"vmin": trace["zmin"], "vmax": trace["zmax"]}
    edges = [np.arange(size + 1) - 0.5 for size in shade.shape[::-1]]
    axes.pcolormesh(*edges, shade, cmap=_scale(trace["colorscale"]), edgecolors="white", linewidth=0.8, **limits)
    for row, cells in enumerate(trace["text"]):
        for column, text in enumerate(cells):
            dark = shade[row, column] > 0.55 * trace["zmax"]
            colour = "white" if dark else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    _positions(axes.xaxis, trace["x"], x)
    _positions(axes.yaxis, trace["y"], y)
    if max(len(name) for name in trace["x"]) * len(trace["x"]) > 40:
        axes.tick_params(axis="x", labelrotation=90)


def _boxes(axes: Axes, traces: Sequence[Record]) -> None:
    """All boxes of a figure, lying, the first one at the top where the axis is turned round."""
    first = traces[0]
    line = {"color": first["line"]["color"], "lw": DOT * first["line"]["width"]}
    axes.boxplot(
        [trace["x"] for trace in traces],
        positions=range(len(traces)),
        orientation="horizontal",
        whis=(0, 100),
        widths=0.5,
        tick_labels=[html.unescape(trace["name"]) for trace in traces],
        boxprops=line,
        medianprops=line,
        whiskerprops=line,
        capprops=line,
    )


TRACES: Mapping[str, Callable[[Axes, Record, Record, Record, Record], None]] = {
    "scatter": _scatter,
    "bar": _bar,
    "heatmap": _heatmap,
}


def _positions(axis: Any, values: Sequence[Any], record: Record) -> Sequence[Any]:
    """Numbers as they are, None as a gap; names as places on the axis, which gets them as ticks."""
    if not any(isinstance(value, str) for value in values):
        return [np.nan if value is None else value for value in values]
    names = list(record.get("categoryarray") or dict.fromkeys(values))
    axis.set_ticks(range(len(names)), [html.unescape(name) for name in names])
    return [names.index(value) for value in values]


def _dress(axes: Axes, x: Record, y: Record) -> None:
    """Frame, titles, limits, ticks and grid."""
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom") or bool(x.get("mirror")))
        spine.set_color(x.get("linecolor", "black"))
    for name, record, axis in (("x", x, axes.xaxis), ("y", y, axes.yaxis)):
        axis.set_label_text(html.unescape(record.get("title", {}).get("text", "")))
        if record.get("range"):
            axes.set(**{f"{name}lim": record["range"]})
        if record.get("rangemode") == "tozero":
            axes.set(**{f"{name}lim": (0, None)})
        if record.get("autorange") == "reversed":
            axis.set_inverted(True)
        _ticks(axis, record)
    if y.get("zeroline"):
        axes.axhline(0, color=y["zerolinecolor"], lw=0.6)


def _ticks(axis: Any, record: Record) -> None:
    """Where ticks stand and how they read, and the lines behind them."""
    if record.get("showticklabels") is False:
        axis.set_ticks([])
    elif str(record.get("tickformat", "")).endswith("%"):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if record.get("dtick"):
        axis.set_major_locator(MultipleLocator(record["dtick"]))
    elif record.get("nticks"):
        axis.set_major_locator(MaxNLocator(record["nticks"], integer=axis.get_label_text() == "epoch"))
    if record.get("showgrid", True) and record.get("type") != "category":
        axis.grid(True, color=record.get("gridcolor"), lw=0.4)


def _rule(axes: Axes, shape: Record) -> None:
    line = shape["line"]
    style = DASHES[line.get("dash", "solid")]
    axes.axvline(shape["x0"], color=line["color"], lw=DOT * line["width"], ls=style)


def _legend(figure: Figure, data: Sequence[Record]) -> None:
    """One entry for each trace that asks for one, above everything."""
    shown = sorted((t for t in data if t.get("showlegend", True) and t.get("name")), key=_rank)
    if not shown:
        return
    handles = []
    for trace in shown:
        lines = "lines" in trace["mode"]
        colour = trace["line"]["color"] if lines else trace["marker"]["color"]
        handle = figure.axes[0].plot([], [], color=colour, ls="-" if lines else "", marker="" if lines else "o", ms=3)
        handles.append(handle[0])
    names = [html.unescape(trace["name"]) for trace in shown]
    figure.legend(handles, names, loc="outside upper left", ncols=4, frameon=False, handlelength=1.2, columnspacing=1)


def _rank(trace: Record) -> int:
    rank: int = trace.get("legendrank", 0)
    return rank


def _colour_bar(figure: Figure, scale: Record, axes: Sequence[Axes]) -> None:
    source = ScalarMappable(_norm(scale), _scale(scale["colorscale"]))
    bar = figure.colorbar(source, ax=list(axes), location="top", shrink=0.5, aspect=30, anchor=(0.0, 0.0), pad=0.02)
    bar.set_label(html.unescape(scale["colorbar"]["title"]["text"]), fontsize=7)
    bar.outline.set(visible=False)


def _norm(scale: Record) -> Normalize:
    return Normalize(scale["cmin"], scale["cmax"])


def _scale(stops: Sequence[Sequence[Any]]) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("scale", [(place, colour) for place, colour in stops])
