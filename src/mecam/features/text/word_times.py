"""Words with times from what recognisers write: pieces of words joined, words without times placed, text kept."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from mecam.features.text.segments import Segment, has_unspaced, join_words, spread
from mecam.types import Word

__all__ = ["Counts", "joined_pieces", "placed", "segment_of", "sentences_of"]

Counts = dict[str, int]
"""Finding, with `{}` for its number → number."""

UNTIMED = "{} words have no time of their own: placed between their neighbours"
DIFFERENT = "{} captions have other words than text: the words are taken, as they have times"
PARTIAL = "{} captions lack times for most of their words: times are estimated from those of the caption"

SENTENCE_END = ".?!…。！？"
WORD_S = 0.3
"""Length of a word of which nothing is known."""
PAUSE_S = 1.0
"""A word without an end lasts no longer than this."""
_CLOSING = '.,!?;:…%)]}»”’"、。，．！？；：）」』】％'
LEADING_SHARE = 0.4
"""If so many pieces begin with a blank, the others continue the word before."""


def segment_of(start: float, stop: float, text: str, pieces: Sequence[Word], counts: Counts) -> Segment:
    """A sentence or caption with its words.

    Args:
        start: seconds; NaN where not known.
        stop: seconds.
        text: what is said; empty where only the words say it.
        pieces: words or pieces of words as the source has them, blanks included; some may have no time.
        counts: findings are added to it.
    """
    words = joined_pieces(pieces)
    if not words or not any(map(_has_time, words)):
        return Segment(start, stop, text or join_words([w.text for w in words]))
    if len(_letters("".join(w.text for w in words))) * 2 < len(_letters(text)):
        _count(counts, PARTIAL)
        return Segment(start, stop, text)
    _count(counts, UNTIMED, sum(1 for word in words if not _has_time(word)))
    words = placed(words, start, stop)
    low, high = min(w.start for w in words), max(w.stop for w in words)
    start, stop = low if math.isnan(start) else start, high if math.isnan(stop) else stop
    spoken = join_words([word.text for word in words])
    if not text:
        return Segment(start, stop, spoken, tuple(words))
    if _letters(text) != _letters(spoken):
        _count(counts, DIFFERENT)
        return Segment(start, stop, spoken, tuple(words))
    if has_unspaced(text):
        return Segment(start, stop, text, tuple(words))
    return Segment(start, stop, text, tuple(_as_written(text.split(), words)))


def sentences_of(pieces: Sequence[Word], counts: Counts, text: str = "") -> list[Segment]:
    """Words without sentences, brought together at the ends of sentences.

    Args:
        pieces: words or pieces of words; some may have no time.
        counts: findings are added to it.
        text: all of it, where the source has it: where it has the same letters, words are written as there.
    """
    words = joined_pieces(pieces)
    known = any(map(_has_time, words))
    if known:
        _count(counts, UNTIMED, sum(1 for word in words if not _has_time(word)))
        words = placed(words, math.nan, math.nan)
        if text and not has_unspaced(text) and _letters(text) == _letters("".join(word.text for word in words)):
            words = _as_written(text.split(), words)
    found: list[Segment] = []
    current: list[Word] = []
    for number, word in enumerate(words, 1):
        current.append(word)
        if word.text[-1] in SENTENCE_END or number == len(words):
            text = join_words([w.text for w in current])
            start, stop = min(w.start for w in current), max(w.stop for w in current)
            found.append(Segment(start, stop, text, tuple(current) if known else ()))
            current = []
    return found


def joined_pieces(pieces: Sequence[Word]) -> list[Word]:
    """Whole words out of pieces of words.

    Rule: where pieces of blanks alone part the others, or four of ten begin with a blank, a piece without a blank
    before it continues the word before; but letters of scripts without blanks begin a word. Anywhere, a piece that is
    nothing but closing punctuation belongs to the word before.
    """
    filled = [piece for piece in pieces if piece.text.strip()]
    leading = sum(1 for piece in filled if piece.text[0].isspace())
    parted = len(filled) < len(pieces) or leading >= LEADING_SHARE * max(1, len(filled))
    words: list[Word] = []
    blank = True
    for piece in pieces:
        text = " ".join(piece.text.split())
        if not text:
            blank = True
            continue
        begins = blank or piece.text[0].isspace() or not parted or (has_unspaced(text[:1]))
        closing = all(letter in _CLOSING for letter in text)
        if words and (not begins or (closing and not (parted and piece.text[0].isspace()))):
            before = words[-1]
            stop = before.stop if closing or math.isnan(piece.stop) else piece.stop
            start = piece.start if math.isnan(before.start) and not closing else before.start
            words[-1] = Word(before.text + text, start, stop)
        else:
            words.append(replace(piece, text=text))
        blank = parted and piece.text[-1].isspace()
    return words


def placed(words: Sequence[Word], start: float, stop: float) -> list[Word]:
    """Words that all have times: one without is placed between its neighbours, by its length; the rest keep theirs.

    A word whose start is before that of words before it counts as one without, so that as many as possible keep
    their times.

    Args:
        words: at least one has a time.
        start: of all of them, where known; else NaN.
        stop: likewise.
    """
    words = _ended(_without_backward(words))
    result: list[Word] = []
    at = 0
    while at < len(words):
        if not math.isnan(words[at].start):
            result.append(words[at])
            at += 1
            continue
        after = next((i for i in range(at, len(words)) if not math.isnan(words[i].start)), len(words))
        run = words[at:after]
        room = WORD_S * len(run)
        if after < len(words):
            high = words[after].start
            low = result[-1].stop if result else (high - room if math.isnan(start) else start)
        else:
            low = result[-1].stop
            high = low + room if math.isnan(stop) else stop
        low = max(0.0, min(low, high)) if after < len(words) else low
        high = max(low, high)
        result += spread(Segment(low, high, None, tuple(Word(word.text) for word in run))).words
        at = after
    return result


def _ended(words: Sequence[Word]) -> list[Word]:
    """Words with both times or none: one time of two is completed by the neighbours', or by the usual length."""
    result: list[Word] = []
    for i, word in enumerate(words):
        if math.isnan(word.stop) and not math.isnan(word.start):
            following = words[i + 1].start if i + 1 < len(words) else math.nan
            limit = WORD_S if math.isnan(following) else min(PAUSE_S, following - word.start)
            word = replace(word, stop=word.start + max(0.0, limit))
        elif math.isnan(word.start) and not math.isnan(word.stop):
            floor = result[-1].stop if result and not math.isnan(result[-1].stop) else 0.0
            word = replace(word, start=min(word.stop, max(floor, word.stop - WORD_S)))
        result.append(word)
    return result


def _without_backward(words: Sequence[Word]) -> list[Word]:
    """Words out of order lose their times: the longest rising series of starts keeps them."""
    starts = [word.start for word in words if not math.isnan(word.start)]
    if all(a <= b for a, b in pairwise(starts)):
        return list(words)
    tails: list[float] = []
    ends: list[int] = []
    before: dict[int, int] = {}
    for i, word in enumerate(words):
        if math.isnan(word.start):
            continue
        at = bisect_right(tails, word.start)
        if at:
            before[i] = ends[at - 1]
        tails[at : at + 1] = [word.start]
        ends[at : at + 1] = [i]
    kept, i = set(), ends[-1]
    while True:
        kept.add(i)
        if i not in before:
            break
        i = before[i]
    return [word if i in kept else Word(word.text) for i, word in enumerate(words)]


def _as_written(tokens: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """The words of the text, with punctuation, with the times of the recogniser's, which have the same letters."""
    result: list[Word] = []
    j = 0
    i = 0
    while i < len(tokens):
        if not _letters(tokens[i]) or j == len(words):
            at = result[-1].stop if result else words[0].start
            result.append(Word(tokens[i], at, at))
            i += 1
            continue
        first_i, first_j = i, j
        written, spoken = len(_letters(tokens[i])), len(_letters(words[j].text))
        i, j = i + 1, j + 1
        while written != spoken or spoken == 0:
            if written < spoken:
                written += len(_letters(tokens[i]))
                i += 1
            else:
                spoken += len(_letters(words[j].text))
                j += 1
        group = words[first_j:j]
        piece = tuple(Word(token) for token in tokens[first_i:i])
        result += spread(Segment(group[0].start, max(w.stop for w in group), None, piece)).words
    return result


def _has_time(word: Word) -> bool:
    return not (math.isnan(word.start) and math.isnan(word.stop))


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _count(counts: Counts, finding: str, number: int = 1) -> None:
    if number:
        counts[finding] = counts.get(finding, 0) + number
