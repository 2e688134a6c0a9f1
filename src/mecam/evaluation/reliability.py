"""Do intervals and probabilities hold what they promise? Tried on a labelled split, from the answers of a run.

Intervals are split conformal: their widths come from validation errors and are tried on test. Probabilities are
sorted into ten bins and compared with how often they came true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.statistics import central, conformal_quantile
from mecam.evaluation.sums import BINS, Array, binned_gaps, gap
from mecam.types import Predictions

__all__ = ["Bins", "Coverage", "IntervalTrial", "binned", "calibration_error"]

TINY = 1e-6
"""Scores are those of 32-bit numbers: a truth so near to an end lies on it."""


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


@dataclass(frozen=True)
class IntervalTrial:
    """What intervals are made from, and what they are tried on.

    Attributes:
        valid: labelled predictions of every seed.
        test: likewise.
        level: of the intervals that stand in the predictions.
        delivered: those intervals on test: S × N lower and S × N upper ends; None where there are none.
    """

    valid: Sequence[Predictions]
    test: Sequence[Predictions]
    level: float
    delivered: tuple[Array, Array] | None

    @property
    def groups(self) -> Groups:
        """What is resampled."""
        return Groups.of(self.test[0])

    def at(self, level: float) -> Coverage:
        """Make intervals of one level from validation errors and try them on test.

        At the delivered level the intervals of the predictions are tried, which are wider where more is missing than
        usual.
        """
        valid, truth = np.asarray(self.valid[0].truth), np.asarray(self.test[0].truth)
        halves = [conformal_quantile(np.abs(p.prediction - valid), level) for p in self.valid]
        widths = [half for half in halves if half is not None]
        if len(widths) < len(halves):
            return Coverage(level, None, None, None)
        if self.delivered is not None and abs(level - self.level) < 1e-9:
            (low, high), slack = self.delivered, TINY
        else:
            slack, pairs = 0.0, list(zip(self.test, widths, strict=True))
            low = np.stack([p.prediction - half for p, half in pairs])
            high = np.stack([p.prediction + half for p, half in pairs])
        inside = np.asarray((low - slack <= truth) & (truth <= high + slack), np.float64)
        reached = float(inside.mean()) if inside.size else None
        return Coverage(level, float(np.mean(widths)), reached, self._bootstrapped(inside.mean(axis=0)))

    def _bootstrapped(self, inside: Array, resamples: int = 1000) -> tuple[float, float] | None:
        """95 % interval of the mean of N shares over resampled speakers or recordings."""
        groups = self.groups
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
