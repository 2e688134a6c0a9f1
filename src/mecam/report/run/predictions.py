"""The report's section about predictions: against the truth, what is left, and what is taken for what.

A section reads the record of a run and returns HTML, or "" to be left out.
"""

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.detection import auroc
from mecam.evaluation.metrics import confusion_matrix, score_bins
from mecam.report import figures
from mecam.report.markup import escape, figure, percent, plain, table, titled
from mecam.runs.predictions import mean_predictions
from mecam.runs.run import Run
from mecam.types import Predictions

__all__ = ["answers"]


def answers(run: Run) -> str:
    """Predicted against true, residuals, and which class is taken for which."""
    if run.labelled is None:
        return ""
    split, seeds = run.labelled
    given = mean_predictions(seeds)
    write = _scores if run.task.is_score else _labels if run.task.several else _classes
    return titled(f"Predictions on {split}", write(given, run))


def _scores(given: Predictions, run: Run) -> str:
    assert given.truth is not None
    half = run.metrics.get("calibration", {}).get("half_width")
    errors = given.prediction - given.truth
    (predicted, names), (true, _) = score_bins(run.task, given.prediction), score_bins(run.task, given.truth)
    steps = [(float(given.truth[true == i].mean()), float(errors[true == i].mean())) for i in np.unique(true)]
    drawn = figures.thinning(len(errors))
    dotted = "; dotted: the interval" if half is not None else ""
    against = figure(
        figures.predicted_against_true(given.truth, given.prediction, run.task, half),
        f"<b>Predicted against true</b>, mean over seeds{dotted}.{drawn}",
        label="Predicted and true scores",
    )
    left = figure(
        figures.residuals(given.truth, errors, steps),
        "<b>Residuals against the truth</b>, and their mean along it: a falling line means that strong feelings are "
        f"predicted too weakly.{drawn}",
        label="Residuals and true scores",
    )
    spread = figure(
        figures.histogram(errors, "predicted − true"),
        f"<b>Residuals</b>: mean {plain(float(errors.mean()), 2)}, standard deviation {plain(float(errors.std()), 2)}.",
        label="Histogram of the residuals",
    )
    counts = confusion_matrix(predicted, true, len(names))
    matrix = _matrix(counts, names, "scores sorted into classes, mean over seeds")
    return f'<div class="pair">{against}{left}{spread}{matrix}</div>'


def _classes(given: Predictions, run: Run) -> str:
    assert given.truth is not None
    names = list(run.task.names)
    counts = confusion_matrix(given.prediction.argmax(axis=1), given.truth.astype(np.int64), len(names))
    hits, true, predicted = np.diag(counts).tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    rows = [
        [escape(name), f"{true[i]}", f"{predicted[i]}", *_rates(hits[i], predicted[i], true[i])]
        for i, name in enumerate(names)
    ]
    head = ["class", "true", "predicted", "precision", "recall", "F1"]
    matrix = _matrix(counts, names, "the class that is most probable on average over seeds")
    return f'<div class="narrow">{matrix}</div>{table(head, rows, numbers=5)}'


def _labels(given: Predictions, run: Run) -> str:
    """Each label by itself, and which labels are given where another is true."""
    assert given.truth is not None
    names, odds, truth = list(run.task.names), given.prediction, given.truth > 0  # N C
    said = odds >= 0.5
    rows = []
    for i, name in enumerate(names):
        hits, true, predicted = int((said & truth)[:, i].sum()), int(truth[:, i].sum()), int(said[:, i].sum())
        ranked = plain(auroc(odds[:, i], truth[:, i]), 2)
        rows.append([escape(name), f"{true}", f"{predicted}", *_rates(hits, predicted, true), ranked])
    head = ["label", "true", "predicted", "precision", "recall", "F1", "AUROC"]
    together = (truth.T.astype(np.int64)) @ said.astype(np.int64)  # C C
    spec = figures.confusion(together, names, truth.sum(axis=0))
    caption = (
        "<b>Labels given where a label is true</b>: row, a true label; column, how many of its utterances were given "
        "this one too. Shades are shares of the row's utterances; the diagonal is recall."
    )
    note = (
        '<p class="note">A label is given where its probability, mean over seeds, is at least one half. AUROC is the '
        "chance that an utterance with the label has the higher probability than one without.</p>"
    )
    matrix = figure(spec, caption, label="Labels given for true labels")
    return f'{note}{table(head, rows, numbers=6)}<div class="narrow">{matrix}</div>'


def _matrix(counts: NDArray[np.int64], names: list[str], what: str) -> str:
    caption = f"<b>Confusion matrix</b>: {what}. Numbers count utterances; shades are shares of each true class."
    return figure(figures.confusion(counts, names), caption, label="Confusion matrix")


def _rates(hits: int, predicted: int, true: int) -> list[str]:
    """Precision, recall and F1, printed."""
    wanted = [(hits, predicted), (hits, true), (2 * hits, predicted + true)]
    return [percent(above / below if below else None) for above, below in wanted]
