"""The report's section about promises: do intervals and probabilities hold what they say?

Intervals are split conformal: their widths come from validation errors and are tried on test. Probabilities are
sorted into ten bins and compared with how often they came true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.statistics import central, conformal_quantile, coverage
from mecam.evaluation.sums import BINS, Array, binned_gaps, gap
from mecam.report import figures
from mecam.report.markup import escape, figure, percent, plain, table, titled
from mecam.runs.run import Run
from mecam.types import Predictions

__all__ = ["calibration"]

LEVELS = tuple(level / 20 for level in range(1, 20))
"""Levels of the figure."""

TINY = 1e-6
"""Scores are those of 32-bit numbers: a truth so near to an end lies on it."""

TABLE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def calibration(run: Run) -> str:
    """Whether intervals, or probabilities, keep their word."""
    if run.labelled is None:
        return ""
    split, seeds = run.labelled
    if run.task.is_score:
        return _intervals(run)
    scores, known = np.stack([p.prediction for p in seeds]), np.asarray(seeds[0].truth)
    if not run.task.several:
        said = scores.max(axis=2).ravel()
        came = (scores.argmax(axis=2) == known).ravel().astype(np.float64)
        return titled("Calibration", _probabilities(said, came, ("confidence", "accuracy"), split))
    truth = np.broadcast_to((known > 0).astype(np.float64), scores.shape)
    axes = ("probability of a label", "share that has it")
    labels = _per_label(scores, truth, run.task.names)
    return titled("Calibration", _probabilities(scores.ravel(), truth.ravel(), axes, split), labels)


def _intervals(run: Run) -> str:
    found: Mapping[str, Any] = run.metrics.get("calibration", {})
    if not found:
        return ""
    covered = ", ".join(
        f"{100 * rate:.1f} % on {escape(split)}"
        for split, entry in found.get("coverage", {}).items()
        if (rate := entry.get("mean") if isinstance(entry, Mapping) else entry) is not None
    )
    text = (
        f"<p>The interval is the score ± {plain(found['half_width'], 2)}. It is meant to hold the truth for "
        f"{100 * found['level']:.0f} % of new utterances, and holds it for {covered}. Its width comes from the "
        "validation errors (split conformal prediction), so the rate on validation is true by construction. Where "
        "more of an utterance is missing than usual it is wider; it never leaves the scale.</p>"
    )
    valid, test = run.predictions.get("valid"), run.predictions.get("test")
    if valid is None or test is None or valid[0].truth is None or test[0].truth is None:
        return titled("Calibration", text)
    tried = Tried(valid, test, float(found["level"]), _inside(run, "test"))
    spec = figures.reliability(LEVELS, [_reached(tried, level)[1] for level in LEVELS], AXES)
    caption = "<b>Intervals of every level</b>, made from validation errors and tried on test; mean over seeds."
    drawn = figure(spec, caption, label="Promised and reached coverage")
    return titled("Calibration", text, f'<div class="pair">{drawn}<div>{_levels(tried)}</div></div>')


AXES = ("promised coverage", "coverage on test")


@dataclass(frozen=True)
class Tried:
    """What intervals are made from and tried on.

    Attributes:
        valid: predictions of every seed.
        test: likewise.
        level: of the interval that every prediction gets.
        inside: S × N, whether that holds the truth of test; None where there are none.
    """

    valid: Sequence[Predictions]
    test: Sequence[Predictions]
    level: float
    inside: Array | None

    @property
    def groups(self) -> Groups:
        """What is resampled."""
        return Groups.of(self.test[0])


def _inside(run: Run, split: str) -> Array | None:
    intervals, truth = run.intervals(split), run.predictions[split][0].truth
    if intervals is None or truth is None:
        return None
    low, high = intervals
    return np.asarray((low - TINY <= truth) & (truth <= high + TINY), np.float64)


def _levels(tried: Tried) -> str:
    """Width and coverage of the usual levels."""
    rows = []
    for level in TABLE_LEVELS:
        half, reached, ends = _reached(tried, level)
        kept = "too few to say" if half is None else percent(reached)
        width = "" if half is None else f"± {plain(half, 2)}"
        others = (
            "too few"
            if ends is None and half is not None
            else ""
            if ends is None
            else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"
        )
        rows.append([f"{100 * level:.0f} %", width, kept, others])
    head = ["promised", "width", "on test", "95 % interval"]
    unit = tried.groups.unit
    note = (
        f'<p class="note">Widths are means over seeds. The row of {100 * tried.level:.0f} % is the interval that every '
        "prediction gets, wider where more is missing than usual (its width is that of a whole utterance); the other "
        "levels are tried without that. The 95 % interval says what other "
        f"{unit} would have given (bootstrap over whole {unit}); a level is kept where it holds the promise. "
        f"{tried.groups.resampled.too_few}</p>"
    )
    return table(head, rows, numbers=3) + note


def _reached(tried: Tried, level: float) -> tuple[float | None, float | None, list[float] | None]:
    """Half width, coverage on test and its interval, means over seeds; None where validation is too small.

    Of the level that is delivered, how often the intervals of the predictions themselves hold.
    """
    valid, truth = np.asarray(tried.valid[0].truth), np.asarray(tried.test[0].truth)
    halves = [conformal_quantile(np.abs(p.prediction - valid), level) for p in tried.valid]
    widths = [half for half in halves if half is not None]
    if len(widths) < len(halves):
        return None, None, None
    inside, width = tried.inside, float(np.mean(widths))
    if inside is not None and abs(level - tried.level) <= 1e-9:
        return width, float(inside.mean()), _bootstrapped(inside.mean(axis=0), tried.groups)
    pairs = [(p.prediction, half) for p, half in zip(tried.test, widths, strict=True)]
    inside = np.array([np.abs(scores - truth) <= half for scores, half in pairs])
    rates = [coverage(truth, scores - half, scores + half) for scores, half in pairs]
    known = [rate for rate in rates if rate is not None]
    return width, float(np.mean(known)) if known else None, _bootstrapped(inside.mean(axis=0), tried.groups)


def _bootstrapped(inside: Array, groups: Groups, resamples: int = 1000) -> list[float] | None:
    """95 % interval of the mean of N shares over resampled speakers or recordings."""
    draws = resample_groups(groups.count, resamples, np.random.default_rng(0))
    if draws is None:
        return None
    totals = np.zeros((groups.count, 2))
    np.add.at(totals, groups.numbers, np.column_stack([inside, np.ones(len(inside))]))
    hits, count = (draws @ totals).T
    ends = central(hits / count, groups=groups.count)
    return None if ends is None else list(ends)


def _probabilities(said: Array, came: Array, axes: tuple[str, str], split: str) -> str:
    """Reliability in ten bins, how many answers lie in each, and the expected calibration error."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    filled = [one for one in range(BINS) if (bins == one).any()]
    means = [float(said[bins == one].mean()) for one in filled]
    rates = [float(came[bins == one].mean()) for one in filled]
    counts = np.bincount(bins, minlength=BINS)
    side = "too high" if said.mean() > came.mean() else "too low"
    caption = (
        f"<b>{axes[0].capitalize()} against {axes[1]}</b> on {escape(split)}, all seeds. Expected calibration error "
        f"{100 * _error(said, came):.1f} %; on average {100 * said.mean():.1f} % is said and {100 * came.mean():.1f} % "
        f"comes true: {side}."
    )
    curve = figure(figures.reliability(means, rates, axes), caption, label=f"{axes[0]} and {axes[1]}")
    bars = figure(
        figures.bars([(one + 0.5) / BINS for one in range(BINS)], counts.tolist(), (axes[0], "answers")),
        f"<b>How often each {axes[0]} is given</b>, all seeds.",
        label=f"Histogram of {axes[0]}",
    )
    return f'<div class="pair">{curve}{bars}</div>'


def _error(said: Array, came: Array) -> float:
    """Expected calibration error of N probabilities."""
    return float(gap(binned_gaps(said[:, None], came[:, None]).sum(axis=0, keepdims=True))[0])


def _per_label(scores: Array, truth: Array, names: Sequence[str]) -> str:
    rows = []
    for i, name in enumerate(names):
        said, came = scores[..., i].ravel(), truth[..., i].ravel()
        rows.append([escape(name), percent(said.mean()), percent(came.mean()), percent(_error(said, came))])
    head = ["label", "mean probability", "share that has it", "calibration error"]
    return table(head, rows, numbers=3)
