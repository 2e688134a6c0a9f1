"""Strips over time, and words in shades, as plain data that `templates/strips.j2` draws.

Shades run over a range of gates that the legend names: 0 to 1, or the range in which the shown gates lie.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.report.format import clock, plain

Array = NDArray[np.float64]
Range = tuple[float, float]

FULL_RANGE: Range = (0.0, 1.0)
WIDTH = 1000.0
"""Units of a strip from left to right."""
CELLS = 200
"""A strip has at most this many cells; longer streams are averaged."""
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_MAX_TICKS = 5


@dataclass(frozen=True)
class StripBox:
    """A rectangle on a strip.

    Attributes:
        x: its left end, in thousandths of the strip.
        width: in thousandths.
        css: what it is: `gate`, `up`, `down`, `injected`, `face`, `interval`, `level`, `line`, `removed`, `emotion`,
            `person0` and so on.
        weight: strength of its colour, 0 to 1.
        title: shown when the pointer rests on it.
        y: its upper end, in hundredths of the height.
        height: in hundredths.
    """

    x: float
    width: float
    css: str
    weight: float = 1.0
    title: str = ""
    y: float = 0.0
    height: float = 100.0


@dataclass(frozen=True)
class Strip:
    """A row of boxes from left to right.

    Attributes:
        name: stands at its left.
        boxes: on it.
        label: read to those who do not see it.
        css: `tall`, `mid`, `lane` (with a muted name) or nothing.
        kinds: of inserted corruption.
        levels: of a vertical axis: hundredths from the top, and the number there.
    """

    name: str
    boxes: Sequence[StripBox]
    label: str
    css: str = ""
    kinds: str = ""
    levels: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class StripGroup:
    """Strips that belong together.

    Attributes:
        name: the heading; empty for none.
        strips: below each other.
        notes: what they show, in sentences.
        keys: css and meaning of the colours on them.
    """

    name: str
    strips: Sequence[Strip]
    notes: Sequence[str] = ()
    keys: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Axis:
    """What stands below strips: thousandths from the left, and the text there."""

    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class ShadedWord:
    """A word, its shade and the number behind it.

    Attributes:
        text: the word.
        css: `gate`, `up`, `down` or nothing, and further marks: `injected`, `gone`.
        weight: strength of its colour, 0 to 1.
        value: in small print below it.
    """

    text: str
    css: str = ""
    weight: float = 0.0
    value: str = ""


@dataclass(frozen=True)
class Legend:
    """What the shades mean.

    Attributes:
        shades: the gate that is drawn empty and the one drawn full.
        missing: something has no gate because it is missing.
        injected: corruption was inserted somewhere.
    """

    shades: Range
    missing: bool = False
    injected: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """The numbers at both ends; a gate lies between 0 and 1."""
        low, high = self.shades
        return ("0" if low <= 0 else f"{plain(low, 1)} or less", "1" if high >= 1 else f"{plain(high, 1)} or more")


def across(seconds: float, duration: float) -> float:
    """Where a second of a recording lies, in thousandths of a strip."""
    return round(WIDTH * min(max(float(seconds) / max(duration, 1e-3), 0.0), 1.0), 1)


def step_boxes(
    span: Range,
    level: float,
    ends: tuple[float | None, float | None],
    y: Callable[[float], float],
    title: str,
) -> list[StripBox]:
    """A piece of a line, with the band of its interval behind it, where it has one.

    Args:
        span: from and to, in thousandths of the strip.
        level: of the line.
        ends: of the interval.
        y: gives hundredths from the top for a level.
        title: shown when the pointer rests on it.
    """
    left, right = span
    boxes = []
    if ends[0] is not None and ends[1] is not None:
        top, bottom = y(ends[1]), y(ends[0])
        boxes.append(StripBox(left, right - left, "interval", title=title, y=top, height=bottom - top))
    at = min(max(y(level) - 1, 0.0), 98.0)
    return [*boxes, StripBox(left, right - left, "score-level", title=title, y=at, height=2.0)]


def shades_of(gates: Iterable[Sequence[float | None]]) -> Range:
    """The gate that is drawn empty and the one drawn full, in tenths, at least 0.3 apart."""
    known = np.concatenate([np.zeros(0), *(np.asarray(one, np.float64) for one in gates)])
    known = known[~np.isnan(known)]
    low, high = np.quantile(known, (0.02, 0.98)) if known.size else FULL_RANGE
    low, high = math.floor(10 * float(low)) / 10, math.ceil(10 * float(high)) / 10
    high = min(1.0, max(high, low + 0.3))
    return max(0.0, min(low, high - 0.3)), high


def gate_strip(name: str, stream: Mapping[str, Any], shades: Range, edges: Array, span: Range) -> Strip:
    """The gates of one stream.

    Args:
        name: of the strip.
        stream: `kept`, and where known `labels`, `injected` and `kinds`, as filter maps are written.
        shades: from `shades_of`.
        edges: where frames begin, and where the last one ends.
        span: what the strip shows from left to right, in the unit of `edges`.
    """
    kept = np.asarray(stream["kept"], np.float64)
    labels = stream.get("labels")
    boxes = gate_boxes(kept, shades, _places(edges, span), labels)
    at = _places(edges, span)
    boxes += [
        StripBox(at[start], at[stop] - at[start], "injected")
        for start, stop in stretches(np.asarray(stream.get("injected") or [], np.bool_))
    ]
    known = kept[~np.isnan(kept)]
    label = f"{name}: {f'mean gate {known.mean():.2f}' if known.size else 'all missing'}"
    return Strip(name, boxes, label, kinds="" if labels else kinds_of(stream))


def gate_boxes(kept: Array, shades: Range, at: Sequence[float], labels: Sequence[str] | None = None) -> list[StripBox]:
    """Boxes in the shades of gates; none where the gate is NaN. Frames are averaged, words are not.

    Args:
        kept: T gates.
        shades: from `shades_of`.
        at: T + 1 places where frames begin and the last one ends, in thousandths.
        labels: words, which are named.
    """
    cells = [(i, i + 1, float(kept[i])) for i in range(len(kept))] if labels else _cells(kept, shades)
    return [
        StripBox(
            at[start],
            at[stop] - at[start],
            "gate",
            _shade(mean, shades),
            f"{labels[start]}: gate {mean:.2f}" if labels else "",
        )
        for start, stop, mean in cells
        if not np.isnan(mean)
    ]


def gate_words(stream: Mapping[str, Any], shades: Range) -> list[ShadedWord]:
    """Words in the shades of their gates."""
    marked = stream.get("injected") or [False] * len(stream["labels"])
    return [
        ShadedWord(
            label,
            "gate injected" if touched else "gate",
            _shade(kept or 0.0, shades),
            "missing" if kept is None else plain(kept, 2),
        )
        for label, kept, touched in zip(stream["labels"], stream["kept"], marked, strict=False)
    ]


def kinds_of(stream: Mapping[str, Any]) -> str:
    """The inserted corruption of a stream, in words."""
    return ", ".join(dict.fromkeys(str(kind) for kind in stream.get("kinds") or []))


def time_axis(start: float, stop: float) -> Axis:
    """Ticks at round seconds, and at the end."""
    length = max(stop - start, 1e-3)
    step = next((s for s in _STEPS_S if length / s <= _MAX_TICKS), _STEPS_S[-1])
    first, last = math.ceil(start / step - 1e-6), math.floor((stop - 0.12 * length) / step + 1e-6)
    seconds = [float(number * step) for number in range(first, last + 1)]
    ticks = [(WIDTH * (s - start) / length, _short_clock(s) if step >= 1 else clock(s)) for s in seconds]
    return Axis([*ticks, (WIDTH, clock(stop))])


def frame_axis(frames: int) -> Axis:
    """Of a stream without times."""
    return Axis([(0.0, "first frame"), (WIDTH, f"frame {frames}")])


def time_span(streams: Mapping[str, Any]) -> Range | None:
    """The seconds that all timed streams with more than one frame cover together."""
    known = [edges for edges in map(edges_of, streams.values()) if edges is not None]
    if not known:
        return None
    return float(min(edges[0] for edges in known)), float(max(edges[-1] for edges in known))


def edges_of(stream: Mapping[str, Any]) -> Array | None:
    """Where each frame starts and the last one stops, in rising seconds; None for one frame, or without times."""
    starts, frames = np.asarray(stream.get("seconds") or [], np.float64), len(stream["kept"])
    if len(starts) != frames or frames < 2 or (np.diff(starts) < 0).any():
        return None
    stop = stream.get("stop") or starts[-1] + float(np.median(np.diff(starts)))
    return np.append(starts, max(float(stop), starts[-1]))


def stretches(marked: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """First and one past the last of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False].astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _places(edges: Array, span: Range) -> list[float]:
    """Edges as thousandths of the span."""
    places: list[float] = np.round((edges - span[0]) / ((span[1] - span[0]) or 1.0) * WIDTH, 1).tolist()
    return places


def _shade(kept: float, shades: Range) -> float:
    low, high = shades
    return round(min(max((float(kept) - low) / (high - low), 0.0), 1.0), 2)


def _cells(kept: Array, shades: Range) -> list[tuple[int, int, float]]:
    """First frame, one past the last, and mean gate: at most `CELLS` stretches, neighbours of one shade joined.

    The mean is that of the frames that are not missing; NaN where all are.
    """
    if not len(kept):
        return []
    edges = np.unique(np.linspace(0, len(kept), min(len(kept), CELLS) + 1).astype(np.int64))
    known = ~np.isnan(kept)
    total, count = (np.add.reduceat(values, edges[:-1]) for values in (np.where(known, kept, 0.0), known.astype(float)))
    means = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    drawn = np.array([-1.0 if np.isnan(mean) else _shade(mean, shades) for mean in means])
    new = np.r_[True, drawn[1:] != drawn[:-1]]
    starts = edges[:-1][new]
    stops = np.r_[starts[1:], len(kept)]
    return [(int(a), int(b), float(mean)) for a, b, mean in zip(starts, stops, means[new], strict=True)]


def _short_clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
