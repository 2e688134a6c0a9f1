"""Ranks of values: SciPy's, of which importing alone takes half a second."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_ranks", "ordered"]


def mean_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """N values → N ranks, the lowest 1; equal values share the mean of theirs. All NaN if a value is NaN."""
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    place, below, count = ordered(values)
    result: NDArray[np.float64] = (below + (count + 1) / 2)[place]
    return result


def ordered(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The different values of N, in order.

    Returns: N, which of them each value is; then of each of them, how many values are lower and how many equal it.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return place, count.cumsum() - count, count
