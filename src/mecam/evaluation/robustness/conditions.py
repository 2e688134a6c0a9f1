"""Conditions: the ways in which a split is corrupted, each a pure function of the split, an utterance and a seed.

What happens to an utterance depends on its id, the seed, the corruption and the modality only: not on the model, not
on the other utterances, and not on how much: a higher rate or severity takes what the lower one took, and more.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mecam.data.corruption import (
    Corruption,
    CorruptionContext,
    corrupt_utterance,
    generator_for,
    noise_severity,
    without_modality,
)
from mecam.data.corruption import random_missing as lose_at_random
from mecam.errors import ConfigError
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit, missing_spans
from mecam.features.corruption import KINDS
from mecam.types import TEXT, VISION, Modality, Utterance

__all__ = [
    "CLEAN",
    "RATES",
    "SEVERITIES",
    "STREAM_KINDS",
    "TEXT_KINDS",
    "Clean",
    "Condition",
    "FeatureCorruption",
    "RandomMissing",
    "Remaining",
]

RATES = tuple(round(0.1 * step, 1) for step in range(11))
"""Missing rates: reported up to 0.9, with 1 for the area under the curve."""

SEVERITIES = (1, 2, 3, 4, 5)

WORD_RATES = (0.1, 0.2, 0.3, 0.5, 0.7)
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
SHUFFLES = (0.2, 0.4, 0.6, 0.8, 1.0)
ERROR_RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
SHIFTS = (0.05, 0.1, 0.2, 0.3, 0.5)
SNR_DB = (20.0, 10.0, 5.0, 0.0, -5.0)
SPIKE = 4.0
"""Height of an impulse, and size of a burst of noise, in standard deviations."""

EXTENT = 0.5
"""Part of every ten seconds of a recording that is touched: the rest tells the filter what is clean."""

TEXT_KINDS: dict[str, tuple[float, ...]] = {
    "missing": WORD_RATES,
    "deleted": WORD_RATES,
    "jumbled": SHUFFLES,
    "shuffled": SHUFFLES,
    "misheard": ERROR_RATES,
    "truncated": CUTS,
    "foreign": SHARES,
    "contradiction": SHARES,
}
"""Corruptions of a transcript and what their severities are: a share of the words, or of the utterances."""

STREAM_KINDS: dict[str, tuple[float, ...]] = {
    "scattered": WORD_RATES,
    "dropped": WORD_RATES,
    "frozen": WORD_RATES,
    "noise": SNR_DB,
    "burst": WORD_RATES,
    "impulse": WORD_RATES,
    "channels": CUTS,
    "shift": SHIFTS,
    "foreign": SHARES,
    "contradiction": SHARES,
}
"""The same of a feature stream: a share of the rows, columns or utterances, or an SNR in dB."""

OF_UTTERANCES = ("foreign", "contradiction")
"""Kinds that take a whole modality: their severity is the share of the utterances that are corrupted."""


@dataclass(frozen=True)
class Condition(ABC):
    """One way of corrupting a split.

    Attributes:
        key: unique in a protocol; the name of the condition in files.
        kind: `clean`, `random-missing`, `present`, or a corruption.
        modality: where it is put; empty for all.
        level: missing rate, severity, or number of modalities left; 0 for none of it.
    """

    key: str
    kind: str
    modality: Modality = ""
    level: float = 0.0
    random: ClassVar[bool] = True
    """Whether another seed gives another result."""
    recorded: ClassVar[str]
    """The word for this class in files."""

    @abstractmethod
    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """The utterance at `place`, corrupted; the very object of the split where nothing happens to it."""

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values."""
        return {
            "class": self.recorded,
            "key": self.key,
            "kind": self.kind,
            "modality": self.modality,
            "level": self.level,
            "random": self.random,
        }


@dataclass(frozen=True)
class Clean(Condition):
    """Nothing is done."""

    recorded: ClassVar[str] = "Clean"
    random: ClassVar[bool] = False

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """The utterance as it is."""
        return data.utterances[place]


CLEAN = Clean("clean", "clean")

NOTHING = Corruption("noise", 0.0)
"""Noise of no size; each condition says what takes its place."""


@dataclass(frozen=True)
class RandomMissing(Condition):
    """Every word and row is lost independently with the same probability in all modalities.

    Source: Zhang et al., LNLN, NeurIPS 2024. Differs: see `mecam.data.corruption.random_missing`; the masks of the
    modalities are independent, and each seed draws its own.
    """

    recorded: ClassVar[str] = "RandomMissing"

    @classmethod
    def at(cls, rate: float) -> "RandomMissing":
        """The condition of a rate in [0, 1]."""
        return cls(f"random-missing.{rate:g}", "random-missing", level=rate)

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Draw what is lost; the draws do not depend on the rate."""
        utterance = data.utterances[place]
        if not self.level:
            return utterance
        return lose_at_random(utterance, generator_for(seed, self.kind, utterance.id), self.level, None)


@dataclass(frozen=True)
class Remaining(Condition):
    """Only some modalities are left; the others are absent, not zero.

    Attributes:
        left: the modalities that stay.
    """

    recorded: ClassVar[str] = "Remaining"
    random: ClassVar[bool] = False
    left: tuple[Modality, ...] = ()

    @classmethod
    def of(cls, left: Sequence[Modality]) -> "Remaining":
        """The condition in which these modalities stay."""
        return cls(f"present.{'+'.join(left)}", "present", level=float(len(left)), left=tuple(left))

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Take the other modalities away."""
        utterance = data.utterances[place]
        for modality in data.modalities:
            if modality not in self.left and data.has(place, modality):
                utterance = without_modality(utterance, modality)
        return utterance

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values."""
        return {**super().to_json(), "left": self.left}


@dataclass(frozen=True)
class FeatureCorruption(Condition):
    """The features or the text of one modality are corrupted in one way.

    Attributes:
        corruption: what is put into an utterance.
        share: of the utterances that are corrupted.
        amount: the severity in the kind's own measure: a share, or an SNR in dB.
    """

    recorded: ClassVar[str] = "Corrupted"
    corruption: Corruption = NOTHING
    share: float = 1.0
    amount: float = 0.0

    @classmethod
    def at(cls, modality: Modality, kind: str, severity: int, *, words: bool) -> "FeatureCorruption":
        """The condition of a severity from 1 to 5.

        Args:
            modality: where it is put.
            kind: a key of `TEXT_KINDS` (`words`) or of `STREAM_KINDS`.
            severity: from 1 to 5.
            words: True where the modality is a transcript.
        """
        amount = float((TEXT_KINDS if words else STREAM_KINDS)[kind][severity - 1])
        share = 1.0
        if kind == "noise":
            corruption = Corruption(kind, noise_severity(amount), modality=modality)
        elif kind in OF_UTTERANCES:
            corruption, share = Corruption(kind, 0.0, modality=modality), amount
        else:
            corruption = Corruption(kind, SPIKE, amount, modality=modality)
        key, level = f"{modality}.{kind}.{severity}", float(severity)
        return cls(key, kind, modality, level, corruption=corruption, share=share, amount=amount)

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """Corrupt the modality where the utterance has it, is among those chosen, and there is a partner."""
        utterance = data.utterances[place]
        rng = generator_for(seed, self.kind, self.modality, utterance.id)
        chosen, which = rng.random(2).tolist()
        if chosen >= self.share or not data.has(place, self.modality):
            return utterance
        partner = None
        if self.kind in OF_UTTERANCES:
            choose = data.opposite if self.kind == "contradiction" else data.foreign
            partner = choose(place, self.modality, which)
            if partner is None:
                return utterance
        scale = data.scale.get(self.modality, 1.0)
        sounds = data.sounds if self.modality == TEXT and data.raw_text else None
        context = CorruptionContext(rng, scale=scale, partner=partner, sounds=sounds)
        return corrupt_utterance(utterance, [self.corruption], context)

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values; `strength` is the severity of `corruption`."""
        one = self.corruption
        return {
            **super().to_json(),
            "extent": one.extent,
            "strength": one.severity,
            "share": self.share,
            "amount": self.amount,
        }


@dataclass(frozen=True)
class RecordingCorruption(Condition):
    """The recordings are corrupted in one way, and extracted again.

    Attributes:
        corruption: what is put into each recording; its seed is that of the masks.
        recordings: `Recordings.identity`.
    """

    recorded: ClassVar[str] = "Damaged"
    corruption: Corruption = NOTHING
    recordings: str = ""

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """The utterance with the streams that its corrupted recording gives; the others, and its text, stay."""
        assert data.recordings is not None
        utterance = data.utterances[place]
        found = data.recordings.corrupted(replace(self.corruption, seed=seed)).get(utterance.id)
        streams: dict[Modality, Any] = dict(utterance.streams)
        intervals: dict[Modality, Any] = dict(utterance.intervals)
        for modality in data.recordings.made:
            for rows, given in (
                (streams, found.streams if found else {}),
                (intervals, found.intervals if found else {}),
            ):
                rows.pop(modality, None)
                if modality in given:
                    rows[modality] = given[modality]
        touched = (*(found.injected if found else ()), *missing_spans(streams))
        return replace(utterance, streams=streams, intervals=intervals, injected=touched)

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values; `amount` is the severity in the unit of the kind."""
        known = {"amount": self.corruption.severity, "extent": self.corruption.extent, "recordings": self.recordings}
        return {**super().to_json(), **known}


def recording_conditions(data: EvaluationSplit, modalities: Sequence[Modality]) -> list[RecordingCorruption]:
    """Every corruption of recordings at five severities, for what these modalities were extracted from.

    Raises: ConfigError where the recordings are not known.
    """
    if data.recordings is None:
        raise ConfigError(
            "the protocol 'raw' needs the recordings that the store was extracted from",
            where="--recordings",
            fix="give their folder with --recordings, and the label table of the extraction with --labels",
        )
    found = []
    for modality in [modality for modality in modalities if modality in data.recordings.made]:
        medium = "picture" if modality == VISION else "sound"
        for name, kind in KINDS.items():
            for severity in SEVERITIES if kind.medium == medium else ():
                corruption = Corruption(name, kind.levels[severity - 1], EXTENT)
                key = f"{modality}.{name}.{severity}"
                found.append(
                    RecordingCorruption(
                        key,
                        name,
                        modality,
                        float(severity),
                        corruption=corruption,
                        recordings=data.recordings.identity,
                    )
                )
    return found
