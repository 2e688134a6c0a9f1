"""What is known about one utterance's prediction, as plain records; `occlusion.explain` finds it out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MissingExtraError
from mecam.evaluation.explanation.agreement import Agreement
from mecam.evaluation.explanation.perturbation import Effect, InputPart, Target
from mecam.files import write_whole
from mecam.types import Label, Modality

__all__ = [
    "ALL",
    "REMOVAL",
    "REMOVED_BELOW",
    "STEPS",
    "Explanation",
    "ModalityExplanation",
    "PartEffect",
    "explanation_document",
    "has_captum",
    "in_short",
    "require_captum",
    "result_document",
    "write_document",
]

ALL = "all"
"""Key of what the filter marks in all modalities together."""

STEPS = 50
"""Points of the path at which integrated gradients are taken."""

REMOVED_BELOW = 0.5
"""A row or word of which less than this was kept counts as removed by the filter."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PartEffect:
    """A word or window: what the filter kept of it, and what it does.

    Attributes:
        part: which.
        kept: mean gate of its observed rows; None without a filter, or where nothing was observed.
        without: the answer when this part alone is left out.
        gradient: integrated gradients of its rows, summed; None if not requested.
    """

    part: InputPart
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
class ModalityExplanation:
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
        return np.zeros(len(self.observed), bool) if self.kept is None else self.observed & (self.kept < REMOVED_BELOW)

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
class Gradients:
    """Integrated gradients of one utterance.

    Attributes:
        rows: modality → T, per row (for text: per word) what it adds to the score, summed over its features.
        score: the target at the end of the path.
        baseline: at its start.
        total: sum of all attributions, those of special tokens included.
        error: total − (score − baseline): completeness, which is exact for infinitely many steps.
        held: modalities that the model reads in a way which no path goes through; they stood still.
        steps: of the path.
    """

    rows: dict[Modality, NDArray[np.float64]]
    score: float
    baseline: float
    total: float
    error: float
    held: tuple[Modality, ...]
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; those of the rows stand with their parts."""
        return {key: value for key, value in vars(self).items() if key != "rows"} | {"held": list(self.held)}


@dataclass(frozen=True)
class Explanation:
    """One utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        truth: its label, if any.
        target: what is explained.
        score: that target for the utterance as it is.
        low: lower end of the interval around a score; None if there is none.
        high: upper end.
        label: the prediction in words.
        shares: modality → its part in the prediction; {} for models without shares.
        doubts: modality → the probability that it contradicts the others; {} for models that do not estimate it.
        modalities: modality → its rows.
        without_modality: modality → the answer without it; nothing where it is the only one.
        without_removed: modality, and `all` → the answer without what the filter marks; {} without a filter.
        gradients: of integrated gradients, the sum and its error; None if not requested.
    """

    id: str
    text: str | None
    truth: Label | None
    target: Target
    score: float
    low: float | None
    high: float | None
    label: str
    shares: dict[Modality, float]
    doubts: dict[Modality, float]
    modalities: dict[Modality, ModalityExplanation]
    without_modality: dict[Modality, Effect]
    without_removed: dict[str, Effect]
    gradients: Gradients | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; every key is always there, what is unknown is None."""
        return {
            "id": self.id,
            "text": self.text,
            "truth": dict(self.truth) if isinstance(self.truth, Mapping) else self.truth,
            "quantity": self.target.name,
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "label": self.label,
            "shares": self.shares,
            "doubts": self.doubts,
            "without_modality": {m: effect.to_json() for m, effect in self.without_modality.items()},
            "without_removed": {m: effect.to_json() for m, effect in self.without_removed.items()},
            "gradients": None if self.gradients is None else self.gradients.to_json(),
            "modalities": {m: of_modality.to_json() for m, of_modality in self.modalities.items()},
        }


def in_short(label: Label) -> str:
    """A label for print: a signed score, a class, the labels that are present."""
    if isinstance(label, Mapping):
        return ", ".join(name for name, value in label.items() if value > 0) or "none"
    return label if isinstance(label, str) else f"{label:+.2f}".replace("-", "−")


FORMAT, VERSION = "mecam-explanation", 2

REMOVAL = {
    "words": "replaced by the unknown token",
    "rows": "masked: not observed",
    "modalities": "absent",
    "marked": f"kept less than {REMOVED_BELOW:g} by the filter",
}
"""What leaving something out means."""


def explanation_document(
    explained: Sequence[Explanation],
    *,
    about: Mapping[str, Any],
    times: Sequence[tuple[float, float]] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Utterances explained.

    Args:
        explained: the utterances.
        about: `run`, `model` and `data`, by name.
        times: of each utterance in its recording, in seconds.
        notes: notes that belong to every result of this model.
    """
    spans: Sequence[tuple[float | None, float | None]] = times or [(None, None)] * len(explained)
    utterances = [
        {**one.to_json(), "start": start, "stop": stop} for one, (start, stop) in zip(explained, spans, strict=True)
    ]
    return {**result_document("explanation", about), "notes": list(notes), "utterances": utterances}


def result_document(kind: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What every document of this package begins with.

    Args:
        kind: `explanation`, `agreement` or `deletion`.
        about: run, model, data, split.
    """
    return {"format": FORMAT, "version": VERSION, "kind": kind, **about, "removal": dict(REMOVAL)}


def write_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write JSON, whole or not at all; return its path.

    Raises: DataError if it cannot be written.
    """
    return write_whole(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def has_captum() -> bool:
    """True if captum is installed."""
    return find_spec("captum") is not None


def require_captum() -> None:
    """Raise MissingExtraError unless captum is installed."""
    if not has_captum():
        raise MissingExtraError("captum")
