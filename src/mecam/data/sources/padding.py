"""Take padding off, on whichever side it is, and leave the zero rows that belong to the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.sources.base import Piece
from mecam.errors import DataError
from mecam.types import Modality

__all__ = ["Padded", "is_features"]


BLOCKS, BLOCK = 8, 32
"""Runs of utterances that are looked at to find where the padding is; all would read the file once more."""


def is_features(array: object) -> bool:
    """True for an array that can hold features: numeric, N × L × D or N × D, with D ≥ 1."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.ndim in (2, 3) and array.shape[-1] > 0


@dataclass(frozen=True)
class Padded:
    """Padded sequences of several modalities, N × L × D each.

    The padded side of an array is the one where more utterances have a zero row at the edge. Zeros
    are taken off that side only, so a silent or faceless stretch inside an utterance, or at its other
    end, stays. Where most utterances are padded alike in all modalities, the rows belong together (row t
    of each is the same word), so only rows that are zero in every modality go. A sequence of nothing
    but zeros is an absent modality.

    Attributes:
        arrays: modality → N × L × D.
        lengths: modality → N true lengths, where the file has them.
        left: modality → True where the padding comes first.
        together: True when the modalities share their rows.
    """

    arrays: Mapping[Modality, NDArray[Any]]
    lengths: Mapping[Modality, NDArray[Any]]
    left: Mapping[Modality, bool]
    together: bool

    @classmethod
    def of(cls, arrays: Mapping[Modality, Any], lengths: Mapping[Modality, Any], count: int) -> "Padded":
        """Check the arrays of one split against its `count` utterances and find the padded sides.

        N × D arrays hold one row per utterance.

        Raises: DataError if an array is no N × L × D or its lengths are not N numbers.
        """
        shaped, counted = {}, {}
        for modality, array in arrays.items():
            if not is_features(array) or len(array) != count:
                raise DataError(
                    f"{modality} is not {count} × length × width", fix="the file is damaged or no feature file"
                )
            shaped[modality] = array[:, np.newaxis] if array.ndim == 2 else array
            if modality in lengths:
                numbers = np.asarray(lengths[modality]).reshape(-1)
                if numbers.dtype.kind not in "iuf" or len(numbers) != count or not np.isfinite(numbers).all():
                    raise DataError(f"the lengths of {modality} are not {count} numbers")
                counted[modality] = numbers.clip(0, shaped[modality].shape[1]).astype(np.int64)
        filled = {modality: _looked_at(array) for modality, array in shaped.items()}
        left = {modality: _left_padded(rows) for modality, rows in filled.items()}
        return cls(shaped, counted, left, not counted and _share_rows(filled, left))

    def pieces(self, index: int) -> dict[Modality, Piece]:
        """The utterance's rows, modality by modality, as views."""
        rows = {modality: array[index] for modality, array in self.arrays.items()}
        runs = {modality: self._padding(modality, values, index) for modality, values in rows.items()}
        shared = min((run for m, run in runs.items() if run < len(rows[m])), default=0) if self.together else None
        return {
            modality: Piece(self._cut(modality, values, runs[modality], shared)) for modality, values in rows.items()
        }

    def _padding(self, modality: Modality, values: NDArray[Any], index: int) -> int:
        """Rows to take off; all of them where the modality is absent."""
        filled = np.flatnonzero((values != 0).any(axis=1))
        if not len(filled):
            return len(values)
        if modality in self.lengths:
            return len(values) - int(self.lengths[modality][index])
        return int(filled[0] if self.left[modality] else len(values) - 1 - filled[-1])

    def _cut(self, modality: Modality, values: NDArray[Any], run: int, shared: int | None) -> NDArray[Any]:
        absent = run == len(values)
        run = run if shared is None or absent else shared
        return values[run:] if self.left[modality] else values[: len(values) - run]


def _looked_at(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are not zero, of some of the utterances: n × L."""
    starts = range(0, len(array), max(len(array) // BLOCKS, BLOCK))
    blocks = [(array[start : start + BLOCK] != 0).any(axis=2) for start in starts]
    return np.concatenate(blocks) if blocks else np.zeros((0, array.shape[1]), bool)


def _left_padded(filled: NDArray[np.bool_]) -> bool:
    """True where more utterances begin with a zero row than end with one."""
    return bool(filled.shape[1]) and int((~filled[:, 0]).sum()) > int((~filled[:, -1]).sum())


def _share_rows(filled: Mapping[Modality, NDArray[np.bool_]], left: Mapping[Modality, bool]) -> bool:
    """True where the modalities are as long as each other in most utterances that have them all."""
    if len(filled) < 2 or len({rows.shape for rows in filled.values()}) > 1 or len(set(left.values())) > 1:
        return False
    rows = np.stack([rows if left[modality] else rows[:, ::-1] for modality, rows in filled.items()])  # M n L
    if rows.shape[2] < 2:
        return False
    runs = rows.argmax(axis=2)[:, rows.any(axis=2).all(axis=0)]  # M × those that have all
    same = (runs == runs[:1]).all(axis=0)
    return bool(2 * same.sum() > len(same)) and bool(runs.any())
