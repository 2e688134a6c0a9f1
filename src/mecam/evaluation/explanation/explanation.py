"""What is known about one utterance's prediction, as plain records; `occlusion.explain` finds it out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.explanation.agreement import Agreement
from mecam.evaluation.explanation.asking import Quantity
from mecam.evaluation.explanation.gradients import Gradients
from mecam.evaluation.explanation.perturbation import Part
from mecam.types import Label, Modality

__all__ = ["ALL", "MARKED", "Effect", "Explanation", "PartEffect", "Strand", "in_short"]

ALL = "all"
"""Key of what the filter marks in all modalities together."""

MARKED = 0.5
"""A row or word of which less than this was kept counts as removed by the filter."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What leaving something out does.

    Attributes:
        score: the answer without it.
        adds: the answer with it less the answer without it: positive where it raises the answer by being there. The
            same sign as integrated gradients.
        count: rows or words that were left out; None for whole modalities.
    """

    score: float
    adds: float
    count: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; no count where there is none."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class PartEffect:
    """A word or window: what the filter kept of it, and what it does.

    Attributes:
        part: which.
        kept: mean gate of its observed rows; None without a filter, or where nothing was observed.
        without: the answer when this part alone is left out.
        gradient: integrated gradients of its rows, summed; None where not asked for.
    """

    part: Part
    kept: float | None
    without: Effect
    gradient: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "start": self.part.start,
            "stop": self.part.stop,
            "label": self.part.label,
            "seconds": None if self.part.seconds is None else list(self.part.seconds),
            "kept": self.kept,
            "score": self.without.score,
            "adds": self.without.adds,
            "gradient": self.gradient,
        }


@dataclass(frozen=True)
class Strand:
    """One modality of an utterance.

    Attributes:
        words: True if its rows are words.
        observed: per row, whether the model saw it.
        kept: per row, the gate; NaN where nothing was observed; None without a filter.
        injected: per row, whether negative information is known to lie there; None where nothing is known.
        kinds: of the negative information that is known.
        parts: words, or windows of rows.
        agreement: of two measures of the parts, by their names.
    """

    words: bool
    observed: NDArray[np.bool_]
    kept: Array | None
    injected: NDArray[np.bool_] | None
    kinds: tuple[str, ...]
    parts: tuple[PartEffect, ...]
    agreement: dict[str, Agreement] = field(default_factory=dict)

    @property
    def removed(self) -> NDArray[np.bool_]:
        """Rows that the filter marks as removed."""
        return np.zeros(len(self.observed), bool) if self.kept is None else self.observed & (self.kept < MARKED)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a row that was not observed has None for a gate."""
        kept = None
        if self.kept is not None:
            kept = [None if np.isnan(value) else round(value, 4) for value in self.kept.tolist()]
        return {
            "rows": "words" if self.words else "rows",
            "observed": self.observed.tolist(),
            "kept": kept,
            "removed": None if kept is None else self.removed.tolist(),
            "injected": None if self.injected is None else self.injected.tolist(),
            "kinds": list(self.kinds),
            "parts": [part.to_json() for part in self.parts],
            "agreement": {pair: asdict(agreement) for pair, agreement in self.agreement.items()},
        }


@dataclass(frozen=True)
class Explanation:
    """One utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        truth: its label, if any.
        quantity: what is explained.
        score: that quantity for the utterance as it is.
        low: lower end of the interval around a score; None where there is none.
        high: upper end.
        label: the prediction in words.
        shares: modality → its part in the prediction; {} for models without shares.
        doubts: modality → how probable it is that it contradicts the others; {} for models that do not ask.
        strands: modality → its rows.
        without_modality: modality → the answer without it; nothing where it is the only one.
        without_removed: modality, and `all` → the answer without what the filter marks; {} without a filter.
        gradients: of integrated gradients, the sum and its error; None where not asked for.
    """

    id: str
    text: str | None
    truth: Label | None
    quantity: Quantity
    score: float
    low: float | None
    high: float | None
    label: str
    shares: dict[Modality, float]
    doubts: dict[Modality, float]
    strands: dict[Modality, Strand]
    without_modality: dict[Modality, Effect]
    without_removed: dict[str, Effect]
    gradients: Gradients | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; every key is always there, what is unknown is None."""
        return {
            "id": self.id,
            "text": self.text,
            "truth": dict(self.truth) if isinstance(self.truth, Mapping) else self.truth,
            "quantity": self.quantity.name,
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "label": self.label,
            "shares": self.shares,
            "doubts": self.doubts,
            "without_modality": {m: effect.to_json() for m, effect in self.without_modality.items()},
            "without_removed": {m: effect.to_json() for m, effect in self.without_removed.items()},
            "gradients": None if self.gradients is None else self.gradients.to_json(),
            "modalities": {m: strand.to_json() for m, strand in self.strands.items()},
        }


def in_short(label: Label) -> str:
    """A label for print: a signed score, a class, the labels that are present."""
    if isinstance(label, Mapping):
        return ", ".join(name for name, value in label.items() if value > 0) or "none"
    return label if isinstance(label, str) else f"{label:+.2f}".replace("-", "−")
