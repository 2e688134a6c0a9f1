"""Corruptions of a text, as a choice or an edit of its words, and how they are applied to an utterance.

A word is what `str.split` makes of the text. A choice says for every place of a text which old word is there now; −1
is a missing word. An edit says for every place of a new, shorter or longer text which old word it comes from and what
it has become. Both are applied alike to the words and to their sub-word ids, so the two never fall out of step.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.corruption import Ids, spans_of
from mecam.data.corruption.phonetics import FILLERS, Sounds
from mecam.data.corruption.streams import chosen, span_of
from mecam.errors import DataError
from mecam.types import MISSING_WORD, TEXT, Span, Utterance, Word

__all__ = [
    "Edit",
    "EditOperator",
    "WordOperator",
    "apply_choice",
    "deleted",
    "jumbled",
    "misheard",
    "missing",
    "no_unk",
    "shuffled",
    "truncated",
    "with_choice",
    "with_edit",
    "word_count",
]

WINDOW = 3
"""Words that a local shuffle moves among themselves."""

SUBSTITUTED, DELETED = 0.6, 0.2
"""Parts of a recogniser's errors; the rest are insertions."""

Edit: TypeAlias = list[tuple[int, str | None]]
"""For each new place: the old word that it comes from, −1 for none, and the new word, None where it stays as it is.
The old words are in order."""

WordOperator: TypeAlias = Callable[[int, np.random.Generator, float], list[int]]
EditOperator: TypeAlias = Callable[[int, np.random.Generator, float], Edit]
_Item = TypeVar("_Item")
_CORE = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)


def missing(count: int, rng: np.random.Generator, extent: float) -> list[int]:
    """Lose each of `count` words with probability `extent`, independently, and at least one."""
    return [-1 if lost else place for place, lost in enumerate(chosen(count, extent, rng).tolist())]


def shuffled(count: int, rng: np.random.Generator, extent: float) -> list[int]:
    """Put the words of one span (`extent` of the text, at least two words) in another order; none keeps its place.

    An extent of 1 shuffles the whole text.
    """
    choice = list(range(count))
    if count < 2:
        return choice
    start, stop = span_of(count, max(extent, 2 / count), rng)
    _turn(choice, start + rng.permutation(stop - start))
    return choice


def jumbled(count: int, rng: np.random.Generator, extent: float) -> list[int]:
    """Shuffle locally: words change places within windows of three, the sentence keeps its course.

    Each window is shuffled with probability `extent`, at least one is; none of its words keeps its place. A last
    window of a single word stays.
    """
    choice = list(range(count))
    first = int(rng.random() * WINDOW) if count > WINDOW else 0
    bounds = [0, *range(first or WINDOW, count, WINDOW), count]
    windows = [pair for pair in pairwise(bounds) if pair[1] - pair[0] > 1]
    for (start, stop), moved in zip(windows, chosen(len(windows), extent, rng).tolist(), strict=True):
        order = rng.random(stop - start)  # drawn in any case, so that a larger extent moves the same windows and more
        if moved:
            _turn(choice, start + np.argsort(order, kind="stable"))
    return choice


def deleted(count: int, rng: np.random.Generator, extent: float) -> Edit:
    """Lose each word without a trace with probability `extent`, independently, and at least one."""
    return [(place, None) for place, lost in enumerate(chosen(count, extent, rng).tolist()) if not lost]


def truncated(count: int, rng: np.random.Generator, extent: float) -> Edit:
    """Lose the last `extent` of the words, at least one; the first stays."""
    return [(place, None) for place in range(max(1, count - max(1, round(extent * count))))]


def misheard(words: Sequence[str], rng: np.random.Generator, rate: float, sounds: Sounds) -> Edit:
    """Make the errors of a speech recogniser: words that sound alike, words left out, short words put in.

    Each word is substituted, left out or followed by an inserted one with probability `rate` in all, so that `rate` is
    the word error rate to expect. What is missing already stays missing.

    Args:
        words: N.
        rng: three draws per word, whatever the rate: a higher rate makes the same errors and more.
        rate: in [0, 1].
        sounds: the vocabulary that wrong words come from.
    """
    loud = not any(letter.islower() for word in words for letter in word)
    edit: Edit = []
    for place, (word, chance, kind, which) in enumerate(zip(words, *rng.random((3, len(words))).tolist(), strict=True)):
        if chance >= rate or word == MISSING_WORD:
            edit.append((place, None))
        elif kind < SUBSTITUTED:
            heard = _sounding_like(word, which, sounds)
            edit.append((place, heard if heard != word else None))
        elif kind >= SUBSTITUTED + DELETED:
            filler = FILLERS[int(which * len(FILLERS))]
            edit += [(place, None), (-1, filler.upper() if loud else filler)]
    return edit


def apply_choice(items: Sequence[_Item], choice: Sequence[int], absent: _Item) -> list[_Item]:
    """Take the chosen items; `absent` stands for a missing one."""
    return [absent if source < 0 else items[source] for source in choice]


def _turn(choice: list[int], places: NDArray[np.integer]) -> None:
    """Send the items of these places round the ring that they make, so that none keeps its place."""
    ring = places.tolist()
    for place, source in zip(ring, ring[1:] + ring[:1], strict=True):
        choice[place] = source


def _sounding_like(word: str, draw: float, sounds: Sounds) -> str:
    """Another word that sounds like this one, written as it is: its case, the signs around it."""
    match = _CORE.match(word)
    assert match is not None
    before, core, after = match.groups()
    heard = sounds.alike(core, draw)
    if len(core) > 1 and core.isupper():
        heard = heard.upper()
    elif core[:1].isupper():
        heard = heard.capitalize()
    return before + heard + after


def word_count(utterance: Utterance) -> int:
    """Words of the text, as tokens or as they are written."""
    if utterance.tokens is not None:
        return len(utterance.tokens)
    return len(utterance.text.split()) if utterance.text else 0


def with_choice(utterance: Utterance, kind: str, choice: Sequence[int], unk: int | None) -> Utterance:
    """Apply a choice of words to the text, its timed words and its tokens; times stay where they are."""
    changes: dict[str, Any] = {}
    before: Sequence[Any] = ()
    after: Sequence[Any] = ()
    if utterance.tokens is not None:
        if unk is None:
            raise no_unk(utterance)
        before, after = utterance.tokens, apply_choice(utterance.tokens, choice, (unk,))
        changes["tokens"] = tuple(after)
    if utterance.text is not None:
        before = utterance.text.split()
        if len(before) != len(choice):
            raise DataError(f"{len(before)} words, but tokens for {len(choice)}", where=utterance.id)
        after = apply_choice(before, choice, MISSING_WORD)
        changes["text"] = " ".join(after)
        if len(utterance.words) == len(choice):
            changes["words"] = tuple(
                word if old == new else Word(new, word.start, word.stop)
                for word, old, new in zip(utterance.words, before, after, strict=True)
            )
    touched = [old != new for old, new in zip(before, after, strict=True)]
    return replace(utterance, injected=utterance.injected + spans_of(TEXT, kind, touched), **changes)


def no_unk(utterance: Utterance) -> DataError:
    """What to raise where a token cannot go missing."""
    return DataError(
        "a missing word needs the id of the tokenizer's unknown token",
        where=utterance.id,
        fix="pass unk=tokenizer.unk_token_id",
    )


def with_edit(utterance: Utterance, kind: str, edit: Edit, ids_of: Ids | None) -> Utterance:
    """Apply an edit, which may change the number of words, to the text, its timed words and its tokens.

    Where words are gone, an empty span marks the gap before the word that follows (or the end). Spans that were
    recorded in the text before move along with their words, and vanish with them. A text of which no word is left is
    absent, and has no spans. An inserted word takes no time, at the end of the word before it.

    Raises: DataError if `tokens` are set, words are new and `ids_of` is not given.
    """
    changes: dict[str, Any] = {}
    if utterance.tokens is not None:
        if ids_of is None and any(word is not None for _, word in edit):
            raise DataError("a new word needs its sub-word ids", where=utterance.id, fix="pass ids_of=tokenizer.ids_of")
        changes["tokens"] = tuple(_edited(utterance.tokens, edit, ids_of or _no_ids))
    count = word_count(utterance)
    if utterance.text is not None:
        before = utterance.text.split()
        if len(before) != count:
            raise DataError(f"{len(before)} words, but tokens for {count}", where=utterance.id)
        changes["text"] = " ".join(_edited(before, edit, str))
        if len(utterance.words) == count:
            changes["words"] = tuple(_timed(utterance.words, edit))
    sources = [source for source, _ in edit]
    kept = [(source, place) for place, source in enumerate(sources) if source >= 0]
    spans = [*_moved(utterance.injected, kept, len(edit)), *_record(kind, edit, kept, count)] if edit else []
    others = [span for span in utterance.injected if span.modality != TEXT]
    return replace(utterance, injected=(*others, *spans), **changes)


def _record(kind: str, edit: Edit, kept: Sequence[tuple[int, int]], count: int) -> list[Span]:
    """Spans of the words that are new, and an empty one for every gap, in the order of the text."""
    spans = [*spans_of(TEXT, kind, [word is not None for _, word in edit])]
    last = -1
    for source, place in [*kept, (count, len(edit))]:
        if source > last + 1:
            spans.append(Span(TEXT, kind, place, place))
        last = source
    return sorted(spans, key=lambda span: (span.start, span.stop))


def _moved(spans: Sequence[Span], kept: Sequence[tuple[int, int]], count: int) -> list[Span]:
    """Earlier spans of the text, where their words are now."""

    def now(bound: int) -> int:
        at = bisect_left(kept, (bound, 0))
        return kept[at][1] if at < len(kept) else count

    moved = [
        (span, replace(span, start=now(span.start), stop=now(span.stop))) for span in spans if span.modality == TEXT
    ]
    return [new for old, new in moved if new.start < new.stop or old.start == old.stop]


def _edited(items: Sequence[_Item], edit: Edit, make: Callable[[str], _Item]) -> list[_Item]:
    return [items[source] if word is None else make(word) for source, word in edit]


def _timed(words: Sequence[Word], edit: Edit) -> list[Word]:
    timed: list[Word] = []
    for source, word in edit:
        if source >= 0:
            old = words[source]
            timed.append(old if word is None else Word(word, old.start, old.stop))
        else:
            now = timed[-1].stop if timed else words[0].start
            timed.append(Word(word or "", now, now))
    return timed


def _no_ids(word: str) -> tuple[int, ...]:
    raise AssertionError(f"no ids for {word!r}")
