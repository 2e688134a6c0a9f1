"""Changed rows and words put into an utterance, with the record of what was touched."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.corruption import Ids
from mecam.data.corruption.words import MISSING_WORD, Edit, apply_choice
from mecam.errors import DataError
from mecam.types import TEXT, Modality, Span, Utterance, Word

__all__ = ["no_unk", "spans_of", "with_choice", "with_edit", "with_rows", "word_count"]

_Item = TypeVar("_Item")


def spans_of(modality: Modality, kind: str, touched: Sequence[bool] | NDArray[np.bool_]) -> tuple[Span, ...]:
    """Write a mask over rows or words as spans, one per run."""
    flags, spans, stop = bytes(np.asarray(touched, np.bool_)), [], 0
    while (start := flags.find(1, stop)) >= 0:
        stop = flags.find(0, start)
        stop = len(flags) if stop < 0 else stop
        spans.append(Span(modality, kind, start, stop))
    return tuple(spans)


def word_count(utterance: Utterance) -> int:
    """Words of the text, as tokens or as they are written."""
    if utterance.tokens is not None:
        return len(utterance.tokens)
    return len(utterance.text.split()) if utterance.text else 0


def with_rows(
    utterance: Utterance, modality: Modality, values: NDArray[np.float32], kind: str, touched: NDArray[np.bool_]
) -> Utterance:
    """Put rows into a stream and record those that were touched."""
    spans = utterance.injected + spans_of(modality, kind, touched)
    return replace(utterance, streams={**utterance.streams, modality: values}, injected=spans)


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
