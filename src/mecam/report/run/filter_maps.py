"""The report's section of filter maps: words shaded, and every stream as a strip over time.

Shades run over the range in which the shown gates lie, and the legend says which: a filter that keeps
everything alike shows as one flat tone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.sums import Array
from mecam.report.markup import escape, plain, titled
from mecam.runs.run import Run

__all__ = [
    "Range",
    "edges_of",
    "ends",
    "filter_maps",
    "kept_strip",
    "kept_words",
    "legend",
    "shades_of",
    "time_span",
]

CELLS = 200
"""A strip has at most this many cells; longer streams are averaged."""

Range = tuple[float, float]


def filter_maps(run: Run) -> str:
    """What the filter kept of a few utterances: words shaded, frames as strips."""
    maps = [one for one in run.filter_maps if one.get("modalities")]
    if not maps:
        return ""
    shades = shades_of(maps)
    parts = [_map(one, run, shades) for one in maps]
    injected = any(any(stream.get("injected") or []) for one in maps for stream in one["modalities"].values())
    missing = any(None in stream["kept"] for one in maps for stream in one["modalities"].values())
    return titled("What the filter kept", legend(shades, injected, missing), *parts)


def shades_of(maps: Sequence[Mapping[str, Any]]) -> Range:
    """The gate that is drawn empty and the one drawn full, in tenths, at least 0.3 apart."""
    gates = np.concatenate([np.asarray(s["kept"], np.float64) for one in maps for s in one["modalities"].values()])
    gates = gates[~np.isnan(gates)]
    low, high = np.quantile(gates, (0.02, 0.98)) if gates.size else (0.0, 1.0)
    low, high = math.floor(10 * float(low)) / 10, math.ceil(10 * float(high)) / 10
    high = min(1.0, max(high, low + 0.3))
    return max(0.0, min(low, high - 0.3)), high


def legend(shades: Range, injected: bool, missing: bool = False) -> str:
    """What the shades mean, the mark of what was put in, and what no colour says, where there is any."""
    ramp = "background:linear-gradient(90deg, rgb(var(--accent-rgb) / .04), rgb(var(--accent-rgb) / .64))"
    low = "0" if shades[0] <= 0 else f"{plain(shades[0], 1)} or less"
    high = "1" if shades[1] >= 1 else f"{plain(shades[1], 1)} or more"
    text = f'<div class="legend"><span>kept {low} <span class="ramp" style="{ramp}"></span> {high}</span>'
    if missing:
        text += "<span>no colour: missing, no filter has seen it</span>"
    if injected:
        mark = '<span class="word injected" style="--kept:0">dashed</span>'
        text += f"<span>{mark} negative information was put in here</span>"
    return text + "</div>"


def _map(one: Mapping[str, Any], run: Run, shades: Range) -> str:
    streams = one["modalities"]
    span = time_span(streams)
    sentence = [kept_words(stream, shades) for stream in streams.values() if stream.get("labels")]
    timed, untimed = [], []
    for name, stream in streams.items():
        edges = edges_of(stream)
        if edges is not None and span is not None:
            timed.append(kept_strip(name, stream, shades, edges, span))
        elif len(stream["kept"]) > 1 and not stream.get("labels"):
            rows = len(stream["kept"])
            strip = kept_strip(name, stream, shades, np.arange(rows + 1.0), (0.0, float(rows)))
            untimed.append(strip + ends("first row", f"row {rows}"))
    has_words = any(stream.get("labels") for stream in streams.values())
    text = "" if has_words or not one.get("text") else f"<p>{escape(one['text'])}</p>"
    head = f'<p class="muted"><code>{escape(one["id"])}</code> {_answer(one, run)}</p>'
    axis = "" if span is None else ends(f"{span[0]:.1f} s", f"{span[1]:.1f} s")
    strips = f"{''.join(timed)}{axis}{''.join(untimed)}"
    return f'<div class="map">{head}{text}{"".join(sentence)}{strips}{_single(streams)}</div>\n'


def _single(streams: Mapping[str, Any]) -> str:
    """Streams of one row have no course: their gate is a number."""
    single = {name: s["kept"][0] for name, s in streams.items() if len(s["kept"]) == 1 and not s.get("labels")}
    if not single:
        return ""
    told = ", ".join(f"{escape(name)} {plain(kept, 2)}" for name, kept in single.items())
    return f'<p class="muted">kept of the single row of {told}</p>'


def _answer(one: Mapping[str, Any], run: Run) -> str:
    truth, prediction = one.get("truth"), one.get("prediction")
    if prediction is None:
        return ""
    if run.task.is_score:
        truth, prediction = None if truth is None else plain(float(truth), 2), plain(float(prediction), 2)
    elif run.task.several:
        truth, prediction = None if truth is None else _listed(truth), _listed(prediction)
    known = "" if truth is None else f"true <b>{escape(truth)}</b>, "
    return f'· <span class="nowrap">{known}predicted <b>{escape(prediction)}</b></span>'


def _listed(names: str) -> str:
    return names.replace("|", ", ") or "none"


def kept_words(stream: Mapping[str, Any], shades: Range) -> str:
    """Words shaded by what was kept of them."""
    marked = stream.get("injected") or [False] * len(stream["labels"])
    words = [
        f'<span class="word{" injected" if touched else ""}" style="--kept:{_shade(kept or 0.0, shades):.2f}" '
        f'title="{"missing" if kept is None else f"kept {kept:.2f}"}">{escape(label)}</span>'
        for label, kept, touched in zip(stream["labels"], stream["kept"], marked, strict=False)
    ]
    return f'<p class="words">{" ".join(words)} {_kinds(stream)}</p>'


def kept_strip(name: str, stream: Mapping[str, Any], shades: Range, edges: Array, span: Range) -> str:
    """One stream from left to right: rows start and stop at `edges`, the strip shows `span`."""
    kept = np.asarray(stream["kept"], np.float64)
    at = np.round((edges - span[0]) / ((span[1] - span[0]) or 1.0) * 1000).astype(int).tolist()
    names = stream.get("labels") or [None] * len(kept)

    def box(start: int, stop: int) -> str:
        return f'x="{at[start]}" width="{at[stop] - at[start]}" height="1"'

    cells = [(i, i + 1, float(kept[i])) for i in range(len(kept))] if stream.get("labels") else _cells(kept, shades)
    parts = []
    for start, stop, mean in cells:
        if np.isnan(mean):
            continue
        told = "" if names[start] is None else f"<title>{escape(names[start])}: kept {mean:.2f}</title>"
        parts.append(f'<rect {box(start, stop)} style="--kept:{_shade(mean, shades):.2f}">{told}</rect>')
    parts += [
        f'<rect {box(start, stop)} class="injected" vector-effect="non-scaling-stroke"></rect>'
        for start, stop in _stretches(np.asarray(stream.get("injected") or [], np.bool_))
    ]
    kinds = "" if stream.get("labels") else _kinds(stream)
    known = kept[~np.isnan(kept)]
    label = f"{name}: {f'{known.mean():.2f} kept on average' if known.size else 'all missing'}"
    return (
        f'<div class="strip"><span>{escape(name)} {kinds}</span><svg viewBox="0 0 1000 1" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg></div>'
    )


def ends(first: str, last: str) -> str:
    """What stands below the two ends of a strip."""
    return f'<div class="strip"><span class="time"><span>{first}</span><span>{last}</span></span></div>'


def time_span(streams: Mapping[str, Any]) -> Range | None:
    """The seconds that all timed streams with more than one row cover together."""
    known = [edges for edges in map(edges_of, streams.values()) if edges is not None]
    if not known:
        return None
    return float(min(edges[0] for edges in known)), float(max(edges[-1] for edges in known))


def edges_of(stream: Mapping[str, Any]) -> Array | None:
    """Where each row starts and the last one stops, in rising seconds; None for one row, or where it is not known."""
    starts, rows = np.asarray(stream.get("seconds") or [], np.float64), len(stream["kept"])
    if len(starts) != rows or rows < 2 or (np.diff(starts) < 0).any():
        return None
    stop = stream.get("stop") or starts[-1] + float(np.median(np.diff(starts)))
    return np.append(starts, max(float(stop), starts[-1]))


def _shade(kept: float, shades: Range) -> float:
    low, high = shades
    return min(max((float(kept) - low) / (high - low), 0.0), 1.0)


def _cells(kept: Array, shades: Range) -> list[tuple[int, int, float]]:
    """First row, one past the last, and mean kept: at most `CELLS` stretches, neighbours of one shade joined.

    The mean is that of the rows that are not missing; NaN where all are.
    """
    edges = np.unique(np.linspace(0, len(kept), min(len(kept), CELLS) + 1).astype(np.int64))
    known = ~np.isnan(kept)
    total, count = (np.add.reduceat(values, edges[:-1]) for values in (np.where(known, kept, 0.0), known.astype(float)))
    means = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    drawn = np.array([-1.0 if np.isnan(mean) else round(_shade(mean, shades), 2) for mean in means])
    new = np.r_[True, drawn[1:] != drawn[:-1]]
    starts = edges[:-1][new]
    stops = np.r_[starts[1:], len(kept)]
    return [(int(a), int(b), float(mean)) for a, b, mean in zip(starts, stops, means[new], strict=True)]


def _kinds(stream: Mapping[str, Any]) -> str:
    kinds = ", ".join(dict.fromkeys(str(kind) for kind in stream.get("kinds") or []))
    return f'<small class="kind">{escape(kinds)}</small>' if kinds else ""


def _stretches(marked: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """First and one past the last of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False].astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
