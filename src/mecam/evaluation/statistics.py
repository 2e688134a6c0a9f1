"""How sure a number is: seeds, bootstrap, permutation test, conformal intervals.

Utterances of one speaker or recording resemble each other, so whole groups are resampled or swapped, never utterances
(`mecam.evaluation.groups`). All of it works on the per-group sums of `mecam.evaluation.metrics`, so a thousand
resamples are one matrix product and no metric is written twice.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError, DataError
from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.sums import Array, Numbers
from mecam.task import Task
from mecam.types import Predictions

__all__ = [
    "ALPHA",
    "Difference",
    "adjusted_together",
    "as_many",
    "central",
    "conformal_quantile",
    "coverage",
    "group_sums",
    "holm",
    "metrics_table",
    "paired_permutation_test",
    "paired_sums_test",
    "summarise",
]


_Key = TypeVar("_Key")
_Item = TypeVar("_Item")

ALPHA = 0.05
"""Two runs are told apart when Holm's adjusted p-value is below this."""


@dataclass(frozen=True)
class Difference:
    """A model against another on one metric.

    Attributes:
        value: metric of this one minus metric of the other, averaged over seeds; None if undefined.
        ci95: bootstrap interval over recordings or speakers; None with fewer than `MIN_GROUPS` of these.
        p_value: of the hypothesis that the two are exchangeable, two-sided; None if undefined.
        p_holm: the same, adjusted for all models that are tested against the same one on this metric.
    """

    value: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """True where the two can be told apart."""
        return self.p_holm is not None and self.p_holm < ALPHA


def metrics_table(
    task: Task,
    predictions: Sequence[Predictions],
    *,
    family: str | None = None,
    resamples: int = 1000,
    resample_seeds: bool = False,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return every metric of one split: what `metrics.json` holds under the split's name.

    The interval answers "what if other groups (speakers, or recordings) had been drawn": in each resample, groups are
    drawn with replacement, the metric is computed for every seed on the same draw, and averaged over seeds. With
    `resample_seeds` it also answers "and other seeds": the seeds that are averaged are drawn with replacement too.

    Args:
        task: of the data set.
        predictions: one per seed, over the same utterances in the same order.
        family: as in `metrics_for`.
        resamples: bootstrap resamples.
        resample_seeds: let the interval speak of other seeds too, as a comparison of models must.
        seed: of the resampling.

    Returns: metric → {mean, std, ci95, per_seed}, as `summarise` describes them.
    Raises: DataError if the truth is missing or the seeds cover different utterances.
    """
    _require_same(predictions)
    groups = Groups.of(predictions[0])
    rng = np.random.default_rng(seed)
    counts = resample_groups(groups.count, resamples, rng)
    drawn_seeds = rng.integers(0, len(predictions), (len(predictions), resamples)) if resample_seeds else None
    table = {}
    for name, metric in metrics_for(task, family=family).items():
        sums = group_sums(metric, predictions, groups.numbers)  # S G K
        plain = metric.value(sums.sum(axis=1))
        drawn = None if counts is None else _over_seeds(metric.value(_weighted(counts, sums)), drawn_seeds)
        known = [None if np.isnan(value) else float(value) for value in plain]
        table[name] = summarise(known, drawn, groups=groups.count if metric.fraction else None)
    return table


def summarise(
    per_seed: Sequence[float | None], bootstrap: Array | None = None, *, groups: int | None = None
) -> dict[str, Any]:
    """Return one metric's entry of `metrics.json`; plain numbers and None only.

    Args:
        per_seed: the metric of every seed, None where undefined.
        bootstrap: the seed-averaged metric of every resample, NaN where undefined.
        groups: as in `central`.

    Returns: `mean` over seeds (None if a seed is undefined: leaving it out would flatter), `std` (n − 1;
        None for a single seed), `ci95` (as `central` gives it, or None) and
        `per_seed`.
    """
    values = [value for value in per_seed if value is not None]
    whole = bool(values) and len(values) == len(per_seed)
    entry: dict[str, Any] = {
        "mean": float(np.mean(values)) if whole else None,
        "std": float(np.std(values, ddof=1)) if whole and len(values) > 1 else None,
        "ci95": list(interval) if whole and (interval := central(bootstrap, groups=groups)) else None,
        "per_seed": list(per_seed),
    }
    return entry


def paired_permutation_test(
    task: Task,
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    metric: str,
    *,
    family: str | None = None,
    permutations: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Test whether two models differ on a metric by more than chance.

    If they did not, it would not matter which of the two answered the utterances of a group (a speaker, or a
    recording): each permutation swaps the answers (of all seeds together) of a random half of the groups. The test
    speaks of other groups, not of other seeds; look at the seeds' spread for that.

    Args:
        task: of the data set.
        first: one per seed.
        second: one per seed, as many, over the same utterances in any order.
        metric: a key of `metrics_for(task)`.
        family: as in `metrics_for`.
        permutations: random swaps; the smallest possible p is 1 / (permutations + 1).
        seed: of the random swaps and of the bootstrap of the difference.

    Raises: DataError if utterances or the number of seeds differ; ConfigError for an unknown metric.
    """
    chosen = metrics_for(task, family=family).get(metric)
    if chosen is None:
        raise ConfigError(f"unknown metric {metric!r}", fix=f"one of {', '.join(metrics_for(task, family=family))}")
    if len(first) != len(second):
        raise DataError(f"{len(first)} seeds against {len(second)}", fix="compare runs with the same number of seeds")
    second = [_reordered(other, first[0].ids) for other in second]
    _require_same([*first, *second])
    groups = Groups.of(first[0]).numbers
    a, b = group_sums(chosen, first, groups), group_sums(chosen, second, groups)  # S G K
    return paired_sums_test(chosen, a, b, permutations=permutations, seed=seed)


def paired_sums_test(
    metric: Metric,
    first: Array,
    second: Array,
    *,
    weights: Array | None = None,
    permutations: int = 10_000,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Do the test of `paired_permutation_test` on sums per group.

    Args:
        metric: what the sums are worth.
        first: S × G × K, from `group_sums`: of every seed, and of whatever else the metric is averaged over.
        second: likewise.
        weights: S, what each of the S values counts in the difference; None takes their mean.
        permutations: random swaps.
        resamples: of the bootstrap; 0 gives no interval.
        seed: of the random swaps and of the bootstrap of the difference.
    """
    shares = np.full(len(first), 1 / len(first)) if weights is None else weights
    rng = np.random.default_rng(seed)
    swaps = rng.integers(0, 2, (permutations, first.shape[1])).astype(np.float64)
    counts = resample_groups(first.shape[1], resamples, rng)
    observed, permuted = 0.0, np.zeros(permutations)
    drawn = None if counts is None else np.zeros(len(counts))
    for share, a, b in zip(shares, first, second, strict=True):  # one at a time: all at once would fill the memory
        moved, whole = swaps @ (b - a), (a.sum(axis=0, keepdims=True), b.sum(axis=0, keepdims=True))  # R K, 1 K
        observed += share * float(_difference(metric, *whole)[0])
        permuted += share * _difference(metric, whole[0] + moved, whole[1] - moved)
        if counts is not None and drawn is not None:
            drawn += share * _difference(metric, counts @ a, counts @ b)
    if np.isnan(observed):
        return Difference(None, None, None)
    # An undefined permutation counts as extreme: that can only make the test more careful.
    extreme = ~(np.abs(permuted) < abs(observed) - 1e-12)
    return Difference(float(observed), central(drawn), float((1 + extreme.sum()) / (1 + permutations)))


def adjusted_together(tests: Mapping[_Key, Difference]) -> dict[_Key, Difference]:
    """The same tests, each with Holm's adjusted p-value; those that are undefined take no part."""
    known = {key: test.p_value for key, test in tests.items() if test.p_value is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return {key: replace(test, p_holm=adjusted.get(key)) for key, test in tests.items()}


def as_many(first: Sequence[_Item], second: Sequence[_Item]) -> tuple[Sequence[_Item], Sequence[_Item]]:
    """As many seeds of both: the first ones of the longer; a single one stands beside each of the other's."""
    if 1 in (len(first), len(second)):
        count = max(len(first), len(second))
        return [first[i % len(first)] for i in range(count)], [second[i % len(second)] for i in range(count)]
    count = min(len(first), len(second))
    return first[:count], second[:count]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the order given.

    Below α, they keep the chance of any false discovery among all the tests under α.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = adjusted
    return [float(value) for value in result]


def conformal_quantile(errors: Numbers, level: float = 0.9) -> float | None:
    """Return the half width of an interval that covers a new utterance with probability ≥ `level`.

    Split conformal prediction: of n absolute errors on utterances that training never saw, take the
    ⌈(n + 1) · level⌉-th smallest. The promise needs new utterances to be exchangeable with these n.

    Args:
        errors: n values |p − t| of the calibration split.
        level: in (0, 1).

    Returns: the half width; None when n is too small for any finite interval to keep the promise.
    Raises: ConfigError if the level is out of range; DataError if an error is not finite.
    Source: Lei et al. (2018), Distribution-free predictive inference for regression, Algorithm 2.
    """
    if not 0 < level < 1:
        raise ConfigError(f"the level must lie between 0 and 1, got {level}")
    values = np.sort(np.abs(np.asarray(errors, np.float64)))
    if not np.isfinite(values).all():
        raise DataError("a calibration error is not finite")
    rank = math.ceil((len(values) + 1) * level - 1e-9)  # 0.55 × 100 is a little over 55 in binary
    return float(values[rank - 1]) if rank <= len(values) else None


def coverage(truth: Numbers, low: Numbers, high: Numbers) -> float | None:
    """Return the share of true values with low ≤ t ≤ high; None for no values."""
    t, lower, upper = (np.asarray(values, np.float64) for values in (truth, low, high))
    return float(((lower <= t) & (t <= upper)).mean()) if t.size else None


def _require_same(predictions: Sequence[Predictions]) -> None:
    if not predictions:
        raise DataError("no predictions to score")
    for other in predictions:
        if other.truth is None:
            raise DataError("the utterances have no labels", fix="score a labelled split")
        if other.ids != predictions[0].ids:
            raise DataError("the seeds or models predict different utterances")


def _reordered(predictions: Predictions, ids: tuple[str, ...]) -> Predictions:
    """Return predictions, truth and groups in the order of `ids`; what else was predicted is left behind."""
    place = {name: index for index, name in enumerate(predictions.ids)}
    if set(place) != set(ids) or len(place) != len(ids):
        raise DataError("the two models predict different utterances")
    order = [place[name] for name in ids]
    truth = None if predictions.truth is None else predictions.truth[order]
    videos = tuple(predictions.videos[i] for i in order)
    speakers = tuple(predictions.speakers[i] for i in order) if predictions.speakers else ()
    return Predictions(ids, videos, predictions.prediction[order], truth, speakers=speakers)


def group_sums(metric: Metric, predictions: Sequence[Predictions], groups: NDArray[np.int64]) -> Array:
    """Sum each metric term over the utterances of each group.

    Args:
        metric: with K terms.
        predictions: S, with their truth, over the same N utterances.
        groups: N, from `Groups.numbers`.

    Returns: S × G × K.
    """
    sums = []
    for one in predictions:
        assert one.truth is not None  # checked by _require_same
        terms = metric.contributions(one.prediction, one.truth)
        total = np.zeros((int(groups.max(initial=-1)) + 1, terms.shape[1]))
        np.add.at(total, groups, terms)
        sums.append(total)
    return np.stack(sums)


def _weighted(weights: Array, sums: Array) -> Array:
    """R × G weights of S × G × K sums: S × R × K."""
    return weights @ sums


def _over_seeds(values: Array, drawn: NDArray[np.int64] | None) -> Array:
    """Mean of S × R values over the seeds, or over the S seeds drawn for each of the R resamples."""
    chosen = values if drawn is None else np.take_along_axis(values, drawn, axis=0)
    return np.asarray(chosen.mean(axis=0))


def _difference(metric: Metric, a: Array, b: Array) -> Array:
    """Metric of a minus that of b."""
    return np.asarray(metric.value(a) - metric.value(b))


def central(values: Array | None, *, groups: int | None = None) -> tuple[float, float] | None:
    """Return the ends of the central 95 % of the values that are defined; None where none is.

    Where all resamples are 0 or all are 1, a bootstrap would be certain; there the end is Clopper's and Pearson's for
    as many groups, of which none, or every one, is right.

    Args:
        values: of the resamples.
        groups: how many were drawn, where the values are shares in [0, 1].

    Source: Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    defined = np.array([]) if values is None else values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = (float(end) for end in np.quantile(defined, (0.025, 0.975)))
    if groups is not None and max(low, 1 - high) > 1 - 1e-9:
        rest = 0.025 ** (1 / groups)
        return (rest, 1.0) if low > 0.5 else (0.0, 1 - rest)
    return low, high
