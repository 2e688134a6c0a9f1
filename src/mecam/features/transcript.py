"""What is said in a recording, and when: transcripts from files.

txt             lines without times
SRT, VTT        captions; VTT's own word times are read where it has them
CSV, TSV        a row per word (`word`, `start`, `end`) or per sentence (`text`, `start`, `end`)
JSON            Whisper's output, or lists of words or sentences with `start` and `end`

Words of a caption that has no word times get a share of its time by their length; `Transcript.estimated` says so.
"""

import csv
import html
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from mecam.errors import DataError
from mecam.types import Word

__all__ = ["SUFFIXES", "Segment", "Transcript", "read_transcript", "settled", "spread", "transcript_beside"]

SUFFIXES = (".srt", ".vtt", ".json", ".csv", ".tsv", ".txt")
"""In the order in which a recording's neighbours are looked for."""

LARGEST_BYTES = 50_000_000
OVERRUN_S = 1.0
"""Seconds after the end of the recording in which captions may still start; beyond, they are of another one."""

_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_CUE = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_MARK = re.compile(rf"<{_CLOCK}>")
_BREAK = re.compile(r"<br\s*/?>|\\N", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
_STARTS, _STOPS = ("start", "start_time", "begin", "from"), ("end", "stop", "end_time", "to")
_LISTS = ("segments", "words", "captions", "utterances")
_TEXTS = ("word", "text", "sentence", "transcript", "punctuated_word")


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, and what is said in it.

    Attributes:
        start: seconds; NaN where the source has no times.
        stop: seconds.
        text: what is said; None where nobody wrote it down.
        words: its words with times.
    """

    start: float
    stop: float
    text: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording.

    Attributes:
        segments: captions or sentences, in time.
        language: its code, where known.
        estimated: True if times of words were estimated from those of captions.
        findings: what was odd and what was done about it, in sentences.
    """

    segments: tuple[Segment, ...]
    language: str = ""
    estimated: bool = False
    findings: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """True if the segments have times."""
        return bool(self.segments) and not math.isnan(self.segments[0].start)

    @property
    def words(self) -> tuple[Word, ...]:
        """All words in order."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """All of it, on one line."""
        return " ".join(segment.text for segment in self.segments if segment.text)

    def within(self, duration: float, *, where: str = "") -> "Transcript":
        """The transcript of a recording that is `duration` seconds long; what reaches over its end is cut.

        Raises: DataError if captions start after the end: they belong to another recording.
        """
        if not self.timed:
            return self
        late = [s for s in self.segments if s.start > duration + OVERRUN_S]
        if late:
            raise DataError(
                f"the transcript overruns the recording: {len(late)} of {len(self.segments)} captions start after its "
                f"end, the last at {late[-1].start:.1f} s of {duration:.1f} s",
                where=where or None,
                fix="give the transcript of this recording",
            )
        cut = tuple(cut for s in self.segments if (cut := _until(s, duration)) is not None)
        over = sum(1 for s in self.segments if s.stop > duration)
        notes = (f"{over} captions end after the recording: cut",) if over else ()
        return replace(self, segments=cut, findings=self.findings + notes)


def read_transcript(path: str | Path) -> Transcript:
    """Read a transcript file; which kind it is follows from its name, and where that says nothing, from its content.

    Raises: DataError if it cannot be read, is no text, has a time that ends before it starts, or holds no word.
    """
    path = Path(path)
    content, notes = _text_of(path)
    kind = path.suffix.lower() if path.suffix.lower() in SUFFIXES else _kind_of(content)
    try:
        if kind in (".srt", ".vtt"):
            found = list(_captions(content))
        elif kind == ".json":
            found = list(_json_segments(json.loads(content)))
        elif kind in (".csv", ".tsv"):
            found = list(_table_segments(content))
        else:
            found = [Segment(math.nan, math.nan, line) for line in map(_plain, content.splitlines()) if line]
        return settled(found, notes)
    except DataError as error:
        raise DataError(error.what, where=str(path), fix=error.fix) from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"this is no {kind[1:].upper()} transcript: {error}", where=str(path)) from error


def transcript_beside(path: Path) -> Path | None:
    """The transcript that lies beside a recording: the same name, another ending."""
    places = (path.with_suffix(suffix) for suffix in SUFFIXES)
    return next((place for place in places if place.is_file() and place != path), None)


def spread(segment: Segment) -> Segment:
    """The segment with times for its words: a share of its own by their length, where they have none."""
    words = segment.words or tuple(Word(word) for word in (segment.text or "").split())
    if not words or math.isnan(segment.start) or all(math.isfinite(word.start) for word in words):
        return replace(segment, words=words)
    total = sum(len(word.text) + 1 for word in words)
    placed, at = [], 0
    for word in words:
        start = segment.start + (segment.stop - segment.start) * at / total
        at += len(word.text) + 1
        placed.append(Word(word.text, start, segment.start + (segment.stop - segment.start) * at / total))
    return replace(segment, words=tuple(placed))


def _text_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """The content of a text file in whatever encoding; BOM and odd line ends removed."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read the transcript: {error.strerror}", where=str(path)) from error
    if len(data) > LARGEST_BYTES:
        raise DataError("this is larger than any transcript", where=str(path), fix="give the transcript's file")
    content, notes = _decoded(data)
    if content is None or re.search(r"[\x00-\x08\x0e-\x1f]", content):
        raise DataError(
            "this is no transcript: it holds binary data",
            where=str(path),
            fix="give a text, SRT, VTT, CSV or JSON file",
        )
    return content.replace("\r\n", "\n").replace("\r", "\n"), notes


def _decoded(data: bytes) -> tuple[str | None, tuple[str, ...]]:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    encodings = ("utf-16",) if wide else ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            notes = () if encoding.startswith("utf") else ("not in UTF-8: read as Western European",)
            return data.decode(encoding), notes
        except UnicodeError:
            continue
    return None, ()


def _kind_of(content: str) -> str:
    head = content.lstrip()[:1]
    if content.lstrip().startswith("WEBVTT") or any(map(_CUE.match, content.splitlines()[:50])):
        return ".srt"
    return ".json" if head in "[{" and head else ".txt"


def settled(found: Sequence[Segment], notes: tuple[str, ...]) -> Transcript:
    """Segments from any source as a transcript: in order, apart, with times for words where segments have them.

    Raises: DataError if a time ends before it starts, or there is no word.
    """
    for segment in found:
        if segment.stop < segment.start:
            raise DataError(
                f"a time ends before it starts: {segment.start:.3f} s to {segment.stop:.3f} s, {segment.text!r:.40}",
                fix="mend the times of the transcript",
            )
    segments = [segment for segment in found if segment.text]
    if not segments:
        raise DataError("there is no word in this transcript", fix="leave it out if nothing is said")
    timed = [segment for segment in segments if math.isfinite(segment.start) and math.isfinite(segment.stop)]
    if not timed:
        return Transcript(tuple(spread(segment) for segment in segments), findings=notes)
    if len(timed) < len(segments):
        notes += (f"{len(segments) - len(timed)} captions without times: left out",)
    if any(a.start > b.start for a, b in pairwise(timed)):
        notes += ("captions out of order: sorted by time",)
        timed.sort(key=lambda segment: segment.start)
    estimated = any(not segment.words for segment in timed)
    apart, overlapping = [], 0
    for segment, after in zip(timed, [*timed[1:], None], strict=True):
        if after is not None and segment.stop > after.start:
            overlapping += 1
            segment = _until(segment, max(after.start, segment.start)) or segment
        apart.append(spread(segment))
    if overlapping:
        notes += (f"{overlapping} captions overlap the next: cut",)
    return Transcript(tuple(apart), estimated=estimated, findings=notes)


def _until(segment: Segment, stop: float) -> Segment | None:
    """The segment with its times cut at `stop`; its words stay. None if it would start there or later."""
    if segment.start >= stop:
        return None
    words = tuple(replace(w, start=min(w.start, stop), stop=min(w.stop, stop)) for w in segment.words)
    return replace(segment, stop=min(segment.stop, stop), words=words)


def _captions(content: str) -> Iterator[Segment]:
    """Cues of SRT and VTT, however many blank lines or numbers lie between them."""
    lines = content.splitlines()
    cues = [i for i, line in enumerate(lines) if _CUE.match(line)]
    if not cues:
        raise DataError("there is no caption in this file", fix="captions look like `00:01:02,500 --> 00:01:04,000`")
    for i, after in zip(cues, [*cues[1:], len(lines)], strict=True):
        match = _CUE.match(lines[i])
        assert match is not None
        start, stop = _clock(match.groups()[:4]), _clock(match.groups()[4:])
        body = lines[i + 1 : after]
        blank = next((k for k, line in enumerate(body) if not line.strip()), len(body))
        body = body[:blank]
        if after < len(lines) and blank == after - i - 1 and body and body[-1].strip().isdigit():
            body = body[:-1]  # the number of the next caption, where no blank line parts them
        raw = " ".join(body)
        yield Segment(start, stop, _plain(_MARK.sub(" ", raw)), _marked_words(raw, start, stop))


def _marked_words(raw: str, start: float, stop: float) -> tuple[Word, ...]:
    """Words of a caption with time marks inside: each word lasts until the next mark."""
    marks = [(match.end(), _clock(match.groups()), match.start()) for match in _MARK.finditer(raw)]
    if not marks:
        return ()
    times = [start, *(time for _, time, _ in marks), stop]
    begins, ends = [0, *(end for end, _, _ in marks)], [*(begin for _, _, begin in marks), len(raw)]
    if any(a > b for a, b in pairwise(times)):
        return ()
    words: list[Word] = []
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        piece = Segment(times[i], times[i + 1], _plain(raw[begin:end]))
        words += spread(piece).words
    return tuple(words)


def _clock(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, rest = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{rest or 0}")


def _plain(text: str) -> str:
    """Without tags and entities, on one line."""
    return " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", text))).replace("\u200b", "").split())


def _table_segments(content: str) -> Iterator[Segment]:
    head = content.partition("\n")[0]
    delimiter = max("\t;,", key=head.count)
    rows = csv.DictReader(io.StringIO(content), delimiter=delimiter, strict=True)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if not set(names) & set(_TEXTS):
        raise DataError("this table has no column `word` or `text`", fix="give columns word, start, end")
    entries = [{key: row.get(name) for key, name in names.items()} for row in rows]
    yield from _entries(entries)


def _json_segments(content: Any) -> Iterator[Segment]:
    """Segments, each with its words if it has any; or words."""
    if isinstance(content, Mapping):
        inner = next((content[key] for key in _LISTS if content.get(key)), None)
        if inner is None and isinstance(content.get("text"), str):
            inner = [content]
        content = inner
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        raise DataError("this JSON holds no list of words or segments", fix='give [{"word": …, "start": …, "end": …}]')
    yield from _entries(content)


def _entries(entries: Iterable[Mapping[str, Any]]) -> Iterator[Segment]:
    """Words are brought together at the ends of sentences; sentences stay as they are."""
    words: list[Word] = []
    for entry in entries:
        text = _plain(str(next((entry[key] for key in _TEXTS if entry.get(key) is not None), "")))
        start, stop = _seconds(entry, _STARTS), _seconds(entry, _STOPS)
        if stop < start:
            yield Segment(start, stop, text)  # refused with its times
        inner = entry.get("words")
        if isinstance(inner, list) and inner:
            spoken = tuple(word for part in _entries(inner) for word in part.words)
            text = text or " ".join(word.text for word in spoken)
            timed = all(math.isfinite(word.start) and math.isfinite(word.stop) for word in spoken)
            same = timed and len(spoken) == len(text.split())
            yield Segment(start, stop, text, spoken if same else ())
        elif text and ("word" in entry or "punctuated_word" in entry):
            words.append(Word(text, start, stop))
            if text[-1] in ".?!…。！？":
                yield _sentence(words)
                words = []
        elif text:
            yield Segment(start, stop, text)
    if words:
        yield _sentence(words)


def _sentence(words: Sequence[Word]) -> Segment:
    known = [word for word in words if math.isfinite(word.start) and math.isfinite(word.stop)]
    text = " ".join(word.text for word in words)
    if not known:
        return Segment(math.nan, math.nan, text, tuple(words))
    start, stop = min(word.start for word in known), max(word.stop for word in known)
    ordered = all(a.start <= b.start for a, b in pairwise(known))
    return Segment(start, stop, text, tuple(words) if len(known) == len(words) and ordered else ())


def _seconds(entry: Mapping[str, Any], names: Sequence[str]) -> float:
    value = next((entry[name] for name in names if entry.get(name) not in (None, "")), None)
    if isinstance(value, str) and (match := re.fullmatch(_CLOCK, value.strip())):
        return _clock(match.groups())
    try:
        seconds = math.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{value!r:.40} is no time", fix="give seconds, or hours:minutes:seconds") from error
    if seconds < 0 or math.isinf(seconds):
        raise DataError(f"{value!r:.40} is no time", fix="give seconds from the start of the recording")
    return seconds
