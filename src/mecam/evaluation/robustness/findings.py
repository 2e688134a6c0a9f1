"""What a protocol found: every run under every condition and in every summary, and which runs can be told apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from mecam.evaluation.groups import Resampled
from mecam.evaluation.metrics import Metric, leading_metrics, metrics_for
from mecam.evaluation.robustness.changes import Changes
from mecam.evaluation.robustness.conditions import CLEAN, Condition
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.protocols import PERMUTATION, Plan, Summary
from mecam.evaluation.robustness.scores import RunScores, Value
from mecam.evaluation.statistics import ALPHA, Difference, adjusted_together, as_many, central, paired_sums_test
from mecam.evaluation.sums import Array
from mecam.task import Task

__all__ = ["ALL", "AgainstBest", "MeanRank", "RobustnessFindings", "find", "joint_ranks", "mean_ranks"]

ALL = "all"
"""The group of every corruption."""

PERMUTATIONS = 2000
"""Of each test; a protocol makes many."""


@dataclass(frozen=True)
class MeanRank:
    """Of a run among others.

    Attributes:
        mean: 1 is first in every corruption; equals share their ranks.
        ci95: over other recordings, seeds and masks (bootstrap); None with too few recordings or speakers.
    """

    mean: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class AgainstBest:
    """The runs against the best of them, on one metric in one summary.

    Attributes:
        best: name of the run with the best value.
        against: name of each other run → it minus the best.
    """

    best: str
    against: Mapping[str, Difference]


@dataclass(frozen=True)
class RobustnessFindings:
    """A protocol on some runs, whole.

    Attributes:
        plan: the protocol's conditions and summaries.
        task: of the data set.
        data: name of the data set.
        identity: `EvaluationSplit.identity`.
        split: that was corrupted.
        utterances: of the split.
        videos: recordings of the split.
        resampled: what intervals and tests draw.
        synthetic: True for the built-in corpus.
        seeds: of the masks.
        runs: in the order given.
        constant: the constant predictor; None where it is unknown.
        tests: summary → metric → test; empty for a single run.
        notes: what a reader should know.
        ranks: `mean_ranks` of the runs by the first of the leading metrics.
        changes: name of a run → what the interventions of the protocol `permutation` change.
    """

    plan: Plan
    task: Task
    data: str
    identity: Mapping[str, object]
    split: str
    utterances: int
    videos: int
    resampled: Resampled
    synthetic: bool
    seeds: tuple[int, ...]
    runs: tuple[RunScores, ...]
    constant: RunScores | None
    tests: Mapping[str, Mapping[str, AgainstBest]]
    notes: tuple[str, ...] = ()
    ranks: Mapping[str, Mapping[str, MeanRank]] = field(default_factory=dict)
    changes: Mapping[str, Changes] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Name → metric of the task, in the order they are shown."""
        return metrics_for(self.task)

    @property
    def leading(self) -> list[Metric]:
        """The metrics that are shown first."""
        return leading_metrics(self.task)

    @property
    def rows(self) -> tuple[RunScores, ...]:
        """The runs and the constant predictor."""
        return self.runs if self.constant is None else (*self.runs, self.constant)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for other programs; `docs/robustness.md` describes them."""
        return {
            "protocol": self.plan.protocol,
            "task": self.task.to_json(),
            "data": {"name": self.data, "synthetic": self.synthetic, **self.identity},
            "utterances": self.utterances,
            "videos": self.videos,
            "resampled": asdict(self.resampled),
            "mask_seeds": list(self.seeds),
            "alpha": ALPHA,
            "metrics": {m.name: {"higher_is_better": m.higher_is_better} for m in self.metrics.values()},
            "conditions": {condition.key: condition.to_json() for condition in self.plan.conditions},
            "summaries": {
                s.name: {"title": s.title, "loss": s.loss, "weights": dict(s.weights)} for s in self.plan.summaries
            },
            "runs": {row.name: _run_json(row) | self._changes_json(row.name) for row in self.rows},
            "tests": {
                summary: {metric: asdict(test) for metric, test in found.items()}
                for summary, found in self.tests.items()
            },
            "ranks": {
                group: {name: asdict(rank) for name, rank in found.items()} for group, found in self.ranks.items()
            },
            "notes": list(self.notes),
        }

    def _changes_json(self, name: str) -> dict[str, Any]:
        known = self.changes.get(name)
        if known is None:
            return {}
        return {"changes": {key: {who: one.to_json() for who, one in of.items()} for key, of in known.items()}}


def find(
    data: EvaluationSplit,
    plan: Plan,
    seeds: Sequence[int],
    runs: Sequence[RunScores],
    *,
    constant: RunScores | None = None,
    notes: Sequence[str] = (),
    changes: Mapping[str, Changes] | None = None,
    permutations: int = PERMUTATIONS,
    progress: Callable[[int, int], None] | None = None,
) -> RobustnessFindings:
    """Bring scored runs together and test them against each other.

    Args:
        data: the split that was corrupted.
        plan: the protocol.
        seeds: of the masks.
        runs: scored.
        constant: the constant predictor, scored.
        notes: what a reader should know.
        changes: as in `RobustnessFindings`.
        permutations: of each test.
        progress: called with (summaries tested, all).
    """
    tests: dict[str, dict[str, AgainstBest]] = {}
    for done, summary in enumerate(plan.summaries if len(runs) > 1 else (), 1):
        for metric in leading_metrics(data.store.task):
            test = _test(runs, summary, metric, permutations)
            if test is not None:
                tests.setdefault(summary.name, {})[metric.name] = test
        if progress:
            progress(done, len(plan.summaries))
    store = data.store
    return RobustnessFindings(
        plan=plan,
        task=store.task,
        data=store.name,
        identity=data.identity,
        split=data.split,
        utterances=len(data),
        videos=len(set(data.videos)),
        resampled=data.groups.resampled,
        synthetic=store.synthetic,
        seeds=tuple(seeds),
        runs=tuple(runs),
        constant=constant,
        tests=tests,
        notes=tuple(notes),
        ranks=mean_ranks(runs, plan, leading_metrics(store.task)[0]),
        changes=changes or {},
    )


def best_of(runs: Sequence[RunScores], summary: Summary, metric: Metric) -> int | None:
    """Position of the best run in a summary; None where none is defined."""
    sign = 1.0 if metric.higher_is_better != summary.loss else -1.0
    means = [sign * float(run.summaries[summary.name][metric.name].per_seed.mean()) for run in runs]
    known = [i for i, mean in enumerate(means) if not np.isnan(mean)]
    return max(known, key=lambda i: means[i]) if known else None


def _test(runs: Sequence[RunScores], summary: Summary, metric: Metric, permutations: int) -> AgainstBest | None:
    """Each run against the best one, adjusted together."""
    best = best_of(runs, summary, metric)
    if best is None:
        return None
    found = {}
    for i, run in enumerate(runs):
        if i != best:
            ours, theirs, weights = _paired(run, runs[best], summary, metric)
            found[run.name] = paired_sums_test(metric, ours, theirs, weights=weights, permutations=permutations)
    return AgainstBest(runs[best].name, adjusted_together(found))


def _paired(run: RunScores, other: RunScores, summary: Summary, metric: Metric) -> tuple[Array, Array, Array]:
    """Sums per recording of both, as many seeds of each, all conditions one below the other, and their weights."""
    ours, theirs, weights = [], [], []
    for key, weight in summary.weights.items():
        a, b = as_many(list(run.sums[metric.name][key]), list(other.sums[metric.name][key]))
        flat = [np.concatenate(list(side)) for side in (a, b)]  # S·K V T
        ours.append(flat[0])
        theirs.append(flat[1])
        weights.append(np.full(len(flat[0]), weight / len(flat[0])))
    return np.concatenate(ours), np.concatenate(theirs), np.concatenate(weights)


def _run_json(row: RunScores) -> dict[str, Any]:
    conditions: dict[str, dict[str, Any]] = {}
    for measure, known in row.values.items():
        for key, value in known.items():
            conditions.setdefault(key, {})[measure] = value.to_json()
    return {
        "model": row.model,
        "run": row.folder,
        "seeds": list(row.seeds) if row.folder else [],
        "reads": list(row.reads),
        "interval_width": row.width,
        "conditions": conditions,
        "summaries": {
            name: {measure: value.to_json() for measure, value in found.items()}
            for name, found in row.summaries.items()
        },
    }


def condition_of(plan: Plan, key: str) -> Condition:
    """The condition of a key."""
    return next((c for c in plan.conditions if c.key == key), CLEAN)


def mean_ranks(runs: Sequence[RunScores], plan: Plan, metric: Metric) -> dict[str, dict[str, MeanRank]]:
    """Rank runs under each corruption: by their mean over its severities, or under each condition where it has none.

    Args:
        runs: scored.
        plan: the protocol.
        metric: by which.

    Returns: `ALL` and every corrupted modality → name of a run → its mean rank; nothing for a single run, or for a
        protocol that corrupts nothing. A corruption under which a run is undefined ranks nobody.
    """
    return {group: _means(ranks, runs) for group, ranks in _ranks(runs, plan, metric).items()}


def joint_ranks(findings: Sequence["RobustnessFindings"]) -> dict[str, dict[str, MeanRank]]:
    """Mean ranks of the same runs over all corruptions of several protocols, and over those of each.

    Returns: `ALL` and every protocol → name of a run → its mean rank.
    """
    found = {f.plan.protocol: _ranks(f.runs, f.plan, f.leading[0]).get(ALL, []) for f in findings}
    groups = {ALL: [rank for ranks in found.values() for rank in ranks], **found}
    return {group: _means(ranks, findings[0].runs) for group, ranks in groups.items() if ranks}


def _ranks(runs: Sequence[RunScores], plan: Plan, metric: Metric) -> dict[str, list[tuple[Array, Array | None]]]:
    """Group of corruptions → ranks of the runs under each of them."""
    kinds = [summary.name for summary in plan.summaries if "." in summary.name]
    if len(runs) < 2 or plan.protocol == PERMUTATION:
        return {}
    # Where nothing is left of an utterance, as at a missing rate of 1, runs differ by chance: that is in no mean.
    counted = plan.summaries[0].weights if plan.summaries else {step.key for step in plan.conditions}
    if kinds:
        found = {kind: (kind.partition(".")[0], [r.summaries[kind][metric.name] for r in runs]) for kind in kinds}
    else:
        found = {
            step.key: (step.modality, [r.values[metric.name][step.key] for r in runs])
            for step in plan.conditions
            if step is not CLEAN and step.key in counted
        }
    sign = -1.0 if metric.higher_is_better else 1.0
    ranks: dict[str, list[tuple[Array, Array | None]]] = {}
    for modality, values in found.values():
        if all(value.mean is not None for value in values):
            for group in (ALL, modality) if modality else (ALL,):
                ranks.setdefault(group, []).append(_ranked(values, sign))
    return ranks


def _ranked(values: Sequence[Value], sign: float) -> tuple[Array, Array | None]:
    """Ranks of M runs under one corruption, and in each of R resamples: NaN where a run is undefined in it."""
    plain = stats.rankdata([sign * value.per_seed.mean() for value in values])
    draws = [value.drawn for value in values if value.drawn is not None]
    if len(draws) < len(values):
        return plain, None
    return plain, stats.rankdata(sign * np.stack(draws, axis=1), axis=1)


def _means(ranks: Sequence[tuple[Array, Array | None]], runs: Sequence[RunScores]) -> dict[str, MeanRank]:
    plain = np.mean([one for one, _ in ranks], axis=0)
    draws = [drawn for _, drawn in ranks if drawn is not None]
    drawn = np.mean(draws, axis=0) if len(draws) == len(ranks) else None  # R M
    return {
        run.name: MeanRank(float(plain[i]), None if drawn is None else central(drawn[:, i]))
        for i, run in enumerate(runs)
    }
