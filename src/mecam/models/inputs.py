"""What a data set offers a model: known before the model is built, and saved with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mecam.errors import DataError
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
        """Inverse of `to_json`.

        Raises: DataError if a value is none that it can have.
        """
        task = Task.from_json(values["task"])
        rest = {"unimodal": (), **{key: value for key, value in values.items() if key != "task"}}
        try:
            made = TypeAdapter(_Rest).validate_python(rest)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"inputs.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if len(made.prior) != task.outputs:
            raise DataError(f"inputs.prior: {len(made.prior)} numbers instead of {task.outputs}")
        return cls(task, made.features, made.raw_text, made.prior, made.unimodal)


@dataclass(frozen=True)
class _Rest:
    """All but the task, as a checkpoint holds it."""

    features: dict[Modality, FeatureSpec]
    raw_text: bool
    prior: tuple[float, ...]
    unimodal: tuple[Modality, ...]
