"""Corruptions of one feature stream: pure functions of a T × D array, a corruption and its context.

Each returns a new array and the rows that it touched: those whose content differs from before, so a
dropped row that was all zero already is not one of them. A NaN (a missing value) survives noise and is
replaced only where a whole row is overwritten. What they mean for an utterance is in `utterances.py`.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.corruption import Corruption, CorruptionContext

__all__ = [
    "StreamOperator",
    "burst",
    "channels",
    "dropped",
    "frozen",
    "impulse",
    "noise",
    "noise_severity",
    "scattered",
    "shift",
]

Rows: TypeAlias = NDArray[np.float32]
Touched: TypeAlias = NDArray[np.bool_]


StreamOperator: TypeAlias = Callable[[Rows, Corruption, CorruptionContext], tuple[Rows, Touched]]


def burst(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Add white noise to one contiguous span: a slammed door, a light shining into the camera."""
    start, stop = span_of(len(values), corruption.extent, context.rng)
    # Drawn in double precision: the single-precision sampler is less portable between maths libraries.
    noise = context.rng.standard_normal((stop - start, values.shape[1])) * (corruption.severity * context.scale)
    result = values.copy()
    result[start:stop] += noise
    return result, changed_rows(values, result)


def frozen(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Hold the row before one contiguous span for the whole of it: a stuck camera, a stalled call.

    A stream of one row has nothing to hold and stays as it is.
    """
    result = values.copy()
    if len(values) > 1:
        start, stop = span_of(len(values) - 1, corruption.extent, context.rng)
        result[start + 1 : stop + 1] = values[start]
    return result, changed_rows(values, result)


def dropped(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Replace one contiguous span by `context.fill`: lost packets, a face that left the picture."""
    start, stop = span_of(len(values), corruption.extent, context.rng)
    result = values.copy()
    result[start:stop] = context.fill
    return result, changed_rows(values, result)


def scattered(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Replace each row by `context.fill` with probability `extent`, independently, and at least one."""
    result = values.copy()
    result[chosen(len(values), corruption.extent, context.rng)] = context.fill
    return result, changed_rows(values, result)


def impulse(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Add spikes of ± `severity` × `scale` to half of the columns of single rows: clicks, glitches."""
    rows = np.flatnonzero(chosen(len(values), corruption.extent, context.rng))
    draw = context.rng.random((len(rows), values.shape[1]))
    spikes = (draw < 0.25).astype(np.float64) - (draw >= 0.75)
    result = values.copy()
    result[rows] += spikes * (corruption.severity * context.scale)
    return result, changed_rows(values, result)


def noise(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Add white noise to every row: a bad microphone, a dark room. `noise_severity` gives the severity of an SNR."""
    result = values.copy()
    result += context.rng.standard_normal(values.shape) * (corruption.severity * context.scale)
    return result, changed_rows(values, result)


def channels(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Replace `extent` of the columns, at least one, by `context.fill` in every row: a tracker that lost a part."""
    width = values.shape[1]
    order = np.argsort(context.rng.random(width), kind="stable")
    lost = order[: max(1, round(corruption.extent * width))]
    result = values.copy()
    filled = np.broadcast_to(np.asarray(context.fill, np.float32), values.shape)[:, lost]
    result[:, lost] = np.where(np.isnan(values[:, lost]), values[:, lost], filled)
    return result, changed_rows(values, result)


def noise_severity(snr_db: float) -> float:
    """Severity of the noise whose power lies `snr_db` decibels below that of a signal of standard deviation `scale`."""
    return float(10 ** (-snr_db / 20))


def shift(values: Rows, corruption: Corruption, context: CorruptionContext) -> tuple[Rows, Touched]:
    """Move the stream by `extent` of its length, earlier or later, holding its edge: lost synchrony."""
    count = len(values)
    step = max(1, round(corruption.extent * count))
    if context.rng.random() < 0.5:
        step = -step
    result = values[np.clip(np.arange(count) - step, 0, max(count - 1, 0))]
    return result, changed_rows(values, result)


def span_of(count: int, extent: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a contiguous half-open span of `extent` of `count` places, at least one; empty when `count` is 0."""
    if count == 0:
        return 0, 0
    length = min(count, max(1, round(extent * count)))
    start = int(rng.random() * (count - length + 1))
    return start, start + length


def chosen(count: int, rate: float, rng: np.random.Generator) -> Touched:
    """Draw `count` places independently with probability `rate`; at least one where there is one."""
    draw = rng.random(count)
    picked: Touched = draw < rate
    if count and not picked.any():
        picked[draw.argmin()] = True
    return picked


def changed_rows(before: Rows, after: Rows) -> Touched:
    """Rows that differ in any bit, so that a NaN that stayed a NaN counts as unchanged."""
    bits = np.ascontiguousarray(before).view(np.uint32) != np.ascontiguousarray(after).view(np.uint32)
    changed: Touched = bits.any(axis=1)
    return changed
