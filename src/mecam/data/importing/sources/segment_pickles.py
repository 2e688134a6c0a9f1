"""Pickled lists of segments, which three layouts share: `((…features…), label, id)` per utterance.

MISA       ((word ids, vision, audio, words), label, segment), word-aligned, a label is (1, 1) or (1, 7); `train.pkl`,
           `dev.pkl`, `test.pkl`: the split is in the file's name only. Hazarika et al., ACM MM 2020, the files that its
           code makes of MOSI and MOSEI.
MMIM       ((word ids, vision, audio, words, vision length, audio length), label, id), unaligned; the cache that MMIM
           and MECAM write, files as MISA's. Han et al., EMNLP 2021. Their users start from MulT's pickle and a CSV with
           the text, which are read by `mult` and `tables` and joined by id; their own code joins MOSEI by the position
           in the file.
MAG-BERT   split → ((words, vision, audio), label, segment), word-aligned. Rahman et al., ACL 2020, its `mosi.pkl` and
           `mosei.pkl`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.importing.sources.base import (
    MAX_WORDS,
    PickleLayout,
    Piece,
    Row,
    Source,
    check_count,
    column_of,
    count_of,
    make_id,
    scores_of,
    split_ids,
    split_in_name,
    split_named,
    text_of,
)
from mecam.data.importing.sources.padding import is_features
from mecam.errors import DataError
from mecam.types import AUDIO, VISION, FeatureSpec, Modality, Word

__all__ = ["LAYOUTS", "is_segment_list", "read_segments"]

_FEATURES = (VISION, AUDIO)


def is_segment_list(content: object, parts: int) -> bool:
    """True for a list of `((… parts …), label, id)`."""
    if not isinstance(content, list | tuple) or not content:
        return False
    return all(
        isinstance(item, list | tuple)
        and len(item) == 3
        and isinstance(item[0], list | tuple)
        and len(item[0]) == parts
        for item in content
    )


def read_segments(
    content: Sequence[Any],
    words_at: int,
    *,
    layout: str,
    file: str,
    split: str,
    aligned: bool,
    split_files: bool,
) -> Source:
    """Make a source of a segment list.

    Args:
        content: what `is_segment_list` is true for.
        words_at: position of the words in a segment's first part; vision and audio are at 1 and 2.
        layout: the layout's name.
        file: name of the file.
        split: the split of all segments.
        aligned: the layout has one row per word.
        split_files: the layout keeps each split in a file of its own.

    Raises: DataError if a segment has no two-dimensional features, or their widths differ.
    """
    check_count(len(content))
    said = sum(len(words) for segment in content if isinstance(words := segment[0][words_at], list | tuple))
    check_count(said, most=MAX_WORDS, what="words")
    widths = {modality: _width(content, at, f"{file} → {modality}") for at, modality in enumerate(_FEATURES, 1)}
    rows = [_row(segment, words_at, split, f"{file}, segment {index}") for index, segment in enumerate(content)]

    def read(index: int) -> dict[Modality, Piece]:
        parts = content[index][0]
        tables = {m: _table(parts[at], widths[m]) for at, m in enumerate(_FEATURES, 1)}
        return {m: Piece(table if (table != 0).any() else table[:0]) for m, table in tables.items()}

    whole = aligned and all(len(row.words) == len(content[i][0][1]) for i, row in enumerate(rows))
    specs = {modality: FeatureSpec(width, aligned=whole) for modality, width in widths.items()}
    reader: Callable[[int], dict[Modality, Piece]] = read
    return Source(layout, file, rows, specs, reader, split_files)


def _width(content: Sequence[Any], at: int, place: str) -> int:
    widths = {
        features.shape[1] for segment in content if is_features(features := segment[0][at]) and features.ndim == 2
    }
    if len(widths) != 1:
        raise DataError("the segments have no features, or features of different widths", where=place)
    return int(widths.pop())


def _table(features: Any, width: int) -> NDArray[Any]:
    """T × D of one segment; an empty one may have any shape."""
    if not isinstance(features, np.ndarray) or features.dtype.kind not in "fiub":
        raise DataError("the features are no numbers")
    if features.size == 0:
        return np.empty((0, width), np.float32)
    if features.ndim != 2 or features.shape[1] != width:
        raise DataError(f"features of shape {features.shape}, expected rows of width {width}")
    return features


def _row(segment: Sequence[Any], words_at: int, split: str, place: str) -> Row:
    parts, label, identifier = segment
    try:
        name = text_of(identifier)
        raw = parts[words_at]
        words = tuple(text_of(word) for word in column_of(raw, count_of(raw, "words"), "words"))
        return Row(
            id=make_id(name),
            split=split,
            video=split_ids(name)[0],
            text=" ".join(words) if words else None,
            words=tuple(map(Word, words)),
            labels=scores_of(label),
        )
    except DataError as error:
        raise DataError(error.what, where=place, fix=error.fix) from None


def _misa(content: object, file: str) -> list[Source] | None:
    if not is_segment_list(content, 4) or not isinstance(content, list | tuple):
        return None
    split = split_in_name(file.rpartition(".")[0])
    return [read_segments(content, 3, layout="MISA", file=file, split=split, aligned=True, split_files=True)]


def _mmim(content: object, file: str) -> list[Source] | None:
    if not is_segment_list(content, 6) or not isinstance(content, list | tuple):
        return None
    split = split_in_name(file.rpartition(".")[0])
    return [read_segments(content, 3, layout="MMIM cache", file=file, split=split, aligned=False, split_files=True)]


def _mag_bert(content: object, file: str) -> list[Source] | None:
    if not isinstance(content, dict) or not content or not all(split_named(key) for key in content):
        return None
    if not all(is_segment_list(part, 3) for part in content.values()):
        return None
    return [
        read_segments(part, 0, layout="MAG-BERT", file=file, split=split_named(name), aligned=True, split_files=False)
        for name, part in content.items()
    ]


LAYOUTS = (PickleLayout(_misa, order=3), PickleLayout(_mmim, order=4), PickleLayout(_mag_bert, order=5))
