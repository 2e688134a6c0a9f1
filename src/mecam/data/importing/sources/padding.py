"""Take padding off, on whichever side it is, and leave the zero rows that belong to the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.importing.sources.base import Piece, column_of, number_of
from mecam.errors import DataError
from mecam.types import Modality

__all__ = ["Padded", "is_features"]


BLOCKS, BLOCK = 8, 32
"""Runs of utterances that are looked at to find where the padding is; all would read the file once more."""


def is_ragged(array: object) -> bool:
    """True for a list, or an array of objects, of sequences T × D that are not padded."""
    if isinstance(array, np.ndarray) and not (array.dtype.hasobject and array.ndim == 1):
        return False
    return (
        isinstance(array, list | np.ndarray)
        and len(array) > 0
        and all(isinstance(rows, np.ndarray) and rows.dtype.kind in "fiub" and rows.ndim == 2 for rows in array)
    )


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

    A modality may also come as N sequences of their own lengths; then nothing is taken off.

    Attributes:
        arrays: modality → N × L × D.
        ragged: modality → N sequences T × D.
        lengths: modality → N true lengths, where the file has them.
        left: modality → True where the padding comes first.
        together: True when the modalities share their rows.
    """

    arrays: Mapping[Modality, NDArray[Any]]
    ragged: Mapping[Modality, list[NDArray[Any]]]
    lengths: Mapping[Modality, NDArray[Any]]
    left: Mapping[Modality, bool]
    together: bool

    @classmethod
    def of(cls, arrays: Mapping[Modality, Any], lengths: Mapping[Modality, Any], count: int) -> "Padded":
        """Check the arrays of one split against its `count` utterances and find the padded sides.

        N × D arrays hold one row per utterance.

        Raises: DataError if an array is no N × L × D or its lengths are not N numbers.
        """
        shaped, ragged, counted = {}, {}, {}
        for modality, array in arrays.items():
            if is_ragged(array) and len(array) == count:
                ragged[modality] = _sequences(array, modality)
                continue
            if not is_features(array) or len(array) != count:
                raise DataError(
                    f"{modality} is not {count} × length × width", fix="the file is damaged or no feature file"
                )
            shaped[modality] = array[:, np.newaxis] if array.ndim == 2 else array
            if modality in lengths:
                numbers = _numbers(lengths[modality], count, modality)
                counted[modality] = numbers.clip(0, shaped[modality].shape[1]).astype(np.int64)
        filled = {modality: _looked_at(array) for modality, array in shaped.items()}
        left = {modality: _left_padded(rows) for modality, rows in filled.items()}
        together = not counted and not ragged and _share_rows(filled, left)
        return cls(shaped, ragged, counted, left, together)

    @property
    def widths(self) -> dict[Modality, int]:
        """Features per row of every modality."""
        widths = {modality: array.shape[2] for modality, array in self.arrays.items()}
        return widths | {modality: rows[0].shape[1] for modality, rows in self.ragged.items()}

    def pieces(self, index: int) -> dict[Modality, Piece]:
        """The utterance's rows, modality by modality, as views."""
        rows = {modality: array[index] for modality, array in self.arrays.items()}
        runs = {modality: self._padding(modality, values, index) for modality, values in rows.items()}
        shared = min((run for m, run in runs.items() if run < len(rows[m])), default=0) if self.together else None
        padded = {m: Piece(self._cut(m, values, runs[m], shared)) for m, values in rows.items()}
        return padded | {modality: Piece(sequences[index]) for modality, sequences in self.ragged.items()}

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


def _sequences(array: Any, modality: Modality) -> list[NDArray[Any]]:
    """Sequences of one width; one without rows may have any."""
    widths = {rows.shape[1] for rows in array if len(rows)}
    if len(widths) != 1 or 0 in widths:
        raise DataError(f"the sequences of {modality} have no features, or features of different widths")
    (width,) = widths
    return [rows if len(rows) else np.empty((0, width), np.float32) for rows in array]


def _numbers(lengths: Any, count: int, modality: Modality) -> NDArray[np.float64]:
    """N lengths as numbers. A list is never handed to NumPy: one that holds itself would grow without end."""
    entries = column_of(lengths, count, f"the list of lengths of {modality}")
    numbers = np.array([number_of(entry) for entry in entries], np.float64)
    if not np.isfinite(numbers).all():
        raise DataError(f"the lengths of {modality} are not {count} numbers")
    return numbers


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
