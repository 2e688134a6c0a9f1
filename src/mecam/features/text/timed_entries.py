"""Rows of tables and objects of JSON: what is said in one, and when, under whatever names."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mecam.errors import DataError
from mecam.features.text.captions import plain
from mecam.features.text.clock_times import seconds_of
from mecam.features.text.segments import Segment
from mecam.features.text.word_times import Counts, segment_of, sentences_of
from mecam.types import Word

__all__ = [
    "TEXTS",
    "WORDS",
    "Entry",
    "check_known",
    "ended",
    "piece_of",
    "segments_of",
    "spoken",
    "text_in",
    "unit_of",
    "words_of",
]

Entry = Mapping[str, Any]

WORDS = ("punctuated_word", "displayText", "word", "Word")
"""Names of what is one word; the first that is there is taken."""
TEXTS = (*WORDS, "text", "sentence", "transcript")
STARTS = {
    **dict.fromkeys(
        ("start", "start_time", "startTime", "begin", "from", "start_s", "start_sec", "start_seconds"), 1.0
    ),
    **dict.fromkeys(("ts", "Start", "starttime", "onset"), 1.0),
    **dict.fromkeys(("start_ms", "startMs", "offsetMilliseconds"), 1e-3),
    **dict.fromkeys(("offsetInTicks", "Offset"), 1e-7),
}
"""Name of a time → seconds of its unit."""
STOPS = {
    **dict.fromkeys(("end", "stop", "end_time", "endTime", "to", "end_s", "end_sec", "end_seconds"), 1.0),
    **dict.fromkeys(("end_ts", "End", "endtime"), 1.0),
    **dict.fromkeys(("end_ms", "endMs"), 1e-3),
}
LENGTHS = {
    **dict.fromkeys(("duration", "dur"), 1.0),
    **dict.fromkeys(("durationMilliseconds", "duration_ms"), 1e-3),
    **dict.fromkeys(("durationInTicks", "Duration"), 1e-7),
}
NO_TIMES = {
    "confidence",
    "probability",
    "score",
    "conf",
    "p",
    "prob",
    "speaker",
    "id",
    "index",
    "channel",
    "tokens",
    "label",
}
"""Names of numbers that are no times."""

SLOWEST = 0.06
"""Letters a second, over the time that is spoken in: no speech is slower."""
EARLY_S = 1.0
"""A time may be so much before zero: recognisers round."""
LATEST_S = 1e7
"""No recording is so long."""
MILLISECONDS = "times are whole numbers far too long for speech: read as milliseconds"
EARLY = "{} times are before 0 s: set to 0"
NO_STOP = "{} sentences have no end: until the next, or at the usual pace of speech"
LETTER_S = 0.08
"""Usual time that a letter takes."""


@dataclass(frozen=True)
class SpokenEntry:
    """An entry, read: its text with the blanks around it, and its times in the file's unit; NaN where there is none."""

    text: str
    start: float
    stop: float


def spoken(entry: Entry) -> SpokenEntry:
    """Read one entry.

    Raises: DataError if it has no text, or a time that is none.
    """
    name = next((name for name in TEXTS if entry.get(name) is not None), None)
    if name is None or isinstance(entry[name], (list, dict, bool)):
        raise DataError(f"an entry has no text: it has {_names(entry)}", fix="give word (or text), start and end")
    start, stop = _time(entry, STARTS), _time(entry, STOPS)
    if math.isnan(stop) and not math.isnan(length := _time(entry, LENGTHS)):
        stop = start + length
    return SpokenEntry(str(entry[name]), start, stop)


def words_of(entries: Sequence[Entry], unit: float, counts: Counts) -> list[Word]:
    """Pieces of words with seconds, from entries with times in a unit.

    Raises: DataError if an entry has no text, or a time that is none, or ends before it starts.
    """
    return [_word(spoken(entry), unit, counts) for entry in entries]


def text_in(entry: Entry) -> str:
    """The text of an entry on one line; "" where it has none."""
    value = next((entry[name] for name in TEXTS if isinstance(entry.get(name), str)), "")
    return plain(value)


def unit_of(entries: Sequence[Entry]) -> tuple[float, tuple[str, ...]]:
    """Seconds of one unit of the times, and a finding where it is no second.

    Rule: whole numbers are milliseconds where as seconds there would be less than a letter in 16 of them.

    Raises: DataError if that makes no speech either.
    """
    timed: list[SpokenEntry] = []
    for entry in entries:
        each = spoken(entry)
        if not each.text.strip() or math.isnan(each.start) or math.isnan(each.stop):
            continue
        if each.start % 1 or each.stop % 1:
            return 1.0, ()
        timed.append(each)
    if not _too_long(timed, 1.0):
        return 1.0, ()
    if _too_long(timed, 1e-3):
        raise DataError(
            "the times are in no unit that is understood: neither seconds nor milliseconds", fix="give seconds"
        )
    return 1e-3, (MILLISECONDS,)


def check_known(entries: Sequence[Entry]) -> None:
    """Refuse entries whose times have names that are not known: they would be read as words without times.

    Raises: DataError naming them.
    """
    for entry in entries[:20]:
        if any(name in entry for name in (*STARTS, *STOPS, *LENGTHS)):
            return
    for entry in entries[:20]:
        numbers = [name for name, value in entry.items() if _is_number(value) and name.lower() not in NO_TIMES]
        if len(numbers) >= 2:
            raise DataError(
                f"it is not known which of {', '.join(map(repr, numbers[:6]))} are times", fix="call them start and end"
            )


def segments_of(entries: Sequence[Entry], unit: float, counts: Counts) -> list[Segment]:
    """Words are brought together at the ends of sentences; sentences stay as they are, with the words that they have.

    Raises: DataError if an entry has no text, or a time that is none, or ends before it starts.
    """
    if entries and all(not entry.get("words") and _is_word(entry) for entry in entries):
        return sentences_of(words_of(entries, unit, counts), counts)
    found = []
    for entry in entries:
        inner = [each for each in entry.get("words") or () if isinstance(each, Mapping)]
        text = text_in(entry)
        if not text and not inner:
            continue
        whole = _word(spoken({"text": text, **entry}), unit, counts)
        found.append(segment_of(whole.start, whole.stop, text, words_of(inner, unit, counts), counts))
    return ended(found, counts)


def ended(segments: Sequence[Segment], counts: Counts) -> list[Segment]:
    """Sentences that have a start and no end get one: until the next, or as long as their letters usually take."""
    result = []
    for i, segment in enumerate(segments):
        if math.isnan(segment.stop) and not math.isnan(segment.start):
            following = segments[i + 1].start if i + 1 < len(segments) else math.nan
            usual = segment.start + LETTER_S * max(4, len(segment.text or ""))
            stop = usual if math.isnan(following) or following < segment.start else min(following, usual)
            segment = Segment(segment.start, stop, segment.text, segment.words)
            counts[NO_STOP] = counts.get(NO_STOP, 0) + 1
        result.append(segment)
    return result


def piece_of(text: str, start: float, stop: float, counts: Counts) -> Word:
    """A word, or a piece of one, with blanks as the source has them and times in seconds, which are checked.

    Raises: DataError if a time is before the recording by more than rounding, or longer than any recording, or it ends
        before it starts.
    """
    for time in (start, stop):
        if time < -EARLY_S or time > LATEST_S:
            raise DataError(f"{time:.6g} s is no time", fix="give seconds from the start of the recording")
    if start < 0 or stop < 0:
        counts[EARLY] = counts.get(EARLY, 0) + 1
        start, stop = (0.0 if time < 0 else time for time in (start, stop))
    if stop < start:
        raise DataError(
            f"a time ends before it starts: {start:.3f} s to {stop:.3f} s, {text.strip()!r:.40}",
            fix="mend the times of the transcript",
        )
    return Word(_unmarked(text), start, stop)


def _word(each: SpokenEntry, unit: float, counts: Counts) -> Word:
    return piece_of(each.text, each.start * unit, each.stop * unit, counts)


def _unmarked(text: str) -> str:
    """Without tags, and with a blank where there were some at its ends."""
    if text.isalnum():
        return text
    bare = plain(text)
    if not bare:
        return " " if text.strip() != text else ""
    return f"{' ' * text[0].isspace()}{bare}{' ' * text[-1].isspace()}"


def _is_word(entry: Entry) -> bool:
    return any(entry.get(name) is not None for name in WORDS)


def _time(entry: Entry, names: Mapping[str, float]) -> float:
    for name, unit in names.items():
        if (value := entry.get(name)) is None or value == "":
            continue
        try:
            return seconds_of(value) * unit
        except ValueError as error:
            raise DataError(str(error), fix="give seconds, or hours:minutes:seconds") from error
    return math.nan


def _too_long(timed: Sequence[SpokenEntry], unit: float) -> bool:
    letters, total = sum(len(each.text.strip()) for each in timed), sum(each.stop - each.start for each in timed)
    return letters < SLOWEST * total * unit


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(?:\.\d+)?", value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _names(entry: Entry) -> str:
    return ", ".join(map(repr, list(entry)[:6])) or "nothing"
