"""Missing data that is not a mask of zeros at one rate: noise in its place, other rates per modality, whole stretches.

Pure functions of the split, an utterance and a seed, as all conditions; a higher rate takes what the lower one took.
"""

from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar

import numpy as np

from mecam.data.corruption import generator_for, random_missing
from mecam.data.corruption.streams import changed_rows
from mecam.data.corruption.utterances import with_rows
from mecam.data.corruption.words import Edit, with_choice, with_edit, word_count
from mecam.evaluation.robustness.conditions import Condition
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.types import MISSING_WORD, Modality, Utterance

__all__ = ["HIGH_RATES", "LOW_RATE", "Blocks", "Imbalanced", "NoisyMissing"]

HIGH_RATES = (0.3, 0.5, 0.7, 0.9)
"""Missing rates of the modality that loses more than the others."""

LOW_RATE = 0.1
"""Missing rate of the others."""


@dataclass(frozen=True)
class NoisyMissing(Condition):
    """Random missing data whose place is filled with noise, so that no model can tell by a rule what is missing.

    A lost row holds noise of each column's mean and deviation, a lost word is a random word of the store, drawn as
    often as it occurs there. What the data lacks already stays missing.
    """

    recorded: ClassVar[str] = "NoisyMissing"

    @classmethod
    def at(cls, rate: float) -> "NoisyMissing":
        """The condition of a rate in [0, 1]."""
        return cls(f"random-missing-noise.{rate:g}", "random-missing-noise", level=rate)

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Draw what is lost and what is there instead; the draws do not depend on the rate."""
        utterance = data.utterances[place]
        for modality in data.modalities:
            if not data.has(place, modality):
                continue
            rng = generator_for(seed, self.kind, modality, utterance.id)
            if modality in utterance.streams:
                utterance = self._rows(utterance, modality, data, rng)
            else:
                utterance = self._words(utterance, data, rng)
        return utterance

    def _rows(
        self, utterance: Utterance, modality: Modality, data: EvaluationSplit, rng: np.random.Generator
    ) -> Utterance:
        before = utterance.streams[modality]
        lost = rng.random(len(before)) < self.level
        noise = data.centre[modality] + rng.standard_normal(before.shape) * data.scale[modality]
        after = before.copy()
        after[lost] = noise[lost]
        after[np.isnan(before).all(axis=1)] = np.nan
        return with_rows(utterance, modality, after, self.kind, changed_rows(before, after))

    def _words(self, utterance: Utterance, data: EvaluationSplit, rng: np.random.Generator) -> Utterance:
        words, known = (utterance.text or "").split(), data.spoken
        drawn = rng.random((2, len(words))).tolist()
        edit: Edit = []
        for place, (word, chance, which) in enumerate(zip(words, *drawn, strict=True)):
            new = known[int(which * len(known))] if chance < self.level and word != MISSING_WORD else word
            edit.append((place, new if new != word else None))
        return with_edit(utterance, self.kind, edit, None)


@dataclass(frozen=True)
class Imbalanced(Condition):
    """Random missing data at a high rate in one modality, and at a low one in the others.

    Source: Sun et al., RedCore, AAAI 2024: missing rates that differ between the modalities. Differs: words and rows
    are lost, not whole modalities; the rates are ours.
    """

    recorded: ClassVar[str] = "Imbalanced"

    @classmethod
    def at(cls, modality: Modality, rate: float) -> "Imbalanced":
        """The condition in which a modality loses this share, and the others `LOW_RATE`."""
        return cls(f"imbalanced.{modality}.{rate:g}", "imbalanced", modality, rate)

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Draw what is lost; the draws depend neither on the rate nor on which modality has the high one."""
        utterance = data.utterances[place]
        for modality in data.modalities:
            rate = self.level if modality == self.modality else LOW_RATE
            rng = generator_for(seed, self.kind, modality, utterance.id)
            utterance = random_missing(utterance, rng, rate, None, only=(modality,))
        return utterance

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values."""
        return {**super().to_json(), "others": LOW_RATE}


@dataclass(frozen=True)
class Blocks(Condition):
    """One stretch of an utterance is lost, the same part of it in all modalities: a connection that drops.

    Lost words are `[UNK]`, lost rows are zeros, as under random missing data.
    """

    recorded: ClassVar[str] = "Blocks"

    @classmethod
    def at(cls, rate: float) -> "Blocks":
        """The condition in which this share of every utterance is lost."""
        return cls(f"blocks.{rate:g}", "blocks", level=rate)

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Draw where the stretch lies; the draws do not depend on the rate, and a longer one holds the shorter."""
        utterance = data.utterances[place]
        where, rest = generator_for(seed, self.kind, utterance.id).random(2).tolist()
        for modality in data.modalities:
            if not data.has(place, modality):
                continue
            if modality in utterance.streams:
                before = utterance.streams[modality]
                after = before.copy()
                after[self._stretch(len(before), where, rest)] = 0.0
                utterance = with_rows(utterance, modality, after, self.kind, changed_rows(before, after))
            else:
                choice = np.arange(word_count(utterance))
                choice[self._stretch(len(choice), where, rest)] = -1
                utterance = with_choice(utterance, self.kind, choice.tolist(), None)
        return utterance

    def _stretch(self, count: int, where: float, rest: float) -> slice:
        """Places of a sequence that are lost: on average the rate of them, also of a short one."""
        length = floor(self.level * count + rest)
        start = floor(where * (count - length))
        return slice(start, start + length)
