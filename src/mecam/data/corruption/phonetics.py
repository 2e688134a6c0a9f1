"""Which words sound alike: a small phonetic spelling of English, and a vocabulary that is asked for neighbours.

It is rough on purpose: it serves to make the mistakes that a speech recogniser makes, not to transcribe. A letter
that no rule knows (another script) stands for itself, so words of any language have neighbours in their spelling.
"""

import re
from collections.abc import Iterable
from functools import cache

__all__ = ["FILLERS", "Sounds", "common_sounds", "phones"]

FILLERS = ("the", "a", "and", "uh", "it", "to", "in", "of", "is", "that", "so", "um")
"""Short words that a recogniser puts in where nothing was said."""

NEAREST = 5
"""Neighbours that are drawn from."""

SHORTLIST = 40
"""Words that are compared sound by sound; a glance rules out the rest."""

# From the longest spelling to the shortest; what stands here first wins. E is any weak vowel, 0 is th, X is sh,
# C is ch, Q is ng.
_SPELLINGS = (
    (r"tion|sion|cian", "XEN"), (r"ough(?=t)", "O"), (r"ough", "O"), (r"augh", "O"), (r"eigh", "A"), (r"igh", "I"),
    (r"tch|ch", "C"), (r"sch", "SK"), (r"sh", "X"), (r"th", "0"), (r"ph", "F"), (r"wh", "W"),
    (r"\bkn|\bgn", "N"), (r"\bwr", "R"), (r"\bps", "S"), (r"mb\b", "M"), (r"mn\b", "M"), (r"dge", "J"), (r"ck", "K"),
    (r"qu", "KW"), (r"ng\b", "Q"), (r"nk", "QK"), (r"\bgh", "G"), (r"gh", ""), (r"sc(?=[eiy])", "S"), (r"x", "KS"),
    (r"c(?=[eiy])", "S"), (r"g(?=[eiy])", "J"), (r"[ckq]+", "K"), (r"ee|ea|ie|ei", "Y"), (r"oo|ou|ew|ue", "U"),
    (r"ai|ay|ey", "A"), (r"oa|ow|aw|au", "O"), (r"oi|oy", "OY"), (r"(?<=[b-df-hj-np-tv-z])e\b", ""),
    (r"(?<=[a-z])y\b", "Y"), (r"y", "Y"), (r"a", "A"), (r"e", "E"), (r"i", "I"), (r"o", "O"), (r"u", "U"),
    (r"b+", "B"), (r"d+", "D"), (r"f+", "F"), (r"g+", "G"), (r"h", "H"), (r"j", "J"), (r"l+", "L"), (r"m+", "M"),
    (r"n+", "N"), (r"p+", "P"), (r"r+", "R"), (r"s+", "S"), (r"t+", "T"), (r"v", "V"), (r"w", "W"), (r"z+", "Z"),
)  # fmt: skip
_RULES = re.compile("|".join(f"({spelling})" for spelling, _ in _SPELLINGS) + r"|(\w)")

# Sounds that are easily taken for each other.
_GROUPS = ("BP", "DT0", "GK", "VF", "ZSXCJ", "MNQ", "LRW", "AEIOUY")
_GROUP = {sound: group[0] for group in _GROUPS for sound in group}
_VOWELS = frozenset("AEIOUY")

_COMMON = """
a about after again all almost also always am an and another any are around as ask at away back bad be because bed
been before being best better big black book both boy bring but buy by call came can car care case change child come
could cut day did different do does done door down each end enough even ever every eye face fact family far fast feel
feet few fight find first five food for found four friend from fun game gave get girl give go going gone good got great
group had half hand happy hard has hat have he head hear heard help her here high him his hit hold home hope hot hour
house how i idea if in into is it its job just keep kid kind knew know land last late law lead learn leave left less let
life light like line list little live long look lost lot love low made make man many may maybe me mean meet men might
mind mine miss money more most mother move much must my name near need never new next nice night no not nothing now of
off often oh okay old on once one only open or other our out over own page part past pay people person place plan play
point poor pretty put quite ran read real really red rest right road room run sad said same saw say scene school sea see
seem seen sent set seven she short should show side since sit six size small so some song soon sound start state stay
still stop story such sure take talk team tell ten than that the their them then there these they thing think this those
though thought three through time to today told too took top town try turn two uh um under until up us use very voice
wait walk want war was watch water way we week well went were what when where which while white who whole whose why will
wind wish with woman word work world worse worst would write wrong year yes yet you young your
"""


@cache
def phones(word: str) -> str:
    """Spell a word by its sounds, one letter each; what is neither letter nor digit is left out."""
    found = []
    for match in _RULES.finditer(word.lower()):
        number = match.lastindex
        assert number is not None
        found.append(_SPELLINGS[number - 1][1] if number <= len(_SPELLINGS) else match.group())
    return "".join(found)


class Sounds:
    """A vocabulary that knows which of its words sound alike.

    Args:
        words: those that may be heard instead of others, in any case, with or without the signs around them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted({core for word in words if (core := re.sub(r"^\W+|\W+$", "", word.lower()))})
        self._near: dict[str, tuple[str, ...]] = {}
        self._alike: dict[str, list[str]] = {}  # skeleton → its words
        self._nearly: dict[str, list[str]] = {}  # skeleton without one of its sounds → words
        for word in self._words:
            skeleton = _skeleton(word)
            self._alike.setdefault(skeleton, []).append(word)
            for key in _shortened(skeleton):
                self._nearly.setdefault(key, []).append(word)

    def neighbours(self, word: str) -> tuple[str, ...]:
        """At most five other words that sound most like this one, the nearest first."""
        word = word.lower()
        if word not in self._near:
            skeleton = _skeleton(word)
            near = {*self._alike.get(skeleton, ())} - {word}
            if len(near) < NEAREST:
                near |= {other for key in _shortened(skeleton) for other in self._nearly.get(key, ())} - {word}
            others = near or ({*self._words} - {word})  # nothing near: whatever sounds least unlike
            own = phones(word)
            likely = sorted(others, key=lambda other: (_contrast(own, phones(other)), other))[:SHORTLIST]
            ranked = sorted(likely, key=lambda other: (_distance(own, phones(other)), other))
            self._near[word] = tuple(ranked[:NEAREST])
        return self._near[word]

    def alike(self, word: str, draw: float) -> str:
        """One of the neighbours, a nearer one more often; the word itself where there is none.

        Args:
            word: any word.
            draw: in [0, 1), decides which.
        """
        near = self.neighbours(word)
        # The square root of what is left turns a uniform draw into one that falls towards 0.
        return near[int((1 - (1 - draw) ** 0.5) * len(near))] if near else word.lower()


@cache
def common_sounds() -> Sounds:
    """Some four hundred common English words, for texts that bring no vocabulary."""
    return Sounds(_COMMON.split())


def _skeleton(word: str) -> str:
    """The consonants of a word, by groups of those that are easily confused."""
    return "".join(_GROUP.get(sound, sound) for sound in phones(word) if sound not in _VOWELS | {"H"})


def _shortened(skeleton: str) -> set[str]:
    """The skeleton, and what is left of it without any one of its sounds: two that share one are near."""
    return {skeleton} | {skeleton[:i] + skeleton[i + 1 :] for i in range(len(skeleton))}


def _contrast(first: str, second: str) -> int:
    """A glance at how different two spellings are: sounds that only one has, and the difference in length."""
    return len(set(first) ^ set(second)) + abs(len(first) - len(second))


def _distance(first: str, second: str) -> float:
    """Least cost of turning one spelling by sounds into the other."""
    row = [0.0]
    for sound in second:
        row.append(row[-1] + _weight(sound))
    for one in first:
        cost, group = _weight(one), _GROUP.get(one, one)
        above, row = row, [row[0] + cost]
        for j, other in enumerate(second):
            swap = 0.0 if one == other else 0.4 if group == _GROUP.get(other, other) else 1.0
            row.append(min(above[j] + swap, above[j + 1] + cost, row[-1] + _weight(other)))
    return row[-1]


def _weight(sound: str) -> float:
    """Of a sound that is there or not: a vowel or a breath counts half."""
    return 0.5 if sound in _VOWELS or sound == "H" else 1.0
