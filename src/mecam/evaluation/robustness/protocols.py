"""The protocols: which conditions a model is measured under, and the figures that sum them up.

A summary is a weighted sum of one metric over conditions, which is all that a mean, an area under a curve and
effective robustness are; so one bootstrap and one test serve them all.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations

from mecam.errors import ConfigError
from mecam.evaluation.robustness.conditions import (
    CLEAN,
    RATES,
    SEVERITIES,
    STREAM_KINDS,
    TEXT_KINDS,
    Condition,
    FeatureCorruption,
    RandomMissing,
    Remaining,
    recording_conditions,
)
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.interventions import interventions
from mecam.evaluation.robustness.missing import HIGH_RATES, LOW_RATE, Blocks, Imbalanced, NoisyMissing
from mecam.types import TEXT, Modality

__all__ = ["GRADED", "PERMUTATION", "PROTOCOLS", "RATED", "SEEDS", "Plan", "Summary", "plan", "plans"]

SEEDS = (1111, 1112, 1113)
"""Of the masks, as published; further ones count on."""


PERMUTATION = "permutation"
RATED = ("random-missing", "random-missing-noise", "blocks")
"""Protocols whose conditions are missing rates of all modalities."""

GRADED = ("corruptions", "raw")
"""Protocols whose conditions are kinds of corruption at several severities."""


@dataclass(frozen=True)
class Summary:
    """A weighted sum of a metric over conditions.

    Attributes:
        name: its key in files.
        title: what it is, in words.
        weights: key of a condition → weight.
        loss: True where it says how much of the metric is lost, so that less of it is better.
        divisible: True for a mean that can be taken over some of its conditions; what a protocol defines cannot.
    """

    name: str
    title: str
    weights: Mapping[str, float]
    loss: bool = False
    divisible: bool = False


@dataclass(frozen=True)
class Plan:
    """A protocol for certain modalities.

    Attributes:
        protocol: its name.
        conditions: what to measure, `clean` first.
        summaries: what to sum up; the one that counts first.
    """

    protocol: str
    conditions: tuple[Condition, ...]
    summaries: tuple[Summary, ...]


def plan(
    protocol: str,
    data: EvaluationSplit,
    modalities: Sequence[Modality],
    *,
    only: Sequence[str] = (),
    corrupted: Sequence[str] = (),
) -> Plan:
    """Describe what a protocol measures on this split; as `plans`, of a single one."""
    return plans([protocol], data, modalities, only=only, corrupted=corrupted)[0]


def plans(
    protocols: Sequence[str],
    data: EvaluationSplit,
    modalities: Sequence[Modality],
    *,
    only: Sequence[str] = (),
    corrupted: Sequence[str] = (),
) -> list[Plan]:
    """Describe what protocols measure on this split.

    Args:
        protocols: keys of `PROTOCOLS`.
        data: the split that is corrupted.
        modalities: those that any of the models reads and the split has.
        only: patterns of condition keys (`text.*`, `*.noise.*`); all when empty. `clean` is always measured. Means
            are then over what is measured, and say so. A protocol without such a condition is left out.
        corrupted: patterns of condition keys of the other protocols: under `permutation`, what the split is corrupted
            by, beside being left as it is.

    Raises: ConfigError for an unknown protocol, or patterns that nothing is like.
    """
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise ConfigError(f"there is no protocol {protocol!r}", fix=f"choose one of {', '.join(PROTOCOLS)}")
    if corrupted and PERMUTATION not in protocols:
        raise ConfigError(
            f"{', '.join(protocols)} corrupts the data in its own way",
            where="--corrupted",
            fix=f"leave it out, or choose the protocol {PERMUTATION}",
        )
    wholes = [
        permutation(data, modalities, corrupted) if name == PERMUTATION else PROTOCOLS[name](data, modalities)
        for name in dict.fromkeys(protocols)
    ]
    keys = [condition.key for whole in wholes for condition in whole.conditions[1:]]
    _require_known(only, [*keys, CLEAN.key], where="--only", what=f"condition of {', '.join(protocols)} on this data")
    least = 1 if not only or _like(CLEAN.key, only) else 2
    return [left for whole in wholes if len((left := _only(whole, only)).conditions) >= least]


def _only(whole: Plan, patterns: Sequence[str]) -> Plan:
    """The part of a plan whose conditions are like the patterns; all of it where there are none."""
    if not patterns:
        return whole
    kept = [c for c in whole.conditions if c is CLEAN or _like(c.key, patterns)]
    reduced = (_reduced(summary, {condition.key for condition in kept}) for summary in whole.summaries)
    return Plan(whole.protocol, tuple(kept), tuple(summary for summary in reduced if summary is not None))


def _like(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _require_known(patterns: Sequence[str], keys: Sequence[str], *, where: str, what: str) -> None:
    """Refuse a pattern that no key is like."""
    for pattern in patterns:
        if not any(_like(key, [pattern]) for key in keys):
            raise ConfigError(
                f"no {what} is like {pattern!r}", where=where, fix=f"the conditions are {', '.join(keys[:3])}, …"
            )


def random_missing(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """Words and rows lost at random, and zeros in their place."""
    return _over_rates("random-missing", RandomMissing.at)


def random_missing_noise(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """The same with noise in their place."""
    return _over_rates("random-missing-noise", NoisyMissing.at)


def blocks(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """One stretch of every utterance lost."""
    return _over_rates("blocks", Blocks.at)


def imbalanced(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """One modality at a high missing rate and the others at a low one, every modality in turn."""
    steps = [Imbalanced.at(modality, rate) for modality in modalities for rate in HIGH_RATES]
    summaries = [_mean("mean", "mean over all modalities and rates", [step.key for step in steps], divisible=True)]
    for modality in modalities:
        keys = [step.key for step in steps if step.modality == modality]
        title = f"mean over the rates of {modality}, {100 * LOW_RATE:.0f} % of the others missing"
        summaries.append(_mean(modality, title, keys, divisible=True))
    return Plan("imbalanced", (CLEAN, *steps), tuple(summaries))


def _over_rates(protocol: str, at: Callable[[float], Condition]) -> Plan:
    """Rates 0, 0.1 … 1; the mean over 0 … 0.9, the area, and effective robustness."""
    steps = [at(rate) for rate in RATES]
    keys = ["clean", *(step.key for step in steps[1:])]  # at rate 0 nothing is missing
    width = RATES[1] - RATES[0]
    area = {key: width * (0.5 if key in (keys[0], keys[-1]) else 1.0) for key in keys}
    effective = {key: (1.0 if key == keys[0] else 0.0) - weight for key, weight in area.items()}
    summaries = (
        _mean("mean", "mean over the rates 0, 0.1 … 0.9", keys[:-1]),
        Summary("auilc", "area under the metric over the rates 0 to 1 (AUILC, trapezoids)", area),
        Summary("effective", "clean minus the area (effective robustness: the average loss)", effective, loss=True),
    )
    return Plan(protocol, (CLEAN, *steps[1:]), summaries)


def missing_modality(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """Every combination of modalities that are left, and the mean over those that are not whole."""
    sizes = range(len(modalities) - 1, 0, -1)
    steps = [Remaining.of(left) for size in sizes for left in combinations(modalities, size)]
    summaries = (_mean("mean", "mean over all incomplete combinations", [step.key for step in steps]),) if steps else ()
    return Plan("missing-modality", (CLEAN, *steps), summaries)


def corruptions(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """Every corruption of every modality at five severities, and means over them."""
    steps = []
    for modality in modalities:
        words = modality == TEXT and data.raw_text
        for kind in TEXT_KINDS if words else STREAM_KINDS:
            steps += [FeatureCorruption.at(modality, kind, severity, words=words) for severity in SEVERITIES]
    return _graded("corruptions", steps)


def raw(data: EvaluationSplit, modalities: Sequence[Modality]) -> Plan:
    """Every corruption of the recordings at five severities, and means over them."""
    return _graded("raw", recording_conditions(data, modalities))


def permutation(data: EvaluationSplit, modalities: Sequence[Modality], corrupted: Sequence[str] = ()) -> Plan:
    """Gates and weights replaced, on the split as it is and as conditions of the other protocols corrupt it."""
    known: dict[str, Condition] = {}
    for protocol, make in PROTOCOLS.items() if corrupted else ():
        if protocol != PERMUTATION and (protocol != "raw" or data.recordings is not None):
            known |= {condition.key: condition for condition in make(data, modalities).conditions[1:]}
    _require_known(corrupted, list(known), where="--corrupted", what="condition of another protocol on this data")
    bases = [CLEAN, *(condition for key, condition in known.items() if _like(key, corrupted))]
    steps = [step for base in bases for step in (base, *interventions(base))]
    return Plan(PERMUTATION, tuple(steps), ())


PROTOCOLS: dict[str, Callable[[EvaluationSplit, Sequence[Modality]], Plan]] = {
    "random-missing": random_missing,
    "random-missing-noise": random_missing_noise,
    "imbalanced": imbalanced,
    "blocks": blocks,
    "missing-modality": missing_modality,
    "corruptions": corruptions,
    "raw": raw,
    PERMUTATION: permutation,
}
"""Name → what it measures on a split, of the modalities that the models read. A further protocol is an entry."""


def _reduced(summary: Summary, keys: Set[str]) -> Summary | None:
    """What is left of a summary when only these conditions are measured."""
    left = [key for key in summary.weights if key in keys]
    if len(left) == len(summary.weights):
        return summary
    if not left or not summary.divisible:
        return None
    title = f"{summary.title}, of those measured ({len(left)} of {len(summary.weights)})"
    return _mean(summary.name, title, left, divisible=True)


def _graded(protocol: str, steps: Sequence[Condition]) -> Plan:
    """Conditions of several severities, and means of each kind, each modality and all."""
    summaries = [_mean("mean", "mean over all corruptions and severities", [s.key for s in steps], divisible=True)]
    for modality in dict.fromkeys(step.modality for step in steps):
        mine = [step for step in steps if step.modality == modality]
        for kind in dict.fromkeys(step.kind for step in mine):
            keys = [step.key for step in mine if step.kind == kind]
            title = f"{modality} {kind}: mean over the severities"
            summaries.append(_mean(f"{modality}.{kind}", title, keys, divisible=True))
        title = f"mean over all corruptions of {modality}"
        summaries.append(_mean(modality, title, [step.key for step in mine], divisible=True))
    return Plan(protocol, (CLEAN, *steps), tuple(summaries))


def _mean(name: str, title: str, keys: Sequence[str], *, divisible: bool = False) -> Summary:
    return Summary(name, title, {key: 1 / len(keys) for key in keys}, divisible=divisible)
