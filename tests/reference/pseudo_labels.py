"""Slow reading of Self-MM's label generation (arXiv 2102.04830): one modality, one column of labels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPSILON = 1e-6


def centre(features: Array, labels: Sequence[float], known: Sequence[bool], sign: int) -> list[float] | None:
    """Mean of the rows whose label has the sign; None where there is none."""
    rows = [row for row, y, k in zip(features.tolist(), labels, known, strict=True) if k and y * sign > 0]
    if not rows:
        return None
    return [sum(row[d] for row in rows) / len(rows) for d in range(features.shape[1])]


def relative_distance(row: Sequence[float], positive: Sequence[float], negative: Sequence[float]) -> float:
    """α = (Dⁿ − Dᵖ)/(Dᵖ + ε)."""

    def distance(other: Sequence[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) / math.sqrt(len(row))

    return (distance(negative) - distance(positive)) / (distance(positive) + EPSILON)


def pseudo_label(label: float, joint: float, own: float) -> float:
    """Half the ratio rule, half the difference rule."""
    if abs(joint) < EPSILON:
        joint = -EPSILON if joint < 0 else EPSILON
    by_ratio = own * label / joint
    by_difference = label + own - joint
    return by_ratio / 2 + by_difference / 2


class Generator:
    """The whole bookkeeping for one modality beside the fused one, in dictionaries by utterance."""

    def __init__(self, low: float, high: float) -> None:
        self.middle, self.limit = (low + high) / 2, (high - low) / 2
        self.met: dict[int, int] = {}
        self.truth: dict[int, float] = {}
        self.label: dict[int, float] = {}
        self.joint: dict[int, Array] = {}
        self.own: dict[int, Array] = {}
        self.present: dict[int, bool] = {}

    def step(self, index: Sequence[int], y: Sequence[float], joint: Array, own: Array, present: Sequence[bool]) -> None:
        """One batch: move its labels by the centres of what is remembered, then remember it."""
        alphas = {i: (self._alpha(joint[b], "joint"), self._alpha(own[b], "own")) for b, i in enumerate(index)}
        for b, i in enumerate(index):
            truth = y[b] - self.middle
            times = self.met.get(i, 0) + 1
            label = self.label[i] if times > 2 else truth
            of_joint, of_own = alphas[i]
            if times > 1 and present[b] and of_joint is not None and of_own is not None:
                fresh = pseudo_label(truth, of_joint, of_own)
                label = (times - 1) / (times + 1) * label + 2 / (times + 1) * fresh
                label = max(-self.limit, min(self.limit, label))
            self.label[i], self.truth[i], self.met[i] = label, truth, times
            self.joint[i], self.own[i], self.present[i] = joint[b], own[b], present[b]

    def _alpha(self, row: Array, which: str) -> float | None:
        rows = self.joint if which == "joint" else self.own
        labels = self.truth if which == "joint" else self.label
        ids = [i for i in rows if which == "joint" or self.present[i]]
        if not ids:
            return None
        features = np.stack([rows[i] for i in ids])
        ends = [centre(features, [labels[i] for i in ids], [True] * len(ids), sign) for sign in (1, -1)]
        if ends[0] is None or ends[1] is None:
            return None
        return relative_distance(row.tolist(), ends[0], ends[1])
