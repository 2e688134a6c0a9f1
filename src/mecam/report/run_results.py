"""Results of a run: metrics next to the constant predictor, how well its filter works, and other runs.

The tables that `mecam train` prints are made here too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mecam.evaluation.detection import ALL_KINDS
from mecam.evaluation.groups import MIN_GROUPS, Groups, Resampled
from mecam.evaluation.metrics import Metric, leading_metrics, metrics_for
from mecam.report.charts import forest, spec
from mecam.report.format import UNDEFINED, arrow, capital, difference, interval, named, p_value, plain, spread, value
from mecam.report.page import Chart, Section, section
from mecam.report.scores import metric_head, score_cell
from mecam.report.table import Cell, Table, Tone
from mecam.runs.run import RunFolder
from mecam.task import Task

__all__ = [
    "comparison_section",
    "conflict_section",
    "conflict_table",
    "filter_section",
    "filter_table",
    "results_section",
    "results_table",
    "summary",
    "tiles",
]

TILES = 4
"""Leading metrics at the top of the page."""

MAX_METRICS = 5
"""Metrics beside other runs; the comparison's own page has all of them."""

BOOTSTRAP = (
    "Mean ± standard deviation over seeds; below it the 95 % interval over other recordings or speakers (bootstrap)."
)


def summary(run: RunFolder) -> str:
    """One sentence: the leading metric, its uncertainty, and what no model at all would get."""
    found = _leading(run)
    if not found:
        return "This run has no labelled split for evaluation."
    (metric, entry, trivial), split = found[0], run.splits[0]
    text = f"On {split}, the {named(metric)} is {value(entry['mean'], metric)}"
    if entry.get("ci95"):
        text += f" (95 % interval {interval(entry['ci95'], metric)})"
    if trivial is not None:
        text += f"; the constant predictor, which always predicts the same, gets {value(trivial, metric)}"
    return text + "."


def tiles(run: RunFolder) -> Section:
    """The leading numbers, large."""
    shown = [
        {
            "name": f"{metric.name} {arrow(metric)}",
            "title": metric.title,
            "value": value(entry["mean"], metric),
            "spread": spread(entry["std"], metric) or "one seed",
            "constant": value(trivial, metric),
        }
        for metric, entry, trivial in _leading(run)[:TILES]
    ]
    return Section("tiles", "", "run_tiles.j2", {"tiles": shown})


def _leading(run: RunFolder) -> list[tuple[Metric, Mapping[str, Any], float | None]]:
    """The leading metrics that this run has: metric, its entry, what the constant predictor gets."""
    if not run.splits:
        return []
    split = run.splits[0]
    found, trivial = run.metrics[split], run.metrics.get("constant", {}).get(split, {})
    metrics = [metric for metric in leading_metrics(run.task) if metric.name in found]
    return [(metric, found[metric.name], trivial.get(metric.name, {}).get("mean")) for metric in metrics]


def results_section(run: RunFolder) -> Section:
    """Every metric of every split next to the constant predictor."""
    tables = {
        split: results_table(run.metrics, split, run.task, resampled=_resampled(run, split)) for split in run.splits
    }
    if not tables:
        return section("results", "Results")
    split, *others = run.splits
    drawn = _resampled(run, split)
    few = ", too few for an interval" if drawn.too_few else ""
    note = (
        f"Mean ± standard deviation over seeds. The 95 % interval says what other {drawn.unit} would have given "
        f"(bootstrap over {drawn}{few}). The baseline is the constant predictor, which always predicts the same. ↓ "
        "lower, ↑ higher is better; ✓ marks the better of the two."
    )
    return section(
        "results",
        "Results",
        heading=f"Results on {split}",
        texts=[note],
        tables=[_joined(tables[split], run.model)],
        folded=[(f"Results on {other}", _joined(tables[other], run.model)) for other in others],
        metrics=list(metrics_for(run.task).values()),
    )


def _resampled(run: RunFolder, split: str) -> Resampled:
    """What the intervals of a split draw."""
    return Groups.of(run.predictions[split][0]).resampled if split in run.predictions else Resampled("recordings", 0)


def results_table(
    metrics: Mapping[str, Any], split: str, task: Task, *, title: str = "", resampled: Resampled | None = None
) -> Table:
    """One split's metrics next to those of the constant predictor.

    Args:
        metrics: of `metrics.json`.
        split: one of it.
        task: of the data.
        title: of the table.
        resampled: what intervals draw; None takes what `metrics` says, and says it below the table.
    """
    known, note = metrics_for(task), ""
    if resampled is None:
        found = metrics.get("resampled", {}).get(split, {})
        resampled = Resampled(found.get("unit", "recordings"), int(found.get("count", 0)))
        if found:
            note = f"95 % interval: over other {resampled.unit}, of which there are {resampled.count}"
            note += f"; at least {MIN_GROUPS}" if resampled.too_few else ""
    few = "too few" if 0 < resampled.count < MIN_GROUPS else UNDEFINED
    rows: list[list[Cell | str]] = []
    for name, entry in metrics[split].items():
        metric = known.get(name)
        trivial = metrics.get("constant", {}).get(split, {}).get(name, {}).get("mean")
        ours, theirs = _marked(entry["mean"], trivial, metric)
        label = f"{name if metric is None else named(metric)}\u00a0{arrow(metric)}"
        ends = interval(entry["ci95"], metric) if entry.get("ci95") else few
        rows.append([label, ours, spread(entry["std"], metric) or "one seed", ends, theirs])
    return Table(("metric", "mean", "± std", "95 % interval", "constant"), rows, title=title, note=note)


def _marked(mean: float | None, trivial: float | None, metric: Metric | None) -> tuple[Cell, Cell]:
    """Both values, the better one with a ✓."""
    ours = theirs = ""
    if metric is not None and mean is not None and trivial is not None and mean != trivial:
        ours, theirs = ("✓ ", "") if (mean > trivial) == metric.higher_is_better else ("", "✓ ")

    def cell(mark: str, number: float | None) -> Cell:
        tone: Tone = "better" if mark else ""
        return Cell(mark + value(number, metric), tone=tone, number=number)

    return cell(ours, mean), cell(theirs, trivial)


def _joined(table: Table, name: str) -> Table:
    """The same with the standard deviation in the cell of the mean, which is under the name of the model."""
    rows = []
    for label, mean, std, ends, trivial in table.cells:
        spread_ = "" if std.text == "one seed" else f" {std.text}"
        rows.append([label, replace(mean, text=mean.text + spread_), ends, trivial])
    return replace(table, head=("metric", name, "95 % interval", "constant"), rows=rows)


def filter_section(run: RunFolder) -> Section:
    """Filter AUROC per modality and kind of negative information."""
    found: Mapping[str, Mapping[str, Any]] = run.metrics.get("filter", {})
    note = (
        "This data contains negative information at known places. The number is the probability that such a place "
        "got a lower gate than another place (AUROC, the area under the ROC curve): 0.5 is chance, 1 is "
        f"perfect. {BOOTSTRAP}"
    )
    tables = [filter_table(found)] if found else []
    return section(
        "filter", "Filter", heading="Does the filter find the inserted corruption?", texts=[note], tables=tables
    )


def filter_table(found: Mapping[str, Mapping[str, Any]], *, brief: bool = False) -> Table:
    """How well the filter finds the inserted corruption: AUROC per modality and kind; 0.5 is chance.

    Args:
        found: modality → kind → entry, of `metrics.json`.
        brief: means only, a row per modality, for the terminal.
    """
    kinds = [ALL_KINDS, *sorted({kind for row in found.values() for kind in row} - {ALL_KINDS})]
    if brief:
        rows = [[name, *(plain((row.get(kind) or {}).get("mean")) for kind in kinds)] for name, row in found.items()]
        return Table(("modality", *kinds), rows, "filter AUROC: frames ranked by how much was removed (0.5 is chance)")
    return Table(("kind", *found), [[kind, *(_auroc(row.get(kind)) for row in found.values())] for kind in kinds])


def conflict_section(run: RunFolder) -> Section:
    """Conflict AUROC per modality, and of any."""
    found: Mapping[str, Any] = run.metrics.get("conflict", {})
    note = (
        "In some utterances of this data one modality was made to contradict the others. The number is the "
        "probability that such an utterance got a higher conflict probability in this modality than another utterance "
        "(AUROC): 0.5 is chance, 1 is perfect. The column “any” asks whether any modality contradicts. "
        f"{BOOTSTRAP}"
    )
    tables = [conflict_table(found)] if found else []
    heading = "Does the model notice which modality contradicts?"
    return section("conflict", "Contradictions", heading=heading, texts=[note], tables=tables)


def conflict_table(found: Mapping[str, Any], *, brief: bool = False) -> Table:
    """How well it is noticed that a modality contradicts the others: AUROC; 0.5 is chance."""
    if brief:
        title = "conflict AUROC: utterances ranked by conflict probability (0.5 is chance)"
        return Table(tuple(found), [[plain(entry["mean"]) for entry in found.values()]], title, words=frozenset())
    return Table(("", *found), [["contradicting", *map(_auroc, found.values())]])


def _auroc(entry: Mapping[str, Any] | None) -> Cell:
    """An AUROC with its interval below, the darker the better."""
    if entry is None:
        return Cell("")
    mean, ends = entry["mean"], entry.get("ci95")
    deviation = "" if entry.get("std") is None else f" ± {plain(entry['std'], 2)}"
    below = f"{plain(ends[0], 2)} to {plain(ends[1], 2)}" if ends else ""
    shade = None if mean is None else round(min(max(2 * mean - 1, 0.0), 1.0), 2)
    return Cell(plain(mean, 2) + deviation, below, number=mean, shade=shade)


def comparison_section(run: RunFolder, comparison: Mapping[str, Any]) -> Section:
    """This run compared with others on the leading metrics, from `comparison.json`: a table and a chart."""
    rows: Sequence[Mapping[str, Any]] = comparison.get("rows") or ()
    metrics = [m for m in leading_metrics(run.task) if all(m.name in row["scores"] for row in rows)][:MAX_METRICS]
    if len(rows) < 2 or not metrics:
        return section("comparison", "Other runs")
    note = (
        "Mean ± standard deviation over seeds; below it the 95 % interval over other recordings (or speakers) and "
        "seeds. The best of each column is bold; ≈ marks what a paired permutation test cannot tell from it."
    )
    if baseline := comparison.get("baseline"):
        note += f" Δ is the difference from {baseline} with its adjusted p-value; * marks p < .05."
    cells = [
        [Cell(str(row["name"]), str(row.get("note") or "")), *(_score(row["scores"][m.name], m) for m in metrics)]
        for row in rows
    ]
    first = metrics[0]
    drawn = [(str(r["name"]), s["mean"], s["ci95"], s["per_seed"]) for r in rows for s in [r["scores"][first.name]]]
    better = "higher" if first.higher_is_better else "lower"
    chart = spec(
        forest(drawn, f"{first.name} ({better} is better)", percent=first.fraction), height=60 + 28 * len(rows)
    )
    caption = "Means as dots, 95 % intervals as bars, single seeds as ticks."
    return section(
        "comparison",
        "Other runs",
        heading=f"Compared with other runs on {comparison.get('split', 'test')}",
        texts=[note],
        charts=[Chart(chart, f"{first.name} of all runs", capital(named(first)), caption)],
        tables=[Table(("model", *map(metric_head, metrics)), cells)],
    )


def _score(score: Mapping[str, Any], metric: Metric) -> Cell:
    best, tied = bool(score.get("best")), bool(score.get("tied"))
    cell = score_cell(score["mean"], metric, std=score["std"], ci95=score["ci95"], best=best, tied=tied)
    against = score.get("against_baseline")
    if not against or against.get("value") is None:
        return cell
    p = against.get("p_holm")
    test = "" if p is None else f", {p_value(p)}{'*' if p < 0.05 else ''}"
    return replace(cell, under=f"{cell.under}\nΔ {difference(against['value'], metric, unit=True)}{test}".strip())
