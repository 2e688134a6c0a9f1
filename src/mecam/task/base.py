"""What every kind of task answers, and how it stands in files."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mecam.errors import DataError
from mecam.types import Label

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KINDS", "Targets", "Task"]

Array = NDArray[np.float64]
Targets = NDArray[np.float32] | NDArray[np.int64]

KINDS: dict[str, type["Task"]] = {}
"""Kind, as files name it → its class."""


@dataclass(frozen=True)
class Task(ABC):
    """What a data set asks for; heads, losses, metrics and the report follow from it.

    A prediction is one score where `is_score`, otherwise one probability for each of `names`.

    Attributes:
        low: the lowest possible score; scores only.
        high: the highest possible score; scores only.
        names: the classes or emotions, in the order of the columns of a prediction.
        kind: its name in files.
        answers: what it asks for, as a plural.
        leading: the metric that chooses checkpoints and that costs are measured in.
        mistake: what `mistakes` counts, in words.
        error_name: what `error` measures, in words.
        surprise_name: a heading for the utterances of the largest `surprise`.
        is_score: a prediction is one number on a scale.
        several: several names may be true at once.
    """

    low: float = field(default=-3.0, kw_only=True, repr=False)
    high: float = field(default=3.0, kw_only=True, repr=False)
    names: tuple[str, ...] = field(default=(), kw_only=True, repr=False)

    kind: ClassVar[str]
    answers: ClassVar[str]
    leading: ClassVar[str]
    mistake: ClassVar[str]
    error_name: ClassVar[str]
    surprise_name: ClassVar[str]
    is_score: ClassVar[bool] = False
    several: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    # --- in files and in words -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain values, as manifests and checkpoints hold them."""
        return {"kind": self.kind, **asdict(self)}

    @staticmethod
    def from_json(values: Any) -> "Task":
        """Inverse of `to_json`.

        Raises: DataError if the kind is unknown or a value is none that it can have.
        """
        kind = values.get("kind") if isinstance(values, Mapping) else None
        if not isinstance(kind, str) or kind not in KINDS:
            raise DataError(f"{kind!r} is no kind of task", fix=f"known are {', '.join(KINDS)}; or upgrade mecam")
        known = {item.name for item in fields(KINDS[kind])}
        try:
            task: Task = TypeAdapter(KINDS[kind]).validate_python({k: v for k, v in values.items() if k in known})
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"the task is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        return task

    @classmethod
    def parse(cls, text: str) -> "Task | None":
        """The task that `--task` describes, as `classes:joy,anger`; None if it describes none."""
        kind, _, rest = text.partition(":")
        return KINDS[kind]._parse(rest.strip()) if kind in KINDS else None

    @classmethod
    def _parse(cls, rest: str) -> "Task | None":
        names = tuple(part.strip() for part in rest.split(",") if part.strip())
        twice = len({name.casefold() for name in names}) < len(names)
        return None if twice or len(names) < 2 else cls(names=names)

    @property
    def description(self) -> str:
        """The kind, with the scale or the names."""
        return f"{self.kind} {', '.join(self.names)}"

    @property
    def family(self) -> str:
        """Which metrics apply (`mecam.evaluation.metrics`)."""
        return self.answers

    def matches(self, other: "Task") -> bool:
        """Whether both ask for the same, the order of names aside."""
        scale = (other.kind, other.low, other.high)
        return (self.kind, self.low, self.high) == scale and set(self.names) == set(other.names)

    # --- labels ----------------------------------------------------------------------------------------------

    def encode(self, labels: Sequence[object]) -> Targets:
        """Labels as `Targets.value` holds them: N scores, N class indices, or N × C presences.

        Raises: DataError for a label that the task does not know.
        """
        try:
            return self._encode(labels)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"a label does not fit the task {self.kind}: {error}") from error

    @abstractmethod
    def _encode(self, labels: Sequence[Any]) -> Targets: ...

    @abstractmethod
    def fits(self, label: object) -> bool:
        """True for a number, one of the classes, or a number per emotion, as the task asks."""

    def present(self, label: Any) -> Iterable[Any]:
        """What occurs where an utterance has this label: the score, the class, every label above 0."""
        return (label,)

    def histogram(self, labels: Sequence[Label | None]) -> dict[str, int]:
        """Utterances per bar: nearest of seven scores, class, or emotion that is present (> 0)."""
        counts = Counter(str(name) for label in labels if self.fits(label) for name in self.present(label))
        return {name: counts[name] for name in self.names}

    def opposites(self, labels: Sequence[object]) -> list[NDArray[np.int64]]:
        """For each of N labels, the positions of those that feel otherwise: any other label."""
        keys = [str(sorted(label.items()) if isinstance(label, dict) else label) for label in labels]
        groups = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        others = {group: np.flatnonzero(groups != group) for group in np.unique(groups)}
        return [others[group] for group in groups]

    @abstractmethod
    def prior(self, encoded: NDArray[Any]) -> tuple[float, ...]:
        """The outputs that are the best constant prediction on the given encoded labels."""

    # --- what a model gives ----------------------------------------------------------------------------------

    @property
    def outputs(self) -> int:
        """Number of values that a model predicts for one utterance."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one utterance's prediction, once its outputs are `probabilities`."""
        return (len(self.names),)

    def as_prediction(self, values: "Tensor") -> "Tensor":
        """B × outputs as `Output.prediction` wants it: B scores or B × C logits."""
        return values

    @abstractmethod
    def probabilities(self, prediction: "Tensor") -> "Tensor":
        """`Output.prediction` as predictions, in double precision: scores as they are, logits as probabilities."""

    def loss(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """Mean loss of a batch; 0 for an empty one.

        Args:
            prediction: `Output.prediction`.
            target: `Targets.value`.
        """
        return self._loss(prediction, target) if len(target) else prediction.sum() * 0.0

    @abstractmethod
    def _loss(self, prediction: "Tensor", target: "Tensor") -> "Tensor": ...

    @abstractmethod
    def linear(self, figures: Array, targets: NDArray[Any], strength: float) -> tuple[Array, Array]:
        """Fit a linear layer in closed form.

        Args:
            figures: N × F, standardised.
            targets: N encoded labels.
            strength: of the penalty on squared weights, per utterance.

        Returns: weights, outputs × F, and biases, whose sums are outputs as a loss takes them.
        """

    @abstractmethod
    def signed(self, target: "Tensor") -> "Tensor":
        """`Targets.value` as numbers around 0, one column per output: B × outputs."""

    @property
    def signed_limit(self) -> float:
        """How far from 0 a signed target may be."""
        return 1.0

    @abstractmethod
    def signed_loss(self, prediction: "Tensor", label: "Tensor", weight: "Tensor") -> "Tensor":
        """Weighted loss of outputs against soft signed targets, all B × outputs: one or more columns per utterance."""

    def groups(self, target: "Tensor") -> "Tensor":
        """Which utterances are alike, B × K: of the same class, with the same label; of scores, either side.

        Args:
            target: `Targets.value`; a score in the very middle belongs to no group.
        """
        return self.signed(target) > 0

    def affinity(self, target: "Tensor", *, spread: float) -> "Tensor":
        """How much each pair of utterances belongs together, from their labels: B × B, the diagonal 0.

        Scores: exp(−|y_i − y_j| / spread). Names: overlap of the sets (Jaccard), so 1 for the same class, else 0.

        Args:
            target: `Targets.value`.
            spread: σ_y, in units of the score.
        """
        member = self.groups(target).float()  # B K
        shared = member @ member.T  # B B
        count = member.sum(dim=1)
        return (shared / (count[:, None] + count[None, :] - shared).clamp(min=1)).fill_diagonal_(0.0)

    def comparable(self, outputs: "Tensor") -> "Tensor":
        """Outputs on one scale: scores from −1 to 1 with the middle of the range at 0, or probabilities."""
        return outputs.sigmoid()

    # --- predictions -----------------------------------------------------------------------------------------

    @abstractmethod
    def decide(self, prediction: Array) -> NDArray[Any]:
        """N predictions as labels in files: scores, the most probable class, all labels given, joined by |."""

    @abstractmethod
    def words(self, prediction: Any) -> str:
        """One prediction in words for people."""

    @abstractmethod
    def _truth(self, truth: Any) -> Any:
        """One encoded label as files hold it."""

    def columns(self, prediction: Any, truth: Any | None) -> dict[str, Any]:
        """One prediction as columns of a table: truth, label, and a probability per name."""
        odds = {f"prob_{name}": float(prediction[c]) for c, name in enumerate(self.names)}
        told = str(self.decide(prediction[None])[0])
        return {"truth": None if truth is None else self._truth(truth), "prediction": told, **odds}

    def read_columns(self, row: Mapping[str, str]) -> Any:
        """The prediction in a row of such a table: a score, or a probability per name."""
        return [float(row[f"prob_{name}"]) for name in self.names]

    def read_label(self, text: str) -> Label:
        """The label that stands in such a table."""
        return text

    @abstractmethod
    def error(self, prediction: Array, truth: Array) -> Array:
        """How wrong each of N predictions is; what models are ranked by."""

    @abstractmethod
    def mistakes(self, prediction: Array, truth: Array) -> Array:
        """1 for every decision that is wrong, else 0."""

    @abstractmethod
    def surprise(self, prediction: Array, truth: Array) -> Array:
        """How surprising the truth of each of N predictions is; sorts hard utterances."""

    def uncertainty(self, prediction: Array) -> Array | None:
        """How unsure each of N predictions is by itself: the entropy; None where it does not tell."""
        odds = np.clip(prediction, 1e-12, 1 - 1e-12)
        return np.asarray((-odds * np.log(odds)).sum(axis=1))
