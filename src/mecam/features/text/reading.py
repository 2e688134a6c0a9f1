"""A file with a transcript, of whatever kind."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mecam.budget import Budget
from mecam.data.text_files import read_text
from mecam.errors import DataError
from mecam.features.text.captions import Cue, is_captions, plain, read_ass, read_cues
from mecam.features.text.recognisers import read_json
from mecam.features.text.rolling import each_word_once
from mecam.features.text.segments import Segment, Transcript, settled
from mecam.features.text.timed_entries import TEXTS, Entry, check_known, segments_of, unit_of
from mecam.features.text.word_times import Counts

__all__ = ["SUFFIXES", "read_transcript"]

SUFFIXES = (".json", ".json3", ".vtt", ".srt", ".ass", ".ssa", ".sbv", ".csv", ".tsv", ".txt")
"""Of transcripts; of several that say the same, the first is taken."""

MAX_TRANSCRIPT_BYTES = 50_000_000
_KINDS = {".json3": ".json", ".ssa": ".ass", ".sbv": ".srt", ".vtt": ".srt", ".tsv": ".csv"}
_NAMES = {".srt": "SRT or VTT", ".json": "JSON", ".csv": "CSV", ".ass": "ASS", ".txt": "text"}
_LANGUAGE = re.compile(r"^Language:\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)\s*$", re.MULTILINE)

Read = tuple[list[Segment], list[str], str]
"""Segments, findings, language."""


def read_transcript(path: str | Path) -> Transcript:
    """Read a transcript file; which kind it is follows from its name, and where that says nothing, from its content.

    Returns: a transcript without segments where the file is a transcript with no word in it: nothing is said.
    Raises: DataError if it cannot be read, is no transcript, is of a shape that is not known, or has a time that ends
        before it starts.
    """
    path = Path(path)
    content, notes = read_text(path, most=MAX_TRANSCRIPT_BYTES, what="transcript")
    kind = _kind_of(path.suffix.lower(), content)
    try:
        segments, findings, language = _READERS[kind](content, path)
        return replace(settled(segments, (*notes, *findings)), language=language)
    except DataError as error:
        raise DataError(error.what, where=str(path), fix=error.fix) from None
    except RecursionError as error:
        raise DataError(f"this is no {_NAMES[kind]} transcript: it is nested too deeply", where=str(path)) from error
    except (ValueError, OverflowError, csv.Error) as error:
        message = " ".join(str(error).split())
        raise DataError(f"this is no {_NAMES[kind]} transcript: {message:.200}", where=str(path)) from error


def _kind_of(suffix: str, content: str) -> str:
    """By the name; of a name that promises captions or text, by the look of the content."""
    kind = _KINDS.get(suffix, suffix if suffix in SUFFIXES else "")
    if kind in (".json", ".csv", ".ass"):
        return kind
    head = content.lstrip()
    if head.startswith("[Script Info]"):
        return ".ass"
    if kind == ".srt" or is_captions(content):
        return ".srt"
    # A text may begin with a bracket, as in [Music].
    return ".json" if re.match(r"[\[{]\s*[\"{\]}]", head) else ".txt"


def _captions(content: str, path: Path) -> Read:
    cues, notes = read_cues(content)
    return _said_once(cues, notes, language.group(1) if (language := _LANGUAGE.search(content[:500])) else "")


def _ass(content: str, path: Path) -> Read:
    if content.strip() and "[events]" not in content.lower():
        raise DataError("this is no ASS file: it has no [Events]", fix="give SRT or VTT")
    return _said_once(read_ass(content), [], "")


def _said_once(cues: list[Cue], notes: list[str], language: str) -> Read:
    backwards = next((cue for cue in cues if cue.stop < cue.start), None)
    if backwards is None:
        cues, more = each_word_once(cues)
        notes = [*notes, *more]
    return [cue.segment() for cue in cues], notes, language


def _json(content: str, path: Path) -> Read:
    if not content.strip():
        return [], [], ""
    budget = Budget.for_file(path)
    budget.take("this JSON", bytes=100 * (content.count("[") + content.count("{")) + 40 * content.count(","))
    heard = read_json(json.loads(content))
    return heard.segments, heard.findings, heard.language


def _table(content: str, path: Path) -> Read:
    return *read_table(content), ""


def _lines(content: str, path: Path) -> Read:
    return [Segment(math.nan, math.nan, line) for line in map(plain, content.splitlines()) if line], [], ""


_READERS: dict[str, Callable[[str, Path], Read]] = {
    ".srt": _captions,
    ".ass": _ass,
    ".json": _json,
    ".csv": _table,
    ".txt": _lines,
}


_WHISPER = ["start", "end", "text"]


def read_table(content: str) -> tuple[list[Segment], list[str]]:
    """Read CSV or TSV with a header.

    Whisper's own TSV (columns start, end, text, whole numbers) is in milliseconds. Other tables are in seconds, unless
    they are in whole numbers that are far too long for speech.

    Returns: segments, and findings.
    Raises: DataError if there is no column of words or texts, or a time is none.
    """
    if not content.strip():
        return [], []
    head = content.lstrip("\n").partition("\n")[0]
    delimiter = max("\t;,", key=head.count)
    # Whisper writes its texts without quotes, and a quotation mark in one is part of it.
    header = [name.strip().lower() for name in head.split("\t")]
    quoting: Literal[0, 3] = csv.QUOTE_NONE if header == _WHISPER else csv.QUOTE_MINIMAL
    rows = csv.DictReader(io.StringIO(content.lstrip("\n")), delimiter=delimiter, strict=True, quoting=quoting)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    texts = [name for name in TEXTS if name.lower() in names]
    if not texts:
        raise DataError("this table has no column `word` or `text`", fix="give columns word, start, end")
    entries: list[Entry] = []
    for row in rows:
        if row.get(None) is not None:
            raise DataError(f"line {rows.line_num} has more cells than the header", fix="put texts in quotation marks")
        entries.append({key: (row.get(name) or "").strip() for key, name in names.items()})
    if not entries:
        return [], []
    check_known(entries)
    unit, notes = (1e-3, ("Whisper's table: times are milliseconds",)) if _in_ms(header, entries) else unit_of(entries)
    counts: Counts = {}
    found = segments_of(entries, unit, counts)
    return found, [*notes, *(finding.format(number) for finding, number in counts.items())]


def _in_ms(header: Sequence[str], entries: Sequence[Entry]) -> bool:
    return list(header) == _WHISPER and all(entry["start"].isdigit() and entry["end"].isdigit() for entry in entries)
