"""Numbers as text: the same on pages, in tables and in the terminal."""

import math
from collections.abc import Sequence

from mecam.evaluation.metrics import Metric

__all__ = [
    "UNDEFINED",
    "arrow",
    "capital",
    "clock",
    "count",
    "difference",
    "duration",
    "grouped",
    "interval",
    "memory",
    "named",
    "p_value",
    "percent",
    "plain",
    "plural",
    "short",
    "signed",
    "spread",
    "value",
]

UNDEFINED = "—"


def plain(number: float | None, digits: int = 3) -> str:
    """A number as it is printed; a dash where it is undefined."""
    if number is None or not math.isfinite(number):
        return UNDEFINED
    return f"{number:.{digits}f}".replace("-", "−")


def signed(number: float | None, digits: int = 2) -> str:
    """A number with its sign, also where it is positive."""
    text = plain(number, digits)
    return text if text[0] in "−—" else f"+{text}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage; a dash where it is undefined."""
    return UNDEFINED if share is None or not math.isfinite(share) else f"{plain(100 * share, digits)} %"


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
        return f"{plain(100 * ends[0], 1)} to {plain(100 * ends[1], 1)} {'points' if points else '%'}"
    return f"{plain(ends[0])} to {plain(ends[1])}"


def difference(number: float | None, metric: Metric | None, *, unit: bool = False) -> str:
    """A difference of a metric's values with its sign; that of two percentages is in points, which `unit` says."""
    if metric is None or not metric.fraction:
        return signed(number, 3)
    return signed(None if number is None else 100 * number, 1) + (" points" if unit and number is not None else "")


def named(metric: Metric) -> str:
    """A metric's name, and the key that it has in files beside it."""
    return metric.title if metric.title == metric.name else f"{metric.title} ({metric.name})"


def arrow(metric: Metric | None, *, loss: bool = False) -> str:
    """↑ where larger values are better, ↓ where smaller ones are; the other way round for a loss of the metric."""
    return "" if metric is None else "↑" if metric.higher_is_better != loss else "↓"


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    if p is None:
        return "p undefined"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def count(number: float) -> str:
    """A large number in short: 23.4 M, 120 k, 950."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k" if number >= 1e4 else f"{number:.0f}"


def grouped(number: int) -> str:
    """A whole number in groups of three digits: 23 713 216."""
    return f"{number:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Seconds, with minutes where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A place in a recording: minutes and seconds."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def memory(megabytes: float) -> str:
    """Megabytes, or gigabytes from one on."""
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def short(number: float) -> str:
    """A number in the few digits that a drawing needs."""
    return f"{number:.4g}"


def plural(number: int, noun: str) -> str:
    """A number and what it counts: 1 seed, 3 seeds."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]
