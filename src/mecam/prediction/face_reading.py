"""What a face shows between two times: rows of `mecam-face`, those that are kept, as one `Face`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features.vision.face_extractors import CUES
from mecam.prediction.heads import Head
from mecam.prediction.result import Face
from mecam.pretrained.cards import FOLDER

__all__ = ["GATE", "MOVEMENTS", "cues", "kept", "read_face"]

GATE = FOLDER / "face" / "gate.safetensors"
"""How probably a row is made from a picture that stands still."""
_EXPRESSION = "expression_"
_FIRST_EXPRESSION = next(i for i, name in enumerate(CUES.names) if name.startswith(_EXPRESSION))
_PARTS = (("brow",), ("eyeBlink", "eyeSquint", "eyeWide"), ("eyeLook",), ("jaw", "mouth"), (_EXPRESSION,))
_COLUMNS = tuple([i for i, name in enumerate(CUES.names) if name.startswith(part)] for part in _PARTS)
"""Columns that the gate looks at together."""
_NEAR = 5
"""Rows that are near: two before and two after."""
_LEAST_CHANGE = 1e-4
MOVEMENTS: Mapping[str, tuple[str, ...]] = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "brows_raised": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_lowered": ("browDownLeft", "browDownRight"),
    "eyes_closed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "mouth_open": ("jawOpen",),
}
"""Movement → the blendshapes that it is the mean of."""
AROUND_S = 10.0
"""Seconds before and after that the gate sees, too: what is usual is learned from them."""
_LEAST = 1e-3
"""Mean gate below which nothing is told: all of it stands still."""


def kept(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each row is kept, 0 to 1: the probability that its picture does not stand still.

    Args:
        rows: T × 59, in a row; NaN where there is no face.
    """
    if not len(rows):
        return np.zeros(0, np.float32)
    return np.asarray(1 - _gate().probabilities(cues(rows))[:, 0], np.float32)


def cues(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What marks rows of pictures that stand still: how little, and how suddenly, each part of the face changes.

    They say nothing of what the face looks like, so that few faces are enough to learn from.

    Args:
        rows: T × 59, in a row; NaN where there is no face.

    Returns: T × 20, logarithms per part of the face: the smaller change to a neighbour, its mean near by, and, relative
        to the median of these rows, the smaller and the larger change. NaN where it is not known.
    """
    values = rows.astype(np.float64)
    blank = np.full((1, values.shape[1]), np.nan)
    steps = np.abs(np.diff(values, axis=0, prepend=blank, append=blank))  # to the row before; one more at the end
    found = []
    for columns in _COLUMNS:
        change = np.log(steps[:, columns].mean(axis=1) + _LEAST_CHANGE)
        still, moved = np.fmin(change[:-1], change[1:]), np.fmax(change[:-1], change[1:])
        found += [still, _near(still), _relative(still), _relative(moved)]
    return np.stack(found, axis=1).astype(np.float32)


def _relative(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less the median of what is known."""
    known = np.isfinite(values)
    return values - np.median(values[known]) if known.any() else values


def _near(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The mean of what is known of the rows near by."""
    known = np.isfinite(values)
    window = np.ones(_NEAR)
    reach = _NEAR // 2
    total = np.convolve(np.pad(np.where(known, values, 0.0), reach), window, "valid")
    count = np.convolve(np.pad(known.astype(np.float64), reach), window, "valid")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def read_face(
    intervals: NDArray[np.float64],
    rows: NDArray[np.float32],
    start: float,
    stop: float,
    *,
    baseline: NDArray[np.float32] | None = None,
) -> Face | None:
    """What a face shows between two times.

    Args:
        intervals: N × 2 seconds, in order.
        rows: N × 59, of `mecam-face`.
        start: seconds.
        stop: seconds; rows whose middle lies before it count.
        baseline: rows of the same person with a neutral face: movements are told relative to their mean, from −1 to 1.

    Returns: None where the face is not seen.
    """
    middle = intervals.mean(axis=1)
    near = (middle >= start - AROUND_S) & (middle < stop + AROUND_S)
    middle, intervals, rows = middle[near], intervals[near], rows[near]
    mine = (middle >= start) & (middle < stop) & np.isfinite(rows).all(axis=1)
    if not mine.any():
        return None
    seen = float(np.diff(intervals[mine], axis=1).sum()) / max(stop - start, 1e-9)
    weights = kept(rows)[mine].astype(np.float64)
    if weights.mean() < _LEAST:
        return Face(min(seen, 1.0))
    mean = np.average(rows[mine].astype(np.float64), axis=0, weights=weights)
    shares = mean[_FIRST_EXPRESSION:]
    names = [name.removeprefix(_EXPRESSION) for name in CUES.names[_FIRST_EXPRESSION:]]
    expressions = {name: float(share) for name, share in zip(names, shares / shares.sum(), strict=True)}
    usual = dict.fromkeys(MOVEMENTS, 0.0)
    if baseline is not None and np.isfinite(baseline).any():
        usual = _movements(np.nanmean(baseline, axis=0))
    return Face(min(seen, 1.0), expressions, {name: amount - usual[name] for name, amount in _movements(mean).items()})


def _movements(row: NDArray[np.floating]) -> dict[str, float]:
    return {name: float(np.mean([row[CUES.names.index(one)] for one in shapes])) for name, shapes in MOVEMENTS.items()}


@cache
def _gate() -> Head:
    return Head.read(GATE)
