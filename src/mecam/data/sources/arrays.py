"""NPZ files: features by id (`id` + arrays), or MMMO's arrays per split (`audio_train`, `y_train` …)."""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.pickles import is_sound_text
from mecam.data.sources.base import (
    Piece,
    Row,
    Source,
    extractor_of,
    make_id,
    modality_of,
    scores_of,
    split_ids,
    split_named,
    text_of,
)
from mecam.data.sources.padding import Padded, is_features
from mecam.errors import DataError
from mecam.types import FeatureSpec, Modality

__all__ = ["read_npz"]

_IDS = ("id", "ids", "name", "names")
MAX_RATIO = 100
"""How many times larger than the file its arrays may be; zip bombs reach 1000 and more."""
MIN_LIMIT = 64 << 20
"""Bytes that any file may unpack to."""


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
    """All arrays; sizes are checked before anything is unpacked."""
    limit = max(MIN_LIMIT, MAX_RATIO * path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in members) > limit:
                raise DataError("it unpacks to far more than it holds, as a zip bomb does", where=path.name)
            return {info.filename[:-4]: _array(archive.read(info), info.filename) for info in members}
    except DataError as error:
        raise DataError(f"refused an NPZ file: {error.what}", where=path.name) from None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, MemoryError) as error:
        raise DataError(f"the NPZ file is damaged: {error}", where=path.name, fix="download it again") from None
    except Exception as error:  # zlib.error, lzma.LZMAError, struct.error: whatever a broken archive provokes
        raise DataError(f"the NPZ file is damaged: {type(error).__name__}", where=path.name) from None


def _array(content: bytes, name: str) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{name} has an unknown version")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.kind not in "fiubSU":
        raise DataError(f"{name} holds {dtype}, and only numbers and strings are read")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise DataError(f"{name} announces shape {shape} and does not hold it")
    start = stream.tell()
    flat = np.frombuffer(content, dtype, offset=start) if len(content) > start else np.empty(math.prod(shape), dtype)
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
    labelled = {split: part for split, part in parts.items() if {"y", "label", "labels"} & set(part)}
    order = [split for split in ("train", "valid", "test") if split in labelled]
    return {split: labelled[split] for split in order}


def _split_source(split: str, part: dict[str, NDArray[Any]], path: Path) -> Source:
    labels = next(part[key] for key in ("y", "label", "labels") if key in part)
    count = len(labels) if labels.ndim else 0
    rows = [Row(f"{split}_{index:06d}", split, labels=scores_of(label)) for index, label in enumerate(labels)]
    return _source(rows, {key: array for key, array in part.items() if is_features(array)}, {}, path, count)


def _id_source(key: str, arrays: dict[str, NDArray[Any]], path: Path) -> Source:
    ids = [text_of(name) for name in arrays[key].reshape(-1).tolist()]
    splits = arrays.get("split", np.array([]))
    rows = [
        Row(make_id(name), split_named(splits[index]) if len(splits) == len(ids) else "", split_ids(name)[0])
        for index, name in enumerate(ids)
    ]
    features = {name: array for name, array in arrays.items() if is_features(array) and len(array) == len(ids)}
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
