"""What the services that recognise speech answer, as JSON, and how to get at what a recogniser's file holds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mecam.features.text.captions import plain
from mecam.features.text.segments import Segment
from mecam.features.text.timed_entries import Entry, check_known, segments_of, words_of
from mecam.features.text.word_times import Counts, sentences_of

__all__ = [
    "Heard",
    "first_of",
    "get",
    "is_list",
    "list_at",
    "read_azure",
    "read_deepgram",
    "read_google",
    "read_items",
    "read_rev",
    "words_or_text",
]


@dataclass
class Heard:
    """What a recogniser's file holds.

    Attributes:
        segments: in the order of the file.
        counts: findings and their numbers.
        notes: findings.
        language: its code, where the file says it.
    """

    segments: list[Segment] = field(default_factory=list)
    counts: Counts = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    language: str = ""

    @property
    def findings(self) -> list[str]:
        """Everything odd, in sentences."""
        return [*self.notes, *(finding.format(number) for finding, number in self.counts.items())]


def words_or_text(words: Sequence[Entry] | None, text: str, heard: Heard) -> list[Segment]:
    """Sentences of words, in seconds; of the text alone where there are no words."""
    if words:
        check_known(words)
        return sentences_of(words_of(words, 1.0, heard.counts), heard.counts, plain(text))
    return [Segment(math.nan, math.nan, plain(text))] if text.strip() else []


def first_of(entry: Entry, *names: str) -> Any:
    """The value of the first of some names that is there."""
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def get(content: Any, key: str) -> Any:
    """The value under a key; None if there is none, or no object."""
    return content.get(key) if isinstance(content, Mapping) else None


def list_at(content: Any, key: str) -> list[Entry] | None:
    """The list of objects under a key; None if there is none."""
    value = get(content, key)
    return value if is_list(value) else None


def is_list(value: Any) -> bool:
    """True for a list of objects."""
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)


CHANNELS = "{} channels: brought together by time"


def read_deepgram(content: Any, heard: Heard) -> list[Segment] | None:
    """Deepgram: `results.channels[].alternatives[0].words`."""
    channels = list_at(get(content, "results"), "channels")
    if channels is None:
        return None
    parts: dict[str, list[Segment]] = {}  # by what is said: both channels of a recording may hold the same voice
    for channel in channels:
        best = channel["alternatives"][0] if channel.get("alternatives") else {}
        text = best.get("transcript", "")
        if text not in parts and (part := words_or_text(best.get("words"), text, heard)):
            parts[text] = part
    if len(parts) > 1:
        heard.counts[CHANNELS] = len(parts)
    return sorted((segment for part in parts.values() for segment in part), key=lambda segment: segment.start)


def read_items(content: Any, heard: Heard) -> list[Segment] | None:
    """Amazon Transcribe (`results.items`) and Speechmatics (`results` with `type`): words and punctuation in turn."""
    results = get(content, "results")
    items = list_at(results, "items") if isinstance(results, Mapping) else results
    if not isinstance(items, list) or not all(isinstance(i, Mapping) and "type" in i for i in items):
        return None
    if isinstance(results, list) and not items:
        return None
    entries = [{**item, "text": item["alternatives"][0]["content"]} for item in items]
    return sentences_of(words_of(entries, 1.0, heard.counts), heard.counts)


def read_google(content: Any, heard: Heard) -> list[Segment] | None:
    """Google Speech: `results[].alternatives[0].words[]`; IBM Watson: the same with `timestamps`."""
    results = list_at(content, "results")
    if results is None or not all(
        "alternatives" in r or "resultEndTime" in r or "resultEndOffset" in r for r in results
    ):
        return None
    best = [result["alternatives"][0] for result in results if result.get("alternatives")]
    if not all("transcript" in one or "words" in one or not one for one in best):
        return None
    parts = [(one.get("transcript", ""), [*_google_words(one)]) for one in best]
    if len(parts) > 1 and _tells_all_again(best):
        parts = parts[-1:]
    return [segment for text, entries in parts for segment in words_or_text(entries, text, heard)]


def _google_words(one: Entry) -> Iterator[Entry]:
    """Zero is not written in this format: a word without a start, but with an end, starts at 0 s."""
    for text, start, stop in one.get("timestamps") or ():
        yield {"word": text, "start": start, "end": stop}
    for word in one.get("words") or ():
        start = first_of(word, "startTime", "startOffset", "start_time", "start_offset")
        stop = first_of(word, "endTime", "endOffset", "end_time", "end_offset")
        yield {"word": word["word"], "start": "0s" if start is None and stop is not None else start, "end": stop}


def _tells_all_again(best: Sequence[Entry]) -> bool:
    """True where the last result repeats the words of all others with their speakers, as diarisation has it."""
    count = [len(one.get("words") or ()) for one in best]
    tagged = any({"speakerTag", "speakerLabel", "speaker_tag"} & word.keys() for word in best[-1].get("words") or ())
    return tagged and count[-1] == sum(count[:-1])


def read_azure(content: Any, heard: Heard) -> list[Segment] | None:
    """Azure Speech: `phrases`, `recognizedPhrases` with `nBest`, or results with `NBest`; ticks of 100 ns."""
    phrases = list_at(content, "phrases") or list_at(content, "recognizedPhrases")
    if phrases is None:
        listed = content if isinstance(content, list) else [content]
        if not listed or not all(
            isinstance(one, Mapping) and ("NBest" in one or "RecognitionStatus" in one) for one in listed
        ):
            return None
        phrases = listed
    found = []
    for phrase in phrases:
        best = (phrase.get("nBest") or phrase.get("NBest") or [{}])[0]
        text = best.get("display") or best.get("Display") or phrase.get("DisplayText") or phrase.get("text") or ""
        words = best.get("displayWords") or best.get("words") or best.get("Words") or phrase.get("words") or []
        entry = {k: v for k, v in phrase.items() if k not in ("offset", "duration", "words")}
        if "offset" in phrase and "offsetInTicks" not in phrase:
            entry |= {"start": phrase["offset"], "duration": phrase.get("duration")}
        found += segments_of([{**entry, "text": text, "words": words}] if text or words else [], 1.0, heard.counts)
    return found


def read_rev(content: Any, heard: Heard) -> list[Segment] | None:
    """Rev AI: `monologues[].elements[]`, words and punctuation in turn."""
    monologues = list_at(content, "monologues")
    if monologues is None:
        return None
    elements = [element for one in monologues for element in [*one["elements"], {"value": " "}]]
    pieces = words_of([{**element, "text": element["value"]} for element in elements], 1.0, heard.counts)
    return sentences_of(pieces, heard.counts)
