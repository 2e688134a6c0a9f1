"""What a recogniser's file holds, and how to get at it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mecam.features.text.captions import plain
from mecam.features.text.segments import Segment
from mecam.features.text.timed_entries import Entry, check_known, words_of
from mecam.features.text.word_times import Counts, sentences_of

__all__ = ["Heard", "first_of", "get", "is_list", "list_at", "words_or_text"]


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
    """The value under a key; None where there is none, or no object."""
    return content.get(key) if isinstance(content, Mapping) else None


def list_at(content: Any, key: str) -> list[Entry] | None:
    """The list of objects under a key; None where there is none."""
    value = get(content, key)
    return value if is_list(value) else None


def is_list(value: Any) -> bool:
    """True for a list of objects."""
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)
