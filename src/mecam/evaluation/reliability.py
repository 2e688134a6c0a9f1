"""Do intervals and probabilities hold what they promise? Tried on a labelled split, from the answers of a run.

Intervals are split conformal: their widths come from validation errors and are tried on test. Probabilities are
sorted into ten bins and compared with how often they came true.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.groups import resample_groups
from mecam.evaluation.statistics import central, conformal_quantile, coverage
from mecam.evaluation.sums import BINS, Array, binned_gaps, gap
from mecam.runs.record import Answers

__all__ = ["Bins", "Coverage", "binned", "calibration_error", "tried_interval"]


@dataclass(frozen=True)
class Coverage:
    """What became of the intervals of one level; means over seeds.

    Attributes:
        level: the share of utterances that they promise to hold.
        half_width: of the interval; None where validation is too small for this level.
        reached: the share of test utterances that they hold.
        ci95: what other recordings, or speakers, would have given; None where they are too few.
    """

    level: float
    half_width: float | None
    reached: float | None
    ci95: tuple[float, float] | None


def tried_interval(valid: Answers, test: Answers, level: float, *, delivered: float | None = None) -> Coverage:
    """Make intervals of one level from validation errors and try them on test.

    Args:
        valid: labelled.
        test: labelled.
        level: the share of utterances to be held.
        delivered: the level of the intervals that stand in the predictions; at this level those are tried, which are
            wider where more is missing than usual.
    """
    assert valid.truth is not None
    assert test.truth is not None
    halves = [conformal_quantile(np.abs(scores - valid.truth), level) for scores in valid.scores]
    widths = [half for half in halves if half is not None]
    if len(widths) < len(halves):
        return Coverage(level, None, None, None)
    width = float(np.mean(widths))
    if test.inside is not None and delivered is not None and abs(level - delivered) < 1e-9:
        return Coverage(level, width, float(test.inside.mean()), _bootstrapped(test.inside.mean(axis=0), test))
    inside = np.array([np.abs(s - test.truth) <= half for s, half in zip(test.scores, widths, strict=True)])
    rates = [coverage(test.truth, s - half, s + half) for s, half in zip(test.scores, widths, strict=True)]
    known = [rate for rate in rates if rate is not None]
    return Coverage(
        level, width, float(np.mean(known)) if known else None, _bootstrapped(inside.mean(axis=0), test)
    )


def _bootstrapped(inside: Array, test: Answers, resamples: int = 1000) -> tuple[float, float] | None:
    """95 % interval of the mean of N shares over resampled speakers or recordings."""
    groups = test.groups
    draws = resample_groups(groups.count, resamples, np.random.default_rng(0))
    if draws is None:
        return None
    totals = np.zeros((groups.count, 2))
    np.add.at(totals, groups.numbers, np.column_stack([inside, np.ones(len(inside))]))
    hits, count = (draws @ totals).T
    return central(hits / count, groups=groups.count)


@dataclass(frozen=True)
class Bins:
    """Probabilities in ten bins of equal width.

    Attributes:
        promised: mean probability in each bin that is not empty.
        came: how often it came true there.
        counts: of every bin, empty or not.
        error: expected calibration error.
    """

    promised: tuple[float, ...]
    came: tuple[float, ...]
    counts: NDArray[np.int64]
    error: float


def binned(probabilities: Array, came: Array) -> Bins:
    """Sort N probabilities and what came true (0 or 1) into bins."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    filled = np.unique(places).tolist()
    return Bins(
        tuple(float(probabilities[places == one].mean()) for one in filled),
        tuple(float(came[places == one].mean()) for one in filled),
        np.bincount(places, minlength=BINS),
        calibration_error(probabilities, came),
    )


def calibration_error(probabilities: Array, came: Array) -> float:
    """Expected calibration error of N probabilities."""
    return float(gap(binned_gaps(probabilities[:, None], came[:, None]).sum(axis=0, keepdims=True))[0])
