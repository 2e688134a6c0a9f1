"""Which of several faces speaks: the one whose mouth moves when there is a voice, and rests when there is none.

`choose` compares how much mouths move; the rows of the extractors follow it. `choose_by_lips` compares how, syllable by
syllable, with the loudness, each face against itself; it is for people who are told apart.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import SoundSource
from mecam.features.vision.expression import NAMES
from mecam.features.vision.tracking import Face

__all__ = ["choose", "choose_by_lips", "voice_level"]

_MOUTH_SPEED = NAMES.index("mouth_open_speed")
_SMOOTH_S = 0.4
"""A syllable or two: mouth and voice are compared at this grain."""
_SWITCH_S = 1.0
"""Seconds of clear evidence that a change to another face needs."""
_PLACES = [NAMES.index(name) for name in ("mouth_open", "lip_lower_drop", "jaw_open")]
_SPEEDS = [NAMES.index(name) for name in ("mouth_open", "mouth_width", "jaw_open", "lip_protrusion")]
_SYLLABLE_S, _SPEED_ROWS = 0.1, 3
"""Over which loudness and speeds are smoothed."""
_REACHES_S = (0.7, 1.0, 1.5)
"""To each side of a moment: windows in which lips are compared with the loudness."""
_STILL, _STILL_SPEED, _STILL_LEVEL = 0.01, 0.1, 0.05
"""Spread of places in widths of the face, of speeds, and of the loudness, that is none."""
_PAUSE_S, _PAUSE_LEVELS, _CHANGE = 0.4, (0.2, 0.6), (1.0, 8.0)
"""A change costs from the first of these, in a pause, to the second, while there is a voice; how loud either is."""
_USUAL_STEP_S = 0.08
"""Between two rows: what the costs are made for."""
_LEFT = 0.3
"""Evidence against a face that is not there."""
_LEAST_ROWS = 5
_RATE = 8_000
_LEVEL_HZ = 50
_RANGE_DB = 30.0
"""Sound this much below the loudest moments counts as silence."""


def voice_level(
    media: SoundSource, times: NDArray[np.float64], start: float = 0.0, stop: float | None = None
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
        cost = _SWITCH_S / max(step, 1e-6) * 0.3  # of a typical difference
        chosen = _path(evidence, present, np.full(total, cost), away=-1.0)
    else:
        chosen = np.zeros(total, np.int64)
    return np.where(present[np.arange(total), chosen], chosen, -1)


def choose_by_lips(
    faces: Sequence[Face], times: NDArray[np.float64], media: SoundSource, start: float = 0.0
) -> NDArray[np.int64]:
    """Choose the face that speaks at each moment by how its lips follow the loudness.

    Where the lips are and how fast they move is compared with the loudness over windows of several lengths, each face
    relative to its own mean and spread there, so that neither a lively listener nor a speaker with a still mouth is
    mistaken. A change is cheap in a pause and dear while there is a voice.

    Args:
        faces: one a person; their frames number `times`.
        times: T seconds.
        media: the recording; without sound it is chosen as `choose` does.
        start: seconds; what was heard before does not count.

    Returns: T, number of the face; −1 where there is none.
    """
    first = int(start * _LEVEL_HZ)
    moments = np.arange(first + 0.5, max(media.duration * _LEVEL_HZ, first + 1.0)) / _LEVEL_HZ
    heard = voice_level(media, moments, start) if len(faces) > 1 else None
    if heard is None:
        return choose(faces, times, None)
    step = max(float(np.median(np.diff(times))), 1e-6) if len(times) > 1 else 1.0
    loudness = np.interp(times, moments, _mean_around(heard, round(_SYLLABLE_S * _LEVEL_HZ)))
    present, evidence = np.zeros((2, len(times), len(faces)))
    for number, face in enumerate(faces):
        present[face.frames, number] = 1
        for run in np.split(np.arange(len(face.frames)), np.flatnonzero(np.diff(face.frames) > 1) + 1):
            evidence[face.frames[run], number] = _in_time(face.values[run], loudness[face.frames[run]], step)
    voice = np.interp(times, moments, _mean_around(heard, round(_PAUSE_S * _LEVEL_HZ)))
    cost = np.interp(voice, _PAUSE_LEVELS, _CHANGE) * (_USUAL_STEP_S / step)
    chosen = _path(evidence, present > 0, cost, away=-_LEFT)
    return np.where(present[np.arange(len(times)), chosen] > 0, chosen, -1)


def _in_time(values: NDArray[np.float32], loudness: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """N, how well lips that are seen without a break follow the loudness; about 0 if they do not."""
    if len(values) < _LEAST_ROWS:
        return np.zeros(len(values))
    lips = values.astype(np.float64)
    places = [lips[:, column] for column in _PLACES]
    speeds = [_mean_around(np.abs(np.gradient(lips[:, column], step)), _SPEED_ROWS) for column in _SPEEDS]
    found = np.zeros(len(values))
    for reach in _REACHES_S:
        size = 2 * round(reach / step) + 1
        loud = _standard(loudness, size, _STILL_LEVEL)
        place = np.mean([_standard(one, size, _STILL) for one in places], axis=0)
        speed = np.mean([_standard(one, size, _STILL_SPEED) for one in speeds], axis=0)
        found += loud * (place + speed) / (2 * len(_REACHES_S))
    return found


def _standard(values: NDArray[np.float64], size: int, still: float) -> NDArray[np.float64]:
    """Relative to the mean and the spread around each moment; a spread below `still` is none."""
    mean = _mean_around(values, size)
    spread = np.sqrt(np.maximum(_mean_around(np.square(values), size) - np.square(mean), 0.0))
    standard: NDArray[np.float64] = (values - mean) / np.maximum(spread, still)
    return standard


def _mean_around(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The mean of `size` values around each, of fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - size // 2, 0), np.minimum(at + size // 2 + 1, len(values))
    mean: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return mean


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


def _path(
    evidence: NDArray[np.float64], present: NDArray[np.bool_], cost: NDArray[np.float64], away: float
) -> NDArray[np.int64]:
    """The sequence of faces with the most evidence, where a change at a moment costs that moment's `cost`.

    A face that is not there counts `away`: to stay with one that left must not pay.
    """
    score = np.where(present, evidence, away)
    total, count = score.shape
    came = np.zeros((total, count), np.int64)
    best = score[0].copy()
    for moment in range(1, total):
        leader = int(best.argmax())
        stay = best >= best[leader] - cost[moment]
        came[moment] = np.where(stay, np.arange(count), leader)
        best = np.maximum(best, best[leader] - cost[moment]) + score[moment]
    path = np.zeros(total, np.int64)
    path[-1] = best.argmax()
    for moment in range(total - 1, 0, -1):
        path[moment - 1] = came[moment, path[moment]]
    # Where the chosen face is away and another is there, the other is shown.
    left = ~present[np.arange(total), path] & present.any(axis=1)
    path[left] = np.where(present, evidence, -np.inf)[left].argmax(axis=1)
    return path


def _smooth(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    width = min(max(round(_SMOOTH_S / max(step, 1e-6)), 1), len(values))
    window = np.ones(width) / width
    columns: list[NDArray[np.float64]] = [np.convolve(column, window, mode="same") for column in values.T]
    return np.stack(columns, axis=1)
