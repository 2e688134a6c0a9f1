"""Captions that say the same several times: rolling and growing lines, and the word that is highlighted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mecam.features.text.captions import MARK, Cue, plain
from mecam.features.text.word_times import placed
from mecam.types import Word

__all__ = ["each_word_once"]

NEAR_S = 0.15
"""A caption that repeats another follows it within this time."""
BLINK_S = 0.06
"""Nobody reads a caption that is shorter, and five times shorter than the one before; it only moves a line up."""
_LIT = re.compile(r"<(u|b|i|font|c)\b[^<>]*>(.*?)</\1>", re.IGNORECASE)


def each_word_once(cues: Sequence[Cue]) -> tuple[list[Cue], list[str]]:
    """Leave out what captions repeat from the one before, where the file is made so.

    *Rolling lines* (YouTube's automatic captions, roll-up captions of television): a caption begins with the last lines
    of the one before, and new lines come below; so does a *growing line*, that begins with all of the one before. The
    rule: of the captions that follow the one before within 0.15 s, half or more begin with its last lines or with all
    of it; and among those there is one of 0.06 s at most, or one with word marks, or two with something new below. A
    line with word marks is always new. Only in such a file the repeated lines are left out: within 0.15 s, or later
    where something new stands below them. Elsewhere two captions of the same words ("No." "No.") are both said.

    *Highlighted words* (Whisper's `--highlight_words`): captions of the same words follow each other, and in most
    another word is underlined or coloured, each after the one before. They become one caption, and each highlighted
    word has the times of the caption it is highlighted in.

    Returns: captions, and findings.
    """
    cues = [cue for cue in cues if any(plain(line) for line in cue.lines)]
    lit, count = _highlighted(cues)
    if count:
        return lit, [f"{count} captions highlight one word each: they are its times"]
    shown = [_Shown.of(cue) for cue in cues]
    repeats = [_repeat(a, b) for a, b in pairwise(shown)]
    if not _is_rolling(cues, shown, repeats):
        return list(cues), []
    kept = list(cues[:1])
    for cue, after, repeat in zip(cues[1:], shown[1:], repeats, strict=True):
        if repeat is None:
            kept.append(cue)
        elif repeat.lines and after.raw[repeat.lines :]:
            kept.append(replace(cue, lines=after.raw[repeat.lines :]))
        elif repeat.words and " ".join(after.lines).split()[repeat.words :]:
            kept.append(replace(cue, lines=(" ".join(" ".join(after.lines).split()[repeat.words :]),)))
    return kept, ["rolling captions: each line is read once, where it is new"]


@dataclass(frozen=True)
class _Shown:
    """What a caption shows: its lines that are not blank, as they are read and as they lie in the file."""

    start: float
    stop: float
    lines: tuple[str, ...]
    raw: tuple[str, ...]

    @classmethod
    def of(cls, cue: Cue) -> "_Shown":
        pairs = [(text, line) for line in cue.lines if (text := plain(MARK.sub("", line)))]
        return cls(cue.start, cue.stop, tuple(text for text, _ in pairs), tuple(line for _, line in pairs))


@dataclass(frozen=True)
class _Repeat:
    """How much of a caption is that of the one before: its first lines, or its first words."""

    lines: int = 0
    words: int = 0


def _repeat(before: _Shown, after: _Shown) -> _Repeat | None:
    near = -NEAR_S <= after.start - before.stop <= NEAR_S or before.start <= after.start <= before.stop
    unmarked = next((i for i, line in enumerate(after.raw) if MARK.search(line)), len(after.raw))
    for count in range(min(len(before.lines), unmarked), 0, -1):
        if before.lines[-count:] == after.lines[:count] and (near or count < len(after.lines)):
            return _Repeat(lines=count)
    old, new = " ".join(before.lines).split(), " ".join(after.lines).split()
    if near and unmarked == len(after.raw) and len(old) < len(new) and new[: len(old)] == old:
        return _Repeat(words=len(old))
    return None


def _is_rolling(cues: Sequence[Cue], shown: Sequence[_Shown], repeats: Sequence[_Repeat | None]) -> bool:
    near = [i for i, (a, b) in enumerate(pairwise(shown)) if b.start - a.stop <= NEAR_S]
    repeating = [i for i in near if repeats[i] is not None]
    if not repeating or 2 * len(repeating) < len(near):
        return False
    lengths = [cue.stop - cue.start for cue in shown]
    blinks = any(lengths[i + 1] <= min(BLINK_S, lengths[i] / 5) for i in repeating)
    marked = any(MARK.search(line) for i in repeating for cue in (cues[i], cues[i + 1]) for line in cue.lines)
    more = sum(1 for i in repeating if (r := repeats[i]) and (r.words or len(shown[i + 1].lines) > r.lines))
    return blinks or marked or more >= 2


def _highlighted(cues: Sequence[Cue]) -> tuple[list[Cue], int]:
    """One caption for each run of captions of the same words with another word lit in each; and how many were lit."""
    lit = [_lit_word(cue) for cue in cues]
    if 2 * sum(at is not None for at in lit) < len(cues):
        return [], 0
    runs: list[list[tuple[Cue, int | None]]] = []
    last: tuple[str, int] = ("", -1)
    for cue, at in zip(cues, lit, strict=True):
        text = plain(" ".join(cue.lines))
        if text != last[0] or (at is not None and at <= last[1]):
            runs.append([])
            last = (text, -1)
        runs[-1].append((cue, at))
        last = (text, last[1] if at is None else at)
    if all(sum(at is not None for _, at in run) < 2 for run in runs):
        return [], 0
    return [_of_run(run) for run in runs], sum(at is not None for at in lit)


def _of_run(run: Sequence[tuple[Cue, int | None]]) -> Cue:
    texts = plain(" ".join(run[0][0].lines)).split()
    words = [Word(text) for text in texts]
    for cue, at in run:
        if at is not None:
            words[at] = Word(texts[at], cue.start, cue.stop)
    start, stop = run[0][0].start, run[-1][0].stop
    return Cue(start, stop, (" ".join(texts),), tuple(placed(words, start, stop)))


def _lit_word(cue: Cue) -> int | None:
    """The number of the one word that is highlighted; None if there is none, or it is not one word."""
    raw = " ".join(cue.lines)
    found = list(_LIT.finditer(raw))
    if len(found) != 1 or len(plain(found[0][2]).split()) != 1:
        return None
    before = plain(raw[: found[0].start()] + "|")
    return len(before.split()) - 1
