"""Cells → how one run does under every condition and in every summary, with intervals over recordings and seeds.

In each resample recordings are drawn with replacement, and so are the run's seeds and the seeds of the masks; all
conditions and all runs are valued on the same draw, so that a mean or an area over conditions has an interval of its
own. Effective robustness, say, is resampled as the difference that it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.detection import auroc, resampled_auroc
from mecam.evaluation.groups import resample_groups
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.predict import constant_predictions
from mecam.evaluation.robustness.cells import read_cell
from mecam.evaluation.robustness.conditions import CLEAN, Condition
from mecam.evaluation.robustness.evaluation_split import OWN, EvaluationSplit
from mecam.evaluation.robustness.measure import Job
from mecam.evaluation.robustness.protocols import Plan, Summary
from mecam.evaluation.statistics import group_sums, summarise
from mecam.evaluation.sums import Array, binned_gaps, gap, ratio, with_count
from mecam.task import Task
from mecam.types import Modality, Predictions, Span

__all__ = [
    "Resample",
    "RunCells",
    "RunScores",
    "calibration_metrics",
    "conflict_scores",
    "constant_scored",
    "gate_scores",
    "measures_for",
    "score_run",
    "seen_by",
]


RESAMPLES = 1000
ROW_RESAMPLES = 200
"""Of the filter's AUROC, whose rows are many."""

Known = tuple[Predictions, list[list[Span]]]


@dataclass(frozen=True)
class RunCells:
    """A run whose cells are made.

    Attributes:
        name: of its row.
        model: name in the registry.
        folder: the run folder.
        seeds: S, of the trainings.
        jobs: S, the cells of each.
        half_widths: S, of the calibrated interval; None if there is none.
        reads: modalities that it reads.
    """

    name: str
    model: str
    folder: str
    seeds: tuple[int, ...]
    jobs: tuple[Sequence[Job], ...]
    half_widths: tuple[float | None, ...]
    reads: tuple[Modality, ...]


@dataclass(frozen=True)
class Value:
    """One measure under one condition, or in one summary.

    Attributes:
        per_seed: S, averaged over the seeds of the masks; NaN where undefined.
        drawn: R, the mean over seeds in every resample; None with too few recordings or speakers.
        groups: how many of these there are, where the measure is a share.
    """

    per_seed: Array
    drawn: Array | None
    groups: int | None = None

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where one is undefined."""
        return None if np.isnan(self.per_seed).any() else float(self.per_seed.mean())

    def to_json(self) -> dict[str, Any]:
        """{mean, std, ci95, per_seed}."""
        known = [None if np.isnan(value) else float(value) for value in self.per_seed]
        return summarise(known, self.drawn, groups=self.groups)


@dataclass(frozen=True)
class RunScores:
    """What is known about one run.

    Attributes:
        name: of its row.
        model: name in the registry.
        folder: the run folder; empty for the constant predictor.
        seeds: of the trainings.
        reads: modalities that it reads.
        width: mean width of its interval around complete utterances; None if there is none.
        values: measure → condition → value.
        summaries: summary → measure → value.
        sums: metric → condition → S × K × G × T sums per group, for the tests.
    """

    name: str
    model: str
    folder: str
    seeds: tuple[int, ...]
    reads: tuple[Modality, ...]
    width: float | None
    values: Mapping[str, Mapping[str, Value]]
    summaries: Mapping[str, Mapping[str, Value]]
    sums: Mapping[str, Mapping[str, Array]] = field(repr=False)


class Resample:
    """One draw of recordings or speakers for all runs.

    Args:
        groups: how many there are.
        resamples: how many draws.
    """

    def __init__(self, groups: int, resamples: int = RESAMPLES) -> None:
        self.groups = groups
        self.counts = resample_groups(groups, resamples, np.random.default_rng(0))  # R G
        self.resamples = resamples

    def mean(self, values: Array, drawn: Array | None, *, share: bool) -> Value:
        """Bring the seeds together.

        Args:
            values: S × K.
            drawn: S × K × R, of the first R resamples.
            share: they lie in [0, 1].
        """
        if drawn is None:
            return Value(values.mean(axis=1), None)
        rng = np.random.default_rng(1)
        runs, masks = (rng.multinomial(n, np.full(n, 1 / n), size=self.resamples) / n for n in values.shape)  # R S
        count = drawn.shape[2]
        together = np.einsum("skr,rs,rk->r", drawn, runs[:count], masks[:count])
        return Value(values.mean(axis=1), together, self.groups if share else None)


def score_run(run: RunCells, data: EvaluationSplit, plan: Plan, resample: Resample) -> RunScores:
    """Value every condition and summary of a run.

    Raises: DataError if a cell is missing or damaged.
    """
    measures = [measures_for(data.store.task, width) for width in run.half_widths]
    clean = [read_cell(_jobs(jobs, CLEAN)[0].path, data) for jobs in run.jobs]
    values: dict[str, dict[str, Value]] = {}
    sums: dict[str, dict[str, Array]] = {}
    for condition in plan.conditions:
        if not _jobs(run.jobs[0], condition):
            continue  # an intervention on what the model does not have
        cells = [[read_cell(job.path, data) for job in _jobs(jobs, condition)] for jobs in run.jobs]  # S K
        for name in measures[0]:
            metric = [by_name[name] for by_name in measures]
            found = np.stack(
                [
                    group_sums(m, [seen_by(name, predictions) for predictions, _ in row], data.groups.numbers)
                    for m, row in zip(metric, cells, strict=True)
                ]
            )
            sums.setdefault(name, {})[condition.key] = found
            values.setdefault(name, {})[condition.key] = _valued(metric[0], found, resample)
        for name, value in _found(condition, clean, cells, data, resample):
            values.setdefault(name, {})[condition.key] = value
    widths = [2 * width for width in run.half_widths if width is not None]
    return RunScores(
        run.name,
        run.model,
        run.folder,
        run.seeds,
        run.reads,
        float(np.mean(widths)) if widths and len(widths) == len(run.seeds) else None,
        values,
        _summaries(plan.summaries, values),
        {name: sums[name] for name in metrics_for(data.store.task)},
    )


def constant_scored(
    prior: Sequence[float], data: EvaluationSplit, plan: Plan, resample: Resample, name: str = "constant"
) -> RunScores:
    """The constant predictor, whom nothing disturbs."""
    like = Predictions(data.ids, data.videos, np.zeros(len(data)), data.truth)
    said = constant_predictions(data.store.task, like, prior)
    values: dict[str, dict[str, Value]] = {}
    sums: dict[str, dict[str, Array]] = {}
    for metric in metrics_for(data.store.task).values():
        found = group_sums(metric, [said], data.groups.numbers)[None]
        value = _valued(metric, found, resample)
        values[metric.name] = {condition.key: value for condition in plan.conditions}
        sums[metric.name] = {condition.key: found for condition in plan.conditions}
    return RunScores(name, name, "", (0,), (), None, values, _summaries(plan.summaries, values), sums)


def _jobs(jobs: Sequence[Job], condition: Condition) -> list[Job]:
    return [job for job in jobs if job.condition.key == condition.key]


def _valued(metric: Metric, sums: Array, resample: Resample) -> Value:
    """The metric of S × K × G × T sums per group."""
    plain = metric.value(sums.sum(axis=2))  # S K
    drawn = None if resample.counts is None else metric.value(resample.counts @ sums)  # S K R
    return resample.mean(plain, drawn, share=metric.fraction)


def _found(
    condition: Condition,
    clean: Sequence[Known],
    cells: Sequence[Sequence[Known]],
    data: EvaluationSplit,
    resample: Resample,
) -> list[tuple[str, Value]]:
    """How well the filter finds the inserted corruption, and whether a contradiction is noticed; what can be asked."""
    if condition is CLEAN:
        return []
    result = []
    for modality in (condition.modality,) if condition.modality else data.modalities:
        questions = [("filter", gate_scores)]
        if condition.kind == "contradiction":
            questions.append(("conflict", conflict_scores))
        for name, ask in questions:
            rows = [
                [ask(*whole, *cell, modality, data.groups.numbers) for cell in row]
                for whole, row in zip(clean, cells, strict=True)
            ]
            known = [[one for one in row if one is not None and one[1].any() and not one[1].all()] for row in rows]
            if all(len(row) == len(asked) and row for row, asked in zip(known, rows, strict=True)):
                result.append((f"{name}_{modality}", _ranked(known, resample)))
    return result


def _ranked(rows: Sequence[Sequence[tuple[Array, NDArray[np.bool_], NDArray[np.int64]]]], resample: Resample) -> Value:
    """AUROC of S × K rankings."""
    values = np.array([[auroc(score, positive) for score, positive, _ in row] for row in rows], np.float64)
    if resample.counts is None:
        return resample.mean(values, None, share=True)
    counts = resample.counts[:ROW_RESAMPLES]
    drawn = np.stack([[resampled_auroc(*one, counts) for one in row] for row in rows])
    return resample.mean(values, drawn, share=True)


def _summaries(summaries: Sequence[Summary], values: Mapping[str, Mapping[str, Value]]) -> dict[str, dict[str, Value]]:
    """Every measure that is known under all conditions of a summary."""
    return {
        summary.name: {
            measure: _weighted([known[key] for key in summary.weights], list(summary.weights.values()))
            for measure, known in values.items()
            if summary.weights.keys() <= known.keys()
        }
        for summary in summaries
    }


def _weighted(values: Sequence[Value], weights: Sequence[float]) -> Value:
    per_seed = _sum([w * value.per_seed for w, value in zip(weights, values, strict=True)])
    draws = [value.drawn for value in values if value.drawn is not None]
    if len(draws) < len(values):
        return Value(per_seed, None)
    count = min(map(len, draws))
    shares = {value.groups for value in values}
    drawn = _sum([w * draw[:count] for w, draw in zip(weights, draws, strict=True)])
    return Value(per_seed, drawn, shares.pop() if len(shares) == 1 else None)


def _sum(parts: Sequence[Array]) -> Array:
    """What should be zero and is not, by rounding, is zero."""
    return np.asarray(np.round(np.sum(parts, axis=0), 12) + 0.0)


def measures_for(task: Task, half_width: float | None) -> dict[str, Metric]:
    """The task's metrics, and those of calibration.

    Args:
        task: of the data set.
        half_width: of the interval around the score of a complete utterance; None if there is none.
    """
    return metrics_for(task) | {metric.name: metric for metric in calibration_metrics(task, half_width)}


def calibration_metrics(task: Task, half_width: float | None) -> list[Metric]:
    """Coverage and width of the interval around a score; expected calibration error of probabilities."""
    if task.is_score:
        return [] if half_width is None else [_coverage(half_width), _width(task, half_width)]
    if not task.several:
        words = "expected calibration error: ten bins of the highest probability, |probability − accuracy|"
        return [Metric("ece", "expected calibration error", words, _of_classes, gap, higher_is_better=False)]
    words = "expected calibration error: ten bins of the label probabilities, |probability − observed frequency|"
    return [Metric("ece", "expected calibration error", words, _of_labels, gap, higher_is_better=False)]


def _coverage(half_width: float) -> Metric:
    def inside(p: Array, t: Array) -> Array:
        return with_count(np.abs(p - t) <= half_width)

    return Metric(
        "coverage", "coverage of the interval", "fraction of true scores inside the calibrated interval", inside, ratio
    )


def _width(task: Task, half_width: float) -> Metric:
    def widths(p: Array, wider: Array) -> Array:
        low, high = (np.clip(p + sign * half_width * wider, task.low, task.high) for sign in (-1, 1))
        return with_count(high - low)

    words = "mean width of the interval within the scale"
    return Metric("width", "width of the interval", words, widths, ratio, higher_is_better=False, unit="points")


def seen_by(name: str, predictions: Predictions) -> Predictions:
    """What a measure reads in place of scores and truth, where the interval differs from utterance to utterance.

    Coverage compares the error with one half width: both are divided by the factor of each. The width reads the
    factors in place of the truth.
    """
    if name not in ("coverage", "width"):
        return predictions
    wider = predictions.interval_half_widths(1.0)
    if name == "width":
        return replace(predictions, truth=wider)
    assert predictions.truth is not None
    return replace(predictions, prediction=predictions.prediction / wider, truth=predictions.truth / wider)


def _of_classes(p: Array, t: Array) -> Array:
    return binned_gaps(p.max(axis=1)[:, None], (p.argmax(axis=1) == t)[:, None])


def _of_labels(p: Array, t: Array) -> Array:
    return binned_gaps(p, t > 0)


def gate_scores(
    clean: Predictions,
    clean_spans: Sequence[Sequence[Span]],
    corrupted: Predictions,
    spans: Sequence[Sequence[Span]],
    modality: Modality,
    videos: NDArray[np.int64],
) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]] | None:
    """How much of each row was removed, against whether it was corrupted.

    The positives are the rows that the condition touched; the negatives all rows that are not corrupted, in the
    corrupted utterances and in the clean ones. Rows that are corrupted in the data itself take no part, nor do
    missing rows.

    Returns: 1 − gate, whether touched, and the recording of each row; None if the model has no gate here.
    """
    removed, touched, video = [], [], []
    for predictions, known in ((clean, clean_spans), (corrupted, spans)):
        for i, gates in enumerate(predictions.gates):
            if modality not in gates:
                continue
            gate = gates[modality]
            mark = np.zeros(len(gate), np.int8)
            for span in known[i]:
                if span.modality == modality:
                    mark[span.start : span.stop] |= 2 if span.kind == OWN else 1
            part = (mark < 2) & ~np.isnan(gate)
            removed.append(1 - gate[part].astype(np.float64))
            touched.append(mark[part] == 1)
            video.append(np.full(int(part.sum()), videos[i]))
    if not removed:
        return None
    return np.concatenate(removed), np.concatenate(touched), np.concatenate(video)


def conflict_scores(
    clean: Predictions,
    clean_spans: Sequence[Sequence[Span]],
    corrupted: Predictions,
    spans: Sequence[Sequence[Span]],
    modality: Modality,
    videos: NDArray[np.int64],
) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]] | None:
    """How much a modality is doubted, against whether it was made to contradict.

    The positives are the utterances whose modality was replaced; the negatives the same utterances as they were. An
    utterance whose modality is corrupted in the data itself takes no part.

    Returns: probability, whether replaced, and the recording of each; None if the model does not estimate conflict.
    """
    if modality not in clean.conflict_probabilities or modality not in corrupted.conflict_probabilities:
        return None
    own = np.array([any(s.modality == modality and s.kind == OWN for s in row) for row in clean_spans], bool)
    made = np.array([any(s.modality == modality and s.kind != OWN for s in row) for row in spans], bool) & ~own
    doubt = np.concatenate(
        [clean.conflict_probabilities[modality][made], corrupted.conflict_probabilities[modality][made]]
    ).astype(np.float64)
    positive = np.repeat([False, True], int(made.sum()))
    video = np.tile(videos[made], 2)
    known = ~np.isnan(doubt)
    return doubt[known], positive[known], video[known]
