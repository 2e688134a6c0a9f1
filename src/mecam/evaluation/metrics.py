"""The field's metrics, each defined once, as pure functions of predictions and truth.

Every metric here depends on the utterances only through *sums over utterances*: an error is two sums, a
correlation six, an F1 the counts of a confusion matrix. A `Metric` is therefore a pair: what each utterance
adds, and what the sums are worth. The plain value, the bootstrap and the permutation test
(`mecam.evaluation.statistics`) all read this one definition.

| task | metrics |
|---|---|
| scores in [−3, 3] | mae corr acc7 acc5 acc3 acc2_nonzero f1_nonzero acc2_has0 f1_has0 |
| scores in [−1, 1] (SIMS) | mae corr acc5 acc3 acc2 f1, all clipped to ±1 |
| scores in another range | mae corr, acc⟨n⟩ if whole numbers make n classes of it, the last four around its middle |
| classes | accuracy uar macro_f1 weighted_f1 |
| several labels | wa_mean f1_mean, and wa_⟨emotion⟩ f1_⟨emotion⟩ |

Values are fractions in full precision; an undefined value is None, never NaN. Nothing here rounds for print
or knows about seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError, DataError
from mecam.evaluation import sums
from mecam.evaluation.sums import Array, Numbers
from mecam.task import Task

__all__ = ["FAMILIES", "Metric", "confusion_matrix", "leading_metrics", "metrics_for", "score", "score_bins"]

Terms: TypeAlias = Callable[[Array, Array], Array]
Value: TypeAlias = Callable[[Array], Array]
Unit: TypeAlias = Literal["%", "points", ""]

FAMILIES = ("mosi", "sims", "range")
"""Conventions for scores: [−3, 3] (MOSI, MOSEI), [−1, 1] (SIMS), and any other range."""

SIMS_EDGES = {"acc5": (-0.7, -0.1, 0.1, 0.7), "acc3": (-0.1, 0.1), "acc2": (0.0,)}

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")


@dataclass(frozen=True)
class Metric:
    """One number that says how good predictions are, with all that tables and pages need to know about it.

    Attributes:
        name: its key in `metrics.json`.
        title: its name written out, for people.
        definition: exactly what it is, in words (p prediction, t truth); the report shows it.
        terms: (prediction, truth) → N × K, what each utterance adds to the K sums.
        value: … × K sums → … values; NaN where the metric is undefined.
        higher_is_better: False for errors.
        unit: `%` where the value lies in [0, 1] and is printed as a percentage, `points` of the scale of the scores, or
            empty for a plain number.
        leading: its place among the metrics that are shown first, from 1; None for all others.
    """

    name: str
    title: str
    definition: str
    terms: Terms = field(repr=False)
    value: Value = field(repr=False)
    _: KW_ONLY
    higher_is_better: bool = True
    unit: Unit = "%"
    leading: int | None = None

    @property
    def fraction(self) -> bool:
        """True where the value lies in [0, 1] and is printed as a percentage."""
        return self.unit == "%"

    def __call__(self, prediction: Numbers, truth: Numbers) -> float | None:
        """Return the metric of N predictions, or None where it is undefined.

        Args:
            prediction: N scores, or N × C probabilities.
            truth: N scores, N class indices, or N × C values in {0, 1}.

        Raises: DataError if the shapes do not fit or a value is not finite.
        """
        value = float(self.value(self.contributions(prediction, truth).sum(axis=0, keepdims=True))[0])
        return None if np.isnan(value) else value

    def contributions(self, prediction: Numbers, truth: Numbers) -> Array:
        """Return `terms` of checked values: N × K.

        Raises: DataError if the shapes do not fit or a value is not finite.
        """
        p, t = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
        if len(p) != len(t):
            raise DataError(f"{len(p)} predictions for {len(t)} true values")
        for what, values in (("predictions", p), ("true values", t)):
            if not np.isfinite(values).all():
                raise DataError(f"{(~np.isfinite(values)).sum()} {what} are not finite")
        return self.terms(p, t)


def metrics_for(task: Task, *, family: str | None = None) -> dict[str, Metric]:
    """Return the metrics that are reported for a task, in the order they are shown.

    Args:
        task: what the data set asks for.
        family: one of `FAMILIES`, for scores only; None takes the one that the range belongs to.

    Raises: ConfigError if the family is unknown.
    """
    found = family if family and task.is_score else task.family
    if found not in _METRICS:
        raise ConfigError(f"unknown metric family {found!r}", fix=f"choose one of {', '.join(FAMILIES)}")
    return {metric.name: metric for metric in _METRICS[found](task)}


def leading_metrics(task: Task, *, family: str | None = None) -> list[Metric]:
    """Return the metrics of a task that are shown first, the most important one in front.

    Args:
        task: what the data set asks for.
        family: as in `metrics_for`.
    """
    known = [metric for metric in metrics_for(task, family=family).values() if metric.leading is not None]
    return sorted(known, key=lambda metric: metric.leading or 0)


def score(task: Task, prediction: Numbers, truth: Numbers, *, family: str | None = None) -> dict[str, float | None]:
    """Return every metric of the task; `metrics_for(task)[name].definition` says exactly what each one is.

    Args:
        task: what the data set asks for.
        prediction: N scores, or N × C probabilities.
        truth: N scores, N class indices, or N × C values in {0, 1}.
        family: as in `metrics_for`.

    Raises: DataError if the shapes do not fit or a value is not finite.
    """
    return {name: metric(prediction, truth) for name, metric in metrics_for(task, family=family).items()}


def confusion_matrix(prediction: Numbers, truth: Numbers, classes: int) -> NDArray[np.int64]:
    """Count the pairs of N predicted and N true class indices.

    Returns: C × C counts; row = truth, column = prediction.
    Raises: DataError if an index is not one of the C classes.
    """
    pairs = sums.pairs(np.asarray(prediction), np.asarray(truth), classes)
    return np.asarray(pairs.sum(axis=0).reshape(classes, classes), np.int64)


def score_bins(task: Task, values: Numbers, *, family: str | None = None) -> tuple[NDArray[np.int64], list[str]]:
    """Sort scores into the bins of the task's finest accuracy: seven in [−3, 3], five in SIMS.

    A range whose ends are not whole numbers is cut into five bins of equal width.

    Returns: N bin indices, and the name of every bin in rising order.
    """
    numbers = np.asarray(values, np.float64)
    if (family or task.family) == "sims":
        return _sims_bins(numbers, SIMS_EDGES["acc5"]), _names_between([-1.0, *SIMS_EDGES["acc5"], 1.0])
    if _whole(task):
        low, high = int(task.low), int(task.high)
        names = [str(step).replace("-", "−") for step in range(low, high + 1)]
        return sums.rounded(numbers, low, high).astype(np.int64) - low, names
    cuts = np.linspace(task.low, task.high, 6)
    return np.digitize(numbers, cuts[1:-1], right=True), _names_between(cuts.tolist())


# --- scores ----------------------------------------------------------------------------------------------


def _mosi_metrics(task: Task) -> list[Metric]:
    return [*_error_metrics(), _steps(-3, 3), _steps(-2, 2), _steps(-1, 1), *_two_sided(0.0)]


def _range_metrics(task: Task) -> list[Metric]:
    steps = [_steps(int(task.low), int(task.high))] if _whole(task) else []
    return [*_error_metrics(), *steps, *_two_sided((task.low + task.high) / 2)]


def _whole(task: Task) -> bool:
    """True where rounding to whole numbers makes 3 to 11 classes of the range."""
    return float(task.low).is_integer() and float(task.high).is_integer() and 2 <= task.high - task.low <= 10


def _error_metrics(clip: float = np.inf) -> list[Metric]:
    """MAE and Pearson's r of all utterances, after clipping both sides to ±clip (SIMS)."""
    how = "unclipped" if np.isinf(clip) else f"both clipped to ±{clip:g} first"

    def error(p: Array, t: Array) -> Array:
        return sums.with_count(np.abs(np.clip(p, -clip, clip) - np.clip(t, -clip, clip)))

    def moments(p: Array, t: Array) -> Array:
        return sums.moments(np.clip(p, -clip, clip), np.clip(t, -clip, clip))

    mae = f"mean |p − t| of all utterances, {how}"
    corr = f"Pearson's r of all utterances, {how}; undefined when p or t is constant"
    return [
        Metric("mae", "mean absolute error", mae, error, sums.ratio, higher_is_better=False, unit="points", leading=1),
        Metric("corr", "Pearson correlation", corr, moments, sums.pearson, unit="", leading=2),
    ]


def _steps(low: int, high: int) -> Metric:
    """Accuracy after clipping to [low, high] and rounding half to even."""
    count = high - low + 1

    def hits(p: Array, t: Array) -> Array:
        return sums.with_count(sums.rounded(p, low, high) == sums.rounded(t, low, high))

    words = f"accuracy of {count} classes: p and t clipped to [{low}, {high}] and rounded, half to even"
    title = f"{NUMBERS[count]}-class accuracy"
    return Metric(f"acc{count}", title, words, hits, sums.ratio, leading={7: 4, 5: 5}.get(count))


def _two_sided(middle: float) -> list[Metric]:
    """Negative against positive, around the middle of the range (0 for MOSI and MOSEI)."""

    def nonzero(p: Array, t: Array) -> Array:
        return np.asarray(sums.pairs(p > middle, t > middle, 2) * (t != middle)[:, None])

    def has0(p: Array, t: Array) -> Array:
        return sums.pairs(p >= middle, t >= middle, 2)

    dropped = f"utterances with t = {middle:g} dropped; p > {middle:g} against t > {middle:g}"
    kept = f"all utterances; p ≥ {middle:g} against t ≥ {middle:g}"
    accuracy, of_two = "two-class accuracy", "accuracy of two classes"
    f1 = "F1 of both sides, weighted by their number in the truth"
    zeros = "zeros" if middle == 0 else "neutral scores"
    return [
        Metric(
            "acc2_nonzero", f"{accuracy} without {zeros}", f"{of_two}; {dropped}", nonzero, sums.accuracy, leading=3
        ),
        Metric("f1_nonzero", f"two-class F1 without {zeros}", f"{f1}; {dropped}", nonzero, sums.f1_weighted),
        Metric("acc2_has0", f"{accuracy} with {zeros}", f"{of_two}; {kept}", has0, sums.accuracy),
        Metric("f1_has0", f"two-class F1 with {zeros}", f"{f1}; {kept}", has0, sums.f1_weighted),
    ]


def _sims_metrics(task: Task) -> list[Metric]:
    """Errors, and SIMS's accuracies: both sides clipped to ±1, then cut at `SIMS_EDGES`."""

    def cut(edges: Sequence[float]) -> Terms:
        return lambda p, t: sums.pairs(_sims_bins(p, edges), _sims_bins(t, edges), len(edges) + 1)

    accuracies = [
        Metric(
            name,
            f"{NUMBERS[len(edges) + 1]}-class accuracy",
            f"accuracy of {len(edges) + 1} classes: p and t clipped to ±1, "
            f"bins {', '.join(_names_between([-1.01, *edges, 1.01]))}",
            cut(edges),
            sums.accuracy,
            leading={"acc2": 3, "acc5": 5}.get(name),
        )
        for name, edges in SIMS_EDGES.items()
    ]
    f1 = "F1 of the two classes of acc2 (zero is negative), weighted by their number in the truth"
    two_class = Metric("f1", "two-class F1", f1, cut(SIMS_EDGES["acc2"]), sums.f1_weighted)
    return [*_error_metrics(clip=1.0), *accuracies, two_class]


def _sims_bins(values: Array, edges: Sequence[float]) -> NDArray[np.int64]:
    """Bins are open below and closed above, so zero is negative."""
    return np.digitize(np.clip(values, -1, 1), edges, right=True)


def _names_between(edges: Sequence[float]) -> list[str]:
    return [f"({low:g}, {high:g}]".replace("-", "−") for low, high in pairwise(edges)]


# --- classes and emotions --------------------------------------------------------------------------------


def _class_metrics(task: Task) -> list[Metric]:
    classes = len(task.names)

    def terms(p: Array, t: Array) -> Array:
        _require_columns(p, classes)
        return sums.pairs(p.argmax(axis=1), t, classes)

    right = "fraction of utterances whose most probable class is the true one"
    recall = "mean recall of the classes that occur in the truth"
    macro = "mean F1 of the classes that occur in truth or prediction"
    weighted = "mean F1 of the classes, weighted by their number in the truth"
    return [
        Metric("accuracy", "accuracy", right, terms, sums.accuracy, leading=2),
        Metric("uar", "unweighted average recall", recall, terms, sums.uar, leading=1),
        Metric("macro_f1", "macro F1", macro, terms, sums.f1_macro, leading=3),
        Metric("weighted_f1", "weighted F1", weighted, terms, sums.f1_weighted),
    ]


def _emotion_metrics(task: Task) -> list[Metric]:
    """Each emotion is present at p ≥ 0.5; the means are over the emotions whose value is defined."""
    names = task.names

    def one(index: int) -> Terms:
        return lambda p, t: every(p, t)[:, 4 * index : 4 * index + 4]

    def every(p: Array, t: Array) -> Array:
        _require_columns(p, len(names))
        _require_columns(t, len(names))
        return np.concatenate([sums.pairs(p[:, c] >= 0.5, t[:, c], 2) for c in range(len(names))], axis=1)

    def mean(value: Value) -> Value:
        return lambda total: sums.defined_mean(value(total.reshape(*total.shape[:-1], len(names), 4)))

    wa = "(recall of present + recall of absent) / 2, at p ≥ 0.5; undefined unless both occur in the truth"
    f1 = "F1 of present and absent at p ≥ 0.5, weighted by their number in the truth"
    wa_mean = f"weighted accuracy, mean over emotions: {wa}"
    metrics = [
        Metric("wa_mean", "mean weighted accuracy", wa_mean, every, mean(sums.balanced), leading=1),
        Metric("f1_mean", "mean F1", f"mean over emotions: {f1}", every, mean(sums.f1_weighted), leading=2),
    ]
    for index, name in enumerate(names):
        title = f"weighted accuracy of {name}"
        metrics.append(Metric(f"wa_{name}", title, f"{title}: {wa}", one(index), sums.balanced))
        metrics.append(Metric(f"f1_{name}", f"F1 of {name}", f"{name}: {f1}", one(index), sums.f1_weighted))
    return metrics


def _require_columns(values: Array, columns: int) -> None:
    if values.ndim != 2 or values.shape[1] != columns:
        raise DataError(f"values have shape {values.shape}, expected N × {columns}: one column a class or emotion")


_METRICS: Mapping[str, Callable[[Task], list[Metric]]] = {
    "mosi": _mosi_metrics,
    "sims": _sims_metrics,
    "range": _range_metrics,
    "classes": _class_metrics,
    "labels": _emotion_metrics,
}
"""What each family that a task may name is measured by."""
