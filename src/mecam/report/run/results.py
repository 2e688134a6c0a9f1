"""The top of the report: the leading numbers, and every metric beside what no model at all would get.

A section reads the record of a run and returns HTML, or "" to be left out.
"""

from mecam.evaluation.groups import Groups, Resampled
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.features.clips import RENDERED
from mecam.report.markup import (
    definitions,
    details,
    escape,
    interval,
    spread,
    table,
    titled,
    value,
)
from mecam.runs.run import Run

__all__ = ["LEADING", "headline", "results"]

LEADING = ("mae", "corr", "acc2_nonzero", "acc2", "acc7", "acc5", "uar", "accuracy", "macro_f1", "wa_mean", "f1_mean")
"""Metrics that stand at the top of the page and have a training curve, in this order, where a task has them."""


def headline(run: Run) -> str:
    """What was trained on what, the badge of a synthetic corpus, and the leading numbers."""
    data, seeds = run.data, len(run.environment.get("seeds", [])) or 1
    counts = ", ".join(f"{count} {split}" for split, count in data.get("splits", {}).items() if count)
    corpus = "Rendered clips" if data.get("name") == RENDERED else "Synthetic corpus"
    badge = f'<p class="badge">{corpus}: not comparable with real data</p>' if data.get("synthetic") else ""
    return (
        f'<p class="kicker">mecam report · {escape(str(run.environment.get("started", ""))[:10])}</p>'
        f"<h1>{escape(run.model)} on {escape(data.get('name', 'data'))}</h1>{badge}"
        f'<p class="lede">{_summary(run)}</p>{_tiles(run)}'
        f'<p class="note">{seeds} seed{"s" if seeds > 1 else ""} · utterances: {escape(counts)} · '
        f"the checkpoint was chosen on validation</p>"
    )


def results(run: Run) -> str:
    """Every metric of every split beside the constant predictor."""
    if not run.splits:
        return ""
    first, *others = run.splits
    metrics = metrics_for(run.task)
    meanings = definitions([(name, escape(metric.definition)) for name, metric in metrics.items()])
    folded = "".join(details(f"The same on {split}", _result_table(run, split)) for split in others)
    resampled = resampled_in(run, first)
    few = ", too few for an interval" if resampled.too_few else ""
    note = (
        f"Mean ± standard deviation over seeds. The 95 % interval says what other {resampled.unit} would have given "
        f"(bootstrap over {resampled}{few}). The constant predictor gives the same answer to everything. ↓ lower, ↑ "
        "higher is better; ✓ marks the better of the two."
    )
    return titled(
        f"Results on {first}",
        f'<p class="note">{note}</p>',
        _result_table(run, first),
        folded,
        details("What each metric is (p prediction, t truth)", meanings),
    )


def resampled_in(run: Run, split: str) -> Resampled:
    """What the intervals of a split draw."""
    return Groups.of(run.predictions[split][0]).resampled if split in run.predictions else Resampled("recordings", 0)


def _summary(run: Run) -> str:
    """One sentence: the leading metric, its uncertainty, and what no model at all would get."""
    metrics = metrics_for(run.task)
    split = next(iter(run.splits), None)
    name = next((name for name in LEADING if split and name in run.metrics[split]), None)
    if split is None or name is None:
        return "This run has no labelled split to be measured on."
    entry, trivial = run.metrics[split][name], run.metrics.get("constant", {}).get(split, {}).get(name, {})
    text = f"On {split}, {escape(name)} is <b>{value(entry['mean'], metrics.get(name))}</b>"
    if entry.get("ci95"):
        text += f" (95 % interval {interval(entry['ci95'], metrics.get(name))})"
    if trivial.get("mean") is not None:
        text += f"; giving the same answer to everything gets {value(trivial['mean'], metrics.get(name))}"
    return text + "."


def _tiles(run: Run) -> str:
    if not run.splits:
        return ""
    split, metrics = run.splits[0], metrics_for(run.task)
    tiles = []
    for name in [name for name in LEADING if name in run.metrics[split]][:4]:
        entry, metric = run.metrics[split][name], metrics.get(name)
        trivial = run.metrics.get("constant", {}).get(split, {}).get(name, {}).get("mean")
        tiles.append(
            f'<div class="tile"><span>{escape(name)} {_arrow(metric)}</span>'
            f"<b>{value(entry['mean'], metric)}</b><span>{spread(entry['std'], metric) or 'one seed'}</span>"
            f"<span>constant {value(trivial, metric)}</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _result_table(run: Run, split: str) -> str:
    metrics = metrics_for(run.task)
    trivial = run.metrics.get("constant", {}).get(split, {})
    rows = []
    for name, entry in run.metrics[split].items():
        metric, base = metrics.get(name), trivial.get(name, {}).get("mean")
        ours = f"{value(entry['mean'], metric)} <small>{spread(entry['std'], metric)}</small>"
        theirs = value(base, metric)
        if metric is not None and entry["mean"] is not None and base is not None and entry["mean"] != base:
            if (entry["mean"] > base) == metric.higher_is_better:
                ours = f'<span class="better">✓ {ours}</span>'
            else:
                theirs = f'<span class="better">✓ {theirs}</span>'
        label = escape(name).replace("_", "_<wbr>")
        few = entry["mean"] is not None and resampled_in(run, split).too_few
        ends = "too few" if few and not entry.get("ci95") else interval(entry.get("ci95"), metric)
        rows.append([f"{label} {_arrow(metric)}", ours, ends, theirs])
    return table(["metric", escape(run.model), "95 % interval", "constant"], rows, numbers=3)


def _arrow(metric: Metric | None) -> str:
    if metric is None:
        return ""
    word, sign = ("higher", "↑") if metric.higher_is_better else ("lower", "↓")
    return f'<span class="muted" title="{word} is better">{sign}</span>'
