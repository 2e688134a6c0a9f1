"""The conditions of robustness protocols in words, the same in tables and on pages."""

from mecam.evaluation.robustness.conditions import CLEAN, Condition, FeatureCorruption, RandomMissing
from mecam.evaluation.robustness.interventions import ALIKE, EXCHANGED, INVERTED, MEAN, Intervention
from mecam.evaluation.robustness.missing import Blocks, Imbalanced, NoisyMissing

__all__ = ["amount_of", "replaced"]

CHANGE_WORDS = {
    EXCHANGED: "exchanged",
    ALIKE: "exchanged (alike)",
    MEAN: "set to their mean",
    INVERTED: "inverted",
}


def amount_of(condition: Condition) -> str:
    """A condition in words."""
    if isinstance(condition, Intervention):
        data = "" if condition.corruption is CLEAN else f"{amount_of(condition.corruption)}: "
        return data + replaced(condition)
    if isinstance(condition, RandomMissing | NoisyMissing | Blocks):
        return f"{100 * condition.level:.0f} % missing"
    if isinstance(condition, Imbalanced):
        return f"{100 * condition.level:.0f} % of {condition.modality} missing"
    if condition.kind == "present":
        return "only " + condition.key.partition(".")[2].replace("+", " + ")
    if isinstance(condition, FeatureCorruption):
        amount = f"{condition.amount:g} dB" if condition.kind == "noise" else f"{100 * condition.amount:g} %"
        return f"{condition.modality} {condition.kind} {condition.level:g} ({amount})".replace("-", "−")
    return condition.key.replace(".", " ")


def replaced(condition: Intervention) -> str:
    """An intervention in words."""
    return f"{condition.part} {CHANGE_WORDS[condition.change]}"
