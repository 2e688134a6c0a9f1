"""How far the metrics move when gates or weights are replaced: the same utterances with the intervention and without.

Of all utterances, of those that hold corruption, and of those that hold none. A filter that matters does harm when it
is exchanged where something was corrupted, and nothing where nothing was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.cells import predictions_before, read_cell
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.interventions import ALIKE, Intervention, holds_corruption
from mecam.evaluation.robustness.measure import Job
from mecam.evaluation.robustness.protocols import Plan
from mecam.evaluation.robustness.scores import Resample, RunCells, measures_for, seen_by
from mecam.evaluation.statistics import Difference, adjusted_together, central, paired_sums_test
from mecam.evaluation.sums import Array
from mecam.types import Predictions

__all__ = ["SUBSETS", "Changed", "Changes", "changes_of"]

ALL, CORRUPTED, INTACT = "all", "corrupted", "intact"

SUBSETS = (ALL, CORRUPTED, INTACT)
"""All utterances; those that are known to hold corruption in what the model reads; those that are not."""

PERMUTATIONS = 2000
"""Of each test; a protocol makes many."""


@dataclass(frozen=True)
class Changed:
    """How the metrics of some utterances change.

    Attributes:
        utterances: how many there are, on average over the seeds of the masks.
        metrics: name → metric with the intervention minus metric without.
    """

    utterances: float
    metrics: Mapping[str, Difference]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"utterances": self.utterances, "metrics": {name: asdict(one) for name, one in self.metrics.items()}}


Changes: TypeAlias = Mapping[str, Mapping[str, Changed]]
"""Key of an intervention → entry of `SUBSETS` → what changes; `all` alone where all utterances are of one kind."""


@dataclass(frozen=True)
class _Cell:
    """One model under one intervention and one seed."""

    after: Predictions
    before: Predictions
    corrupted: NDArray[np.bool_]


def changes_of(run: RunCells, data: EvaluationSplit, plan: Plan) -> Changes:
    """What each intervention that was measured changes, p adjusted by Holm over the interventions.

    Raises: DataError if a cell is missing or damaged.
    """
    metrics = [measures_for(data.store.task, width) for width in run.half_widths]
    found: dict[str, dict[str, Changed]] = {}
    for condition in plan.conditions:
        jobs = [[job for job in of_seed if job.condition.key == condition.key] for of_seed in run.jobs]
        if not isinstance(condition, Intervention) or not any(jobs):
            continue
        cells = [[_cell(job, data, run) for job in row] for row in jobs]
        corrupted = np.stack([cell.corrupted for cell in cells[0]])  # K N
        members = {ALL: np.ones_like(corrupted)}
        if corrupted.any() and not corrupted.all():
            members |= {CORRUPTED: corrupted, INTACT: ~corrupted}
        elif condition.change == ALIKE:  # all are: the same as exchanging among all
            continue
        found[condition.key] = {name: _changed(metrics, cells, who, data) for name, who in members.items()}
    return _adjusted(found)


def _cell(job: Job, data: EvaluationSplit, run: RunCells) -> _Cell:
    after, spans = read_cell(job.path, data)
    return _Cell(after, predictions_before(job.path, after), holds_corruption(data, spans, run.reads))


def _changed(
    metrics: Sequence[Mapping[str, Metric]],
    cells: Sequence[Sequence[_Cell]],
    members: NDArray[np.bool_],
    data: EvaluationSplit,
) -> Changed:
    """The metrics of S × K cells, of the K × N utterances that are members."""
    _, groups = np.unique(np.where(members.any(axis=0), data.groups.numbers, -1), return_inverse=True)
    if not members.any(axis=0).all():
        groups = groups - 1  # those that never are members belong to none
    resample = Resample(int(groups.max()) + 1)
    found = {}
    for name in metrics[0]:
        after, before = (
            np.stack(
                [
                    [
                        _sums(of_seed[name], seen_by(name, getattr(cell, side)), who, groups)
                        for cell, who in zip(row, members, strict=True)
                    ]
                    for of_seed, row in zip(metrics, cells, strict=True)
                ]
            )
            for side in ("after", "before")
        )  # S K G T
        found[name] = _difference(metrics[0][name], after, before, resample)
    return Changed(float(members.sum(axis=1).mean()), found)


def _sums(metric: Metric, predictions: Predictions, members: NDArray[np.bool_], groups: NDArray[np.int64]) -> Array:
    """G × T, each metric term summed over the members of each group."""
    assert predictions.truth is not None
    terms = metric.contributions(predictions.prediction, predictions.truth)
    total = np.zeros((int(groups.max()) + 1, terms.shape[1]))
    np.add.at(total, groups[members], terms[members])
    return total


def _difference(metric: Metric, after: Array, before: Array, resample: Resample) -> Difference:
    """After minus before of S × K × G × T sums; the interval is over groups, seeds and masks, as of all values."""
    flat = [side.reshape(-1, *side.shape[2:]) for side in (after, before)]
    test = paired_sums_test(metric, *flat, permutations=PERMUTATIONS, resamples=0)
    if test.value is None or resample.counts is None:
        return Difference(test.value, None, test.p_value)
    moved = metric.value(after.sum(axis=2)) - metric.value(before.sum(axis=2))  # S K
    drawn = metric.value(resample.counts @ after) - metric.value(resample.counts @ before)  # S K R
    return Difference(test.value, central(resample.mean(moved, drawn, share=False).drawn), test.p_value)


def _adjusted(found: Mapping[str, Mapping[str, Changed]]) -> Changes:
    """The same with p adjusted over the interventions, for each metric and each kind of utterances."""
    tests: dict[tuple[str, str], dict[str, Difference]] = {}
    for key, changed in found.items():
        for subset, one in changed.items():
            for name, difference in one.metrics.items():
                tests.setdefault((subset, name), {})[key] = difference
    told = {place: adjusted_together(known) for place, known in tests.items()}
    return {
        key: {
            subset: Changed(one.utterances, {name: told[subset, name][key] for name in one.metrics})
            for subset, one in changed.items()
        }
        for key, changed in found.items()
    }
