"""The report's section about other runs: the same metrics, side by side, with paired tests.

It prints what `mecam compare` found (`comparison.json`) and computes nothing itself.
"""

from collections.abc import Mapping
from typing import Any

from mecam.evaluation.metrics import Metric, metrics_for
from mecam.report.figures import forest
from mecam.report.markup import escape, figure, interval, plain, spread, table, titled, value
from mecam.report.run.results import LEADING
from mecam.runs.run import Run

__all__ = ["beside"]

MOST = 5
"""Metrics that are shown; the comparison's own page has all of them."""


def beside(run: Run) -> str:
    """This run beside others on the leading metrics: a table and the intervals of the first one."""
    rows = run.comparison.get("rows") or ()
    known = metrics_for(run.task)
    names = [name for name in LEADING if name in known and all(name in row["scores"] for row in rows)][:MOST]
    if len(rows) < 2 or not names:
        return ""
    split, baseline = str(run.comparison.get("split", "test")), run.comparison.get("baseline")
    note = (
        "Mean ± standard deviation over seeds, and the 95 % interval over other recordings (or speakers) and seeds. "
        "The best of each column is bold; ≈ marks what a paired permutation test cannot tell from it."
    )
    if baseline:
        note += f" Δ is the difference from {escape(baseline)} with its adjusted p-value; * is p &lt; 0.05."
    head = ["model", *(f"{escape(name)} {'↑' if known[name].higher_is_better else '↓'}" for name in names)]
    cells = [[_name(row), *(_cell(row["scores"][name], known[name]) for name in names)] for row in rows]
    first = known[names[0]]
    drawn = [(str(r["name"]), s["mean"], s["ci95"], s["per_seed"]) for r in rows for s in [r["scores"][first.name]]]
    better = "higher" if first.higher_is_better else "lower"
    spec = forest(drawn, f"{first.name} ({better} is better)", percent=first.fraction)
    caption = f"<b>{escape(first.name)}</b>: means as dots, 95 % intervals as bars, single seeds as ticks."
    return titled(
        f"Beside others on {split}",
        f'<p class="note">{note}</p>',
        table(head, cells, numbers=len(names)),
        f'<div class="narrow">{figure(spec, caption, label=f"{first.name} of all runs")}</div>',
    )


def _name(row: Mapping[str, Any]) -> str:
    note = f'<small class="under">{escape(row["note"])}</small>' if row.get("note") else ""
    return escape(row["name"]) + note


def _cell(score: Mapping[str, Any], metric: Metric) -> str:
    text = f"{value(score['mean'], metric)} <small>{spread(score['std'], metric)}</small>"
    text = f"<b>{text}</b>" if score.get("best") else text
    text += " ≈" if score.get("tied") else ""
    text += f'<small class="under">{interval(score["ci95"], metric)}</small>' if score.get("ci95") else ""
    return text + _difference(score.get("against_baseline"), metric)


def _difference(found: Mapping[str, Any] | None, metric: Metric) -> str:
    if not found or found.get("value") is None:
        return ""
    number = 100 * found["value"] if metric.fraction else found["value"]
    signed = ("" if number < 0 else "+") + plain(number, 1 if metric.fraction else 3)
    p = found.get("p_holm")
    test = "" if p is None else f", p {'&lt; 0.001' if p < 0.001 else f'{p:.3f}'}{'*' if p < 0.05 else ''}"
    return f'<small class="under">Δ {signed}{test}</small>'
