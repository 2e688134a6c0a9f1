"""What a robustness protocol found, as one HTML page: curves, heat maps, tables, and how it was made."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import altair as alt
import numpy as np

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.conditions import CLEAN, SEVERITIES, Condition
from mecam.evaluation.robustness.findings import RobustnessFindings, best_of
from mecam.evaluation.robustness.protocols import RATED
from mecam.evaluation.robustness.scores import RunScores
from mecam.evaluation.sums import Array
from mecam.report.charts import heat_map, interval_curves, spec
from mecam.report.format import arrow, capital, named, plural, value
from mecam.report.page import Chart, Section, page, section
from mecam.report.robustness import as_csv, condition_tables, graded, summary_tables, tables, tests_table, title_of
from mecam.report.robustness_changes import change_charts, changes_headline, other_change_tables
from mecam.report.table import latex_tables, markdown_page, write_files

__all__ = ["robustness_page", "write_findings"]

NAMES, COLUMN = 140, 44
"""Pixels that a heat map needs for the names of its rows, and for each column."""

SHADES = "The stronger the colour, the larger the loss compared with clean data; the scale is the same for all runs."

MEANINGS = {
    "coverage": "fraction of true scores inside the calibrated interval; the nominal value is 90 %",
    "width": "mean width of that interval: it grows with what is missing",
    "ece": "expected calibration error: ten bins of probabilities, |probability − observed frequency|",
    "filter": (
        "filter AUROC: chance that a corrupted frame has a lower gate than an unchanged one, in the corrupted "
        "utterances and the clean ones; .5 is guessing"
    ),
    "conflict": (
        "conflict AUROC: chance that the conflict probability of a modality is higher after the modality was replaced "
        "by one of the opposite sentiment than before; .5 is guessing"
    ),
}


def write_findings(findings: RobustnessFindings, folder: Path) -> list[Path]:
    """Write `robustness.md`, `.tex`, `.csv`, `.json` and `.html` into `folder`, each whole or not at all.

    Returns: their paths, the page last.
    Raises: DataError if the folder cannot be written to.
    """
    made = tables(findings)
    text = json.dumps(findings.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_files(
        folder,
        {
            "robustness.md": markdown_page(title_of(findings), made, findings.notes),
            "robustness.tex": latex_tables(made),
            "robustness.csv": as_csv(findings),
            "robustness.json": text,
            "robustness.html": robustness_page(findings),
        },
    )


def robustness_page(findings: RobustnessFindings) -> str:
    """The whole page."""
    runs, tested = findings.runs, tests_table(findings)
    sections = [
        section("summary", "Summary", charts=change_charts(findings), shown=4, tables=summary_tables(findings)),
        _curves(findings),
        section(
            "heat",
            "Heat maps",
            texts=[SHADES],
            charts=[*_map_of_runs(findings), *_maps_of_severities(findings)],
            rest="The other runs",
        ),
        section(
            "runs",
            "All conditions",
            tables=condition_tables(findings),
            folded=[(table.title, table) for table in other_change_tables(findings)],
        ),
        section("tests", "Tests", tables=[tested]),
        section("meaning", "What it means", heading="What it means (p prediction, t truth)", pairs=_meanings(findings)),
        section("made", "Method", pairs=_made(findings)),
    ]
    counted = findings.resampled.of(findings.utterances, findings.videos)
    masks = f"masks of {plural(len(findings.seeds), 'seed')}, the same for every run"
    title = f"{findings.plan.protocol} on {findings.data}"
    return page(
        title,
        kicker=f"mecam robustness · {date.today().isoformat()}",
        sections=sections,
        heading=f"{plural(len(runs), 'run')} under {title}",
        badges=["Synthetic data: not comparable with real data"] if findings.synthetic else [],
        lede=_headline(findings),
        notes=[
            *(note for note in findings.notes if not note.startswith("Synthetic")),
            f"{capital(findings.split)} split: {counted} · {masks} · checkpoints were chosen on clean validation data",
        ],
    )


def _headline(findings: RobustnessFindings) -> str:
    """One sentence: the first summary in the first metric."""
    if findings.changes:
        return changes_headline(findings)
    if not findings.plan.summaries:
        return "These conditions have no summary; see all conditions below."
    summary, metric = findings.plan.summaries[0], findings.leading[0]
    best = best_of(findings.runs, summary, metric)
    if best is None:
        return f"{capital(named(metric))} is undefined."
    run = findings.runs[best]
    found, clean = run.summaries[summary.name][metric.name].mean, _number(run, metric, CLEAN)
    who = f"{run.name} has" if len(findings.runs) == 1 else f"{run.name} is best with"
    return (
        f"{capital(summary.title)}: {who} a {named(metric)} of {value(found, metric)}; on clean data it is "
        f"{value(clean, metric)}."
    )


def _curves(findings: RobustnessFindings) -> Section:
    """Every leading metric over the rate; over the severity, a chart for each corruption."""
    metric = findings.leading[0]
    if findings.plan.protocol in RATED:
        steps = list(findings.plan.conditions)
        drawn = [_curve(findings, each, steps, named(each), percent=True) for each in findings.leading]
        return section("curves", "Curves", charts=drawn, rest="The other metrics")
    drawn = []
    if findings.plan.protocol == "imbalanced":
        for modality in dict.fromkeys(step.modality for step in findings.plan.conditions[1:]):
            steps = [step for step in findings.plan.conditions[1:] if step.modality == modality]
            drawn.append(_curve(findings, metric, steps, f"{modality}, others 10 %", percent=True))
        return section("curves", "Curves", charts=drawn, shown=8)
    if len(findings.runs) > 1:
        for (modality, kind), levels in _complete(findings).items():
            drawn.append(_curve(findings, metric, [CLEAN, *levels], f"{modality} {kind}", percent=False))
    heading = f"Curves: {named(metric)} over severity"
    return section("curves", "Curves", heading=heading, charts=drawn, shown=8, rest="The other corruptions")


def _curve(
    findings: RobustnessFindings, metric: Metric, conditions: Sequence[Condition], what: str, *, percent: bool
) -> Chart:
    rows = []
    for row in findings.rows:
        for condition in conditions:
            entry = row.values[metric.name][condition.key].to_json()
            low, high = entry["ci95"] or (None, None)
            rows.append({"name": row.name, "x": condition.level, "mean": entry["mean"], "low": low, "high": high})
    axis = alt.Axis(format="%", tickCount=6) if percent else alt.Axis(format="d", values=[0, *SEVERITIES])
    across = "missing rate" if percent else "severity (0 is clean)"
    better = "higher" if metric.higher_is_better else "lower"
    form = alt.Axis(format="%" if metric.fraction else "", tickCount=6)
    chart = interval_curves(
        rows,
        [row.name for row in findings.rows],
        x=alt.X("x:Q", title=across, axis=axis),
        y=alt.Y("mean:Q", title=f"{metric.name} ({better} is better)", axis=form, scale=alt.Scale(zero=False)),
        form=".1%" if metric.fraction else ".3f",
        reference=None if findings.constant is None else findings.constant.name,
    )
    caption = f"{metric.definition}. The bands are 95 % intervals; the dotted line is the constant predictor."
    return Chart(spec(chart, height=300), f"{metric.name} over {across}: {what}", capital(what), caption)


def _map_of_runs(findings: RobustnessFindings) -> list[Chart]:
    """The mean over the severities of every corruption, a column for each run; nothing for a single run."""
    metric, kinds = findings.leading[0], [s for s in findings.plan.summaries if "." in s.name]
    if not kinds or len(findings.runs) < 2:
        return []
    shown = [[run.summaries[kind.name][metric.name].mean for run in findings.runs] for kind in kinds]
    harm = _harm(shown, [_number(run, metric, CLEAN) for run in findings.runs], metric)
    names, runs = [kind.name.replace(".", " ") for kind in kinds], [run.name for run in findings.runs]
    return [
        Chart(
            _heat_map(harm, shown, names, runs, metric, _worst([harm]), title="run"),
            f"{metric.name} per corruption and run",
            "All corruptions",
            f"{named(metric)} {arrow(metric)}, mean over its severities.",
            NAMES + COLUMN * len(runs),
        )
    ]


def _maps_of_severities(findings: RobustnessFindings) -> list[Chart]:
    """Corruption × severity for every run, of the corruptions that were measured at all severities."""
    groups, metric = _complete(findings), findings.leading[0]
    if not groups:
        return []
    names, severities = [f"{modality} {kind}" for modality, kind in groups], [str(severity) for severity in SEVERITIES]
    shown = [[[_number(run, metric, c) for c in levels] for levels in groups.values()] for run in findings.runs]
    clean = [_number(run, metric, CLEAN) for run in findings.runs]
    harms = [_harm(values, [first], metric) for values, first in zip(shown, clean, strict=True)]
    return [
        Chart(
            _heat_map(harm, values, names, severities, metric, _worst(harms), title="severity"),
            f"{metric.name} of {run.name} per corruption and severity",
            capital(run.name),
            f"{named(metric)} {arrow(metric)}, on clean data {value(first, metric)}.",
        )
        for run, values, harm, first in zip(findings.runs, shown, harms, clean, strict=True)
    ]


def _heat_map(
    harm: Array,
    shown: Sequence[Sequence[float | None]],
    names: Sequence[str],
    columns: Sequence[str],
    metric: Metric,
    worst: float,
    *,
    title: str,
) -> dict[str, object]:
    """C × K values, shaded by what is lost."""
    cells = []
    for i, name in enumerate(names):
        for j, column in enumerate(columns):
            text = value(shown[i][j], metric)
            shade = None if np.isnan(harm[i, j]) else round(max(float(harm[i, j]), 0.0), 5)
            told = f"{name}, {title} {column}: {text}"
            cells.append({"x": column, "y": name, "shade": shade, "text": text.removesuffix(" %"), "told": told})
    return spec(heat_map(cells, x=columns, y=names, worst=worst, title=title), height=70 + 26 * len(names))


def _harm(shown: Sequence[Sequence[float | None]], clean: Sequence[float | None], metric: Metric) -> Array:
    """C × K, what is lost against K clean values, or against a single one."""
    sign = -1.0 if metric.higher_is_better else 1.0
    harm: Array = sign * (np.array(shown, np.float64) - np.array(clean, np.float64))
    return harm


def _worst(harms: Sequence[Array]) -> float:
    return max((float(np.nanmax(harm)) for harm in harms if not np.isnan(harm).all()), default=0.0)


def _number(run: RunScores, metric: Metric, condition: Condition) -> float | None:
    return run.values[metric.name][condition.key].mean


def _complete(findings: RobustnessFindings) -> dict[tuple[str, str], list[Condition]]:
    """Corruptions that were measured at all severities."""
    return {key: levels for key, levels in graded(findings).items() if len(levels) == len(SEVERITIES)}


def _meanings(findings: RobustnessFindings) -> list[tuple[str, str]]:
    measured = {name.partition("_")[0] for row in findings.runs for name in row.values}
    return [
        *((named(metric), metric.definition) for metric in findings.metrics.values()),
        *((name, text) for name, text in MEANINGS.items() if name in measured),
        *((summary.name, summary.title) for summary in findings.plan.summaries if "." not in summary.name),
    ]


def _made(findings: RobustnessFindings) -> list[tuple[str, ...]]:
    runs = [(run.name, f"{run.model}, {plural(len(run.seeds), 'seed')}", run.folder) for run in findings.runs]
    seeds, conditions = ", ".join(map(str, findings.seeds)), str(len(findings.plan.conditions))
    return [*runs, ("mask seeds", seeds), ("conditions", conditions)]
