"""The JSON-lines files of a store: who speaks, what is said, how it is labelled.

One JSON value a line, UTF-8, each line ended by a newline. A file is memory-mapped; opening it finds where
the lines lie, and a line is parsed when it is asked for.
"""

import json
import math
import mmap
import sys
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mecam.budget import check_regular_file
from mecam.errors import DataError
from mecam.types import Span, Utterance, Word

__all__ = ["Lines", "to_line", "to_record", "utterance_fields", "words_of"]

BLOCK_BYTES = 1 << 22
"""Piece in which a file is searched for newlines, so that memory stays flat."""


class Lines:
    """The lines of one file, each a JSON value.

    Args:
        path: the file.
        count: how many lines it must have.

    Raises: DataError if it cannot be read or has another number of lines.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        check_regular_file(path)
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}", where=str(path), fix="import or extract again") from error
        self._starts = _line_starts(self._map)
        if len(self) != count:
            raise DataError(f"{len(self)} utterances, but the manifest says {count}", where=str(path))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> Any:
        line = self._map[self._starts[index] : self._starts[index + 1]]
        try:
            return _DECODER.decode(str(line, "utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {index + 1} is damaged: {error}", where=str(self.path)) from error

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def to_line(value: Any) -> bytes:
    """One line of a JSON-lines file.

    Raises: DataError if `value` holds a number that is not finite, or text that is no Unicode.
    """
    try:
        return (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (ValueError, TypeError) as error:
        raise DataError(f"cannot be written as JSON: {error}") from error


def to_record(utterance: Utterance) -> dict[str, Any]:
    """What stands in `utterances.jsonl` for an utterance; what it does not have is left out.

    Raises: DataError if the label is no finite number, name or mapping of these.
    """
    record: dict[str, Any] = {"id": utterance.id, "split": utterance.split, "video": utterance.video}
    if utterance.speaker:
        record["speaker"] = utterance.speaker
    if utterance.text is not None:
        record["text"] = utterance.text
    if utterance.label is not None:
        record["label"] = _plain(utterance.label)
    if utterance.targets:
        record["targets"] = {name: _plain(label) for name, label in utterance.targets.items()}
    unimodal = {modality: float(score) for modality, score in utterance.unimodal.items() if not math.isnan(score)}
    if unimodal:
        record["unimodal"] = unimodal
    if utterance.injected:
        record["injected"] = [[s.modality, s.kind, int(s.start), int(s.stop)] for s in utterance.injected]
    return record


def words_of(utterance: Utterance) -> list[list[Any]]:
    """What stands in `words.jsonl` for an utterance: word, start and stop in seconds, null where unknown."""
    return [[word.text, _finite(word.start), _finite(word.stop)] for word in utterance.words]


def utterance_fields(record: Any, words: Any) -> dict[str, Any]:
    """The fields of an Utterance, streams apart, from its lines; the inverse of `to_record` and `words_of`.

    Raises: DataError if a field is missing or of another kind than it must be.
    """
    nan = math.nan
    try:
        fields = {
            "id": record["id"],
            "split": record["split"],
            "video": record["video"],
            "speaker": record.get("speaker", ""),
            "text": record.get("text"),
            "label": record.get("label"),
            "targets": record.get("targets", {}),
            "unimodal": record.get("unimodal", {}),
            "injected": tuple([Span(*span) for span in record.get("injected", ())]),
            "words": tuple(
                [
                    Word(text, nan if start is None else start, nan if stop is None else stop)
                    for text, start, stop in words
                ]
            ),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"an utterance is damaged: {type(error).__name__} {error}") from error
    for name, kinds in _KINDS:
        if not isinstance(fields[name], kinds):
            raise DataError(f"an utterance is damaged: its {name} is {fields[name]!r:.60}")
    if type(fields["label"]) is int:
        if abs(fields["label"]) > sys.float_info.max:
            raise DataError("an utterance is damaged: its label is no number that can be")
        fields["label"] = float(fields["label"])
    return fields


def _plain(label: Any) -> Any:
    """A label as JSON holds it; NumPy numbers become Python's."""
    if isinstance(label, str):
        return label
    try:
        if isinstance(label, Mapping):
            return {str(name): float(value) for name, value in label.items()}
        return float(label)
    except (TypeError, ValueError) as error:
        raise DataError(f"{label!r} is no label", fix="give a number, a class name or a number per emotion") from error


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _line_starts(data: mmap.mmap) -> "array[int]":
    """Where each line starts, and the end of the last; a file whose last newline is missing is complete too."""
    starts = [np.zeros(1, np.int64)]
    for first in range(0, len(data), BLOCK_BYTES):
        block = np.frombuffer(data[first : first + BLOCK_BYTES], np.uint8)
        starts.append(np.flatnonzero(block == ord("\n")) + (first + 1))
    if starts[-1].size == 0 or starts[-1][-1] != len(data):
        starts.append(np.array([len(data)]))
    return array("q", np.concatenate(starts).astype(np.int64).tobytes())


_KINDS: tuple[tuple[str, Any], ...] = (
    *((name, str) for name in ("id", "split", "video", "speaker")),
    ("text", str | None),
    ("label", int | float | str | dict | None),
    ("targets", dict),
    ("unimodal", dict),
)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number here")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
