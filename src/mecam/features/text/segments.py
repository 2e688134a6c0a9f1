"""Stretches of speech with their words and times, and how those of any source become a transcript."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mecam.errors import DataError
from mecam.types import Word

__all__ = ["Segment", "Transcript", "cut_at", "has_unspaced", "join_words", "settled", "spread", "units"]

OVERRUN_S = 1.0
"""Seconds after the end of the recording in which captions may still start; beyond, they are of another one."""

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Letters of scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_WIDE = "\u3001-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65…—"
"""Punctuation that goes with them."""
_OPENING = "「『（《〈【〔“‘"
# These patterns are compiled (and kept by `re`) when a text needs them: it takes a while, and many clips have none.
_JOINED, _UNSPACED_LETTER = rf"[{UNSPACED}{_WIDE}]", rf"[{UNSPACED}]"
# A letter with the marks that stand on it and the punctuation after it; or what stands between such letters.
_UNIT = (
    rf"[{_OPENING}]*[{UNSPACED}][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u3099\u309aー]*(?:(?![{_OPENING}])[^\w\s])*"
    rf"|(?:(?![{UNSPACED}{_OPENING}])\S)+|\S"
)


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
        segments: captions or sentences, in time; none where nothing is said.
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
        cut = tuple(cut for s in self.segments if (cut := cut_at(s, duration)) is not None)
        over = sum(1 for s in self.segments if s.stop > duration)
        notes = (f"{over} captions end after the recording: cut",) if over else ()
        return replace(self, segments=cut, findings=self.findings + notes)


def settled(found: Sequence[Segment], notes: tuple[str, ...]) -> Transcript:
    """Segments from any source as a transcript: in order, apart, with times for words where segments have them.

    Returns: a transcript without segments where there is no word: nothing is said.
    Raises: DataError if a time ends before it starts.
    """
    for segment in found:
        if segment.stop < segment.start:
            raise DataError(
                f"a time ends before it starts: {segment.start:.3f} s to {segment.stop:.3f} s, {segment.text!r:.40}",
                fix="mend the times of the transcript",
            )
    segments = [segment for segment in found if segment.text]
    timed = [segment for segment in segments if math.isfinite(segment.start) and math.isfinite(segment.stop)]
    if not timed:
        return Transcript(tuple(spread(segment) for segment in segments), findings=notes)
    if len(timed) < len(segments):
        notes += (f"{len(segments) - len(timed)} captions without times: left out",)
    timed, notes = _from_zero(timed, notes)
    if any(a.start > b.start for a, b in pairwise(timed)):
        notes += ("captions out of order: sorted by time",)
        timed.sort(key=lambda segment: segment.start)
    estimated = any(not segment.words and len(units(segment.text or "")) > 1 for segment in timed)
    apart, overlapping = [], 0
    for segment, after in zip(timed, [*timed[1:], None], strict=True):
        if after is not None and segment.stop > after.start:
            overlapping += 1
            stop = max(after.start, segment.start)
            # Words with times of their own keep them: two people may talk at once.
            segment = replace(segment, stop=stop) if segment.words else cut_at(segment, stop) or segment
        apart.append(spread(segment))
    if overlapping:
        notes += (f"{overlapping} captions overlap the next: cut",)
    return Transcript(tuple(apart), estimated=estimated, findings=notes)


def spread(segment: Segment) -> Segment:
    """The segment with times for its words: a share of its own by their length, where they have none."""
    words = segment.words or tuple(Word(word) for word in units(segment.text or ""))
    if not words or math.isnan(segment.start) or all(math.isfinite(word.start) for word in words):
        return replace(segment, words=words)
    total = sum(len(word.text) + 1 for word in words)
    placed, at = [], 0
    for word in words:
        start = segment.start + (segment.stop - segment.start) * at / total
        at += len(word.text) + 1
        placed.append(Word(word.text, start, segment.start + (segment.stop - segment.start) * at / total))
    return replace(segment, words=tuple(placed))


def units(text: str) -> list[str]:
    """The words of a text: what blanks part; in scripts without blanks, every letter is one."""
    return [unit for word in text.split() for unit in (re.findall(_UNIT, word) if has_unspaced(word) else [word])]


def join_words(words: Sequence[str]) -> str:
    """Words as a text: with blanks between them, but none between letters of scripts that have none."""
    pieces: list[str] = []
    for word in words:
        if pieces and not (re.search(_JOINED + "$", pieces[-1]) and re.match(_JOINED, word)):
            pieces.append(" ")
        pieces.append(word)
    return "".join(pieces)


def has_unspaced(text: str) -> bool:
    """True if it has letters of a script that puts no blanks between words."""
    return re.search(_UNSPACED_LETTER, text) is not None


def cut_at(segment: Segment, stop: float) -> Segment | None:
    """The segment with its times cut at `stop`; its words stay. None if it would start there or later."""
    if segment.start >= stop:
        return None
    words = tuple(replace(w, start=min(w.start, stop), stop=min(w.stop, stop)) for w in segment.words)
    return replace(segment, stop=min(segment.stop, stop), words=words)


def _from_zero(timed: list[Segment], notes: tuple[str, ...]) -> tuple[list[Segment], tuple[str, ...]]:
    """Without times before the recording begins."""
    early = [segment for segment in timed if segment.start < 0]
    if not early:
        return timed, notes
    kept = []
    for segment in timed:
        if segment.start >= 0:
            kept.append(segment)
        elif segment.stop > 0:
            words = tuple(replace(w, start=max(w.start, 0.0), stop=max(w.stop, 0.0)) for w in segment.words)
            kept.append(replace(segment, start=0.0, words=words))
    notes += (f"{len(early)} captions start before the recording, the first at {early[0].start:.3f} s: from 0 s",)
    if len(kept) < len(timed):
        notes += (f"{len(timed) - len(kept)} captions end before the recording starts: left out",)
    return kept, notes
