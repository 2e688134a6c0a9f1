"""What removals cost: the metric without some rows against the metric with all of them, tested by recording."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.groups import Groups
from mecam.evaluation.metrics import Metric, leading_metrics, metrics_for
from mecam.evaluation.statistics import Comparison, holm, paired_permutation_test
from mecam.types import Predictions, Task

__all__ = ["ARMS", "Removals", "adjust", "cost_metric", "cost_table"]

ARMS = ("marked", "random", "kept")
"""What is removed: what the filter kept least of, as much at random, what it kept most of."""

PERMUTATIONS = 10_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Removals:
    """One seed's answers without rows of one modality.

    Attributes:
        whole: the answers as things are.
        draws: random removals.
        shares: S, that are removed.
        predictions: (arm, draw, number of the share) → N × … predictions.
        removed: S × N, share that was really removed.
    """

    whole: Predictions
    draws: int
    shares: tuple[float, ...]
    predictions: Mapping[tuple[str, int, int], Array]
    removed: Array


def cost_metric(task: Task) -> Metric:
    """The metric that costs are measured in: MAE, UAR or mean F1 (weighted accuracy may be undefined in a resample)."""
    return metrics_for(task).get("f1_mean", leading_metrics(task)[0])


def cost_table(task: Task, seeds: Sequence[Removals], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """What removal costs in one group of utterances.

    Args:
        task: of the labels.
        seeds: one per seed of a run.
        rows: N, the utterances of the group.

    Returns:
        utterances, videos: how many.
        score: the metric as things are, mean over seeds; None where it is undefined.
        removed: per share asked for, the mean share that was removed (rows are whole).
        curves: arm → `shares` (one per share) and `mean` (over the shares), each with `cost` (how much worse the metric
            is than as things are, mean over seeds and draws) and `ci95` (other recordings).
        tests: `marked` and `kept`, each against `random` and over all shares: `value` (the difference of the costs),
            `ci95`, `p_value` (paired permutation by recording, two-sided), `p_holm` (None until `adjust`).
    """
    metric = cost_metric(task)
    chosen = np.flatnonzero(rows)
    first = seeds[0]
    every = range(len(first.shares))

    def arm(name: str, which: Sequence[int]) -> list[Predictions]:
        """One for every seed, draw and share: what is averaged over seeds is averaged over all of them."""
        keys = [(one, draw, s) for one in seeds for draw in range(first.draws) for s in which]
        return [_cut(one, one.predictions[name, draw if name == "random" else 0, s], chosen) for one, draw, s in keys]

    def cost(worse: Sequence[Predictions], better: Sequence[Predictions], *, permutations: int = 1) -> Comparison:
        pair = (better, worse) if metric.higher_is_better else (worse, better)
        return paired_permutation_test(task, *pair, metric.name, permutations=permutations)

    whole = [_cut(one, one.whole.prediction, chosen) for one in seeds for _ in range(first.draws)]
    repeated = [one for one in whole for _ in every]
    curves: dict[str, Any] = {}
    for name in ARMS:
        points = [_point(cost(arm(name, [s]), whole)) for s in every]
        curves[name] = {"shares": points, "mean": _point(cost(arm(name, every), repeated))}
    random = arm("random", every)
    groups = Groups.of(whole[0])
    return {
        "utterances": len(chosen),
        "videos": len(set(whole[0].videos)),
        "resampled": asdict(groups.resampled),
        "score": _mean([metric(p.prediction, p.truth) for p in whole if p.truth is not None]),
        "removed": first.removed[:, chosen].mean(axis=1).tolist(),
        "curves": curves,
        "tests": {
            name: _test(cost(arm(name, every), random, permutations=PERMUTATIONS)) for name in ("marked", "kept")
        },
    }


def adjust(tables: Sequence[dict[str, Any]]) -> None:
    """Put Holm's adjusted p-values beside those of all tests of these tables together."""
    tests = [test for table in tables for test in table["tests"].values() if test["p_value"] is not None]
    for test, adjusted in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        test["p_holm"] = adjusted


def _cut(one: Removals, prediction: Array, chosen: NDArray[np.int64]) -> Predictions:
    assert one.whole.truth is not None
    ids, videos = (tuple(names[i] for i in chosen) for names in (one.whole.ids, one.whole.videos))
    speakers = tuple(one.whole.speakers[i] for i in chosen) if one.whole.speakers else ()
    return Predictions(ids, videos, prediction[chosen], one.whole.truth[chosen], speakers=speakers)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _point(found: Comparison) -> dict[str, Any]:
    return {"cost": found.difference, "ci95": None if found.ci95 is None else list(found.ci95)}


def _test(found: Comparison) -> dict[str, Any]:
    ends = None if found.ci95 is None else list(found.ci95)
    return {"value": found.difference, "ci95": ends, "p_value": found.p_value, "p_holm": None}
