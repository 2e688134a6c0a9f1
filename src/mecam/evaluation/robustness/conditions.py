"""Conditions: the ways in which a split is spoilt, each a pure function of the material, an utterance and a seed.

What happens to an utterance depends on its id, the seed, the corruption and the modality only: not on the model, not
on the other utterances, and not on how much: a higher rate or severity takes what the lower one took, and more.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from mecam.data.corruption import OPERATORS, Corruption, Dose, corrupt_utterance, generator_for, noise_strength
from mecam.data.corruption import random_missing as lose_at_random
from mecam.data.corruption.utterances import Means
from mecam.errors import ConfigError
from mecam.evaluation.robustness.material import Material, missing_spans
from mecam.features.corruption import KINDS, Damage
from mecam.types import TEXT, VISION, Modality, Utterance

__all__ = [
    "CLEAN",
    "RATES",
    "SEVERITIES",
    "STREAM_KINDS",
    "TEXT_KINDS",
    "Clean",
    "Condition",
    "Corrupted",
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
"""Kinds that take a whole modality: how severe they are is how many utterances they befall."""


@dataclass(frozen=True)
class Condition(ABC):
    """One way of spoiling a split.

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

    @abstractmethod
    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """The utterance at `place`, spoilt; the very object of the material where nothing happens to it."""

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values."""
        return {"class": type(self).__name__, **asdict(self), "random": self.random}


@dataclass(frozen=True)
class Clean(Condition):
    """Nothing is done."""

    random: ClassVar[bool] = False

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """The utterance as it is."""
        return material.utterances[place]


CLEAN = Clean("clean", "clean")


@dataclass(frozen=True)
class RandomMissing(Condition):
    """Every word and row is lost independently with the same probability in all modalities.

    Source: Zhang et al., LNLN, NeurIPS 2024. Differs: see `mecam.data.corruption.random_missing`; the masks of the
    modalities are independent, and each seed draws its own.
    """

    @classmethod
    def at(cls, rate: float) -> "RandomMissing":
        """The condition of a rate in [0, 1]."""
        return cls(f"random-missing.{rate:g}", "random-missing", level=rate)

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """Draw what is lost; the draws do not depend on the rate."""
        utterance = material.utterances[place]
        if not self.level:
            return utterance
        return lose_at_random(utterance, generator_for(seed, self.kind, utterance.id), self.level, None)


@dataclass(frozen=True)
class Remaining(Condition):
    """Only some modalities are left; the others are absent, not zero.

    Attributes:
        left: the modalities that stay.
    """

    left: tuple[Modality, ...] = ()
    random: ClassVar[bool] = False

    @classmethod
    def of(cls, left: Sequence[Modality]) -> "Remaining":
        """The condition in which these modalities stay."""
        return cls(f"present.{'+'.join(left)}", "present", level=float(len(left)), left=tuple(left))

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """Take the other modalities away."""
        utterance, rng = material.utterances[place], generator_for(0, self.kind)
        for modality in material.modalities:
            if modality not in self.left and material.has(place, modality):
                utterance = OPERATORS["absent"](utterance, modality, Means(rng, Dose()))
        return utterance


@dataclass(frozen=True)
class Corrupted(Condition):
    """One modality is corrupted in one way.

    Attributes:
        extent: `Dose.extent`.
        strength: `Dose.strength`.
        share: of the utterances that it befalls.
        amount: the severity in the kind's own measure: a share, or an SNR in dB.
    """

    extent: float = 1.0
    strength: float = 0.0
    share: float = 1.0
    amount: float = field(default=0.0)

    @classmethod
    def at(cls, modality: Modality, kind: str, severity: int, *, words: bool) -> "Corrupted":
        """The condition of a severity from 1 to 5.

        Args:
            modality: where it is put.
            kind: a key of `TEXT_KINDS` (`words`) or of `STREAM_KINDS`.
            severity: from 1 to 5.
            words: True where the modality is a transcript.
        """
        amount = (TEXT_KINDS if words else STREAM_KINDS)[kind][severity - 1]
        dose = {"extent": float(amount), "strength": SPIKE}
        if kind == "noise":
            dose = {"strength": noise_strength(amount)}
        elif kind in OF_UTTERANCES:
            dose = {"share": float(amount)}
        return cls(f"{modality}.{kind}.{severity}", kind, modality, float(severity), amount=float(amount), **dose)

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """Corrupt the modality where the utterance has it, it is among those befallen, and there is a partner."""
        utterance = material.utterances[place]
        rng = generator_for(seed, self.kind, self.modality, utterance.id)
        befallen, which = rng.random(2).tolist()
        if befallen >= self.share or not material.has(place, self.modality):
            return utterance
        partner = None
        if self.kind in OF_UTTERANCES:
            choose = material.opposite if self.kind == "contradiction" else material.foreign
            partner = choose(place, self.modality, which)
            if partner is None:
                return utterance
        dose = Dose(self.extent, self.strength, scale=material.scale.get(self.modality, 1.0))
        plan = [Corruption(self.modality, self.kind, dose)]
        words = self.modality == TEXT and material.raw_text
        return corrupt_utterance(utterance, rng, plan=plan, partner=partner, sounds=material.sounds if words else None)


@dataclass(frozen=True)
class Damaged(Condition):
    """The recordings are damaged in one way.

    Attributes:
        amount: the severity in the unit of the kind.
        extent: part of every ten seconds that is touched.
        recordings: `Recordings.identity`.
    """

    amount: float = 0.0
    extent: float = EXTENT
    recordings: str = ""
    random: ClassVar[bool] = True

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """The utterance with the streams that its damaged recording gives; the others, and its text, stay."""
        assert material.recordings is not None
        utterance = material.utterances[place]
        hurt = material.recordings.damaged(Damage(self.kind, self.amount, self.extent, seed)).get(utterance.id)
        streams: dict[Modality, Any] = dict(utterance.streams)
        intervals: dict[Modality, Any] = dict(utterance.intervals)
        for modality in material.recordings.made:
            for rows, given in ((streams, hurt.streams if hurt else {}), (intervals, hurt.intervals if hurt else {})):
                rows.pop(modality, None)
                if modality in given:
                    rows[modality] = given[modality]
        touched = (*(hurt.injected if hurt else ()), *missing_spans(streams))
        return replace(utterance, streams=streams, intervals=intervals, injected=touched)


def damage_conditions(material: Material, modalities: Sequence[Modality]) -> list[Damaged]:
    """Every kind of damage at five severities to what these modalities were extracted from.

    Raises: ConfigError where the recordings are not known.
    """
    if material.recordings is None:
        raise ConfigError(
            "the protocol 'raw' damages the recordings that the store was extracted from: where are they?",
            where="--recordings",
            fix="give their folder, and with --labels the label table that the store was extracted with",
        )
    hurt = [modality for modality in modalities if modality in material.recordings.made]
    found = []
    for modality in hurt:
        medium = "picture" if modality == VISION else "sound"
        for name, kind in KINDS.items():
            if kind.medium == medium:
                found += [
                    Damaged(
                        f"{modality}.{name}.{severity}",
                        name,
                        modality,
                        float(severity),
                        amount=kind.levels[severity - 1],
                        recordings=material.recordings.identity,
                    )
                    for severity in SEVERITIES
                ]
    return found
