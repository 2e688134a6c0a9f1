"""Train-only feature normalisation, robust to outliers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.types import Modality, Utterance

__all__ = ["Normaliser"]

SAMPLE_ROWS = 100_000
"""Rows per modality that the quantiles are taken from; more changes nothing that matters."""


@dataclass(frozen=True)
class Normaliser:
    """Per column: subtract the median, divide by the scaled interquartile range, limit, missing → 0.

    Attributes:
        centre: modality → D medians.
        scale: modality → D scales; 1 where a column is constant.
        clip: limit on the result, in robust standard deviations.
        zero_rows_missing: a raw row of nothing but zeros is a missing row.
    """

    centre: Mapping[Modality, NDArray[np.float32]]
    scale: Mapping[Modality, NDArray[np.float32]]
    clip: float
    zero_rows_missing: bool = False

    @classmethod
    def fit(
        cls, store: Store, indices: Sequence[int] | NDArray[np.int64], *, clip: float, zero_rows_missing: bool = False
    ) -> "Normaliser":
        """Learn from the given utterances: those of the train split, never others.

        A modality of which they hold nothing is unknown, and left out of every utterance: a model that has never met it
        would read it with weights that never learned.
        """
        centre, scale = {}, {}
        for modality, spec in store.specs.items():
            rows = _sample(store, modality, np.asarray(indices))
            rows = _without_zero_rows(rows) if zero_rows_missing else rows
            if np.isfinite(rows).any():
                centre[modality], scale[modality] = _robust(rows, spec.width)
        return cls(centre, scale, clip, zero_rows_missing)

    def __call__(self, utterance: Utterance) -> Utterance:
        """Return the utterance with normalised streams, those it knows; rows that are missing altogether stay NaN."""
        streams = {}
        for modality in self.centre.keys() & utterance.streams.keys():
            values = utterance.streams[modality]
            if self.zero_rows_missing:
                values = _without_zero_rows(values)
            normal = (values - self.centre[modality]) / self.scale[modality]
            np.clip(normal, -self.clip, self.clip, out=normal)
            missing = np.isnan(normal)
            if missing.any():
                normal[missing & ~missing.all(axis=1, keepdims=True)] = 0.0
            streams[modality] = normal
        return Utterance(**{**vars(utterance), "streams": streams})

    def only(self, modalities: Collection[Modality]) -> "Normaliser":
        """Return the part that concerns these modalities; it leaves all others out of an utterance."""
        known = [modality for modality in modalities if modality in self.centre]
        return replace(self, centre={m: self.centre[m] for m in known}, scale={m: self.scale[m] for m in known})

    @property
    def zero(self) -> dict[Modality, NDArray[np.float32]]:
        """What a raw row of zeros, which is how a dropped frame is written, becomes: modality → D."""
        if self.zero_rows_missing:
            return {m: np.full_like(centre, np.nan) for m, centre in self.centre.items()}
        return {m: np.clip(-self.centre[m] / self.scale[m], -self.clip, self.clip) for m in self.centre}

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "clip": self.clip,
            "zero_rows_missing": self.zero_rows_missing,
            "streams": {m: {"centre": self.centre[m].tolist(), "scale": self.scale[m].tolist()} for m in self.centre},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Normaliser":
        """Inverse of `to_json`."""
        streams = values["streams"]
        return cls(
            {m: np.array(s["centre"], np.float32) for m, s in streams.items()},
            {m: np.array(s["scale"], np.float32) for m, s in streams.items()},
            float(values["clip"]),
            bool(values.get("zero_rows_missing", False)),
        )


def _without_zero_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows, NaN where one holds nothing but zeros."""
    lost = (rows == 0).all(axis=1)
    if not lost.any():
        return rows
    result: NDArray[np.float32] = rows.copy()
    result[lost] = np.nan
    return result


def _sample(store: Store, modality: Modality, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of whole utterances in a fixed random order, until there are enough."""
    order = np.random.default_rng(0).permutation(indices)
    parts, count = [np.empty((0, store.specs[modality].width), np.float32)], 0
    for index in order:
        rows = store[int(index)].streams.get(modality)
        if rows is not None:
            parts.append(rows)
            count += len(rows)
        if count >= SAMPLE_ROWS:
            break
    return np.concatenate(parts)


def _robust(rows: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    centre, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    for column in range(width):
        values = rows[:, column]
        values = values[~np.isnan(values)].astype(np.float64)
        if len(values) == 0:
            continue
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        # 1.349 makes the interquartile range of a normal distribution its standard deviation. A column that
        # is constant for half of its rows (an action unit at rest) has no such range: take the deviation.
        spread = (high - low) / 1.349 or float(values.std())
        centre[column], scale[column] = middle, spread if spread > 1e-12 else 1.0
    return centre, scale
