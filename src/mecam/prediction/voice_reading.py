"""What rows of `mecam-voice` say of a voice between two times: how activated it is, its pitch, its pauses.

Two heads read them. `gate` finds rows that are corrupted, and they count less. `activation` tells a calm voice from an
activated one by the mean and the deviation of each column over what remains. It names no emotions: what is learned of
those from some speakers does not hold for others.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.prosody import NAMES
from mecam.features.audio.whisper_encoder import WIDTH
from mecam.features.extractor import Features
from mecam.prediction.heads import Head, row_cues
from mecam.prediction.result import Voice
from mecam.pretrained.cards import FOLDER
from mecam.types import Word

__all__ = ["ENCODED", "INPUTS", "NOT_READ", "baseline_of", "kept", "pooled", "pooled_encoding", "read_voice"]
__all__ += ["relative", "sounding"]

Rows = NDArray[np.floating[Any]]

LEVEL, PITCH, VOICED = (NAMES.index(name) for name in ("rms_db_mean", "f0_semitones_mean", "voiced_share"))
PITCH_SPREAD = NAMES.index("f0_semitones_std")
INPUTS = tuple(f"{name} {what}" for what in ("mean", "deviation") for name in NAMES)
"""What `pooled` gives."""
ENCODED = tuple(f"whisper {what} {i}" for what in ("mean", "deviation") for i in range(WIDTH))
"""What `pooled_encoding` gives."""
NOT_READ = ("rms_db_mean mean", "mfcc_1_mean mean")
"""What tells how loud it is: the microphone's doing as much as the speaker's."""

ACTIVE_DB = 25.0
"""A row this far below the loud ones is a pause."""
MIN_VOICED = 0.2
"""Part of a row that must have a pitch; in half a second of speech there are vowels."""
MIN_ROWS = 2
"""Rows with voice that an activation is told from."""
LEAST = 0.01
"""What a row counts at least: where all are noisy, none is left out, and the activation still holds."""
MIN_SPEECH_S = 0.5
AROUND_S = 30.0
"""Seconds before and after in which a pause and a corrupted row are looked for: what is usual is learned from them."""
TINY = 1e-6
LOWEST_HZ = 27.5
"""Hz from which semitones are counted."""
NORMAL = (-1.2816, -0.5244, 0.0, 0.5244, 1.2816)
"""10th, 30th … 90th percentile of a normal distribution."""


def sounding(rows: Rows) -> NDArray[np.bool_]:
    """Which rows hold a voice: nearly as loud as the loud ones, and with a pitch."""
    level = rows[:, LEVEL]
    known = np.isfinite(level)
    if not known.any():
        return known
    heard = (level >= np.quantile(level[known], 0.9) - ACTIVE_DB) & (rows[:, VOICED] >= MIN_VOICED)
    return np.asarray(heard, np.bool_)


def kept(rows: Rows) -> NDArray[np.float32]:
    """How much of each row is kept, from 0 to 1: the probability that it is not corrupted."""
    if not len(rows):
        return np.zeros(0, np.float32)
    return np.asarray(1 - _head("gate").probabilities(row_cues(rows))[:, 0])


def pooled(rows: Rows, weights: Rows) -> NDArray[np.float64]:
    """Weighted mean of each column and its deviation, named `INPUTS`; NaN where nothing is known."""
    known = np.isfinite(rows)
    weight = weights.astype(np.float64)[:, None] * known
    values = np.where(known, rows, 0.0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weight.sum(axis=0)
        mean = (weight * values).sum(axis=0) / total
        spread = np.sqrt((weight * np.square(values - mean)).sum(axis=0) / total)
    return np.concatenate([mean, spread])


def pooled_encoding(rows: Rows) -> NDArray[np.float64] | None:
    """Mean and deviation of each column of rows of the extractor `whisper`, named `ENCODED`; None if there are none."""
    known = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    return np.concatenate([known.mean(axis=0), known.std(axis=0)]) if len(known) else None


def relative(inputs: NDArray[np.float64], baseline: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `pooled` gives, as it differs from a baseline: in deviations of the baseline."""
    mean, spread = np.split(inputs, 2)
    usual, deviation = np.split(baseline, 2)
    deviation = np.where(deviation > TINY, deviation, np.nan)
    return np.concatenate([(mean - usual) / deviation, spread / deviation])


def baseline_of(rows: Rows) -> NDArray[np.float64] | None:
    """How a person's voice usually is (`INPUTS`), from rows in which they speak calmly; None if there is no voice."""
    weights = np.where(sounding(rows), np.maximum(kept(rows), LEAST), 0.0)
    return pooled(rows, weights) if (weights > 0).sum() >= MIN_ROWS else None


def read_voice(
    intervals: NDArray[np.float64],
    rows: Rows,
    start: float,
    stop: float,
    *,
    gates: NDArray[np.float32] | None = None,
    words: Sequence[Word] = (),
    baseline: NDArray[np.float64] | None = None,
    encoding: Features | None = None,
) -> Voice | None:
    """Read a voice between two times.

    Args:
        intervals: T × 2, seconds of each row.
        rows: T × 112 of `mecam-voice`, of a whole recording: what is loud around tells the pauses.
        start: seconds.
        stop: seconds.
        gates: `kept` of these rows, where it is known already.
        words: with their times; those outside are left out.
        baseline: of the person, by `baseline_of`; the activation is then relative to it.
        encoding: what the extractor `whisper` makes of the same recording; the activation is then told from both. With
            a baseline it is not read.

    Returns: None if there is no voice.
    """
    middle = intervals.mean(axis=1)
    near = (middle >= start - AROUND_S) & (middle < stop + AROUND_S)
    intervals, rows, middle = intervals[near], rows[near], middle[near]
    inside = (middle >= start) & (middle < stop)
    voiced, weights = sounding(rows)[inside], (kept(rows) if gates is None else gates[near])[inside]
    mine = rows[inside]
    if not voiced.any():
        return None
    seconds = np.diff(intervals[inside], axis=1)[:, 0]
    speech_s = float(seconds[voiced].sum())
    said = sum(start <= (word.start + word.stop) / 2 < stop for word in words)
    encoded = None if encoding is None else pooled_encoding(encoding.between(start, stop).values)
    activation, low, high = _activation(mine, voiced * weights, baseline, encoded)
    pitch_hz, pitch_range = _pitch(mine, voiced * weights)
    return Voice(
        activation=activation,
        low=low,
        high=high,
        words_per_s=float(said / speech_s) if said and speech_s >= MIN_SPEECH_S else None,
        pitch_hz=pitch_hz,
        pitch_range=pitch_range,
        pauses=1 - speech_s / float(seconds.sum()),
    )


def _activation(
    rows: Rows, weights: Rows, baseline: NDArray[np.float64] | None, encoded: NDArray[np.float64] | None
) -> tuple[float, float, float] | tuple[None, None, None]:
    """The activation and its interval.

    The head holds a model for each speaker that it learned from, made without that speaker. The answer is the mean of
    their log odds. The interval is that of the jackknife, 90 %: how far the answer moves with whom it was learned
    from. It does not say how far listeners agree.
    """
    if (weights > 0).sum() < MIN_ROWS:
        return None, None, None
    inputs, names, kind = pooled(rows, weights), INPUTS, "activation"
    if baseline is not None:
        inputs, kind = relative(inputs, baseline), "activation_relative"
    elif encoded is not None:
        inputs, names, kind = np.concatenate([inputs, encoded]), (*INPUTS, *ENCODED), "activation_whisper"
    head, known = _head(kind), dict(zip(names, inputs, strict=True))
    odds = head(np.array([[known[name] for name in head.about["inputs"]]]))[0].astype(np.float64)
    middle, count = odds.mean(), len(odds)
    error = 1.645 * np.sqrt((count - 1) / count * np.square(odds - middle).sum())
    low, activation, high = (float(1 / (1 + np.exp(-value))) for value in (middle - error, middle, middle + error))
    return activation, low, high


def _pitch(rows: Rows, weights: Rows) -> tuple[float | None, float | None]:
    """Median in Hz, and semitones between the 10th and the 90th percentile; within a row it spreads normally."""
    mean, spread = rows[:, PITCH], rows[:, PITCH_SPREAD]
    told = np.isfinite(mean) & np.isfinite(spread) & (weights > 0)
    if not told.any():
        return None, None
    values = (mean[told, None] + spread[told, None] * np.array(NORMAL)).ravel()
    shares = np.repeat(weights[told], len(NORMAL))
    low, middle, high = _quantiles(values, shares, (0.1, 0.5, 0.9))
    return float(LOWEST_HZ * 2 ** (middle / 12)), float(high - low)


def _quantiles(values: Rows, weights: Rows, at: Sequence[float]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    return np.interp(at, (share - weights[order] / 2) / share[-1], values[order])


@cache
def _head(name: str) -> Head:
    return Head.read(FOLDER / "voice" / f"{name}.safetensors")
