"""Corruptions of one feature stream: pure functions of a T × D array, a generator and a dose.

Each returns a new array and the rows that it touched: those whose content differs from before, so a
dropped row that was all zero already is not one of them. A NaN (a missing value) survives noise and is
replaced only where a whole row is overwritten. What they mean for an utterance is in `utterances.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError

__all__ = [
    "Dose",
    "StreamOperator",
    "burst",
    "channels",
    "dropped",
    "frozen",
    "impulse",
    "noise",
    "noise_strength",
    "scattered",
    "shift",
]

Rows: TypeAlias = NDArray[np.float32]
Touched: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Dose:
    """How much of a corruption, in the space that the features lie in.

    Attributes:
        extent: part of the rows, columns or words concerned, in (0, 1]; at least one is, but of misheard words.
        strength: size of noise in units of `scale`.
        scale: standard deviation of the features, one number or one per column; 1 for normalised features.
        fill: what a dropped row holds, one number or one per column. 0 unless the features were
            shifted, when it is where their zero went.
    """

    extent: float = 0.3
    strength: float = 3.0
    scale: float | NDArray[np.floating] = 1.0
    fill: float | NDArray[np.floating] = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.extent <= 1:
            raise ConfigError(f"a corruption's extent is in (0, 1], got {self.extent}")
        if not 0 <= self.strength < float("inf"):
            raise ConfigError(f"a corruption's strength is at least 0, got {self.strength}")


StreamOperator: TypeAlias = Callable[[Rows, np.random.Generator, Dose], tuple[Rows, Touched]]


def burst(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Add white noise to one contiguous span: a slammed door, a light shining into the camera."""
    start, stop = span_of(len(values), dose.extent, rng)
    # Drawn in double precision: the single-precision sampler is less portable between maths libraries.
    noise = rng.standard_normal((stop - start, values.shape[1])) * (dose.strength * dose.scale)
    result = values.copy()
    result[start:stop] += noise
    return result, changed_rows(values, result)


def frozen(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Hold the row before one contiguous span for the whole of it: a stuck camera, a stalled call.

    A stream of one row has nothing to hold and stays as it is.
    """
    result = values.copy()
    if len(values) > 1:
        start, stop = span_of(len(values) - 1, dose.extent, rng)
        result[start + 1 : stop + 1] = values[start]
    return result, changed_rows(values, result)


def dropped(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Replace one contiguous span by `dose.fill`: lost packets, a face that left the picture."""
    start, stop = span_of(len(values), dose.extent, rng)
    result = values.copy()
    result[start:stop] = dose.fill
    return result, changed_rows(values, result)


def scattered(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Replace each row by `dose.fill` with probability `dose.extent`, independently, and at least one."""
    result = values.copy()
    result[chosen(len(values), dose.extent, rng)] = dose.fill
    return result, changed_rows(values, result)


def impulse(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Add spikes of ± `strength` × `scale` to half of the columns of single rows: clicks, glitches."""
    rows = np.flatnonzero(chosen(len(values), dose.extent, rng))
    draw = rng.random((len(rows), values.shape[1]))
    spikes = (draw < 0.25).astype(np.float64) - (draw >= 0.75)
    result = values.copy()
    result[rows] += spikes * (dose.strength * dose.scale)
    return result, changed_rows(values, result)


def noise(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Add white noise to every row: a bad microphone, a dark room. `noise_strength` gives the strength of an SNR."""
    result = values.copy()
    result += rng.standard_normal(values.shape) * (dose.strength * dose.scale)
    return result, changed_rows(values, result)


def channels(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Replace `dose.extent` of the columns, at least one, by `dose.fill` in every row: a tracker that lost a part."""
    width = values.shape[1]
    order = np.argsort(rng.random(width), kind="stable")
    lost = order[: max(1, round(dose.extent * width))]
    result = values.copy()
    filled = np.broadcast_to(np.asarray(dose.fill, np.float32), values.shape)[:, lost]
    result[:, lost] = np.where(np.isnan(values[:, lost]), values[:, lost], filled)
    return result, changed_rows(values, result)


def noise_strength(snr_db: float) -> float:
    """Strength of the noise whose power lies `snr_db` decibels below that of a signal of standard deviation `scale`."""
    return float(10 ** (-snr_db / 20))


def shift(values: Rows, rng: np.random.Generator, dose: Dose) -> tuple[Rows, Touched]:
    """Move the stream by `extent` of its length, earlier or later, holding its edge: lost synchrony."""
    count = len(values)
    step = max(1, round(dose.extent * count))
    if rng.random() < 0.5:
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
