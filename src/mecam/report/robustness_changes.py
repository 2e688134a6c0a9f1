"""What exchanging gates and modality weights changes (protocol `permutation`), as tables, charts and one sentence."""

from collections.abc import Mapping, Sequence

import altair as alt

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.changes import SUBSETS, Changed
from mecam.evaluation.robustness.conditions import CLEAN
from mecam.evaluation.robustness.findings import RobustnessFindings
from mecam.evaluation.robustness.interventions import BOTH, EXCHANGED, Intervention
from mecam.evaluation.statistics import Difference
from mecam.report.charts import dodged_intervals, spec
from mecam.report.format import UNDEFINED, difference, interval, named, p_value
from mecam.report.page import Chart
from mecam.report.robustness_conditions import amount_of, replaced
from mecam.report.scores import difference_cell, metric_head
from mecam.report.table import Cell, Table

__all__ = ["change_charts", "change_tables", "changes_headline", "other_change_tables"]

NOTE = (
    "Metric with the intervention minus metric without, of the same utterances; below it the 95 % interval over other "
    "recordings (or speakers), seeds and masks; coloured where the interval excludes 0. p: permutation test, each "
    "recording (or speaker) swaps the two. Corrupted are the utterances that are known to hold corruption."
)


def changes_headline(findings: RobustnessFindings) -> str:
    """One sentence about the first run: all that it has exchanged, on the data as it is."""
    name, metric = findings.runs[0].name, findings.leading[0]
    steps = [(s, c) for s, c in _measured(findings, name) if s.change == EXCHANGED and s.corruption is CLEAN]
    if not steps:
        return "Nothing is exchanged here on the data as it is; see the table."
    step, changed = steps[-1]
    parts = [f"{_told(one.metrics[metric.name], metric)} for {kind} utterances" for kind, one in changed.items()]
    what = replaced(step).replace(BOTH, "gates and weights")
    return f"{name}: with {what}, the {named(metric)} changes by {', '.join(parts)}."


def change_tables(findings: RobustnessFindings) -> list[Table]:
    """A table per run in the leading metric, of all utterances and of both kinds: a row for each intervention."""
    known = [run.name for run in findings.runs if findings.changes.get(run.name)]
    return [_leading_table(findings, name, NOTE if name == known[0] else "") for name in known]


def other_change_tables(findings: RobustnessFindings) -> list[Table]:
    """A table per run in the other metrics that lead, of all utterances."""
    tables = []
    for run in findings.runs:
        rows = [
            [_name(step), *(_cell(changed["all"], metric) for metric in findings.leading[1:])]
            for step, changed in _measured(findings, run.name)
        ]
        head = ["replaced", *(metric_head(metric, delta=True) for metric in findings.leading[1:])]
        tables += [Table(head, rows, f"{run.name}: other metrics, all utterances", sortable=True)] if rows else []
    return tables


def change_charts(findings: RobustnessFindings) -> list[Chart]:
    """A chart per run and corruption of the data: the leading metric under each intervention."""
    charts = []
    for run in findings.runs:
        groups: dict[str, list[tuple[Intervention, Mapping[str, Changed]]]] = {}
        for step, changed in _measured(findings, run.name):
            groups.setdefault(step.corruption.key, []).append((step, changed))
        charts += [_chart(run.name, steps, findings.leading[0]) for steps in groups.values()]
    return charts


def _leading_table(findings: RobustnessFindings, name: str, note: str) -> Table:
    metric, measured = findings.leading[0], _measured(findings, name)
    kinds = [kind for kind in SUBSETS if any(kind in changed for _, changed in measured)]
    head: list[object] = ["replaced"]
    for kind in kinds:
        of_metric = metric_head(metric, delta=True)
        head += [Cell(f"{of_metric.text}, {kind}", of_metric.under, title=of_metric.title), "p"]
    rows = []
    for step, changed in measured:
        row = [_name(step)]
        for kind in kinds:
            p = changed[kind].metrics[metric.name].p_value if kind in changed else None
            row += [_cell(changed.get(kind), metric), _p_cell(p)]
        rows.append(row)
    return Table(head, rows, f"{name}: change of the {named(metric)}", note, sortable=True)


def _name(step: Intervention) -> Cell:
    return Cell(replaced(step), "" if step.corruption is CLEAN else amount_of(step.corruption))


def _p_cell(p: float | None) -> Cell:
    return Cell(UNDEFINED if p is None else p_value(p).removeprefix("p ").removeprefix("= "), number=p)


def _cell(changed: Changed | None, metric: Metric) -> Cell:
    found = None if changed is None else changed.metrics[metric.name]
    if found is None:
        return Cell(UNDEFINED)
    under = interval(found.ci95, metric, points=True) if found.ci95 else ""
    return difference_cell(found.value, metric, significant=_sure(found), under=under)


def _sure(found: Difference) -> bool:
    """True where the interval excludes 0."""
    return found.ci95 is not None and (found.ci95[0] > 0 or found.ci95[1] < 0)


def _told(found: Difference, metric: Metric) -> str:
    if found.value is None:
        return "an undefined amount"
    return difference(found.value, metric, unit=True) + (f" ({interval(found.ci95, metric)})" if found.ci95 else "")


def _measured(findings: RobustnessFindings, name: str) -> list[tuple[Intervention, Mapping[str, Changed]]]:
    """The interventions on a run, and what each changes."""
    known = findings.changes.get(name, {})
    return [(c, known[c.key]) for c in findings.plan.conditions if isinstance(c, Intervention) and c.key in known]


def _chart(name: str, steps: Sequence[tuple[Intervention, Mapping[str, Changed]]], metric: Metric) -> Chart:
    rows, scale = [], 100 if metric.fraction else 1
    for step, changed in steps:
        for kind, one in changed.items():
            found = one.metrics[metric.name]
            if found.value is not None:
                ends = (found.value, *(found.ci95 or (found.value, found.value)))
                values = dict(zip(("value", "low", "high"), (scale * end for end in ends), strict=True))
                rows.append({"name": replaced(step), "kind": kind, **values})
    names = [replaced(step) for step, _ in steps]
    kinds = [kind for kind in SUBSETS if kind in {row["kind"] for row in rows}]
    corruption = steps[0][0].corruption
    data = f"{name}, {'data as it is' if corruption is CLEAN else amount_of(corruption)}"
    better = "higher" if metric.higher_is_better else "lower"
    title = f"change of {metric.name}{', in points' if metric.fraction else ''} ({better} is better)"
    chart = dodged_intervals(rows, names, kinds, x=alt.X("value:Q", title=title, axis=alt.Axis(tickCount=6)))
    return Chart(
        spec(chart, height=80 + (8 + 12 * len(kinds)) * len(names)),
        f"change of {metric.name}, {data}",
        data,
        f"Change of the {named(metric)} when gates or weights are replaced, with 95 % intervals.",
    )
