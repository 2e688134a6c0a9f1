"""Findings as one HTML page: curves, heat maps, tables, and how it was made."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.conditions import CLEAN, SEVERITIES, Condition
from mecam.evaluation.robustness.findings import Findings, best_of
from mecam.evaluation.robustness.scores import Scored
from mecam.evaluation.sums import Array
from mecam.report.comparison.page import sortable_head
from mecam.report.markup import definitions, details, escape, figure, table, titled, value
from mecam.report.page import document
from mecam.report.robustness.figures import curves, heat_map
from mecam.report.robustness.tables import (
    Cell,
    Table,
    arrow,
    capital,
    graded,
    overview,
    per_run,
    ranks_table,
    tests_table,
)

__all__ = ["robustness_page"]

FIRST_SHOWN = 4
"""Metrics that are drawn openly; the others are folded away."""

NAMES, COLUMN = 140, 44
"""Pixels that a heat map needs for the names of its rows, and for each column."""

MEANINGS = {
    "coverage": "share of true scores inside the calibrated interval: validation promised 90 %",
    "width": "mean width of that interval: it grows with what is missing",
    "ece": "expected calibration error: ten bins of probabilities, |what is said − how often it comes true|",
    "filter": (
        "filter AUROC: chance that a row that was touched is kept less than one that nothing was put into, in the "
        "spoilt utterances and the clean ones; .5 is guessing"
    ),
    "conflict": (
        "conflict AUROC: chance that an utterance is doubted more in a modality after it was replaced by one of the "
        "opposite sentiment than before; .5 is guessing"
    ),
}


def robustness_page(findings: Findings) -> str:
    """The whole page."""
    title = f"{findings.plan.protocol} on {findings.data}"
    sections = [
        ("summary", "Summary", _summaries(findings)),
        ("curves", "Curves", _curves(findings)),
        ("heat", "Heat maps", _heat_maps(findings)),
        ("runs", "Every condition", _runs(findings)),
        ("tests", "Tests", _tests(findings)),
        ("meaning", "What it means", _meaning(findings)),
        ("made", "How it was made", _made(findings)),
    ]
    return document(title, _header(findings), sections)


def _header(findings: Findings) -> str:
    runs = f"{len(findings.runs)} run{'s' if len(findings.runs) > 1 else ''}"
    badge = '<p class="badge">Synthetic data: not comparable with real data</p>' if findings.synthetic else ""
    notes = [note for note in findings.notes if not note.startswith("Synthetic")]
    return (
        f'{sortable_head()}<p class="kicker">mecam robustness</p>'
        f"<h1>{runs} under {escape(findings.plan.protocol)} on {escape(findings.data)}</h1>{badge}"
        f'<p class="lede">{_headline(findings)}</p>'
        + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
        + f'<p class="note">{escape(findings.split)} split: '
        f"{findings.resampled.of(findings.utterances, findings.videos)} · "
        f"masks of {len(findings.seeds)} seed{'s' if len(findings.seeds) > 1 else ''}, the same for every run · "
        "the checkpoints were chosen on clean validation data</p>"
    )


def _headline(findings: Findings) -> str:
    """One sentence: the first summary in the first metric."""
    if not findings.plan.summaries:
        return "These conditions have no summary: see every condition below."
    summary, metric = findings.plan.summaries[0], findings.leading[0]
    best = best_of(findings.runs, summary, metric)
    if best is None:
        return f"{escape(metric.name)} is undefined."
    run = findings.runs[best]
    clean = _shown_value(run, metric, None)
    text = f"{escape(capital(summary.title))}: <b>{escape(run.name)}</b> has {escape(metric.name)} "
    return text + f"{_shown_value(run, metric, summary.name)}, on clean data {clean}."


def _shown_value(run: Scored, metric: Metric, summary: str | None) -> str:
    found = run.values[metric.name][CLEAN.key] if summary is None else run.summaries[summary][metric.name]
    return value(found.mean, metric)


def _summaries(findings: Findings) -> str:
    shown = [s for s in findings.plan.summaries if "." not in s.name]
    made = [overview(findings, summary) for summary in shown]
    if not made:
        return ""
    note = f'<p class="note">{escape(made[0].note)}</p>'
    first, *others = (_html(replace(one, note=""), level=3) for one in made)
    ranks = _html(ranks_table(findings), level=3) if findings.ranks else ""
    return titled("Summary", note, first, ranks, *others)


def _curves(findings: Findings) -> str:
    """Every leading metric over the rate; over the severity, a figure for each corruption."""
    if findings.plan.protocol == "random-missing":
        conditions = list(findings.plan.conditions)
        drawn = [_curve(findings, metric, conditions, "data missing", f"{metric.name}") for metric in findings.leading]
        return titled("Curves", *_folded(drawn, FIRST_SHOWN, "The other metrics"))
    groups = _graded(findings)
    if not groups or len(findings.runs) < 2:
        return ""
    metric = findings.leading[0]
    drawn = [
        _curve(findings, metric, [CLEAN, *levels], "severity", f"{modality} {kind}", percent=False)
        for (modality, kind), levels in groups.items()
    ]
    return titled(f"Curves: {metric.name} over severity", *_folded(drawn, 2 * FIRST_SHOWN, "The other corruptions"))


def _curve(
    findings: Findings,
    metric: Metric,
    conditions: Sequence[Condition],
    across: str,
    what: str,
    *,
    percent: bool = True,
) -> str:
    places = [condition.level for condition in conditions]
    lines = [(row.name, places, [row.values[metric.name][c.key] for c in conditions]) for row in findings.rows]
    grey = 0 if findings.constant is None else 1
    spec = curves(lines, metric, across, percent=percent, plain=grey)
    caption = f"<b>{escape(what)}</b>: {escape(metric.definition)} ({arrow(findings, metric.name)} is better)."
    return figure(spec, caption, label=f"{what} over {across}")


def _folded(drawn: Sequence[str], shown: int, rest: str) -> list[str]:
    parts = [f'<div class="pair">{"".join(drawn[:shown])}</div>']
    if drawn[shown:]:
        parts.append(details(rest, f'<div class="pair">{"".join(drawn[shown:])}</div>'))
    return parts


def _heat_maps(findings: Findings) -> str:
    """Corruption × run, and corruption × severity for every run, each in one shade for all."""
    drawn = _map_of_runs(findings) if len(findings.runs) > 1 else ""
    maps = _maps_of_severities(findings)
    if not drawn and not maps:
        return ""
    note = "The stronger the colour, the more is lost against clean data; the scale is the same for all runs."
    folded = _folded(maps, FIRST_SHOWN, "The other runs") if maps else []
    return titled("Heat maps", f'<p class="note">{note}</p>', drawn, *folded)


def _map_of_runs(findings: Findings) -> str:
    """The mean over the severities of every corruption, a column for each run."""
    metric, kinds = findings.leading[0], [s for s in findings.plan.summaries if "." in s.name]
    if not kinds:
        return ""
    shown = [[run.summaries[kind.name][metric.name].mean for run in findings.runs] for kind in kinds]
    harm = _harm(shown, [_number(run, metric, CLEAN) for run in findings.runs], metric)
    names, runs = [kind.name.replace(".", " ") for kind in kinds], [run.name for run in findings.runs]
    return figure(
        heat_map(harm, shown, names, runs, metric, _worst([harm]), across="run"),
        f"<b>Every corruption</b>: {escape(metric.name)} {arrow(findings, metric.name)}, mean over its severities.",
        label=f"{metric.name} per corruption and run",
        least=NAMES + COLUMN * len(runs),
    )


def _maps_of_severities(findings: Findings) -> list[str]:
    """Of corruptions that were measured at all severities."""
    groups = _graded(findings)
    if not groups:
        return []
    metric = findings.leading[0]
    names = [f"{modality} {kind}" for modality, kind in groups]
    shown = [[[_number(run, metric, c) for c in levels] for levels in groups.values()] for run in findings.runs]
    harms = [
        _harm(values, [_number(run, metric, CLEAN)], metric) for run, values in zip(findings.runs, shown, strict=True)
    ]
    return [
        figure(
            heat_map(harm, values, names, [str(severity) for severity in SEVERITIES], metric, _worst(harms)),
            f"<b>{escape(run.name)}</b>: {escape(metric.name)} {arrow(findings, metric.name)}, "
            f"clean {value(_number(run, metric, CLEAN), metric)}.",
            label=f"{metric.name} of {run.name} per corruption and severity",
        )
        for run, values, harm in zip(findings.runs, shown, harms, strict=True)
    ]


def _harm(shown: Sequence[Sequence[float | None]], clean: Sequence[float | None], metric: Metric) -> Array:
    """C × K, what is lost against K clean values, or against a single one."""
    sign = -1.0 if metric.higher_is_better else 1.0
    harm: Array = sign * (np.array(shown, np.float64) - np.array(clean, np.float64))
    return harm


def _worst(harms: Sequence[Array]) -> float:
    return max((float(np.nanmax(harm)) for harm in harms if not np.isnan(harm).all()), default=0.0)


def _number(run: Scored, metric: Metric, condition: Condition) -> float | None:
    return run.values[metric.name][condition.key].mean


def _graded(findings: Findings) -> dict[tuple[str, str], list[Condition]]:
    """Corruptions that were measured at all severities."""
    return {key: levels for key, levels in graded(findings).items() if len(levels) == len(SEVERITIES)}


def _runs(findings: Findings) -> str:
    parts = [_html(per_run(findings, run), level=3) for run in findings.runs]
    return titled("Every condition", *parts)


def _tests(findings: Findings) -> str:
    tested = tests_table(findings)
    return "" if tested is None else _html(tested, level=2)


def _meaning(findings: Findings) -> str:
    pairs = [(m.name, escape(m.definition)) for m in findings.metrics.values()]
    measured = {name.partition("_")[0] for row in findings.runs for name in row.values}
    pairs += [(name, escape(text)) for name, text in MEANINGS.items() if name in measured]
    pairs += [(s.name, escape(s.title)) for s in findings.plan.summaries if "." not in s.name]
    return titled("What it means (p prediction, t truth)", definitions(pairs))


def _made(findings: Findings) -> str:
    pairs = []
    for run in findings.runs:
        seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) > 1 else ''}"
        pairs.append((run.name, f"{escape(run.model)}, {seeds}, <code>{escape(run.folder)}</code>"))
    pairs.append(("mask seeds", escape(", ".join(map(str, findings.seeds)))))
    pairs.append(("conditions", str(len(findings.plan.conditions))))
    return titled("How it was made", definitions(pairs))


def _html(shown: Table, *, level: int) -> str:
    rows = [[escape(name), *map(_cell, cells)] for name, cells in shown.rows]
    note = f'<p class="note">{escape(shown.note)}</p>' if shown.note else ""
    head = [escape(name) for name in shown.head]
    return f"<h{level}>{escape(shown.title)}</h{level}>{note}" + table(
        head, rows, numbers=len(head) - 1, css="sortable"
    )


def _cell(cell: Cell) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    under = f'<small class="under">{escape(cell.under)}</small>' if cell.under else ""
    key = "" if cell.number is None else f' data-value="{cell.number!r}"'
    return f'<td class="number"{key}>{text}{under}</td>'
