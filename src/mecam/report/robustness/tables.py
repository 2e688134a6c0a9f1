"""Findings as tables, made once and drawn four times: terminal, Markdown, LaTeX, HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.conditions import CLEAN, SEVERITIES, Condition, Corrupted
from mecam.evaluation.robustness.findings import ALL, Findings, best_of
from mecam.evaluation.robustness.protocols import Summary
from mecam.evaluation.robustness.scores import Scored, Value
from mecam.report.comparison.words import p_value
from mecam.report.markup import UNDEFINED, interval, percent, plain, spread, value

__all__ = [
    "Cell",
    "Table",
    "amount_of",
    "arrow",
    "capital",
    "graded",
    "overview",
    "per_run",
    "ranks_table",
    "tables",
    "tests_table",
]

EXPLANATION = (
    "Mean over seeds and masks; ± is the standard deviation over the run's seeds; below it the 95 % interval over "
    "other recordings (or speakers), seeds and masks (bootstrap). The best mean is bold; ≈ marks what a paired "
    "permutation test, adjusted by Holm, cannot tell from it."
)


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: the value.
        under: in small print below it.
        best: True where it is the best of its column.
        number: to sort by; None where undefined.
    """

    text: str
    under: str = ""
    best: bool = False
    number: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: above it.
        note: what it shows, in words.
        head: of its columns, the first one of the names.
        rows: name and cells.
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def tables(findings: Findings) -> list[Table]:
    """Every table of a protocol: summaries first, then each run, then the tests."""
    found = [overview(findings, summary) for summary in _shown(findings)]
    found = [*found[:1], *(replace(table, note="") for table in found[1:])]  # once is enough
    if findings.ranks:
        found.append(ranks_table(findings))
    if graded(findings) and len(findings.runs) > 1:
        found.append(_kinds(findings))
    found += [per_run(findings, run) for run in findings.runs]
    tested = tests_table(findings)
    return [*found, *([tested] if tested else [])]


def overview(findings: Findings, summary: Summary) -> Table:
    """The runs in one summary: the leading metrics, and what else was measured."""
    extra = [m for m in _others(findings) if any(m in row.summaries[summary.name] for row in findings.runs)]
    extra = [] if summary.loss else extra
    head = ["", *(f"{m.name} {_direction(m, loss=summary.loss)}" for m in findings.leading), *map(_named, extra)]
    best = {m.name: best_of(findings.runs, summary, m) for m in findings.leading}
    rows = []
    for i, row in enumerate(findings.rows):
        found = row.summaries[summary.name]
        cells = [
            _cell(
                found.get(m.name),
                m,
                best=best[m.name] == i and len(findings.runs) > 1,
                tied=_tied(findings, summary, m, row),
            )
            for m in findings.leading
        ]
        rows.append((row.name, (*cells, *(_plain(found.get(name), name) for name in extra))))
    return Table(capital(summary.title), EXPLANATION, tuple(head), tuple(rows))


def per_run(findings: Findings, run: Scored) -> Table:
    """One run under every condition."""
    if findings.plan.protocol in ("random-missing", "missing-modality") or not graded(findings):
        return _by_condition(findings, run)
    return _by_severity(findings, run)


def _by_condition(findings: Findings, run: Scored) -> Table:
    """A row per condition: the leading metrics, calibration, the filter."""
    extra = [name for name in _others(findings) if name in run.values]
    head = ("", *(f"{m.name} {_direction(m)}" for m in findings.leading), *map(_named, extra))
    rows = []
    for condition in findings.plan.conditions:
        cells = [_cell(run.values[m.name].get(condition.key), m) for m in findings.leading]
        cells += [_plain(run.values[name].get(condition.key), name) for name in extra]
        rows.append((amount_of(condition), tuple(cells)))
    return Table(f"{run.name} under every condition", _width_note(run), head, tuple(rows))


def _by_severity(findings: Findings, run: Scored) -> Table:
    """A row per corruption: the first metric at each severity, and means of the rest."""
    metric = findings.leading[0]
    groups = graded(findings)
    calibration = [name for name in ("coverage", "width", "ece") if name in run.values]
    clean = run.values[metric.name][CLEAN.key]
    rows = []
    for (modality, kind), levels in groups.items():
        measured = {int(c.level): run.values[metric.name].get(c.key) for c in levels}  # of `only` some, not all five
        cells = [_cell(measured.get(severity), metric, brief=True) for severity in SEVERITIES]
        cells.append(_cell(run.summaries.get(f"{modality}.{kind}", {}).get(metric.name), metric))
        for name in (*calibration, f"filter_{modality}", f"conflict_{modality}"):
            cells.append(_plain(_average(run, levels, name), name))
        rows.append((f"{modality} {kind}", tuple(cells)))
    head = ("", *map(str, SEVERITIES), "mean", *calibration, "filter AUROC", "conflict AUROC")
    note = (
        f"{metric.name} {_direction(metric)} at severities 1 to 5 (clean: {value(clean.mean, metric)}) and its mean "
        f"with the 95 % interval; the last columns are means over the severities. {_width_note(run)}"
    )
    return Table(f"{run.name} under every corruption", note.strip(), head, tuple(rows))


def _kinds(findings: Findings) -> Table:
    """A row per corruption, a column per run: the first metric, mean over the severities."""
    metric = findings.leading[0]
    rows = []
    for summary in findings.plan.summaries:
        best = best_of(findings.runs, summary, metric)
        cells = tuple(
            _cell(
                row.summaries[summary.name].get(metric.name),
                metric,
                best=best == i,
                tied=_tied(findings, summary, metric, row),
            )
            for i, row in enumerate(findings.rows)
        )
        rows.append((summary.name.replace(".", " "), cells))
    head = ("", *(row.name for row in findings.rows))
    return Table(f"{metric.name} {_direction(metric)} per corruption", EXPLANATION, head, tuple(rows))


def ranks_table(findings: Findings) -> Table:
    """A row per run, the first in front; columns: all corruptions, those of each modality."""
    order = sorted(findings.ranks[ALL], key=lambda name: findings.ranks[ALL][name].mean)
    best = {group: min(rank.mean for rank in found.values()) for group, found in findings.ranks.items()}
    rows = []
    for name in order:
        places = {group: found[name] for group, found in findings.ranks.items()}
        cells = [
            Cell(
                plain(place.mean, 1),
                "" if place.ci95 is None else f"{plain(place.ci95[0], 1)} to {plain(place.ci95[1], 1)}",
                place.mean == best[group],
                place.mean,
            )
            for group, place in places.items()
        ]
        rows.append((name, tuple(cells)))
    note = (
        f"In every corruption the runs are ranked by {findings.leading[0].name}, mean over its severities; the mean of "
        "these ranks (1 is best), with its 95 % interval over other recordings (or speakers), seeds and masks."
    )
    return Table("Mean rank over the corruptions", note, ("", *findings.ranks), tuple(rows))


def tests_table(findings: Findings) -> Table | None:
    """Every run against the best, in every summary and leading metric."""
    rows = []
    for summary in findings.plan.summaries:
        for metric in findings.leading:
            test = findings.tests.get(summary.name, {}).get(metric.name)
            for name, d in test.against.items() if test else ():
                number = UNDEFINED if d.value is None else _signed(d.value, metric)
                cells = (
                    Cell(test.best if test else ""),
                    Cell(number, interval(d.ci95, metric, points=True) if d.ci95 else "", number=d.value),
                    Cell(p_value(d.p_value), number=d.p_value),
                    Cell(p_value(d.p_holm) + (" *" if d.significant else ""), number=d.p_holm),
                )
                rows.append((f"{name}: {summary.name.replace('.', ' ')}, {metric.name}", cells))
    if not rows:
        return None
    note = (
        "Paired permutation test over recordings (or speakers): the run minus the best of its column; p adjusted by "
        "Holm over the runs that are compared with the same one; * is p < .05. The best was chosen by the same figures."
    )
    return Table("Tests against the best", note, ("", "best", "difference", "p", "p adjusted"), tuple(rows))


def amount_of(condition: Condition) -> str:
    """A condition in words."""
    if condition.kind == "random-missing":
        return f"{100 * condition.level:.0f} % missing"
    if condition.kind == "present":
        return "only " + condition.key.partition(".")[2].replace("+", " + ")
    if isinstance(condition, Corrupted):
        amount = f"{condition.amount:g} dB" if condition.kind == "noise" else f"{100 * condition.amount:g} %"
        return f"{condition.modality} {condition.kind} {condition.level:g} ({amount})".replace("-", "−")
    return condition.key.replace(".", " ")


def arrow(findings: Findings, name: str) -> str:
    """Which way is better."""
    return _direction(findings.metrics[name])


def _shown(findings: Findings) -> list[Summary]:
    """Summaries that have a table of their own: not each single corruption."""
    return [s for s in findings.plan.summaries if "." not in s.name]


def graded(findings: Findings) -> dict[tuple[str, str], list[Condition]]:
    """Modality and kind → its severities."""
    groups: dict[tuple[str, str], list[Condition]] = {}
    for condition in findings.plan.conditions:
        if condition is not CLEAN and condition.modality:
            groups.setdefault((condition.modality, condition.kind), []).append(condition)
    return groups


def _others(findings: Findings) -> list[str]:
    """Measures beside the metrics, in the order they were found."""
    known = dict.fromkeys(name for row in findings.runs for name in row.values)
    return [name for name in known if name not in findings.metrics]


def _named(name: str) -> str:
    kind, _, modality = name.partition("_")
    return {"filter": f"filter AUROC {modality}", "conflict": f"conflict AUROC {modality}"}.get(kind, name)


def _average(run: Scored, levels: Sequence[Condition], name: str) -> Value | None:
    """Mean of a measure over the severities at which it is known."""
    known = [run.values[name][c.key] for c in levels if c.key in run.values.get(name, {})]
    return Value(np.mean([one.per_seed for one in known], axis=0), None) if known else None


def _tied(findings: Findings, summary: Summary, metric: Metric, row: Scored) -> bool:
    test = findings.tests.get(summary.name, {}).get(metric.name)
    found = test.against.get(row.name) if test else None
    return found is not None and found.p_holm is not None and not found.significant


def _cell(found: Value | None, metric: Metric, *, best: bool = False, tied: bool = False, brief: bool = False) -> Cell:
    if found is None:
        return Cell(UNDEFINED)
    entry = found.to_json()
    text = value(entry["mean"], metric)
    if not brief and entry["std"] is not None:
        text += f" {spread(entry['std'], metric)}"
    under = "" if brief or entry["ci95"] is None else interval(entry["ci95"], metric)
    return Cell(f"{text} ≈" if tied else text, under, best, entry["mean"])


def _plain(found: Value | None, name: str) -> Cell:
    """A value without its interval."""
    number = None if found is None else found.mean
    return Cell(percent(number) if name in ("coverage", "ece") else plain(number), number=number)


def _signed(number: float, metric: Metric) -> str:
    text = plain(100 * number, 1) if metric.fraction else plain(number)
    return text if text.startswith("−") else f"+{text}"


def _direction(metric: Metric, *, loss: bool = False) -> str:
    return "↑" if metric.higher_is_better != loss else "↓"


def _width_note(run: Scored) -> str:
    if run.width is None:
        return ""
    return (
        f"Around whole utterances the calibrated interval is {plain(run.width, 2)} wide; width is its mean here, as it "
        "grows with what is missing, and coverage says how often it holds."
    )


def capital(text: str) -> str:
    """A text that begins a line."""
    return text[:1].upper() + text[1:]
