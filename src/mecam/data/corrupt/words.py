"""Corruptions of a text, as a choice of words: for every place of the new text, which old word stands there.

A choice is a list of word indices in which −1 is a missing word. It is applied alike to the words and to
their sub-word ids, so the two never fall out of step. A word is what `str.split` makes of the text.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from mecam.data.corrupt.streams import chosen, span_of

__all__ = ["MISSING_WORD", "WordOperator", "apply_choice", "missing", "shuffled"]

MISSING_WORD = "[UNK]"
"""How a word that is known to be missing is written in a text."""

WordOperator: TypeAlias = Callable[[int, np.random.Generator, float], list[int]]
_Item = TypeVar("_Item")


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
    ring = (start + rng.permutation(stop - start)).tolist()
    for place, source in zip(ring, ring[1:] + ring[:1], strict=True):
        choice[place] = source
    return choice


def apply_choice(items: Sequence[_Item], choice: Sequence[int], absent: _Item) -> list[_Item]:
    """Take the chosen items; `absent` stands for a missing one."""
    return [absent if source < 0 else items[source] for source in choice]
