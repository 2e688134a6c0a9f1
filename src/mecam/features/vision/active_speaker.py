"""Which of several faces speaks: the one whose mouth moves when there is a voice, and rests when there is none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import Media
from mecam.features.vision.expression import NAMES
from mecam.features.vision.tracking import Face

__all__ = ["choose", "voice_level"]

_MOUTH_SPEED = NAMES.index("mouth_open_speed")
_SMOOTH_S = 0.4
"""A syllable or two: mouth and voice are compared at this grain."""
_SWITCH_S = 1.0
"""Seconds of clear evidence that a change to another face needs."""
_RATE = 8_000
_LEVEL_HZ = 50
_RANGE_DB = 30.0
"""Sound this much below the loudest moments counts as silence."""


def voice_level(
    media: Media, times: NDArray[np.float64], start: float = 0.0, stop: float | None = None
) -> NDArray[np.float64] | None:
    """How loud the recording is at some times, 0 (silence) to 1 (its loudest moments); None without sound."""
    if media.sound is None or not len(times):
        return None
    hop = _RATE // _LEVEL_HZ
    at, power = [], []
    for block in media.sound_blocks(start, stop, rate=_RATE, seconds=10.0):
        rows = block.samples[: len(block.samples) // hop * hop].reshape(-1, hop)
        power.append(np.mean(np.square(rows, dtype=np.float64), axis=1))
        at.append(block.time + (np.arange(len(rows)) + 0.5) / _LEVEL_HZ)
    moments = np.concatenate(at) if at else np.zeros(0)
    if not len(moments):
        return None
    decibel = 10 * np.log10(np.concatenate(power) + 1e-10)
    level = np.clip((decibel - np.quantile(decibel, 0.95)) / _RANGE_DB + 1, 0, 1)
    heard: NDArray[np.float64] = np.interp(times, moments, level, left=0.0, right=0.0)
    return heard


def choose(faces: Sequence[Face], times: NDArray[np.float64], voice: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """Choose the face that speaks at each moment.

    Args:
        faces: as `Tracker.faces` tells them; their frames number `times`.
        times: T seconds.
        voice: T, `voice_level`; None where there is no sound: then the largest, most lively mouth is taken.

    Returns: T, number of the face; −1 where there is none.
    """
    count, total = len(faces), len(times)
    if not count:
        return np.full(total, -1, np.int64)
    present = np.zeros((total, count), bool)
    evidence = np.zeros((total, count))
    for number, face in enumerate(faces):
        present[face.frames, number] = True
        evidence[face.frames, number] = np.abs(np.nan_to_num(face.values[:, _MOUTH_SPEED]))
    step = float(np.median(np.diff(times))) if total > 1 else 1.0
    if count > 1:
        evidence = _evidence(faces, _smooth(evidence, step), present, voice)
        chosen = _path(evidence, present, switch=_SWITCH_S / max(step, 1e-6))
    else:
        chosen = np.zeros(total, np.int64)
    return np.where(present[np.arange(total), chosen], chosen, -1)


def _evidence(
    faces: Sequence[Face], motion: NDArray[np.float64], present: NDArray[np.bool_], voice: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """T × faces, about −1 to 1: for each moment how much speaks for each face."""
    scale = max(float(np.quantile(motion[present], 0.9)), 1e-6) if present.any() else 1.0
    lively = np.clip(motion / scale, 0, 1.5)
    if voice is None:
        evidence = lively
    else:
        level = voice[:, None]
        evidence = (level + (level - voice.mean())) * lively
    sides = np.array([np.median(face.side) for face in faces])
    total: NDArray[np.float64] = evidence + 0.2 * sides / sides.max()
    return total


def _path(evidence: NDArray[np.float64], present: NDArray[np.bool_], switch: float) -> NDArray[np.int64]:
    """The sequence of faces with the most evidence, where each change costs `switch` × a typical difference."""
    cost = switch * 0.3
    score = np.where(present, evidence, -1.0)  # to stay with a face that left must not pay
    total, count = score.shape
    came = np.zeros((total, count), np.int64)
    best = score[0].copy()
    for moment in range(1, total):
        leader = int(best.argmax())
        stay = best >= best[leader] - cost
        came[moment] = np.where(stay, np.arange(count), leader)
        best = np.maximum(best, best[leader] - cost) + score[moment]
    path = np.zeros(total, np.int64)
    path[-1] = best.argmax()
    for moment in range(total - 1, 0, -1):
        path[moment - 1] = came[moment, path[moment]]
    # Where the chosen face is away and another is there, the other is shown.
    away = ~present[np.arange(total), path] & present.any(axis=1)
    path[away] = np.where(present, evidence, -np.inf)[away].argmax(axis=1)
    return path


def _smooth(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    width = min(max(round(_SMOOTH_S / max(step, 1e-6)), 1), len(values))
    window = np.ones(width) / width
    columns: list[NDArray[np.float64]] = [np.convolve(column, window, mode="same") for column in values.T]
    return np.stack(columns, axis=1)
