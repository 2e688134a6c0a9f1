"""CMU-MultimodalSDK `.csd` files: HDF5 with `<sequence>/data/<video or segment>/{features, intervals}`.

Labels become rows, one per segment, `video[i]` as the SDK numbers them. Words and features of whole
recordings become time lines that are cut by the segments' intervals: a word or a row belongs where its
middle lies. Sequences that the SDK has cut already (`video[i]` as key) are joined by id.

The file is not trusted: links that leave their place, virtual and external data sets, and data sets
larger than their file can explain are refused.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mecam.budget import BYTES_PER_BYTE, MIN_BYTES, MIN_ELEMENTS, Budget, check_regular_file
from mecam.data.importing.sources.base import (
    MAX_WORDS,
    FileLayout,
    Piece,
    Row,
    Source,
    Timeline,
    check_count,
    extractor_of,
    make_id,
    modality_of,
    scores_of,
    text_of,
)
from mecam.errors import DataError
from mecam.types import FeatureSpec, Modality, Word

__all__ = ["LAYOUTS", "read_csd"]

MAX_CHUNK = 256 << 20
"""Bytes of a compressed piece of a table, which HDF5 unpacks as a whole."""

MAX_TABLE = 512 << 20
"""Bytes of one recording's table, unpacked."""

BLOCK = 64 << 20
"""Bytes that reading a few words may take, when each could be as long as the file."""

PAUSES = frozenset({"sp", "sil", ""})
"""Entries of a word sequence that are no words."""

EARLY = "Opinion Segment Labels"
"""CMU-MOSI's labels: their intervals begin and end one word before the segment does. With that mended
1951 of 2199 segments have exactly the transcript's words, without it one."""

_NEAR = 1e-3
_SEGMENT = re.compile(r"(.+)\[(\d+)\]")


def read_csd(path: Path) -> list[Source | Timeline] | None:
    """Read a computational sequence, or return None when the HDF5 file holds something else.

    Raises: DataError if it is damaged or refused.
    """
    file = _File(path)
    with file.data() as (name, data):
        if data is None:
            return None
        keys = tuple(key for key in data if isinstance(key, str))
        if len(keys) != len(data) or not keys:
            raise DataError("the sequence has no entries, or entries without name", where=path.name)
        first, _ = file.entry(data, keys[0])
    segmented = all(_SEGMENT.fullmatch(key) for key in keys)
    if "label" in name.lower() and first.dtype.kind in "fiu":
        return [_labels(file, name, keys)]
    if first.dtype.kind in "SUO":
        return [_segment_words(file, keys) if segmented else _word_line(file, keys)]
    modality = modality_of(name)
    specs = {modality: FeatureSpec(first.shape[1], extractor_of(name))}
    return [_segments(file, keys, specs) if segmented else _feature_line(file, keys, specs)]


class _File:
    """An HDF5 file that is opened for every recording and closed again.

    What is read for the first time is charged to the file's budget, and no object may stand for two entries: a file
    of a few kilobytes could otherwise hold any number of rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size = check_regular_file(path)
        self._budget = Budget(path.name, max(MIN_BYTES, BYTES_PER_BYTE * size), max(MIN_ELEMENTS, size))
        self._texts_budget = Budget.for_file(path)
        self._block = min(4096, max(1, BLOCK // max(size, 1)))
        self._known: dict[tuple[str, str], int] = {}
        self._places: set[int] = set()

    @contextmanager
    def data(self) -> Iterator[tuple[str, h5py.Group | None]]:
        """The sequence's name and its `data` group; None when the file has another shape."""
        try:
            with h5py.File(self.path, "r", locking=False) as root:
                names = [name for name in root if isinstance(name, str)]
                data = None
                if (
                    len(names) == 1
                    and isinstance(group := self._inside(root, names[0]), h5py.Group)
                    and "data" in group
                ):
                    data = self._inside(group, "data")
                yield (names[0] if names else ""), data if isinstance(data, h5py.Group) else None
        except DataError as error:
            raise DataError(error.what, where=error.where or self.path.name, fix=error.fix) from None
        except (
            OSError,
            KeyError,
            ValueError,
            TypeError,
            RuntimeError,
            AttributeError,
            MemoryError,
            OverflowError,
        ) as error:
            raise DataError(
                f"the HDF5 file is damaged: {str(error)[:120]}", where=self.path.name, fix="download it again"
            ) from None

    def entry(self, data: h5py.Group, key: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Features n × d and intervals n × 2 of one recording or segment."""
        make_id(key)
        group = self._inside(data, key)
        if not isinstance(group, h5py.Group):
            raise DataError(f"{key} holds no features and intervals")
        intervals, features = (self._array(group, key, name) for name in ("intervals", "features"))
        if intervals.dtype.kind not in "fiu" or intervals.shape != (len(features), 2):
            raise DataError(f"{key} has {len(features)} rows and intervals of shape {intervals.shape}")
        return features, intervals.astype(np.float64)

    def _array(self, group: h5py.Group, key: str, name: str) -> NDArray[Any]:
        dataset = self._inside(group, name)
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2:
            raise DataError(f"{name} is no table of numbers or words")
        if dataset.is_virtual or dataset.external:
            raise DataError(f"refused an HDF5 file: {name} lies in another file")
        if dataset.dtype.kind not in "fiuS" and h5py.check_string_dtype(dataset.dtype) is None:
            raise DataError(f"{name} holds {dataset.dtype}, and only numbers and words are read")
        first = self._is_first(dataset, key, name)
        if first:
            bytes_ = math.prod(dataset.shape) * dataset.dtype.itemsize
            elements = max(dataset.shape[0], 0 if bytes_ else max(dataset.shape))
            self._budget.take(f"{name} of {key}", bytes=bytes_, elements=elements)
            if bytes_ > MAX_TABLE:
                raise DataError(f"refused an HDF5 file: {name} of {key} is far too large for one recording")
        if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK:
            raise DataError(f"refused an HDF5 file: {name} of {key} lies in pieces that are far too large")
        if dataset.dtype.kind == "O":
            return self._texts(dataset, key, charged=not first)
        array: NDArray[Any] = dataset[()]
        return array

    def _is_first(self, dataset: h5py.Dataset, key: str, name: str) -> bool:
        """True when this entry is read for the first time; two entries that are one object are refused."""
        place = h5py.h5o.get_info(dataset.id).addr
        known = self._known.get((key, name))
        if known is None and place in self._places:
            raise DataError(f"refused an HDF5 file: {name} of {key} is another entry under a second name")
        self._known[key, name] = place
        self._places.add(place)
        return known is None

    def _texts(self, dataset: h5py.Dataset, key: str, *, charged: bool) -> NDArray[Any]:
        """Texts of any length, a few rows at a time: thousands of them may be one and the same long text."""
        parts = []
        for start in range(0, len(dataset), self._block):
            part: NDArray[Any] = dataset[start : start + self._block]
            if not charged:
                size = sum(len(text) + 60 for text in part.flat if isinstance(text, bytes | str))
                self._texts_budget.take(f"the words of {key}", bytes=size)
            parts.append(part)
        return np.concatenate(parts) if parts else np.empty(dataset.shape, object)

    def _inside(self, group: h5py.Group, name: str) -> Any:
        """A member of a group, when it lies in this file and at this place."""
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"refused an HDF5 file: {name!r} is a link to another place")
        return group[name]

    def read(self, key: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """As `entry`, opening the file for it."""
        with self.data() as (_, data):
            if data is None or key not in data:
                raise DataError(f"{key} has gone", where=self.path.name)
            return self.entry(data, key)


def _labels(file: _File, name: str, keys: tuple[str, ...]) -> Source:
    rows = []
    for key in keys:
        scores, intervals = file.read(key)
        if scores.dtype.kind not in "fiu":
            raise DataError(f"the labels of {key} are no numbers", where=file.path.name)
        match = _SEGMENT.fullmatch(key)
        for index, (score, (start, stop)) in enumerate(zip(scores, intervals, strict=True)):
            rows.append(
                Row(
                    id=make_id(key if match else f"{key}[{index}]"),
                    video=match.group(1) if match else key,
                    labels=scores_of(score),
                    scored=True,
                    interval=(float(start), float(stop)) if start <= stop else (math.nan, math.nan),
                    early=name == EARLY,
                )
            )
            if match:
                break
        check_count(len(rows))
    return Source("CSD labels", file.path.name, rows)


def _spoken(features: NDArray[Any], intervals: NDArray[np.float64], chosen: NDArray[np.bool_]) -> tuple[Word, ...]:
    words = []
    for index in np.flatnonzero(chosen):
        text = text_of(features[index, 0])
        if text not in PAUSES:
            words.append(Word(text, *map(float, intervals[index])))
    return tuple(sorted(words, key=lambda word: word.start))


def _within(intervals: NDArray[np.float64], row: Row) -> NDArray[np.bool_]:
    start, stop = row.interval
    middle = intervals.mean(axis=1)
    chosen: NDArray[np.bool_] = (middle >= start) & (middle < stop)
    return chosen


def _word_line(file: _File, keys: tuple[str, ...]) -> Timeline:
    read = lru_cache(maxsize=2)(file.read)
    videos = frozenset(keys)

    def cut(row: Row) -> tuple[tuple[Word, ...], Mapping[Modality, Piece]]:
        features, intervals = read(row.video)
        return _spoken(features, intervals, _within(intervals, row)), {}

    def settle(row: Row) -> Row:
        """Move both ends of the interval to the end of the word that they name."""
        _, intervals = read(row.video)

        def moved(time: float) -> float:
            over = (intervals[:, 0] <= time + _NEAR) & (intervals[:, 1] > time + _NEAR)
            return float(intervals[over, 1][0]) if over.any() else time

        return replace(row, interval=(moved(row.interval[0]), moved(row.interval[1])), early=False)

    return Timeline("CSD words", file.path.name, videos, cut, settle=settle)


def _feature_line(file: _File, keys: tuple[str, ...], specs: Mapping[Modality, FeatureSpec]) -> Timeline:
    read = lru_cache(maxsize=2)(file.read)
    (modality,) = specs

    def cut(row: Row) -> tuple[tuple[Word, ...], Mapping[Modality, Piece]]:
        features, intervals = read(row.video)
        chosen = _within(intervals, row)
        return (), {modality: Piece(_numbers(features, row.video), intervals).chosen(chosen)}

    return Timeline("CSD features", file.path.name, frozenset(keys), cut, specs)


def _segment_words(file: _File, keys: tuple[str, ...]) -> Source:
    rows, said = [], 0
    for key in keys:
        features, intervals = file.read(key)
        said = check_count(said + len(features), most=MAX_WORDS, what="words")
        rows.append(Row(make_id(key), words=_spoken(features, intervals, np.ones(len(features), bool))))
    return Source("CSD words, cut into segments", file.path.name, rows)


def _segments(file: _File, keys: tuple[str, ...], specs: Mapping[Modality, FeatureSpec]) -> Source:
    (modality,) = specs

    def read(index: int) -> dict[Modality, Piece]:
        features, intervals = file.read(keys[index])
        return {modality: Piece(_numbers(features, keys[index]), intervals)}

    rows = [Row(make_id(key)) for key in keys]
    return Source("CSD features, cut into segments", file.path.name, rows, specs, read)


def _numbers(features: NDArray[Any], key: str) -> NDArray[Any]:
    if features.dtype.kind not in "fiu":
        raise DataError(f"the features of {key} are no numbers")
    return features


LAYOUTS = (FileLayout(lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"), read_csd, order=1),)
