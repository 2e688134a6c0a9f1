"""Tables of words or sentences with times."""

import csv
import io
from collections.abc import Sequence
from typing import Literal

from mecam.errors import DataError
from mecam.features.text.segments import Segment
from mecam.features.text.timed_entries import TEXTS, Entry, check_known, segments_of, unit_of
from mecam.features.text.word_times import Counts

__all__ = ["read_table"]

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
