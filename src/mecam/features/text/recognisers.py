"""What speech recognisers write as JSON, each recognised by its shape.

A shape is told by the names that only it has, never by the file's name; the first that fits is read, in the order of
`SHAPES`. A file that fits none is refused with the list of those that are known.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mecam.errors import DataError
from mecam.features.text.captions import plain
from mecam.features.text.clock_times import seconds_of
from mecam.features.text.segments import Segment, has_unspaced
from mecam.features.text.services import (
    Heard,
    first_of,
    get,
    is_list,
    list_at,
    read_azure,
    read_deepgram,
    read_google,
    read_items,
    read_rev,
    words_or_text,
)
from mecam.features.text.timed_entries import (
    Entry,
    check_known,
    ended,
    piece_of,
    segments_of,
    text_in,
    unit_of,
    words_of,
)
from mecam.features.text.word_times import segment_of, sentences_of
from mecam.types import Word

__all__ = ["SHAPES", "read_json"]

NO_WORD = re.compile(r"\[_[^\]]*\]|<\|[^|]*\|>")
"""Tokens that are no part of a text: `[_BEG_]`, `[_TT_50]`, `<|endoftext|>`."""
MAX_WORD_LETTERS = 8
"""Letters of a word in a script without blanks; a longer piece is a sentence."""


def read_json(content: Any) -> Heard:
    """Read what a recogniser wrote.

    Args:
        content: the JSON, parsed.

    Raises: DataError if the shape is not known, or it is not what it must be.
    """
    heard = Heard()
    content = _unwrapped(content)
    for name, read in SHAPES.items():
        try:
            found = read(content, heard)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split()):.100}"
            raise DataError(f"this looks like {name}, but it is not whole ({reason})", fix="write it again") from error
        if found is not None:
            heard.segments = found
            heard.language = _language(content)
            return heard
    raise DataError(
        "this JSON holds no list of words or segments of a shape that is known",
        fix=f'known are: {", ".join(SHAPES)}; or give [{{"word": …, "start": …, "end": …}}], times in seconds',
    )


def _unwrapped(content: Any) -> Any:
    """The result itself, where an answer of a service or one file of several is around it."""
    for key in ("response", "result"):
        inner = get(content, key)
        if isinstance(inner, Mapping) and _RESULTS & inner.keys():
            return _unwrapped(inner)
    if isinstance(inner := get(content, "transcription"), Mapping):
        return inner
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        alone = content[0]
        if any(isinstance(alone.get(key), list) for key in ("segments", "chunks", "transcription", "words")):
            return alone
    return content


def _youtube(content: Any, heard: Heard) -> list[Segment] | None:
    """YouTube's json3: events with segs, a word each, in milliseconds."""
    events = list_at(content, "events")
    if events is None or not ("wireMagic" in content or any("segs" in event for event in events)):
        return None
    told = [event for event in events if any(seg.get("utf8", "").strip() for seg in event.get("segs", ()))]
    found = []
    for event, after in zip(told, [*told, None][1:], strict=True):
        start, stop = event["tStartMs"], event["tStartMs"] + event.get("dDurationMs", 0)
        stop = min(stop, after["tStartMs"]) if after and after["tStartMs"] > start else stop
        segs = [seg for seg in event["segs"] if seg.get("utf8", "").strip()]
        text = "".join(seg["utf8"] for seg in event["segs"])
        times = [start + seg.get("tOffsetMs", 0) for seg in segs]
        pieces: list[Word] = []
        if len(segs) > 1 and all(a <= b for a, b in pairwise(times)):
            ends = [*times[1:], max(stop, times[-1])]
            spans = zip(segs, times, ends, strict=True)
            pieces = [piece_of(seg["utf8"], a / 1e3, b / 1e3, heard.counts) for seg, a, b in spans]
        found.append(segment_of(start / 1e3, stop / 1e3, plain(text), pieces, heard.counts))
    return found


def _whisper_cpp(content: Any, heard: Heard) -> list[Segment] | None:
    """whisper.cpp: `transcription`, with `offsets` in milliseconds, and tokens where they were asked for."""
    parts = list_at(content, "transcription")
    if parts is None or not all("offsets" in part or "timestamps" in part for part in parts):
        return None
    read = [_cpp_word(part, heard) for part in parts]
    if any("tokens" in part for part in parts):
        return [
            segment_of(whole.start, whole.stop, plain(whole.text), _cpp_tokens(part, heard), heard.counts)
            for whole, part in zip(read, parts, strict=True)
        ]
    return _by_size(read, heard)


def _cpp_word(entry: Entry, heard: Heard) -> Word:
    if (offsets := entry.get("offsets")) is not None:
        return piece_of(entry["text"], offsets["from"] / 1e3, offsets["to"] / 1e3, heard.counts)
    if (times := entry.get("timestamps")) is None:
        return Word(entry["text"])
    return piece_of(entry["text"], seconds_of(times["from"]), seconds_of(times["to"]), heard.counts)


def _cpp_tokens(entry: Entry, heard: Heard) -> list[Word]:
    words = [_cpp_word(token, heard) for token in entry["tokens"] if not NO_WORD.fullmatch(token["text"])]
    # A letter that is cut into bytes, each a token, can be put together by the text of the whole alone.
    return [] if any("\ufffd" in word.text for word in words) else words


def _hugging_face(content: Any, heard: Heard) -> list[Segment] | None:
    """Hugging Face's pipelines: `chunks` of words or sentences with `timestamp`, the last perhaps without an end."""
    chunks = list_at(content, "chunks")
    if chunks is None or not all("timestamp" in chunk for chunk in chunks):
        return None
    read = []
    for chunk in chunks:
        start, stop = chunk["timestamp"] or (None, None)
        read.append(piece_of(chunk["text"], seconds_of(start), seconds_of(stop), heard.counts))
    return _by_size(read, heard, text_in(content))


def _by_size(read: Sequence[Word], heard: Heard, text: str = "") -> list[Segment]:
    """Entries that may be words or sentences: words if no blank is inside any, and none is as long as a sentence."""
    bare = [word.text.strip() for word in read]
    sentences = any(len(text.split()) > 1 or (has_unspaced(text) and len(text) > MAX_WORD_LETTERS) for text in bare)
    if not sentences:
        return sentences_of(read, heard.counts, text)
    return ended([Segment(w.start, w.stop, text) for w, text in zip(read, map(plain, bare), strict=True)], heard.counts)


def _vosk(content: Any, heard: Heard) -> list[Segment] | None:
    """Vosk: `result`, a list of words, and their `text`; or a list of such."""
    parts = content if isinstance(content, list) else [content]
    if not parts or not all(isinstance(p, Mapping) and ("result" in p or p.keys() == {"text"}) for p in parts):
        return None
    if not any(is_list(part.get("result")) for part in parts):
        return None
    return [s for p in parts for s in words_or_text(p.get("result"), p.get("text", ""), heard)]


def _mfa(content: Any, heard: Heard) -> list[Segment] | None:
    """Montreal Forced Aligner: `tiers`, one of words for each speaker."""
    tiers = get(content, "tiers")
    if not isinstance(tiers, Mapping):
        return None
    spoken = [tier["entries"] for name, tier in tiers.items() if name.lower().endswith("words")]
    if not spoken:
        return None
    rows = sorted((start, stop, text) for tier in spoken for start, stop, text in tier)
    said = [row for row in rows if row[2] and row[2] not in ("<eps>", "sil", "sp")]
    words = [piece_of(text, start, stop, heard.counts) for start, stop, text in said]
    return sentences_of(words, heard.counts)


def _nemo(content: Any, heard: Heard) -> list[Segment] | None:
    """NeMo: `timestamp.word`, a list with start and end in seconds."""
    stamps = get(content, "timestamp") or content
    words = list_at(stamps, "word")
    if words is None:
        return None
    return words_or_text(words, get(content, "text") or "", heard)


def _whisper(content: Any, heard: Heard) -> list[Segment] | None:
    """Whisper and what is made like it: `segments` with their words, or lists of words beside them."""
    lists = {key: found for key in _LISTS if (found := list_at(content, key)) is not None}
    if not lists:
        return None
    return _of_lists(lists, content, heard)


def _plain_list(content: Any, heard: Heard) -> list[Segment] | None:
    """A list of words or sentences with start and end."""
    if not is_list(content):
        return None
    return _of_lists({"segments": content}, {}, heard)


def _plain_text(content: Any, heard: Heard) -> list[Segment] | None:
    """A text alone. Beside lists that are not known it would be half of what the file says, so it is refused."""
    if not isinstance(content, Mapping) or not isinstance(content.get("text"), str):
        return None
    if any(isinstance(value, (list, Mapping)) and value for value in content.values()):
        return None
    return segments_of([content], 1.0, heard.counts) if content["text"].strip() else []


_RESULTS = {"results", "transcription", "utterances", "segments", "words"}
_LISTS = ("segments", "utterances", "captions", "sentences", "words", "word_segments", "cues", "subtitles")

SHAPES: Mapping[str, Callable[[Any, Heard], list[Segment] | None]] = {
    "YouTube json3": _youtube,
    "whisper.cpp": _whisper_cpp,
    "Hugging Face pipelines": _hugging_face,
    "Deepgram": read_deepgram,
    "Amazon Transcribe and Speechmatics": read_items,
    "Google Speech and IBM Watson": read_google,
    "Azure Speech": read_azure,
    "Vosk": _vosk,
    "Rev AI": read_rev,
    "Montreal Forced Aligner": _mfa,
    "NeMo": _nemo,
    "Whisper (OpenAI, faster-whisper, whisper-timestamped, WhisperX), AssemblyAI, ElevenLabs, Gentle": _whisper,
    "a list of words or sentences": _plain_list,
    "a text": _plain_text,
}
"""Name → reader: it returns None where the file has not its shape."""


def _of_lists(lists: Mapping[str, list[Entry]], content: Entry, heard: Heard) -> list[Segment]:
    """The list that says most: one with words inside, else words beside sentences, else the first that is not empty."""
    filled = {key: entries for key, entries in lists.items() if entries}
    if not filled:
        return [Segment(math.nan, math.nan, text)] if (text := text_in(content)) else []
    for entries in filled.values():
        inner = [word for entry in entries for word in entry.get("words") or ()]
        if inner:
            check_known(inner)
            unit, notes = unit_of(inner)
            heard.notes += notes
            return segments_of(entries, unit, heard.counts)
    words = filled.get("words") or filled.get("word_segments")
    sentences = next((entries for key, entries in filled.items() if not key.startswith("word")), None)
    chosen = words or sentences
    assert chosen is not None
    check_known(chosen)
    unit, notes = unit_of(chosen)
    heard.notes += notes
    if words is None:
        return segments_of(chosen, unit, heard.counts)
    pieces = words_of(words, unit, heard.counts)
    if sentences is None:
        return sentences_of(pieces, heard.counts, text_in(content))
    return _shared_out(pieces, segments_of(sentences, unit, heard.counts), heard)


def _shared_out(words: Sequence[Word], sentences: Sequence[Segment], heard: Heard) -> list[Segment]:
    """Words that lie beside sentences, each given to the one that its middle is in, or that is the last before it."""
    groups: list[list[Word]] = [[] for _ in sentences]
    at = 0
    for word in words:
        middle = (word.start + word.stop) / 2  # NaN stays with the word before
        while at + 1 < len(sentences) and middle >= sentences[at + 1].start:
            at += 1
        groups[at].append(word)
    return [
        segment_of(sentence.start, sentence.stop, sentence.text or "", group, heard.counts)
        for sentence, group in zip(sentences, groups, strict=True)
    ]


def _language(content: Any) -> str:
    for place in (content, get(content, "result"), get(content, "params")):
        value = first_of(place, "language", "language_code", "languageCode") if isinstance(place, Mapping) else None
        if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*", value):
            return value
    return ""
