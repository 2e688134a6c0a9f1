"""What an utterance adds to the sums of a metric, and what the sums are worth.

`mecam.evaluation.metrics` pairs the two. Sums lie on the last axis (… × K), so one function values a split,
every seed, or every resample at once; it gives NaN where the value is undefined.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError

__all__ = [
    "Array",
    "Numbers",
    "accuracy",
    "balanced",
    "binned_gaps",
    "defined_mean",
    "f1_macro",
    "f1_weighted",
    "gap",
    "moments",
    "pairs",
    "pearson",
    "ratio",
    "rounded",
    "uar",
    "with_count",
]

Array: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[Any] | Sequence[Any]
"""Anything that `np.asarray` turns into numbers."""

BINS = 10
"""Of probabilities, when they are compared with how often they come true."""


def rounded(values: Array, low: int, high: int) -> Array:
    """Clip to [low, high] and round half to even, as NumPy does."""
    return np.asarray(np.round(np.clip(values, low, high)))


def with_count(values: NDArray[Any]) -> Array:
    """N values → N × 2, each with a one beside it; worth their `ratio`."""
    return np.stack([values.astype(np.float64), np.ones(len(values))], axis=-1)


def moments(prediction: Array, truth: Array) -> Array:
    """N × 6: 1, p, t, p², t², p · t; worth their `pearson`."""
    # Centred on the median: exact for a constant, whose variance then is exactly zero.
    p, t = (values - np.median(values) if values.size else values for values in (prediction, truth))
    return np.stack([np.ones_like(p), p, t, p * p, t * t, p * t], axis=-1)


def pairs(predicted: NDArray[Any], true: NDArray[Any], classes: int) -> Array:
    """N × C²: one-hot pairs of class indices, row-major with the truth first; a confusion matrix when summed.

    Raises: DataError if a value is not one of 0 … C − 1.
    """
    inside = np.isin(predicted, np.arange(classes)) & np.isin(true, np.arange(classes))
    if not inside.all():
        raise DataError(f"{int((~inside).sum())} class indices are not one of 0 … {classes - 1}")
    return np.asarray(np.eye(classes * classes)[true.astype(np.int64) * classes + predicted.astype(np.int64)])


def binned_gaps(said: Array, came: NDArray[Any]) -> Array:
    """N × L probabilities and whether each came true, in ten bins of equal width: N × 11, worth their `gap`."""
    bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)[..., None] == np.arange(BINS)  # N L 10
    gaps = ((said - came)[..., None] * bins).sum(axis=1)
    return np.concatenate([gaps, np.full((len(said), 1), float(said.shape[1]))], axis=1)


def gap(sums: Array) -> Array:
    """Expected calibration error of `binned_gaps`: |said − came true| of each bin, weighted by its size.

    Source: Naeini et al. (2015), Obtaining well calibrated probabilities using Bayesian binning, Section 2.
    """
    return _divided(np.abs(sums[..., :-1]).sum(-1), sums[..., -1])


def ratio(sums: Array) -> Array:
    """First sum over the second."""
    return _divided(sums[..., 0], sums[..., 1])


def pearson(sums: Array) -> Array:
    """Pearson's r of `moments`; undefined where either side is constant."""
    n, p, t, pp, tt, pt = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    spread_p, spread_t = pp - p * p / n, tt - t * t / n
    varied = (spread_p > 1e-12 * pp) & (spread_t > 1e-12 * tt)  # anything below is rounding
    r = _divided(pt - p * t / n, np.sqrt(np.where(varied, spread_p * spread_t, 0.0)))
    return np.asarray(np.clip(r, -1.0, 1.0))


def accuracy(sums: Array) -> Array:
    """Share of `pairs` that agree."""
    right, true, _ = _square(sums)
    return _divided(right.sum(-1), true.sum(-1))


def f1_macro(sums: Array) -> Array:
    """Mean F1 of the classes that occur in truth or prediction."""
    return defined_mean(_f1(sums))


def f1_weighted(sums: Array) -> Array:
    """Mean F1 of the classes, weighted by how often each is true."""
    true = _square(sums)[1]
    return _divided((np.nan_to_num(_f1(sums)) * true).sum(-1), true.sum(-1))


def uar(sums: Array) -> Array:
    """Mean recall of the classes that occur in the truth."""
    return defined_mean(_recall(sums))


def balanced(sums: Array) -> Array:
    """Mean recall of all classes; undefined unless every class occurs in the truth."""
    return np.asarray(_recall(sums).mean(-1))


def defined_mean(values: Array) -> Array:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    return _divided(np.nan_to_num(values).sum(-1), (~np.isnan(values)).sum(-1))


def _recall(sums: Array) -> Array:
    right, true, _ = _square(sums)
    return _divided(right, true)


def _f1(sums: Array) -> Array:
    """2 TP / (2 TP + FP + FN) of every class; NaN where a class occurs in neither truth nor prediction."""
    right, true, predicted = _square(sums)
    return _divided(2 * right, true + predicted)


def _square(sums: Array) -> tuple[Array, Array, Array]:
    """Right answers, true occurrences and predicted occurrences of every class: each … × C."""
    classes = round(sums.shape[-1] ** 0.5)
    counts = sums.reshape(*sums.shape[:-1], classes, classes)
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _divided(above: NDArray[Any], below: NDArray[Any]) -> Array:
    """Above over below; NaN where below is zero."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))
