"""Captions: SRT, VTT, SBV, ASS, and the lines that Whisper prints; with what players and tools make of them.

An own parser: pysubs2 (1.8) reads a negative time as a positive one, leaves out captions without hours and those with
frames, both without a word, and gives word marks as text.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mecam.errors import DataError
from mecam.features.text.clock_times import ARROW, CLOCK, frame_seconds, parse_clock
from mecam.features.text.segments import Segment, spread
from mecam.types import Word

__all__ = ["MARK", "Cue", "is_captions", "marked_words", "plain", "read_ass", "read_cues"]

MARK = re.compile(r"<((?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,9})>")
"""The time of a word inside a caption."""
_CUE = re.compile(rf"^\s*(\[)?\s*({CLOCK}){ARROW}({CLOCK})(?(1)\s*\](.*)|(?:\s.*)?)$")
_SBV_CUE = re.compile(r"^(\d+:\d{1,2}:\d{1,2}\.\d+),(\d+:\d{1,2}:\d{1,2}\.\d+)\s*$")
_SECONDS_CUE = re.compile(r"^\s*-?\d+[.,]\d+\s*-->\s*-?\d+[.,]\d+\s*$")
_MAYBE_CUE = re.compile(r"^\s*\[?\s*-?\d[^<>]*:[^<>]*--(?:>|&gt;).*\d")
_BREAK = re.compile(r"<br\s*/?>|\\[Nn]", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|</>|<\|[^<>|]*\|>|\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}")
_ZERO_WIDTH = re.compile(r"[\u200b\u200e\u200f\u2060\ufeff]")
_REMARK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_HEADER = re.compile(r"WEBVTT|(?:Kind|Language|X-TIMESTAMP-MAP|Region|Style)\s*[:=]", re.IGNORECASE)


@dataclass(frozen=True)
class Cue:
    """A caption as it lies in a file.

    Attributes:
        start: seconds; may be negative.
        stop: seconds.
        lines: with tags and marks.
        words: with times, where another caption said them.
    """

    start: float
    stop: float
    lines: tuple[str, ...]
    words: tuple[Word, ...] = ()

    def segment(self) -> Segment:
        """Its words without markup."""
        raw = " ".join(self.lines)
        return Segment(self.start, self.stop, plain(MARK.sub(" ", raw)), self.words or self._marked())

    def _marked(self) -> tuple[Word, ...]:
        return marked_words(" ".join(self.lines), self.start, self.stop)


def is_captions(content: str) -> bool:
    """True if text is captions by its look, whatever the file is called."""
    lines = content.lstrip().splitlines()[:50]
    return content.lstrip().startswith("WEBVTT") or any(map(_cue, lines))


def read_cues(content: str) -> tuple[list[Cue], list[str]]:
    """Captions of SRT, VTT and SBV.

    Blank lines inside a caption part nothing: it lasts until the line with the next one's times, less that one's
    number (SRT) or name (VTT). NOTE, STYLE and REGION of VTT are left out.

    Returns: captions in the order of the file, and findings.
    Raises: DataError if there is none, or a line with times cannot be read.
    """
    lines = content.splitlines()
    vtt = content.lstrip().startswith("WEBVTT")
    found = [(i, match) for i, line in enumerate(lines) if (match := _cue(line) or _SBV_CUE.match(line))]
    known = {i for i, _ in found}
    for i, line in enumerate(lines):
        if i not in known and _MAYBE_CUE.match(line):
            raise DataError(f"line {i + 1} is no time that is understood: {line.strip()!r:.60}", fix="mend the line")
    before = _paragraphs(lines[: found[0][0]] if found else lines, vtt)
    if not found:
        if not any(line.strip() for line in before):
            return [], []
        raise DataError("there is no caption in this file", fix="captions look like `00:01:02,500 --> 00:01:04,000`")
    times, notes = _times(
        [(match[1], match[2]) if match.re is _SBV_CUE else (match[2], match[3]) for _, match in found]
    )
    labels = _labels(lines, [i for i, _ in found], vtt)
    heading = [line for line in before if line.strip()][: None if 0 not in labels else -1]
    if heading:
        notes.append(f"{len(heading)} lines before the first caption: left out")
    ends = [*(labels.get(k, i) for k, (i, _) in enumerate(found)), len(lines)][1:]
    cues = []
    for (i, match), (start, stop), end in zip(found, times, ends, strict=True):
        beside = [match[4]] if match.re is _CUE and match[4] else []
        body = beside + _paragraphs(lines[i + 1 : end], vtt, first=False)
        cues.append(Cue(start, stop, tuple(line for line in body if line.strip())))
    return cues, notes


def read_ass(content: str) -> list[Cue]:
    """Dialogue lines of Advanced SubStation Alpha; comments and drawings are left out."""
    names = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    cues = []
    events = False
    for line in content.splitlines():
        key, _, rest = line.partition(":")
        if line.strip().startswith("["):
            events = line.strip().lower() == "[events]"
        elif events and key.strip().lower() == "format":
            names = [name.strip().lower() for name in rest.split(",")]
        elif events and key.strip().lower() == "dialogue":
            cells = dict(zip(names, rest.split(",", len(names) - 1), strict=False))
            if not {"start", "end", "text"} <= cells.keys():
                raise DataError(f"this line of dialogue is not whole: {line!r:.60}", fix="mend the line")
            if not re.search(r"\\p[1-9]", cells["text"]):
                start, stop = parse_clock(cells["start"])[0], parse_clock(cells["end"])[0]
                cues.append(Cue(start, stop, (cells["text"],)))
    return cues


def plain(text: str) -> str:
    """Without tags and entities, on one line."""
    return " ".join(_ZERO_WIDTH.sub("", html.unescape(_TAG.sub("", _BREAK.sub(" ", text)))).replace("\\h", " ").split())


def marked_words(raw: str, start: float, stop: float) -> tuple[Word, ...]:
    """Words of a caption with time marks inside: each word lasts until the next mark."""
    marks = [(match.end(), parse_clock(match[1])[0], match.start()) for match in MARK.finditer(raw)]
    if not marks:
        return ()
    times = [start, *(time for _, time, _ in marks), stop]
    begins, ends = [0, *(end for end, _, _ in marks)], [*(begin for _, _, begin in marks), len(raw)]
    if any(a > b for a, b in pairwise(times)):
        return ()
    words: list[Word] = []
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        piece = Segment(times[i], times[i + 1], plain(raw[begin:end]))
        words += spread(piece).words
    return tuple(words)


def _cue(line: str) -> re.Match[str] | None:
    """The times of a caption; `3 → 4 people` is text, though bare seconds with decimals may stand alone on a line."""
    match = _CUE.match(line)
    if match is None or (":" in match[2] and ":" in match[3]) or _SECONDS_CUE.match(line):
        return match
    return None


def _times(pairs: Sequence[tuple[str, str]]) -> tuple[list[tuple[float, float]], list[str]]:
    """Seconds of all captions; what frames are is told from all of them."""
    read = [(parse_clock(a), parse_clock(b)) for a, b in pairs]
    frames = [f for pair in read for _, f in pair if f is not None]
    unit, note = frame_seconds(frames) if frames else (0.0, "")

    def value(time: tuple[float, str | None]) -> float:
        seconds, frames = time
        return seconds + int(frames or 0) * unit

    return [(value(a), value(b)) for a, b in read], [note] if note else []


def _labels(lines: Sequence[str], cues: Sequence[int], vtt: bool) -> dict[int, int]:
    """Which captions have a number (SRT) or a name (VTT), and in which line.

    They have them if half of the captions have. A number stands right above the times, or above blank lines and is one
    more than the number before; a name stands right above, under a blank line. All else is text.
    """
    found = {k: at for k, i in enumerate(cues) if (at := _label(lines, i, vtt)) is not None}
    if 2 * len(found) < len(cues):
        return {}
    if vtt:
        return found
    labels: dict[int, int] = {}
    last: int | None = None
    for k, at in found.items():
        number = int(lines[at])
        if at == cues[k] - 1 or k == 0 or (last is not None and number == last + 1):
            labels[k] = at
            last = number
    return labels


def _label(lines: Sequence[str], cue: int, vtt: bool) -> int | None:
    if vtt:
        named = cue > 0 and bool(lines[cue - 1].strip()) and not _HEADER.match(lines[cue - 1])
        return cue - 1 if named and (cue == 1 or not lines[cue - 2].strip()) else None
    at = next((i for i in range(cue - 1, -1, -1) if lines[i].strip()), -1)
    return at if at >= 0 and re.fullmatch(r"\s*\d{1,9}\s*", lines[at]) else None


def _paragraphs(lines: Sequence[str], vtt: bool, *, first: bool = True) -> list[str]:
    """The lines without those of remarks and of the header of VTT.

    Args:
        lines: of one caption, or those before all.
        vtt: only there are remarks known.
        first: the first paragraph may be a header or a remark.
    """
    if not vtt:
        return list(lines)
    kept: list[str] = []
    for number, paragraph in enumerate(_parted(lines)):
        header = first and number == 0 and any(map(_HEADER.match, paragraph))
        remark = (first or number > 0) and paragraph and _REMARK.match(paragraph[0])
        if not header and not remark:
            kept += paragraph
    return kept


def _parted(lines: Sequence[str]) -> Iterator[list[str]]:
    """Paragraphs; only a line that is really empty ends one, and the first is there even if it is empty."""
    paragraph: list[str] = []
    for number, line in enumerate(lines):
        if line or number == 0:
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph
