"""What a robustness protocol found, as tables, each made once for the terminal, the page and the files."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mecam.data.cells import csv_text
from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.conditions import CLEAN, SEVERITIES, Condition
from mecam.evaluation.robustness.findings import RobustnessFindings, best_of, condition_of
from mecam.evaluation.robustness.interventions import Intervention
from mecam.evaluation.robustness.protocols import GRADED, Summary
from mecam.evaluation.robustness.scores import RunScores, Value
from mecam.report.format import UNDEFINED, arrow, capital, interval, named, p_value, percent, plain, value
from mecam.report.robustness_changes import change_tables, other_change_tables
from mecam.report.robustness_conditions import amount_of
from mecam.report.robustness_ranks import ranks_table
from mecam.report.scores import difference_cell, metric_head, score_cell
from mecam.report.table import Cell, Table

__all__ = [
    "condition_tables",
    "graded",
    "summary_tables",
    "tables",
    "terminal_tables",
    "tests_table",
    "title_of",
]

TERMINAL_COLUMNS = 12
"""Columns of a table that a terminal can show; the page holds all."""

EXPLANATION = (
    "Mean over seeds and masks; ± is the standard deviation over the run's seeds; below it the 95 % interval over "
    "other recordings (or speakers), seeds and masks (bootstrap). The best mean is bold; ≈ marks what a paired "
    "permutation test, adjusted by Holm, cannot tell from it."
)
TESTS = (
    "Paired permutation test over recordings (or speakers): the run minus the best of its column; p adjusted by "
    "Holm over the runs that are compared with the same one; * is p < .05. The best was chosen by the same numbers."
)
CALIBRATION = ("coverage", "width", "ece")
"""Measures beside the metrics that say whether the model knows how sure it can be."""


def tables(findings: RobustnessFindings) -> list[Table]:
    """Every table of a protocol: summaries first, then each run, then the tests."""
    tested = tests_table(findings)
    found = [*summary_tables(findings), *other_change_tables(findings), *condition_tables(findings)]
    return found if tested is None else [*found, tested]


def terminal_tables(findings: RobustnessFindings) -> list[Table]:
    """The summaries, and one run under every condition; the files hold the rest."""
    single = condition_tables(findings) if len(findings.runs) == 1 else []
    return [table for table in [*summary_tables(findings), *single] if len(table.head) <= TERMINAL_COLUMNS]


def title_of(findings: RobustnessFindings) -> str:
    """What was measured on what."""
    counted = findings.resampled.of(findings.utterances, findings.videos)
    return f"{findings.plan.protocol} on {findings.data}, {findings.split}: {counted}"


def summary_tables(findings: RobustnessFindings) -> list[Table]:
    """A table per summary, the mean ranks, the mean of every corruption, and what interventions change."""
    found = [_overview(findings, summary) for summary in _overall(findings)]
    found = [*found[:1], *(replace(table, note="") for table in found[1:])]  # once is enough
    if findings.ranks:
        found.append(ranks_table(findings))
    if graded(findings) and len(findings.runs) > 1:
        found.append(_corruptions_table(findings))
    return [*found, *change_tables(findings)]


def condition_tables(findings: RobustnessFindings) -> list[Table]:
    """A table per run: how it does under every condition."""
    return [_by_severity(findings, run) if graded(findings) else _by_condition(findings, run) for run in findings.runs]


def tests_table(findings: RobustnessFindings) -> Table | None:
    """Every run against the best, in every summary and leading metric; None for a single run."""
    rows = []
    for summary in findings.plan.summaries:
        for metric in findings.leading:
            test = findings.tests.get(summary.name, {}).get(metric.name)
            for name, found in test.against.items() if test else ():
                under = interval(found.ci95, metric, points=True) if found.ci95 else ""
                cells = [
                    f"{name}: {summary.name.replace('.', ' ')}, {metric.name}",
                    test.best if test else "",
                    replace(difference_cell(found.value, metric, significant=False, under=under), tone=""),
                    Cell(p_value(found.p_value), number=found.p_value),
                    Cell(p_value(found.p_holm) + " *" * found.significant, number=found.p_holm),
                ]
                rows.append(cells)
    head = ("run, summary and metric", "best", "difference", "p", "p adjusted")
    return Table(head, rows, "Tests against the best", TESTS, words=frozenset({0, 1}), sortable=True) if rows else None


def graded(findings: RobustnessFindings) -> dict[tuple[str, str], list[Condition]]:
    """Modality and kind → its severities; nothing for a protocol that has none."""
    groups: dict[tuple[str, str], list[Condition]] = {}
    for condition in findings.plan.conditions if findings.plan.protocol in GRADED else ():
        if condition is not CLEAN:
            groups.setdefault((condition.modality, condition.kind), []).append(condition)
    return groups


def as_csv(findings: RobustnessFindings) -> str:
    """One line per run, condition or summary, and measure, in full precision."""
    place = ["run", "model", "protocol", "condition", "summary", "kind", "modality", "level"]
    rows = []
    for row in findings.rows:
        start = [row.name, row.model, findings.plan.protocol]
        for measure, known in row.values.items():
            for key, found in known.items():
                condition = condition_of(findings.plan, key)
                where = [key, "", condition.kind, condition.modality, condition.level]
                rows.append([*start, *where, measure, *_numbers(found)])
        for name, summed in row.summaries.items():
            for measure, found in summed.items():
                rows.append([*start, "", name, "", "", "", measure, *_numbers(found)])
    return csv_text([*place, "measure", "mean", "std", "low", "high", "seeds"], rows)


def _overview(findings: RobustnessFindings, summary: Summary) -> Table:
    """The runs in one summary: the leading metrics, and what else was measured."""
    extra = [name for name in _others(findings) if any(name in row.summaries[summary.name] for row in findings.runs)]
    extra = [] if summary.loss else extra
    head = ["run", *(metric_head(m, loss=summary.loss) for m in findings.leading), *map(_measure_head, extra)]
    rows = []
    for row in findings.rows:
        known = row.summaries[summary.name]
        cells = [_summed(findings, summary, metric, row) for metric in findings.leading]
        rows.append([row.name, *cells, *(_measure(known.get(name), name) for name in extra)])
    return Table(head, rows, capital(summary.title), EXPLANATION, sortable=True)


def _by_condition(findings: RobustnessFindings, run: RunScores) -> Table:
    """A row per condition: the leading metrics, calibration, the filter."""
    extra = [name for name in _others(findings) if name in run.values]
    head = ["condition", *map(metric_head, findings.leading), *map(_measure_head, extra)]
    rows = []
    # What an intervention changes has a table of its own.
    for condition in [step for step in findings.plan.conditions if not isinstance(step, Intervention)]:
        cells = [_cell(run.values[metric.name].get(condition.key), metric) for metric in findings.leading]
        measured = [_measure(run.values[name].get(condition.key), name) for name in extra]
        rows.append([amount_of(condition), *cells, *measured])
    return Table(head, rows, f"{run.name} under every condition", _width_note(run), sortable=True)


def _by_severity(findings: RobustnessFindings, run: RunScores) -> Table:
    """A row per corruption: the first metric at each severity, and means of the rest."""
    metric, known = findings.leading[0], run.values
    calibration = [name for name in CALIBRATION if name in known]
    rows = []
    for (modality, kind), levels in graded(findings).items():
        measured = {int(c.level): known[metric.name].get(c.key) for c in levels}  # of `only` some, not all five
        cells = [_cell(measured.get(severity), metric, brief=True) for severity in SEVERITIES]
        cells.append(_cell(run.summaries.get(f"{modality}.{kind}", {}).get(metric.name), metric))
        others = (*calibration, f"filter_{modality}", f"conflict_{modality}")
        rows.append([f"{modality} {kind}", *cells, *(_measure(_average(run, levels, name), name) for name in others)])
    head = ["corruption", *map(str, SEVERITIES), "mean", *map(_measure_head, calibration)]
    head += ["filter AUROC", "conflict AUROC"]
    note = (
        f"{capital(named(metric))} {arrow(metric)} at severities 1 to 5 (clean: "
        f"{value(known[metric.name][CLEAN.key].mean, metric)}) and its mean with the 95 % interval; the last columns "
        f"are means over the severities. {_width_note(run)}"
    )
    return Table(head, rows, f"{run.name} under every corruption", note.strip(), sortable=True)


def _corruptions_table(findings: RobustnessFindings) -> Table:
    """A row per corruption, a column per run: the first metric, mean over the severities."""
    metric = findings.leading[0]
    rows = [
        [summary.name.replace(".", " "), *(_summed(findings, summary, metric, row) for row in findings.rows)]
        for summary in findings.plan.summaries
    ]
    head = ("corruption", *(row.name for row in findings.rows))
    return Table(head, rows, f"{capital(named(metric))} {arrow(metric)} per corruption", "", sortable=True)


def _summed(findings: RobustnessFindings, summary: Summary, metric: Metric, row: RunScores) -> Cell:
    """A run's value in a summary: whether it is the best, or cannot be told from it."""
    best = best_of(findings.runs, summary, metric)
    first = best is not None and len(findings.runs) > 1 and findings.runs[best] is row
    test = findings.tests.get(summary.name, {}).get(metric.name)
    found = test.against.get(row.name) if test else None
    tied = found is not None and found.p_holm is not None and not found.significant
    return _cell(row.summaries[summary.name].get(metric.name), metric, best=first, tied=tied)


def _cell(found: Value | None, metric: Metric, *, best: bool = False, tied: bool = False, brief: bool = False) -> Cell:
    if found is None:
        return Cell(UNDEFINED)
    entry = found.to_json()
    if brief:
        return score_cell(entry["mean"], metric)
    return score_cell(entry["mean"], metric, std=entry["std"], ci95=entry["ci95"], best=best, tied=tied)


def _measure(found: Value | None, name: str) -> Cell:
    """A value without its interval."""
    number = None if found is None else found.mean
    return Cell(percent(number) if name in ("coverage", "ece") else plain(number), number=number)


def _measure_head(name: str) -> Cell:
    kind, _, modality = name.partition("_")
    return Cell({"filter": f"filter AUROC {modality}", "conflict": f"conflict AUROC {modality}"}.get(kind, name))


def _overall(findings: RobustnessFindings) -> list[Summary]:
    """Summaries that have a table of their own: not each single corruption, and none that says the same as another."""
    found: list[Summary] = []
    for summary in findings.plan.summaries:
        if "." not in summary.name and summary.weights not in [other.weights for other in found]:
            found.append(summary)
    return found


def _others(findings: RobustnessFindings) -> list[str]:
    """Measures beside the metrics, in the order they were found."""
    known = dict.fromkeys(name for row in findings.runs for name in row.values)
    return [name for name in known if name not in findings.metrics]


def _average(run: RunScores, levels: Sequence[Condition], name: str) -> Value | None:
    """Mean of a measure over the severities at which it is known."""
    known = [run.values[name][c.key] for c in levels if c.key in run.values.get(name, {})]
    return Value(np.mean([one.per_seed for one in known], axis=0), None) if known else None


def _numbers(found: Value) -> list[object]:
    entry = found.to_json()
    return [entry["mean"], entry["std"], *(entry["ci95"] or (None, None)), len(entry["per_seed"] or ())]


def _width_note(run: RunScores) -> str:
    if run.width is None:
        return ""
    return (
        f"For complete utterances the calibrated interval is {plain(run.width, 2)} wide; width is its mean here, as it "
        "grows with what is missing, and coverage says how often it contains the truth."
    )
