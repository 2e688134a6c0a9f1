"""Embeddings in two dimensions, before and after the filter: the method's own picture.

Both sides show the same utterances with the same colours. Every panel has axes of its own: what counts is
who lies beside whom, and that is also put into a number that does not depend on the projection.
"""

import html
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.sums import Array
from mecam.report.figures import CLASS_COLOURS, DIVERGING, Figure, compose, thinned
from mecam.task import Task

__all__ = ["Projection", "before_and_after", "colour_groups", "neighbours_agree", "project"]

Projection: TypeAlias = Literal["pca", "tsne"]

NEIGHBOURS = 10
"""How many nearest utterances are asked for their label."""

PANEL = 230
"""Height of one row of panels, in pixels."""


def project(embeddings: Array, direction: Array, projection: Projection = "pca") -> Array:
    """Project N × D embeddings to the plane: N × 2.

    Args:
        embeddings: any scale.
        direction: N values, such as the truth; each axis is turned so that they grow along it, which makes
            pictures of different runs comparable.
        projection: `pca` keeps distances as well as a plane can; `tsne` keeps neighbours together, and distances
            between its clouds mean nothing (van der Maaten and Hinton, 2008).
    """
    centred = embeddings - embeddings.mean(axis=0)
    if projection == "tsne" and len(centred) > NEIGHBOURS:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(centred) - 1) / 3)
        flat = np.asarray(TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(centred), np.float64)
    else:
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        flat = np.zeros((len(centred), 2))
        flat[:, : min(2, len(axes))] = centred @ axes[:2].T
    for axis in (0, 1):
        if np.dot(flat[:, axis], direction - direction.mean()) < 0:
            flat[:, axis] *= -1
    return flat


def neighbours_agree(embeddings: Array, truth: Array, task: Task) -> float | None:
    """How well the truth of an utterance follows from its ten nearest neighbours in the full space.

    Args:
        embeddings: N × D; of very many, an even part is looked at.
        truth: N scores or class indices.
        task: of scores or classes.

    Returns: for scores, the correlation of each score with the mean of its neighbours; for classes, the share of
        utterances whose neighbours' most frequent class is their own. None for too few utterances, or where it is
        undefined.
    """
    if len(truth) <= NEIGHBOURS + 1:
        return None
    chosen = thinned(len(truth))
    embeddings, truth = embeddings[chosen], truth[chosen]
    squares = (embeddings**2).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2 * embeddings @ embeddings.T
    np.fill_diagonal(distance, np.inf)
    nearest = truth[np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]]  # N K
    if task.is_score:
        guess = nearest.mean(axis=1)
        return float(np.corrcoef(guess, truth)[0, 1]) if np.ptp(guess) and np.ptp(truth) else None
    votes = np.stack([(nearest == index).sum(axis=1) for index in range(len(task.names))], axis=1)
    return float((votes.argmax(axis=1) == truth).mean())


def colour_groups(truth: Array, task: Task) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Sort utterances into groups of one colour each: classes, or labels that stand alone.

    Args:
        truth: N class indices, or N × C values in {0, 1}.
        task: of classes or several labels.

    Returns: the group of each utterance, and name and colour of every group.
    """
    names = [(name, f"var(--class{place % CLASS_COLOURS})") for place, name in enumerate(task.names)]
    if truth.ndim == 1:
        return truth.astype(np.int64), names
    count = (truth > 0).sum(axis=1)
    group = np.where(count == 1, (truth > 0).argmax(axis=1), np.where(count == 0, len(names), len(names) + 1))
    return group.astype(np.int64), [*names, ("none", "var(--line)"), ("several", "var(--ink)")]


def before_and_after(panels: Mapping[str, tuple[Array, Array]], truth: Mapping[str, Array], task: Task) -> Figure:
    """One picture: a row per modality, before the filter on the left, after it on the right, one legend for all.

    Args:
        panels: modality → points before and after, N × 2 each.
        truth: modality → truth of the same N utterances.
        task: kind of label.
    """
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    shown_groups: set[int] = set()
    for row, (name, sides) in enumerate(panels.items()):
        for column, points in enumerate(sides):
            place = 2 * row + column + 1
            where = {"xaxis": f"x{place}", "yaxis": f"y{place}"} if place > 1 else {"xaxis": "x", "yaxis": "y"}
            data += [{**trace, **where} for trace in _dots(points, truth[name], task, shown_groups)]
            layout |= _panel(place, row, column, len(panels))
            layout["annotations"].append(_title(name, column, layout, place))
    height = PANEL * len(panels) + 70
    layout |= {"showlegend": not task.is_score, "legend": _legend(height)}
    if task.is_score:
        layout["coloraxis"] = _colour_axis(task, height)
    return compose(data, {}, {}, height=height, margin={"l": 4, "r": 4, "t": 52, "b": 8}, **layout)


def _dots(points: Array, truth: Array, task: Task, shown_groups: set[int]) -> list[dict[str, Any]]:
    """The utterances of one panel: one trace for scores, one per group of labels."""
    chosen = thinned(len(points))
    points, truth = np.round(points[chosen], 4), truth[chosen]
    marker = {"size": 5, "opacity": 0.75}
    base = {"type": "scatter", "mode": "markers"}
    if task.is_score:
        return [
            {
                **base,
                "x": points[:, 0].tolist(),
                "y": points[:, 1].tolist(),
                "marker": {**marker, "color": np.round(truth, 4).tolist(), "coloraxis": "coloraxis"},
                "showlegend": False,
                "hovertemplate": "true %{marker.color:.2f}<extra></extra>",
            }
        ]
    group, kinds = colour_groups(truth, task)
    traces = []
    for index in np.unique(group).tolist():
        name, colour = kinds[index]
        mine = group == index
        traces.append(
            {
                **base,
                "name": html.escape(name),
                "legendgroup": str(index),
                "legendrank": index,
                "showlegend": index not in shown_groups,
                "x": points[mine, 0].tolist(),
                "y": points[mine, 1].tolist(),
                "marker": {**marker, "color": colour},
                "hovertemplate": f"true {html.escape(name)}<extra></extra>",
            }
        )
        shown_groups.add(index)
    return traces


def _panel(place: int, row: int, column: int, rows: int) -> dict[str, Any]:
    """The two axes of a panel, side by side with a little room between."""
    gap = 0.13 / rows
    height = (1 - gap * rows) / rows
    top = 1 - row * (height + gap) - gap
    number = "" if place == 1 else str(place)
    axis = {
        "showticklabels": False,
        "ticks": "",
        "zeroline": False,
        "showgrid": False,
        "showline": True,
        "mirror": True,
        "linecolor": "var(--line)",
        "fixedrange": True,
    }
    left = 0.0 if column == 0 else 0.51
    return {
        f"xaxis{number}": {**axis, "domain": [left, left + 0.49], "anchor": f"y{number}"},
        f"yaxis{number}": {**axis, "domain": [round(top - height, 4), round(top, 4)], "anchor": f"x{number}"},
    }


def _title(name: str, column: int, layout: Mapping[str, Any], place: int) -> dict[str, Any]:
    number = "" if place == 1 else str(place)
    return {
        "text": f"{html.escape(name)}, {'after' if column else 'before'}",
        "x": layout[f"xaxis{number}"]["domain"][0],
        "y": layout[f"yaxis{number}"]["domain"][1],
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12},
    }


def _legend(height: int) -> dict[str, Any]:
    return {
        "orientation": "h",
        "x": 0,
        "y": 1 + 6 / height,
        "yanchor": "bottom",
        "font": {"size": 11},
        "itemsizing": "constant",
    }


def _colour_axis(task: Task, height: int) -> dict[str, Any]:
    bar = {
        "orientation": "h",
        "thickness": 8,
        "len": 0.4,
        "lenmode": "fraction",
        "x": 0,
        "xanchor": "left",
        "y": 1 + 4 / height,
        "yanchor": "bottom",
        "outlinewidth": 0,
        "nticks": 5,
        "tickfont": {"color": "var(--muted)", "size": 11},
        "title": {"text": "truth", "side": "top", "font": {"size": 11}},
    }
    return {"colorscale": DIVERGING, "cmin": task.low, "cmax": task.high, "colorbar": bar}
