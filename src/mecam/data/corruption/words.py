"""Corruptions of a text, as a choice or an edit of its words. A word is what `str.split` makes of the text.

A choice says for every place of a text which old word stands there now; −1 is a missing word. An edit says for every
place of a new, shorter or longer text which old word it comes from and what it has become. Both are applied alike to
the words and to their sub-word ids, so the two never fall out of step.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption.phonetics import FILLERS, Sounds
from mecam.data.corruption.streams import chosen, span_of

__all__ = [
    "MISSING_WORD",
    "Edit",
    "EditOperator",
    "WordOperator",
    "apply_choice",
    "deleted",
    "jumbled",
    "misheard",
    "missing",
    "shuffled",
    "truncated",
]

MISSING_WORD = "[UNK]"
"""How a word that is known to be missing is written in a text."""

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
