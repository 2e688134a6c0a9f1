"""CSV files: labels and text, timed words, MELD's transcripts, features by id."""

import csv
import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np

from mecam.data.cells import original_cell
from mecam.data.sources.base import (
    Piece,
    Row,
    Source,
    make_id,
    modality_of,
    number_of,
    split_ids,
    split_in_name,
    split_named,
)
from mecam.errors import DataError
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec, Modality, Word

__all__ = ["id_of_file", "read_labels", "read_table", "tells_recordings"]

Table = Sequence[Mapping[str, str]]

LONGEST_LINE = 1 << 20
"""Characters; a row of a thousand features has about 20 000."""

_IDS = ("id", "name", "segment", "utterance_id", "file", "filename")
_FILES = ("path", "file", "filename", "media", "video_file", "audio_file", "mp4", "wav", "flac")
_TIMES = ("start", "starttime", "start_time"), ("end", "endtime", "end_time", "stop")


def read_table(path: Path) -> Source | None:
    """Read a CSV file, or return None when its header is none of the known ones.

    Raises: DataError if it is a known table and cannot be read.
    """
    table = _Csv(path)
    columns = set(table.header)
    if _of_meld(table.header):
        rows = [_meld_row(row, split_in_name(path.stem)) for row in table]
        return Source("MELD table", path.name, rows, split_files=True)
    if table.id_columns() and {"word", "start", "end"} <= columns:
        return _words(table)
    if table.id_columns() and columns & {"label", "emotion", "annotation", "sentiment", "text"}:
        return Source("label table", path.name, [_label_row(row, table.id_columns()) for row in table])
    return _features(table) if table.id_columns() and len(columns) > 1 else None


def read_labels(path: Path) -> list[tuple[Row, str]]:
    """Read a label table of recordings: its rows, each with the media file that it names, or "" where it names none.

    In MELD's own tables the file is `dia0_utt0`; their times are those of the television episode, and left out.

    Raises: DataError if it is no label table, or cannot be read.
    """
    table = _Csv(path)
    if _of_meld(table.header):
        split, unknown = split_in_name(path.stem), (math.nan, math.nan)
        return [
            (
                replace(_meld_row(row, split), interval=unknown),
                f"dia{row['dialogue_id'].strip()}_utt{row['utterance_id'].strip()}",
            )
            for row in table
        ]
    if not table.id_columns():
        raise DataError(
            f"this label table has no id: its columns are {', '.join(table.header)}",
            where=path.name,
            fix="give columns video_id and clip_id, or id, beside label or emotion",
        )
    files = [name for name in _FILES if name in table.header]
    rows = []
    for row in table:
        named = next((row[name].strip() for name in files if row[name].strip()), "")
        rows.append((_label_row(row, table.id_columns()), named))
    return rows


def tells_recordings(path: Path) -> bool:
    """True if a label table says in a column which recording a row is from; ids alone let it be guessed."""
    header = _Csv(path).header
    return "video_id" in header or _of_meld(header)


def id_of_file(name: str) -> str:
    """The id of a row that has nothing but the path of a file: its last two parts."""
    return make_id("_".join([part for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".", "..")][-2:]))


def _of_meld(header: Sequence[str]) -> bool:
    return {"dialogue_id", "utterance_id", "utterance"} <= set(header)


class _Csv:
    """A CSV file with a header; iterating reads it row by row, keys in lower case."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _clear_errors(path), path.open(encoding=_encoding(path), newline="") as file:
            self.header = [original_cell(name.strip()).lower() for name in next(csv.reader(_lines(file)), [])]

    def id_columns(self) -> tuple[str, ...]:
        """The columns that make up the id, or none."""
        if {"video_id", "clip_id"} <= set(self.header):
            return "video_id", "clip_id"
        return next(((name,) for name in _IDS if name in self.header), ())

    def __iter__(self) -> Iterator[dict[str, str]]:
        with _clear_errors(self.path), self.path.open(encoding=_encoding(self.path), newline="") as file:
            reader = csv.reader(_lines(file))
            next(reader, None)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(self.header):
                    raise DataError(
                        f"{len(cells)} cells under a header of {len(self.header)}",
                        where=f"{self.path.name}, line {reader.line_num}",
                    )
                yield dict(zip(self.header, map(original_cell, cells), strict=True))


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; none may be so long that reading it takes the memory that there is."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"a line has {LONGEST_LINE} characters or more")
        yield line


class _clear_errors:  # noqa: N801 - reads as a verb where it is used
    """Turn what reading a text file can raise into one DataError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | UnicodeError | csv.Error):
            raise DataError(
                f"the table cannot be read: {error}", where=self.path.name, fix="save it as UTF-8"
            ) from None


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _label_row(row: Mapping[str, str], ids: Sequence[str]) -> Row:
    names = [row[column] for column in ids]
    return Row(
        id=id_of_file(names[0]) if ids[0] in _FILES else make_id(*names),
        split=split_named(row.get("mode") or row.get("split") or ""),
        video=row.get("video_id", "").strip() or split_ids(id_of_file(names[0]) if ids[0] in _FILES else names[0])[0],
        speaker=(row.get("speaker") or row.get("actor") or "").strip(),
        text=row.get("text"),
        labels=_labels(row),
        unimodal={
            modality: number_of(row[key])
            for modality in (TEXT, AUDIO, VISION)
            if row.get(key := f"label_{modality[0]}")
        },
        interval=_interval(row),
    )


def _labels(row: Mapping[str, str]) -> dict[str, float | str]:
    labels: dict[str, float | str] = {}
    for column, name in (
        ("label", "score"),
        ("emotion", "emotion"),
        ("annotation", "polarity"),
        ("sentiment", "polarity"),
    ):
        value = row.get(column, "").strip()
        if not value:
            continue
        number = number_of(value)
        if name == "score" and math.isnan(number) and value.lower() != "nan":
            labels["emotion"] = value.lower()
        elif name == "polarity" and not math.isnan(number):
            labels["score"] = number
        else:
            labels[name] = number if name == "score" else value.lower()
    return labels


def _meld_row(row: Mapping[str, str], split: str) -> Row:
    """MELD counts dialogues anew in each file, so the split is part of the id."""
    dialogue = "_".join(filter(None, (split, f"dia{row['dialogue_id'].strip()}")))
    return Row(
        id=make_id(f"{dialogue}_utt{row['utterance_id'].strip()}"),
        split=split,
        video=dialogue,
        speaker=row.get("speaker", "").strip(),
        text=row["utterance"],
        labels=_labels(row),
        interval=_interval(row),
    )


def _interval(row: Mapping[str, str]) -> tuple[float, float]:
    start, stop = (next((_seconds(row[name]) for name in names if name in row), math.nan) for names in _TIMES)
    return (start, stop) if start <= stop else (math.nan, math.nan)


def _seconds(value: str) -> float:
    """Seconds from `12.5` or `00:01:02,345`."""
    if match := re.fullmatch(r"(\d+):(\d+):(\d+)[.,](\d+)", value.strip()):
        hours, minutes, seconds, rest = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{rest}")
    return number_of(value)


def _words(table: _Csv) -> Source:
    words: dict[str, list[Word]] = {}
    for row in table:
        key = make_id(*(row[column] for column in table.id_columns()))
        words.setdefault(key, []).append(Word(row["word"], number_of(row["start"]), number_of(row["end"])))
    return Source("word table", table.path.name, [Row(key, words=tuple(spoken)) for key, spoken in words.items()])


def _features(table: _Csv) -> Source | None:
    """One row or several per id; every other column is a feature, but for `start` and `end`."""
    skip = {*table.id_columns(), "start", "end", "clip_id", "video_id"}
    names = tuple(name for name in table.header if name not in skip)
    timed = {"start", "end"} <= set(table.header)
    values: dict[str, array[float]] = {}
    times: dict[str, array[float]] = {}
    for count, row in enumerate(table):
        numbers = [number_of(row[name]) for name in names]
        if count == 0 and (not names or all(math.isnan(number) for number in numbers)):
            return None
        key = make_id(*(row[column] for column in table.id_columns()))
        values.setdefault(key, array("d")).extend(numbers)
        if timed:
            times.setdefault(key, array("d")).extend((number_of(row["start"]), number_of(row["end"])))
    modality: Modality = modality_of(table.path.stem)
    keys = list(values)
    rows = [Row(key) for key in keys]

    def read(index: int) -> dict[Modality, Piece]:
        intervals = np.frombuffer(times[keys[index]]).reshape(-1, 2) if timed else None
        return {modality: Piece(np.frombuffer(values[keys[index]]).reshape(-1, len(names)), intervals)}

    reader: Callable[[int], Mapping[Modality, Piece]] = read
    return Source("feature table", table.path.name, rows, {modality: FeatureSpec(len(names), names=names)}, reader)
