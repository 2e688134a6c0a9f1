"""What a data set offers a model: known before the model is built, and saved with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mecam.task import Task
from mecam.types import TEXT, FeatureSpec, Modality

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """What a data set offers a model; saved with every checkpoint.

    Attributes:
        task: kind of label.
        features: streams of numbers, modality → spec.
        raw_text: True if utterances have a transcript for a text encoder to read.
        prior: the best constant prediction on the train split (`Task.prior`), where outputs start.
        unimodal: modalities that have labels of their own.
    """

    task: Task
    features: Mapping[Modality, FeatureSpec] = field(default_factory=dict)
    raw_text: bool = False
    prior: tuple[float, ...] = (0.0,)
    unimodal: tuple[Modality, ...] = ()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Every modality on offer, text first, then in alphabetical order."""
        names = set(self.features) | ({TEXT} if self.raw_text else set())
        return tuple(sorted(names, key=lambda name: (name != TEXT, name)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {**asdict(self), "task": self.task.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Inputs":
        """Inverse of `to_json`."""
        return cls(
            task=Task.from_json(values["task"]),
            features={m: FeatureSpec(**{**s, "names": tuple(s["names"])}) for m, s in values["features"].items()},
            raw_text=values["raw_text"],
            prior=tuple(values["prior"]),
            unimodal=tuple(values.get("unimodal", ())),
        )
