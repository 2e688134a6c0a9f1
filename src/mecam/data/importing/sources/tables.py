"""CSV files: labels and text, timed words, MELD's transcripts, features by id."""

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.importing.sources.base import (
    MAX_WORDS,
    FileLayout,
    Note,
    Piece,
    Row,
    Source,
    check_count,
    make_id,
    modality_of,
    split_ids,
    split_in_name,
    split_named,
)
from mecam.data.importing.sources.delimited import DelimitedTable, looks_like_table
from mecam.data.importing.sources.numerals import is_missing
from mecam.errors import DataError
from mecam.task import EMOTIONS
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec, Modality, Word

__all__ = ["LAYOUTS", "LabelTable", "id_of_file", "read_labels", "read_table"]

_FILES = ("path", "file", "filename", "media", "video_file", "audio_file", "mp4", "wav", "flac")
_TIMES = ("start", "starttime", "start_time"), ("end", "endtime", "end_time", "stop")
_LABELS = {"label", "emotion", "annotation", "sentiment", "text"}
_INDEX = re.compile(r"unnamed: \d+(\.\d+)?|level_\d+")
_MAY_COUNT = {"index", "idx", "row"}


def read_table(path: Path) -> Source | None:
    """Read a CSV file, or return None when its header is none of the known ones.

    Raises: DataError if it is a known table and cannot be read.
    """
    table = DelimitedTable(path)
    columns = set(table.header)
    if _of_meld(table.header):
        rows = _rows(table, lambda row: _meld_row(table, row, split_in_name(path.stem)))
        return Source("MELD table", path.name, rows, split_files=True, form=table.form, notes=table.notes())
    if not table.id_columns() or len(columns) < 2:
        return None
    if {"word", "start", "end"} <= columns:
        return _words(table)
    if columns & _LABELS:
        rows = _rows(table, lambda row: _label_row(table, row))
        return Source("label table", path.name, rows, form=table.form, notes=table.notes())
    return _features(table)


@dataclass(frozen=True)
class LabelTable:
    """A label table of recordings.

    Attributes:
        rows: each with the media file that it names, or "" where it names none.
        form: how it is written: encoding, separator, decimal mark.
        notes: what was unusual in it.
        tells_recordings: True if a column says which recording a row is from; ids alone let it be guessed.
    """

    rows: list[tuple[Row, str]]
    form: str
    notes: list[Note]
    tells_recordings: bool


def read_labels(path: Path) -> LabelTable:
    """Read a label table of recordings.

    In MELD's own tables the file is `dia0_utt0`; their times are those of the television episode, and left out.

    Raises: DataError if it is no label table, or cannot be read.
    """
    table = DelimitedTable(path)
    if _of_meld(table.header):
        split, unknown = split_in_name(path.stem), (math.nan, math.nan)
        rows = [
            (
                replace(_meld_row(table, row, split), interval=unknown),
                f"dia{row['dialogue_id'].strip()}_utt{row['utterance_id'].strip()}",
            )
            for row in table
        ]
        return LabelTable(rows, table.form, table.notes(), tells_recordings=True)
    if not table.id_columns():
        raise DataError(
            f"this label table has no id: its columns are {', '.join(table.header)}",
            where=path.name,
            fix="give columns video_id and clip_id, or id, beside label or emotion",
        )
    table.check_header()
    files = [name for name in _FILES if name in table.header]
    rows = []
    for row in table:
        named = next((row[name].strip() for name in files if row[name].strip()), "")
        rows.append((_label_row(table, row), named))
    return LabelTable(rows, table.form, table.notes(), tells_recordings="video_id" in table.header)


def id_of_file(name: str) -> str:
    """The id of a row that has nothing but the path of a file: its last two parts."""
    return make_id("_".join([part for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".", "..")][-2:]))


def _of_meld(header: Sequence[str]) -> bool:
    return {"dialogue_id", "utterance_id", "utterance"} <= set(header)


def _rows(table: DelimitedTable, row_of: Callable[[Mapping[str, str]], Row]) -> list[Row]:
    table.check_header()
    rows: list[Row] = []
    for row in table:
        rows.append(row_of(row))
        check_count(len(rows))
    return rows


def _label_row(table: DelimitedTable, row: Mapping[str, str]) -> Row:
    ids = table.id_columns()
    names = [row[column] for column in ids]
    if ids[0] in _FILES:
        names = [id_of_file(names[0])]
    return Row(
        id=make_id(*names),
        split=split_named(row.get("mode") or row.get("split") or ""),
        video=row.get("video_id", "").strip() or split_ids(names[0])[0],
        speaker=(row.get("speaker") or row.get("actor") or "").strip(),
        text=row.get("text"),
        labels=_labels(table, row),
        unimodal={
            modality: table.number(key, row[key])
            for modality in (TEXT, AUDIO, VISION)
            if row.get(key := f"label_{modality[0]}")
        },
        interval=_interval(table, row),
    )


def _labels(table: DelimitedTable, row: Mapping[str, str]) -> dict[str, float | str]:
    """A number is a score, a word the name of a class; numbers in the column `emotion` are names too."""
    labels: dict[str, float | str] = {}
    for column in ("label", "emotion", "annotation", "sentiment"):
        value = row.get(column, "").strip()
        if is_missing(value) and not (value.lower() == "none" and column != "sentiment"):
            continue
        name = column if column in ("label", "emotion") else "polarity"
        number = math.nan if name == "emotion" else table.parsed(column, value)
        if math.isnan(number):
            labels[name] = value.lower()
        else:
            labels.setdefault("score", number)
    if set(EMOTIONS) <= set(table.header):  # intensities, as CMU-MOSEI has them
        labels |= {name: number for name in EMOTIONS if not math.isnan(number := table.parsed(name, row[name]))}
    return labels


def _meld_row(table: DelimitedTable, row: Mapping[str, str], split: str) -> Row:
    """MELD counts dialogues anew in each file, so the split is part of the id."""
    dialogue = "_".join(filter(None, (split, f"dia{row['dialogue_id'].strip()}")))
    return Row(
        id=make_id(f"{dialogue}_utt{row['utterance_id'].strip()}"),
        split=split,
        video=dialogue,
        speaker=row.get("speaker", "").strip(),
        text=row["utterance"],
        labels=_labels(table, row),
        interval=_interval(table, row),
    )


def _interval(table: DelimitedTable, row: Mapping[str, str]) -> tuple[float, float]:
    start, stop = (
        next((_seconds(table, name, row[name]) for name in names if name in row), math.nan) for names in _TIMES
    )
    return (start, stop) if start <= stop else (math.nan, math.nan)


def _seconds(table: DelimitedTable, column: str, value: str) -> float:
    """Seconds from `12.5` or `00:01:02,345`."""
    if match := re.fullmatch(r"(\d{1,9}):(\d{1,9}):(\d{1,9})[.,](\d{1,9})", value.strip(), re.ASCII):
        hours, minutes, seconds, rest = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{rest}")
    return table.number(column, value)


def _words(table: DelimitedTable) -> Source:
    table.check_header()
    words: dict[str, list[Word]] = {}
    for count, row in enumerate(table, 1):
        check_count(count, most=MAX_WORDS, what="words")
        key = make_id(*(row[column] for column in table.id_columns()))
        start, stop = (table.number(name, row[name]) for name in ("start", "end"))
        words.setdefault(key, []).append(Word(row["word"], start, stop))
        check_count(len(words))
    rows = [Row(key, words=tuple(spoken)) for key, spoken in words.items()]
    return Source("word table", table.path.name, rows, form=table.form, notes=table.notes())


def _features(table: DelimitedTable) -> Source | None:
    """One row or several per id; every other column is a feature, but for `start` and `end`."""
    skip = {*table.id_columns(), "start", "end", "clip_id", "video_id"}
    names = tuple(name for name in table.header if name not in skip)
    timed = {"start", "end"} <= set(table.header)
    values: dict[str, array[float]] = {}
    times: dict[str, array[float]] = {}
    table.check_header()
    counters = _Counters(names)
    for row in table:
        numbers = [table.number(name, row[name]) for name in names]
        counters.look(numbers)
        key = make_id(*(row[column] for column in table.id_columns()))
        values.setdefault(key, array("d")).extend(numbers)
        check_count(len(values))
        if timed:
            times.setdefault(key, array("d")).extend(table.number(name, row[name]) for name in ("start", "end"))
    if not counters.filled.any():
        return None
    kept, notes = _kept(table, names, counters)
    if not kept.any():
        raise DataError("the table has no features, only row numbers", where=table.path.name)
    modality: Modality = modality_of(table.path.stem)
    keys = list(values)
    rows = [Row(key) for key in keys]

    def read(index: int) -> dict[Modality, Piece]:
        intervals = np.frombuffer(times[keys[index]]).reshape(-1, 2) if timed else None
        return {modality: Piece(np.frombuffer(values[keys[index]]).reshape(-1, len(names))[:, kept], intervals)}

    chosen = tuple(name for name, use in zip(names, kept, strict=True) if use)
    return Source(
        "feature table",
        table.path.name,
        rows,
        {modality: FeatureSpec(len(chosen), names=chosen)},
        read,
        form=table.form,
        notes=[*table.notes(), *notes],
    )


class _Counters:
    """Which columns count the rows, as an index does that pandas has written."""

    def __init__(self, names: tuple[str, ...]) -> None:
        width = len(names)
        self.rows = 0
        self.filled = np.zeros(width, bool)
        self._first = np.full(width, np.nan)
        self._counts = np.ones(width, bool)
        self._seen: dict[int, set[float] | None] = {at: set() for at, name in enumerate(names) if name in _MAY_COUNT}

    def look(self, numbers: list[float]) -> None:
        """Take in the next row."""
        row = np.array(numbers)
        if not self.rows:
            self._first = row
        self.filled |= ~np.isnan(row)
        self._counts &= row == self._first + self.rows
        for at, seen in self._seen.items():
            if seen is not None and (row[at] in seen or row[at] != np.floor(row[at]) or row[at] < 0):
                self._seen[at] = None  # a value twice, or none: a feature
            elif seen is not None:
                seen.add(float(row[at]))
        self.rows += 1

    def counts(self, at: int) -> bool:
        """True where the column is 0, 1, 2 … or 1, 2, 3 …, or called `index` and whole and never the same twice."""
        counted = self.rows > 2 and bool(self._counts[at]) and self._first[at] in (0, 1)
        return counted or (self.rows > 2 and self._seen.get(at) is not None)


def _kept(table: DelimitedTable, names: tuple[str, ...], counters: _Counters) -> tuple[NDArray[np.bool_], list[Note]]:
    """Which columns are features, and why others are not; one that is empty throughout is missing throughout."""
    kept, notes, file = np.ones(len(names), bool), [], table.path.name
    for at, name in enumerate(names):
        nameless = _INDEX.fullmatch(name) is not None
        if counters.filled[at] and (nameless or counters.counts(at)):
            notes.append(("row numbers", f"{file}: {name}", 1))
        elif not counters.filled[at] and table.holds_words(name):
            notes.append(("columns without numbers", f"{file}: {name}", 1))
        elif counters.filled[at] or not nameless:
            continue
        kept[at] = False
        table.forget(name)
    return kept, notes


def _read_file(path: Path) -> list[Source] | None:
    table = read_table(path)
    return None if table is None else [table]


LAYOUTS = (FileLayout(looks_like_table, _read_file, order=1000),)
"""Any text may be a table: it is asked last."""
