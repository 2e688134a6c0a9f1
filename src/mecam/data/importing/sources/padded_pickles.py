"""Pickles of padded arrays per split, without transcripts: MulT's and LMF's.

MulT   split → `vision`, `audio`, `text` (GloVe), `labels`, `id`, padded on the left; Tsai et al., ACL 2019, its files
       for MOSI, MOSEI. MMIM and MECAM use the same pickle beside a CSV with the text. An id has three columns: in MOSI
       the first is `video_clip` (bytes), in MOSEI they are the video and the clip's start and end in seconds.
LMF    split → `covarep` (N × 74), `facet` (N × 47), `glove` (N × L × 300), `label`, written by Python 2; Liu et al.,
       ACL 2018, its `mosi.pkl`. It has no ids: nothing can be joined to it, and every utterance is its own recording.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mecam.data.importing.sources.base import (
    PickleLayout,
    Row,
    Source,
    column_of,
    count_of,
    make_id,
    number_of,
    scores_of,
    split_ids,
    splits_of,
    text_of,
)
from mecam.data.importing.sources.padding import Padded
from mecam.errors import DataError
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec

__all__ = ["LAYOUTS", "read_lmf", "read_mult"]

_LMF_KEYS = {TEXT: "glove", AUDIO: "covarep", VISION: "facet"}
_MAX_ID_COLUMNS = 8
"""Columns of an id; the field's files have one or three."""


def read_mult(content: object, file: str) -> list[Source] | None:
    """One source per split, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    parts = splits_of(content)
    if not parts or not all("labels" in part and {AUDIO, VISION, TEXT} & set(part) for part in parts.values()):
        return None
    return [_source(split, part, file) for split, part in parts.items()]


def read_lmf(content: object, file: str) -> list[Source] | None:
    """As `read_mult`, for LMF's file."""
    parts = splits_of(content)
    if not parts or not all({*_LMF_KEYS.values(), "label"} <= part.keys() for part in parts.values()):
        return None
    return [_lmf_source(split, part, file) for split, part in parts.items()]


def _source(split: str, part: Mapping[str, Any], file: str) -> Source:
    try:
        count = count_of(part["labels"], "labels")
        labels = column_of(part["labels"], count, "labels")
        keys = _ids(part.get("id"), split, count)
        padded = Padded.of({m: part[m] for m in (TEXT, AUDIO, VISION) if part.get(m) is not None}, {}, count)
        rows = [
            Row(make_id(*key), split, video, labels=scores_of(label), interval=interval)
            for (key, video, interval), label in zip(keys, labels, strict=True)
        ]
    except DataError as error:
        raise DataError(error.what, where=f"{file} → {split}", fix=error.fix) from None
    specs = {
        m: FeatureSpec(width, "glove" if m == TEXT else "unknown", aligned=padded.together)
        for m, width in padded.widths.items()
    }
    return Source("MulT, word-aligned" if padded.together else "MulT", file, rows, specs, padded.pieces)


def _lmf_source(split: str, part: Mapping[str, Any], file: str) -> Source:
    try:
        count = count_of(part["label"], "label")
        labels = column_of(part["label"], count, "label")
        padded = Padded.of({modality: part[key] for modality, key in _LMF_KEYS.items()}, {}, count)
    except DataError as error:
        raise DataError(error.what, where=f"{file} → {split}", fix=error.fix) from None
    rows = [Row(f"{split}_{index:06d}", split, labels=scores_of(label)) for index, label in enumerate(labels)]
    specs = {m: FeatureSpec(width, _LMF_KEYS[m]) for m, width in padded.widths.items()}
    return Source("LMF", file, rows, specs, padded.pieces)


_Key = tuple[tuple[str, ...], str, tuple[float, float]]


def _ids(ids: Any, split: str, count: int) -> list[_Key]:
    """Parts of the id, the video and the interval of every utterance."""
    unknown = (math.nan, math.nan)
    if ids is None:
        return [((f"{split}_{index:06d}",), "", unknown) for index in range(count)]
    rows = [_parts(row) for row in column_of(ids, count, "id")]
    first = [row[0] for row in rows]
    if len(set(first)) == count or all(len(row) == 1 for row in rows):
        return [((name,), split_ids(name)[0], unknown) for name in first]
    return [(tuple(row[:2]), row[0], _interval(row)) for row in rows]


def _parts(identifier: Any) -> list[str]:
    """The columns of one id, which is text or a few texts."""
    if isinstance(identifier, np.ndarray):
        identifier = identifier.reshape(-1) if identifier.size <= _MAX_ID_COLUMNS else ()
    parts = list(identifier) if isinstance(identifier, list | tuple | np.ndarray) else [identifier]
    if not 0 < len(parts) <= _MAX_ID_COLUMNS:
        raise DataError(f"an id is empty, or has more than {_MAX_ID_COLUMNS} columns")
    return [text_of(part) for part in parts]


def _interval(row: list[str]) -> tuple[float, float]:
    start, stop = (number_of(part) for part in (*row[1:3], "nan", "nan")[:2])
    return (start, stop) if start <= stop else (math.nan, math.nan)


LAYOUTS = (PickleLayout(read_mult, order=2), PickleLayout(read_lmf, order=6))
