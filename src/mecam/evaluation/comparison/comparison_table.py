"""Results of runs → one table: every metric with its uncertainty, and paired tests against the best and a baseline."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mecam.errors import DataError
from mecam.evaluation.comparison.overlap import Overlap, overlap
from mecam.evaluation.comparison.ranks import Ranks, rank
from mecam.evaluation.comparison.run_results import CONSTANT, RunResult
from mecam.evaluation.groups import Groups, Resampled
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.statistics import (
    ALPHA,
    Difference,
    adjusted_together,
    as_many,
    metrics_table,
    paired_permutation_test,
)
from mecam.task import Task

__all__ = ["ALPHA", "ComparisonRow", "ComparisonTable", "Difference", "Score", "compare"]


@dataclass(frozen=True)
class Score:
    """One run on one metric.

    Attributes:
        mean: over seeds; None where undefined.
        std: over seeds (n − 1); None for one seed.
        ci95: bootstrap interval over recordings or speakers, and seeds.
        per_seed: the metric of every seed.
        best: True for the best mean of all runs (the constant predictor takes no part).
        tied: True where the test cannot tell the run from the best.
        against_best: None for the best itself.
        against_baseline: None without a baseline, and for the baseline itself.
    """

    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None
    per_seed: tuple[float | None, ...]
    best: bool = False
    tied: bool = False
    against_best: Difference | None = None
    against_baseline: Difference | None = None


@dataclass(frozen=True)
class ComparisonRow:
    """One row: a run and how it did.

    Attributes:
        name: of the row.
        model: name in the registry.
        seeds: how many.
        facts: as in `RunResult`.
        scores: metric → score.
        run: the folder, where there is one.
        command: that made it.
        note: what a reader should know about the row (the overrides of an ablation).
        budget: how its options were found, in words.
        settings: `option=value` of every option that is not the default.
    """

    name: str
    model: str
    seeds: int
    facts: dict[str, float]
    scores: dict[str, Score]
    run: str = ""
    command: str = ""
    note: str = ""
    budget: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparisonTable:
    """A comparison, whole.

    Attributes:
        task: what the data asks for.
        split: that was compared on.
        data: name of the data set.
        utterances: of the split.
        videos: of the split.
        resampled: what the tests swap and the bootstrap draws.
        rows: in the order given, the constant predictor last.
        baseline: name of the row that all are tested against beside the best.
        missing: name → why there is no row.
        notes: what holds for the whole comparison.
        ranks: average ranks over recordings; None for a single model or too few recordings.
        overlap: whether models err on the same utterances; None for a single model.
    """

    task: Task
    split: str
    data: str
    utterances: int
    videos: int
    resampled: Resampled
    rows: tuple[ComparisonRow, ...]
    baseline: str | None = None
    missing: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ranks: Ranks | None = None
    overlap: Overlap | None = None

    @property
    def metrics(self) -> dict[str, Metric]:
        """Name → metric, in the order they are shown."""
        return metrics_for(self.task)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for other programs; `docs/metrics.md` describes them."""
        return {"alpha": ALPHA, **asdict(self)}


def compare(
    run_results: Sequence[RunResult],
    task: Task,
    split: str,
    *,
    data: str | None = None,
    baseline: str | None = None,
    notes: dict[str, str] | None = None,
    missing: dict[str, str] | None = None,
    permutations: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> ComparisonTable:
    """Compare runs on every metric.

    For each metric the run with the best mean is found; every other is tested against it, and against the baseline
    where one is named, by a paired permutation test over recordings or speakers; each family of tests is adjusted by
    Holm's method.

    Args:
        run_results: from `read_run_results`.
        task: what the data asks for.
        split: that their predictions are of.
        data: name of the store that they answered, where it is not the one that the first learned from.
        baseline: the name of a run.
        notes: name → note of its row.
        missing: what was meant to take part, name → why it does not.
        permutations: of each test.
        progress: called with (metrics done, all).

    Raises: DataError if no run has the baseline's name.
    """
    names = [run_result.name for run_result in run_results]
    if baseline is not None and baseline not in names:
        raise DataError(f"there is no run {baseline!r}", where="--baseline", fix=f"choose one of {', '.join(names)}")
    tables = [metrics_table(task, c.predictions, resample_seeds=True) for c in run_results]
    scores: list[dict[str, Score]] = [{} for _ in run_results]
    metrics = metrics_for(task)
    for done, metric in enumerate(metrics.values(), 1):
        column = [_score(table[metric.name]) for table in tables]
        best = _best(run_results, column, metric)
        tests = _Tests(task, metric.name, run_results, permutations)
        rivals = [i for i, c in enumerate(run_results) if c.model != CONSTANT and i != best]
        to_best = {} if best is None else tests.against(best, rivals)
        base = None if baseline is None else names.index(baseline)
        others = [i for i, c in enumerate(run_results) if c.model != CONSTANT and i != base]
        to_base = {} if base is None else tests.against(base, others)
        for i, score in enumerate(column):
            difference = to_best.get(i)
            tied = difference is not None and difference.p_holm is not None and not difference.significant
            known = {"best": i == best, "tied": tied, "against_best": difference, "against_baseline": to_base.get(i)}
            scores[i][metric.name] = Score(**{**vars(score), **known})
        if progress:
            progress(done, len(metrics))
    first = run_results[0].predictions[0]
    shared = _shared_settings(run_results)
    row = [_row(c, s, (notes or {}).get(c.name, ""), shared) for c, s in zip(run_results, scores, strict=True)]
    return ComparisonTable(
        task=task,
        split=split,
        data=data or str(run_results[0].learned_from.get("name") or "data"),
        utterances=len(first),
        videos=len(set(first.videos)),
        resampled=Groups.of(first).resampled,
        rows=tuple(row),
        baseline=baseline,
        missing=dict(missing or {}),
        notes=tuple(_notes(run_results, shared, data)),
        ranks=rank(run_results, task, alpha=ALPHA),
        overlap=overlap(run_results, task),
    )


class _Tests:
    """Paired tests on one metric; a pair is tested once."""

    def __init__(self, task: Task, metric: str, run_results: Sequence[RunResult], permutations: int) -> None:
        self._task, self._metric, self._run_results, self._permutations = task, metric, run_results, permutations
        self._known: dict[tuple[int, int], Difference] = {}

    def against(self, reference: int, others: Sequence[int]) -> dict[int, Difference]:
        """Each of `others` minus the reference, adjusted together."""
        return adjusted_together({other: self._pair(other, reference) for other in others})

    def _pair(self, one: int, other: int) -> Difference:
        if (one, other) not in self._known:
            first, second = as_many(self._run_results[one].predictions, self._run_results[other].predictions)
            self._known[one, other] = paired_permutation_test(
                self._task, first, second, self._metric, permutations=self._permutations
            )
        return self._known[one, other]


def _score(entry: dict[str, Any]) -> Score:
    ends = entry["ci95"]
    return Score(entry["mean"], entry["std"], None if ends is None else (ends[0], ends[1]), tuple(entry["per_seed"]))


def _best(run_results: Sequence[RunResult], column: Sequence[Score], metric: Metric) -> int | None:
    """Position of the best mean; the first of equals."""
    sign = 1.0 if metric.higher_is_better else -1.0
    known = {
        i: sign * score.mean
        for i, score in enumerate(column)
        if score.mean is not None and run_results[i].model != CONSTANT
    }
    return max(known, key=lambda i: known[i]) if known else None


def _shared_settings(run_results: Sequence[RunResult]) -> tuple[str, ...]:
    """What was set alike for all runs, instead of the defaults."""
    runs = [c for c in run_results if c.model != CONSTANT]
    return tuple(item for item in (runs[0].settings if runs else ()) if all(item in c.settings for c in runs))


def _budget(run_result: RunResult, shared: Sequence[str]) -> str:
    """How the options were found; what was set for all runs alike is no budget of this one."""
    if run_result.model == CONSTANT:
        return ""
    if run_result.tuned:
        return f"tuned with {run_result.tuned}"
    own = len(set(run_result.settings) - set(shared))
    return f"defaults, {own} set" if own else "defaults"


def _row(run_result: RunResult, scores: dict[str, Score], note: str, shared: Sequence[str]) -> ComparisonRow:
    folder: Path | None = run_result.folder
    return ComparisonRow(
        name=run_result.name,
        model=run_result.model,
        seeds=len(run_result.predictions),
        facts=dict(run_result.facts),
        scores=scores,
        run="" if folder is None else str(folder),
        command=run_result.command,
        note=note,
        budget=_budget(run_result, shared),
        settings=run_result.settings,
    )


def _notes(run_results: Sequence[RunResult], shared: Sequence[str], data: str | None) -> list[str]:
    """What makes the rows less than comparable, and what was set for all of them."""
    runs = [c for c in run_results if c.folder is not None]
    notes = []
    if data is not None:
        learned = ", ".join(sorted({str(c.learned_from.get("name") or "other data") for c in runs}))
        notes.append(f"Evaluated on: {data}. Trained on: {learned}.")
    if shared:
        notes.append(f"Set for all runs: {', '.join(shared)}.")
    if len(budgets := {c.tuned for c in runs if c.model != CONSTANT}) > 1:
        shown = ", ".join(sorted(budget or "none" for budget in budgets))
        notes.append(f"The options come from searches of different size: {shown}.")
    counts = {len(c.predictions) for c in runs}
    if len(counts) > 1:
        notes.append(
            f"The runs have {', '.join(map(str, sorted(counts)))} seeds: each pair is tested on the seeds that both "
            "have; a single seed is tested against each seed of the other run."
        )
    if any(c.learned_from.get("synthetic") for c in runs):
        notes.append("Synthetic data: not comparable with results on real data.")
    together = [c.name for c in runs if "training.recording_context=True" in c.settings]
    if together and len(together) < len(runs):
        notes.append(
            f"{', '.join(together)}: uses the context of the recording; the other models predict each utterance alone."
        )
    if len({str(sorted((c.learned_from.get("sha256") or {}).items())) for c in runs}) > 1:
        notes.append("The runs were trained on different stores and evaluated on the same utterances.")
    return notes
