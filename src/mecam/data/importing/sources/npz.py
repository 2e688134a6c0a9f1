"""NPZ files: features by id (`id` + arrays), or MMMO's arrays per split (`audio_train`, `y_train` …)."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.budget import Budget
from mecam.data.importing.archives import Archive
from mecam.data.importing.pickle_values import is_sound_text
from mecam.data.importing.sources.base import (
    FileLayout,
    Piece,
    Row,
    Source,
    check_count,
    column_of,
    count_of,
    extractor_of,
    make_id,
    modality_of,
    scores_of,
    split_ids,
    split_named,
    text_of,
)
from mecam.data.importing.sources.padding import Padded, is_features
from mecam.errors import DataError
from mecam.types import FeatureSpec, Modality

__all__ = ["LAYOUTS", "read_npz"]

_IDS = ("id", "ids", "name", "names")
_LABELS = ("y", "label", "labels")
_NO_FEATURES = {*_IDS, *_LABELS, "split"}
_HEADER = 1 << 16
"""Bytes in which an array's description must end."""
_LARGER = "if you trust it, write it again with numpy.savez, which does not compress"


def read_npz(path: Path) -> list[Source] | None:
    """Read an NPZ file, or return None when its arrays are none of the known layouts.

    Raises: DataError if it is damaged, holds Python objects, or would unpack to more than it should.
    """
    arrays = _arrays(path)
    try:
        by_split = _by_split(arrays)
        if by_split:
            return [_split_source(split, part, path) for split, part in by_split.items()]
        key = next((name for name in _IDS if name in arrays and arrays[name].dtype.kind in "SU"), None)
        return None if key is None else [_id_source(key, arrays, path)]
    except DataError as error:
        raise DataError(error.what, where=path.name, fix=error.fix) from None


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays: views of the file, or unpacked within the budget."""
    budget = Budget.for_file(path, fix=_LARGER)
    archive = Archive(path, budget)
    try:
        members = [name for name in archive.names if name.endswith(".npy")]
        return {name[:-4]: _array(archive.read(name), name, budget) for name in members}
    except DataError as error:
        raise DataError(
            f"refused an NPZ file: {error.what.removeprefix('refused: ')}", where=path.name, fix=error.fix
        ) from None
    except (ValueError, TypeError, EOFError, OverflowError, SyntaxError, RecursionError, MemoryError) as error:
        what = f"the NPZ file is damaged: {str(error)[:120]}"
        raise DataError(what, where=path.name, fix="download it again") from None


def _array(content: memoryview, name: str, budget: Budget) -> NDArray[Any]:
    stream = io.BytesIO(content[:_HEADER])
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{name} has an unknown version")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.kind not in "fiubSU":
        raise DataError(
            f"{name} holds {dtype}, and only numbers and strings are read", fix="save it as numbers or text"
        )
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(content) - stream.tell():
        raise DataError(f"{name} announces shape {shape} and does not hold it")
    if not count * dtype.itemsize:  # what has no size costs nothing to announce, and much to go through
        budget.take(f"the empty array {name}", elements=max((*shape, count)))
    start = stream.tell()
    flat = np.frombuffer(content, dtype, offset=start) if len(content) > start else np.empty(count, dtype)
    if not is_sound_text(flat):
        raise DataError(f"{name} holds text with characters that do not exist")
    return flat.reshape(shape, order="F" if fortran else "C")


def _by_split(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays named `<what>_<split>`, when there are labels `y_<split>` among them."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        what, _, split = key.rpartition("_")
        if what and split_named(split):
            parts.setdefault(split_named(split), {})[what.lower()] = array
    labelled = {split: part for split, part in parts.items() if set(_LABELS) & set(part)}
    order = [split for split in ("train", "valid", "test") if split in labelled]
    return {split: labelled[split] for split in order}


def _split_source(split: str, part: dict[str, NDArray[Any]], path: Path) -> Source:
    labels = next(part[key] for key in _LABELS if key in part)
    count = count_of(labels, f"the labels of {split}")
    rows = [Row(f"{split}_{index:06d}", split, labels=scores_of(label)) for index, label in enumerate(labels)]
    features = {key: array for key, array in part.items() if key not in _NO_FEATURES and is_features(array)}
    return _source(rows, features, {}, path, count)


def _id_source(key: str, arrays: dict[str, NDArray[Any]], path: Path) -> Source:
    check_count(arrays[key].size)
    ids = [text_of(name) for name in arrays[key].reshape(-1).tolist()]
    assigned = column_of(arrays["split"], len(ids), "split") if "split" in arrays else [""] * len(ids)
    rows = [
        Row(make_id(name), split_named(split), split_ids(name)[0]) for name, split in zip(ids, assigned, strict=True)
    ]
    features = {
        name: array
        for name, array in arrays.items()
        if name not in _NO_FEATURES and not name.endswith("_lengths") and is_features(array) and len(array) == len(ids)
    }
    lengths = {name: arrays[f"{name}_lengths"] for name in features if f"{name}_lengths" in arrays}
    return _source(rows, features, lengths, path, len(ids))


def _source(
    rows: list[Row], features: Mapping[str, NDArray[Any]], lengths: Mapping[str, NDArray[Any]], path: Path, count: int
) -> Source:
    names: dict[str, Modality] = {key: modality_of(key) for key in features}
    if len(set(names.values())) != len(names):
        raise DataError(f"several arrays are the same modality: {', '.join(sorted(names))}")
    padded = Padded.of({names[k]: a for k, a in features.items()}, {names[k]: a for k, a in lengths.items()}, count)
    specs = {
        names[key]: FeatureSpec(array.shape[-1], _extractor(key, path), aligned=padded.together)
        for key, array in features.items()
    }

    def read(index: int) -> Mapping[Modality, Piece]:
        return padded.pieces(index)

    return Source("NPZ features", path.name, rows, specs, read)


def _extractor(key: str, path: Path) -> str:
    known = extractor_of(key)
    return known if known != "unknown" else extractor_of(path.stem)


LAYOUTS = (FileLayout(lambda head: head.startswith(b"PK\x03\x04"), read_npz, order=1),)
