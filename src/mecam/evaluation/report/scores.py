"""The report's sections about numbers: results, predictions, calibration.

A section reads the record of a run and returns HTML, or "" to be left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mecam.evaluation.metrics import Metric, confusion_matrix, metrics_for, score_bins
from mecam.evaluation.report import figures
from mecam.evaluation.report.markup import (
    definitions,
    details,
    escape,
    figure,
    interval,
    plain,
    spread,
    table,
    titled,
    value,
)
from mecam.evaluation.report.record import RunRecord
from mecam.evaluation.statistics import conformal_quantile, coverage

__all__ = ["LEADING", "answers", "calibration", "headline", "results"]

LEADING = ("mae", "corr", "acc2_nonzero", "acc2", "acc7", "acc5", "uar", "accuracy", "macro_f1", "wa_mean", "f1_mean")
"""Metrics that stand at the top of the page and have a training curve, in this order, where a task has them."""

LEVELS = tuple(level / 20 for level in range(1, 20))


def headline(run: RunRecord) -> str:
    """What was trained on what, the badge of a synthetic corpus, and the leading numbers."""
    data, seeds = run.data, len(run.environment.get("seeds", [])) or 1
    counts = ", ".join(f"{count} {split}" for split, count in data.get("splits", {}).items() if count)
    badge = '<p class="badge">Synthetic corpus: not comparable with real data</p>' if data.get("synthetic") else ""
    return (
        f'<p class="kicker">mecam report · {escape(str(run.environment.get("started", ""))[:10])}</p>'
        f"<h1>{escape(run.name)} on {escape(data.get('name', 'data'))}</h1>{badge}"
        f'<p class="lede">{_summary(run)}</p>{_tiles(run)}'
        f'<p class="note">{seeds} seed{"s" if seeds > 1 else ""} · utterances: {escape(counts)} · '
        f"the checkpoint was chosen on validation</p>"
    )


def results(run: RunRecord) -> str:
    """Every metric of every split beside the constant predictor."""
    if not run.splits:
        return ""
    first, *others = run.splits
    metrics = metrics_for(run.task)
    meanings = definitions([(name, escape(metric.definition)) for name, metric in metrics.items()])
    folded = "".join(details(f"The same on {split}", _result_table(run, split)) for split in others)
    note = (
        "Mean ± standard deviation over seeds. The 95 % interval says what other videos would have given (bootstrap "
        "over whole videos). The constant predictor gives the same answer to everything. ↓ lower, ↑ higher is "
        "better; ✓ marks the better of the two."
    )
    return titled(
        f"Results on {first}",
        f'<p class="note">{note}</p>',
        _result_table(run, first),
        folded,
        details("What each metric is (p prediction, t truth)", meanings),
    )


def answers(run: RunRecord) -> str:
    """Predicted against true, residuals, and which class is taken for which."""
    if run.labelled is None or run.task.kind == "multilabel":
        return ""
    split, given = run.labelled
    assert given.truth is not None
    parts = []
    if run.task.kind == "regression":
        half = run.metrics.get("calibration", {}).get("half_width")
        scatter = figures.predicted_against_true(given.truth, given.prediction, run.task, half)
        dotted = "; dotted: the interval" if half is not None else ""
        errors = given.prediction - given.truth
        shown = figures.thinning(len(errors))
        parts.append(
            '<div class="pair">'
            + figure(
                scatter,
                f"<b>Predicted against true</b>, mean over seeds{dotted}.{shown}",
                label="Predicted and true scores",
            )
            + figure(
                figures.histogram(errors, "predicted − true"),
                f"<b>Residuals</b>: mean {plain(float(errors.mean()), 2)}, "
                f"standard deviation {plain(float(errors.std()), 2)}.",
                label="Histogram of the residuals",
            )
            + "</div>"
        )
        (predicted, names), (true, _) = score_bins(run.task, given.prediction), score_bins(run.task, given.truth)
        what = "scores sorted into classes, mean prediction over seeds"
    else:
        names = list(run.task.names)
        place = {name: index for index, name in enumerate(names)}
        predicted, true = (np.array([place[name] for name in side]) for side in (given.prediction, given.truth))
        what = "the class that is most probable on average over seeds"
    counts = confusion_matrix(predicted, true, len(names))
    caption = f"<b>Confusion matrix</b>: {what}. Numbers count utterances; shades are shares of each true class."
    matrix = figure(figures.confusion(counts, names), caption, label="Confusion matrix")
    parts.append(f'<div class="narrow">{matrix}</div>')
    return titled(f"Predictions on {split}", *parts)


def calibration(run: RunRecord) -> str:
    """Whether intervals, or probabilities, keep their word."""
    if run.task.kind == "classes":
        return _confidence(run)
    found: Mapping[str, Any] = run.metrics.get("calibration", {})
    if run.task.kind != "regression" or not found:
        return ""
    covered = ", ".join(
        f"{100 * rate:.1f} % on {escape(split)}"
        for split, entry in found.get("coverage", {}).items()
        if (rate := entry.get("mean") if isinstance(entry, Mapping) else entry) is not None
    )
    text = (
        f"<p>The interval is the score ± {plain(found['half_width'], 2)}. It is meant to hold the truth for "
        f"{100 * found['level']:.0f} % of new utterances, and holds it for {covered}. Its width comes from the "
        "validation errors (split conformal prediction), so the rate on validation is true by construction.</p>"
    )
    return titled("Calibration", text, _promise(run))


def _summary(run: RunRecord) -> str:
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


def _tiles(run: RunRecord) -> str:
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


def _result_table(run: RunRecord, split: str) -> str:
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
        rows.append([f"{label} {_arrow(metric)}", ours, interval(entry.get("ci95"), metric), theirs])
    return table(["metric", escape(run.name), "95 % interval", "constant"], rows, numbers=3)


def _arrow(metric: Metric | None) -> str:
    if metric is None:
        return ""
    word, sign = ("higher", "↑") if metric.higher_is_better else ("lower", "↓")
    return f'<span class="muted" title="{word} is better">{sign}</span>'


def _promise(run: RunRecord) -> str:
    """Intervals of every level, made from validation errors, tried on test."""
    valid, test = run.answers.get("valid"), run.answers.get("test")
    if valid is None or test is None or valid.truth is None or test.truth is None:
        return ""
    held: list[float | None] = []
    for level in LEVELS:
        rates = []
        for on_valid, on_test in zip(valid.scores, test.scores, strict=True):
            half = conformal_quantile(np.abs(on_valid - valid.truth), level)
            if half is not None:
                rates.append(coverage(test.truth, on_test - half, on_test + half))
        held.append(float(np.mean([rate for rate in rates if rate is not None])) if rates else None)
    spec = figures.reliability(LEVELS, held, ("promised coverage", "coverage on test"))
    caption = "<b>Intervals of every level</b>, made from validation errors and tried on test; mean over seeds."
    return f'<div class="narrow">{figure(spec, caption, label="Promised and reached coverage")}</div>'


def _confidence(run: RunRecord) -> str:
    """Confidence against accuracy, in ten bins, and the expected calibration error."""
    if run.labelled is None:
        return ""
    split, given = run.labelled
    names = np.array(run.task.names)
    confidence = given.scores.max(axis=2).ravel()
    right = (names[given.scores.argmax(axis=2)] == given.truth).ravel()
    bins = np.minimum((confidence * 10).astype(int), 9)
    filled = [one for one in range(10) if (bins == one).any()]
    said = [float(confidence[bins == one].mean()) for one in filled]
    true = [float(right[bins == one].mean()) for one in filled]
    error = sum(abs(s - t) * (bins == one).mean() for one, s, t in zip(filled, said, true, strict=True))
    spec = figures.reliability(said, true, ("confidence", "accuracy"))
    caption = (
        f"<b>Confidence against accuracy</b> on {split}, all seeds. Expected calibration error {100 * error:.1f} %."
    )
    return titled("Calibration", f'<div class="narrow">{figure(spec, caption, label="Confidence and accuracy")}</div>')
