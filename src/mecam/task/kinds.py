"""The kinds of task: a score, one of several names, several of them at once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mecam.task.base import Array, Targets, Task
from mecam.types import Label

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EMOTIONS", "Classes", "Labels", "Regression"]

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
"""CMU-MOSEI's emotions, in the order of its label columns."""

BINS = 7
"""Bars of a histogram of scores; on [−3, 3] they are the seven classes of Acc-7."""

SMALL = 1e-6

MOST_STEPS = 1000
"""Of the solver of a logistic regression; strong penalties take a few dozen."""


@dataclass(frozen=True)
class Regression(Task):
    """One score on a scale."""

    low: float = -3.0
    high: float = 3.0

    kind: ClassVar[str] = "regression"
    answers: ClassVar[str] = "scores"
    leading: ClassVar[str] = "mae"
    mistake: ClassVar[str] = "a score on the wrong side of the neutral one (utterances that are neutral are left out)"
    error_name: ClassVar[str] = "mean absolute error"
    surprise_name: ClassVar[str] = "Largest errors"
    is_score: ClassVar[bool] = True

    @classmethod
    def _parse(cls, rest: str) -> "Task | None":
        try:
            low, high = (float(part) for part in (rest or "-3,3").replace("..", ",").split(","))
        except ValueError:
            return None
        return cls(low, high) if -math.inf < low < high < math.inf else None

    @property
    def description(self) -> str:
        """The kind and the scale."""
        return f"{self.kind} [{self.low:g}, {self.high:g}]"

    @property
    def family(self) -> str:
        """The field's conventions for [−3, 3] (MOSI, MOSEI), for [−1, 1] (SIMS), and for any other range."""
        return {(-3.0, 3.0): "mosi", (-1.0, 1.0): "sims"}.get((self.low, self.high), "range")

    @property
    def middle(self) -> float:
        """The neutral score."""
        return (self.low + self.high) / 2

    def _encode(self, labels: Sequence[Any]) -> Targets:
        return np.array([float(label) for label in labels], np.float32)

    def fits(self, label: object) -> bool:
        """True for a number."""
        return isinstance(label, int | float)

    def histogram(self, labels: Sequence[Label | None]) -> dict[str, int]:
        """Utterances by the nearest of seven scores."""
        centres = np.linspace(self.low, self.high, BINS)
        scores = np.array([score for score in labels if self.fits(score)], np.float64)
        nearest = np.abs(scores[:, None] - centres).argmin(axis=1)
        return {f"{centre:+.3g}": int((nearest == i).sum()) for i, centre in enumerate(centres)}

    def opposites(self, labels: Sequence[object]) -> list[NDArray[np.int64]]:
        """The positions of scores of the other sign; one within 10 % of the middle has no opposite."""
        scores = (np.array(labels, np.float64) - self.middle) / ((self.high - self.low) / 2)
        signs = np.sign(np.where(np.abs(scores) < 0.1, 0.0, scores)).astype(np.int64)
        others = {sign: np.flatnonzero(signs == -sign) if sign else np.empty(0, np.int64) for sign in np.unique(signs)}
        return [others[sign] for sign in signs]

    def prior(self, encoded: NDArray[Any]) -> tuple[float, ...]:
        """The median, which minimises MAE."""
        return (float(np.median(np.asarray(encoded, np.float64))),)

    @property
    def outputs(self) -> int:
        """The score."""
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        """A score is a plain number."""
        return ()

    def as_prediction(self, values: "Tensor") -> "Tensor":
        """B × 1 as B scores."""
        return values.squeeze(-1)

    def probabilities(self, prediction: "Tensor") -> "Tensor":
        """Scores as they are."""
        return prediction.double()

    def _loss(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        return (prediction - target).abs().mean()  # L1, the field's choice for MOSI-like scores

    def linear(self, figures: Array, targets: NDArray[Any], strength: float) -> tuple[Array, Array]:
        """Ridge regression."""
        from sklearn.linear_model import Ridge

        found = Ridge(alpha=strength * len(figures)).fit(figures, targets.astype(np.float64))
        return found.coef_[None, :], np.array([found.intercept_])

    def signed(self, target: "Tensor") -> "Tensor":
        """The distance from the middle of the range."""
        return (target - self.middle).unsqueeze(1)

    @property
    def signed_limit(self) -> float:
        """Half of the range."""
        return (self.high - self.low) / 2

    def signed_loss(self, prediction: "Tensor", label: "Tensor", weight: "Tensor") -> "Tensor":
        """L1."""
        return (prediction - label - self.middle).abs() * weight  # B 1

    def groups(self, target: "Tensor") -> "Tensor":
        """Above and below the middle."""
        import torch

        return torch.stack([target > self.middle, target < self.middle], dim=1)

    def affinity(self, target: "Tensor", *, spread: float) -> "Tensor":
        """exp(−|y_i − y_j| / spread)."""
        return (-(target[:, None] - target[None, :]).abs() / spread).exp().fill_diagonal_(0.0)

    def comparable(self, outputs: "Tensor") -> "Tensor":
        """From −1 to 1, with the middle of the range at 0."""
        return (outputs - self.middle).div((self.high - self.low) / 2)

    def decide(self, prediction: Array) -> NDArray[Any]:
        """The scores themselves."""
        return prediction

    def words(self, prediction: Any) -> str:
        """`positive`, `negative` or, within a twelfth of the range around its middle, `neutral`."""
        away = float(prediction) - self.middle
        return "neutral" if abs(away) <= (self.high - self.low) / 12 else "positive" if away > 0 else "negative"

    def _truth(self, truth: Any) -> Any:
        return round(float(truth), 6)  # float32 labels read as people wrote them

    def columns(self, prediction: Any, truth: Any | None) -> dict[str, Any]:
        """Truth and score."""
        return {"truth": None if truth is None else self._truth(truth), "prediction": float(prediction)}

    def read_columns(self, row: Mapping[str, str]) -> Any:
        """The score."""
        return float(row["prediction"])

    def read_label(self, text: str) -> Label:
        """The score."""
        return float(text)

    def error(self, prediction: Array, truth: Array) -> Array:
        """Absolute error."""
        return np.asarray(np.abs(prediction - truth))

    def mistakes(self, prediction: Array, truth: Array) -> Array:
        """Whether it is on the wrong side of the neutral score, for every utterance that is not neutral."""
        side = truth != self.middle
        return np.asarray((prediction[side] > self.middle) != (truth[side] > self.middle), np.float64)

    def surprise(self, prediction: Array, truth: Array) -> Array:
        """Absolute error."""
        return self.error(prediction, truth)

    def uncertainty(self, prediction: Array) -> Array | None:
        """A score alone does not tell."""
        return None


@dataclass(frozen=True)
class Classes(Task):
    """One of several names."""

    names: tuple[str, ...] = ()

    kind: ClassVar[str] = "classes"
    answers: ClassVar[str] = "classes"
    leading: ClassVar[str] = "uar"
    mistake: ClassVar[str] = "a wrong class"
    error_name: ClassVar[str] = "fraction of misclassified utterances"
    surprise_name: ClassVar[str] = "Least probability for the true class"

    def _encode(self, labels: Sequence[Any]) -> Targets:
        return np.array([self.names.index(str(label)) for label in labels], np.int64)

    def fits(self, label: object) -> bool:
        """True for one of the names."""
        return label in self.names

    def prior(self, encoded: NDArray[Any]) -> tuple[float, ...]:
        """Log frequencies."""
        counts = np.bincount(np.asarray(encoded, np.int64), minlength=len(self.names)) + 1.0
        return tuple(float(x) for x in np.log(counts / counts.sum()))

    def probabilities(self, prediction: "Tensor") -> "Tensor":
        """Softmax."""
        return prediction.double().softmax(dim=-1)

    def _loss(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        from torch.nn.functional import cross_entropy

        return cross_entropy(prediction, target)

    def linear(self, figures: Array, targets: NDArray[Any], strength: float) -> tuple[Array, Array]:
        """Multinomial logistic regression; a class that does not occur is as unlikely as its prior."""
        bias = np.array(self.prior(targets))
        weight = np.zeros((len(self.names), figures.shape[1]))
        classes, places = np.unique(targets, return_inverse=True)
        if len(classes) > 1:
            found = _logistic(figures, places, strength)
            # Two classes have one row, of the second against the first.
            both = len(classes) == 2
            weight[classes] = np.concatenate([-found.coef_ / 2, found.coef_ / 2]) if both else found.coef_
            own = np.concatenate([-found.intercept_ / 2, found.intercept_ / 2]) if both else found.intercept_
            rest = np.setdiff1d(np.arange(len(self.names)), classes)
            bias[classes] = own - own.mean() + bias[classes].mean() if len(rest) else own
        return weight, bias

    def signed(self, target: "Tensor") -> "Tensor":
        """+1 for the class, −1 for the others: each class against the rest."""
        from torch.nn.functional import one_hot

        return 2 * one_hot(target, len(self.names)).float() - 1

    def signed_loss(self, prediction: "Tensor", label: "Tensor", weight: "Tensor") -> "Tensor":
        """Cross-entropy with soft targets."""
        target = (label + 1) / 2
        target = target / target.sum(dim=1, keepdim=True).clamp(min=SMALL)
        each = -target * prediction.log_softmax(dim=1)  # B C
        return (each.sum(dim=1) * weight.mean(dim=1)).unsqueeze(1)

    def decide(self, prediction: Array) -> NDArray[Any]:
        """The most probable class."""
        return np.asarray(np.array(self.names)[prediction.argmax(axis=1)])

    def words(self, prediction: Any) -> str:
        """The most probable class."""
        return self.names[int(prediction.argmax())]

    def _truth(self, truth: Any) -> Any:
        return self.names[int(truth)]

    def error(self, prediction: Array, truth: Array) -> Array:
        """1 for a wrong class."""
        return np.asarray(prediction.argmax(axis=1) != truth, np.float64)

    def mistakes(self, prediction: Array, truth: Array) -> Array:
        """1 for a wrong class."""
        return self.error(prediction, truth)

    def surprise(self, prediction: Array, truth: Array) -> Array:
        """The probability that is missing for the true class."""
        return np.asarray(1 - prediction[np.arange(len(prediction)), truth.astype(np.int64)])


@dataclass(frozen=True)
class Labels(Task):
    """Several names, each of them true or not."""

    names: tuple[str, ...] = ()

    kind: ClassVar[str] = "multilabel"
    answers: ClassVar[str] = "labels"
    leading: ClassVar[str] = "f1_mean"
    mistake: ClassVar[str] = "a label wrongly given or left out"
    error_name: ClassVar[str] = "fraction of labels that are wrong"
    surprise_name: ClassVar[str] = "Least probability for the true labels"
    several: ClassVar[bool] = True

    @classmethod
    def _parse(cls, rest: str) -> "Task | None":
        names = tuple(part.strip() for part in rest.split(",") if part.strip())
        return None if len({name.casefold() for name in names}) < len(names) else cls(names or EMOTIONS)

    def _encode(self, labels: Sequence[Any]) -> Targets:
        return np.array([[float(label.get(name, 0.0) > 0) for name in self.names] for label in labels], np.float32)

    def fits(self, label: object) -> bool:
        """True for a mapping of some of the names to numbers."""
        known = isinstance(label, Mapping) and set(label) <= set(self.names)
        return known and all(isinstance(value, int | float) for value in label.values())  # type: ignore[attr-defined]

    def present(self, label: Any) -> Iterable[Any]:
        """Every name above 0."""
        return (name for name, value in label.items() if value > 0)

    def prior(self, encoded: NDArray[Any]) -> tuple[float, ...]:
        """Log odds."""
        values = np.asarray(encoded, np.float64)
        rate = (values.sum(axis=0) + 1) / (len(values) + 2)
        return tuple(float(x) for x in np.log(rate / (1 - rate)))

    def probabilities(self, prediction: "Tensor") -> "Tensor":
        """Sigmoid."""
        return prediction.double().sigmoid()

    def _loss(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(prediction, target)  # averaged over labels

    def linear(self, figures: Array, targets: NDArray[Any], strength: float) -> tuple[Array, Array]:
        """A logistic regression for each label; one that is always or never there keeps its prior."""
        bias = np.array(self.prior(targets))
        weight = np.zeros((len(self.names), figures.shape[1]))
        for i in range(len(self.names)):
            if 0 < (targets[:, i] > 0).sum() < len(targets):
                found = _logistic(figures, targets[:, i] > 0, strength)
                weight[i], bias[i] = found.coef_[0], found.intercept_[0]
        return weight, bias

    def signed(self, target: "Tensor") -> "Tensor":
        """+1 where present, −1 where not."""
        return 2 * target.float() - 1

    def signed_loss(self, prediction: "Tensor", label: "Tensor", weight: "Tensor") -> "Tensor":
        """Binary cross-entropy with soft targets."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(prediction, (label + 1) / 2, reduction="none") * weight

    def decide(self, prediction: Array) -> NDArray[Any]:
        """All labels whose probability is at least one half."""
        names = np.array(self.names)
        return np.array(["|".join(names[row >= 0.5]) for row in prediction])

    def words(self, prediction: Any) -> str:
        """All labels whose probability is at least one half."""
        return ", ".join(name for name, p in zip(self.names, prediction, strict=True) if p >= 0.5) or "none"

    def _truth(self, truth: Any) -> Any:
        return "|".join(name for c, name in enumerate(self.names) if truth[c] > 0)

    def read_label(self, text: str) -> Label:
        """The names that stand there."""
        return dict.fromkeys(filter(None, text.split("|")), 1.0)

    def error(self, prediction: Array, truth: Array) -> Array:
        """Share of labels that are wrong."""
        return np.asarray(((prediction >= 0.5) != (truth > 0)).mean(axis=1))

    def mistakes(self, prediction: Array, truth: Array) -> Array:
        """1 for every label that is wrong."""
        return np.asarray(((prediction >= 0.5) != (truth > 0)).ravel(), np.float64)

    def surprise(self, prediction: Array, truth: Array) -> Array:
        """Mean cross-entropy of the labels."""
        right = np.where(truth > 0, prediction, 1 - prediction)
        return np.asarray(-np.log(np.maximum(right, 1e-12)).mean(axis=1))

    def uncertainty(self, prediction: Array) -> Array | None:
        """The entropy of every label, present or absent."""
        odds = np.clip(prediction, 1e-12, 1 - 1e-12)
        return np.asarray((-odds * np.log(odds) - (1 - odds) * np.log(1 - odds)).sum(axis=1))


def _logistic(figures: Array, classes: NDArray[Any], strength: float) -> Any:
    """A fitted logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / (strength * len(figures)), max_iter=MOST_STEPS).fit(figures, classes)
