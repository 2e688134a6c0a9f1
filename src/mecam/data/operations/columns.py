"""Statistics of a modality's columns in one pass over the memory-mapped rows, in flat memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.types import Modality

__all__ = ["ColumnStats", "column_stats"]

BLOCK_VALUES = 1 << 21
"""Values looked at together: 8 MB of float32."""

SAMPLE_VALUES = 1 << 22
"""Values that the quantiles are taken from, in rows spread evenly."""


@dataclass(frozen=True)
class ColumnStats:
    """One modality, D columns; statistics are over the rows of the training split (of all where there is none).

    Attributes:
        rows: rows of all splits.
        low: D lowest values; infinite counts, NaN does not; NaN where a column is never observed.
        high: D highest values.
        q05: D 5 % quantiles, of a sample.
        q95: D 95 % quantiles, of a sample.
        missing: D counts of NaN, over all splits.
        infinite: infinite values, over all splits.
        starts_zero: positions of the utterances of two rows or more whose first row is all zero.
        stops_zero: the same for the last row.
    """

    rows: int
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    q05: NDArray[np.float32]
    q95: NDArray[np.float32]
    missing: NDArray[np.int64]
    infinite: int
    starts_zero: NDArray[np.int64]
    stops_zero: NDArray[np.int64]


def column_stats(
    store: Store, modality: Modality, *, progress: Callable[[int, int], None] | None = None
) -> ColumnStats:
    """Read all rows of a modality once."""
    values, lengths = store.rows(modality), store.lengths(modality)
    train = store.split("train")
    of_train = np.isin(np.arange(len(store)), train if len(train) else np.arange(len(store)))
    learns = np.repeat(of_train, lengths)
    width = values.shape[1]
    low, high = np.full(width, np.nan, np.float32), np.full(width, np.nan, np.float32)
    missing, infinite = np.zeros(width, np.int64), 0
    zero = np.zeros(len(values), np.bool_)
    step = max(1, BLOCK_VALUES // width)
    for start in range(0, len(values), step):
        block = values[start : start + step]
        zero[start : start + step] = ~block.any(axis=1)
        missing += np.isnan(block).sum(axis=0)
        infinite += int(np.isinf(block).sum())
        learned = block[learns[start : start + step]]
        if len(learned):
            low = np.fmin(low, np.fmin.reduce(learned, axis=0))
            high = np.fmax(high, np.fmax.reduce(learned, axis=0))
        if progress:
            progress(min(start + step, len(values)), len(values))
    sample = _sample(values, np.flatnonzero(learns))
    stops = np.cumsum(lengths)
    several = np.flatnonzero(lengths > 1)
    return ColumnStats(
        rows=len(values),
        low=low,
        high=high,
        q05=_quantile(sample, 0.05),
        q95=_quantile(sample, 0.95),
        missing=missing,
        infinite=infinite,
        starts_zero=several[zero[stops[several] - lengths[several]]],
        stops_zero=several[zero[stops[several] - 1]],
    )


def _sample(values: NDArray[np.float32], of: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows spread evenly over `of`, sorted column by column: NaN last."""
    count = min(len(of), max(1, SAMPLE_VALUES // values.shape[1]))
    chosen = of[np.linspace(0, len(of) - 1, count).astype(np.int64)] if count else of
    return np.sort(values[chosen], axis=0)


def _quantile(ordered: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """A quantile of each sorted column without its NaN (`np.nanquantile` takes a hundred times longer)."""
    observed = (~np.isnan(ordered)).sum(axis=0)
    if not len(ordered):
        return np.full(ordered.shape[1], np.nan, np.float32)
    place = np.floor(share * np.maximum(observed - 1, 0)).astype(np.int64)
    found: NDArray[np.float32] = ordered[place, np.arange(ordered.shape[1])]
    return found
