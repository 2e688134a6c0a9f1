"""What a run predicts: against the truth, whether its promises hold, and the utterances that are hardest for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.detection import auroc
from mecam.evaluation.metrics import confusion_matrix, score_bins
from mecam.evaluation.reliability import binned, calibration_error, tried_interval
from mecam.evaluation.sums import BINS, Array
from mecam.report.charts import bars, percent_axis, reliability, spec, thinning
from mecam.report.format import capital, percent, plain
from mecam.report.page import Chart, Section, section
from mecam.report.run_charts import confusion, predicted_against_true, residual_histogram, residuals
from mecam.report.table import Table
from mecam.runs.record import Answers, RunRecord

__all__ = ["calibration_section", "hard_section", "predictions_section"]

LEVELS = tuple(level / 20 for level in range(1, 20))
"""Levels of the chart of intervals."""

TABLE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

MAX_HARD = 10
"""Utterances per list."""


def predictions_section(run: RunRecord) -> Section:
    """Predicted against true, residuals, and which class is taken for which."""
    if run.labelled is None:
        return section("predictions", "Predictions")
    split, given = run.labelled
    write = {"regression": _scores, "classes": _classes, "multilabel": _labels}[run.task.kind]
    charts, tables, texts = write(given, run)
    heading = f"Predictions on {split}"
    return section("predictions", "Predictions", heading=heading, texts=texts, charts=charts, tables=tables)


Content = tuple[list[Chart], list[Table], list[str]]


def _scores(given: Answers, run: RunRecord) -> Content:
    assert given.truth is not None
    half = run.metrics.get("calibration", {}).get("half_width")
    errors = given.prediction - given.truth
    (predicted, names), (true, _) = score_bins(run.task, given.prediction), score_bins(run.task, given.truth)
    steps = [(float(given.truth[true == i].mean()), float(errors[true == i].mean())) for i in np.unique(true)]
    drawn = thinning(len(errors))
    against = predicted_against_true(given.truth, given.prediction, (run.task.low, run.task.high), half)
    dotted = "; between the dotted lines: the interval" if half is not None else ""
    spread = f"Mean {plain(float(errors.mean()), 2)}, standard deviation {plain(float(errors.std()), 2)}."
    falling = (
        "What is left, and its mean along the truth in orange: a falling line means that strong sentiment is predicted "
        f"too weakly.{drawn}"
    )
    counts = confusion_matrix(predicted, true, len(names))
    charts = [
        Chart(
            spec(against, height=300),
            "Predicted and true scores",
            "Predicted against true",
            f"A dot per utterance, mean over seeds{dotted}.{drawn}",
        ),
        Chart(
            spec(residuals(given.truth, errors, steps), height=300), "Residuals and true scores", "Residuals", falling
        ),
        Chart(spec(residual_histogram(errors), height=300), "Histogram of the residuals", "Residuals", spread),
        _matrix(counts, names, "Scores sorted into classes, mean over seeds."),
    ]
    return charts, [], []


def _classes(given: Answers, run: RunRecord) -> Content:
    names = list(run.task.names)
    counts = confusion_matrix(_places(given.prediction, names), _places(given.truth, names), len(names))
    hits, true, predicted = np.diag(counts).tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    rows = [
        [name, f"{true[i]}", f"{predicted[i]}", *_rates(hits[i], predicted[i], true[i])] for i, name in enumerate(names)
    ]
    matrix = _matrix(counts, names, "The class that is most probable on average over seeds.")
    return [matrix], [Table(("class", "true", "predicted", "precision", "recall", "F1"), rows)], []


def _labels(given: Answers, run: RunRecord) -> Content:
    """Each label by itself, and which labels are given where another is true."""
    names = list(run.task.names)
    odds = given.scores.mean(axis=0)  # N C
    truth = given.label_matrix(run.task)
    chosen = odds >= 0.5
    rows = []
    for i, name in enumerate(names):
        hits, true, predicted = int((chosen & truth)[:, i].sum()), int(truth[:, i].sum()), int(chosen[:, i].sum())
        ranked = plain(auroc(odds[:, i], truth[:, i]), 2)
        rows.append([name, f"{true}", f"{predicted}", *_rates(hits, predicted, true), ranked])
    together = truth.T.astype(np.int64) @ chosen.astype(np.int64)  # C C
    caption = (
        "Row: a true label; column: how many of its utterances were given this label too. Shades are shares of the "
        "row's utterances; the diagonal is recall."
    )
    note = (
        "A label is given where its probability, mean over seeds, is at least one half. AUROC is the probability that "
        "an utterance with the label gets a higher probability than one without."
    )
    chart = spec(confusion(together, names, truth.sum(axis=0)), height=_height(names))
    matrix = Chart(chart, "Labels given for true labels", "Labels given where a label is true", caption, max_width=640)
    head = ("label", "true", "predicted", "precision", "recall", "F1", "AUROC")
    return [matrix], [Table(head, rows)], [note]


def _matrix(counts: NDArray[np.int64], names: Sequence[str], what: str) -> Chart:
    caption = f"{what} Numbers count utterances; shades are shares of each true class."
    chart = spec(confusion(counts, names), height=_height(names))
    return Chart(chart, "Confusion matrix", "Confusion matrix", caption, max_width=640)


def _height(names: Sequence[str]) -> int:
    return max(300, 36 * len(names) + 90)


def _places(values: NDArray[Any] | None, names: Sequence[str]) -> NDArray[np.int64]:
    assert values is not None
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[str(name)] for name in values], np.int64)


def _rates(hits: int, predicted: int, true: int) -> list[str]:
    """Precision, recall and F1, printed."""
    wanted = [(hits, predicted), (hits, true), (2 * hits, predicted + true)]
    return [percent(above / below if below else None) for above, below in wanted]


# --- whether promises hold ---------------------------------------------------------------------------------


def calibration_section(run: RunRecord) -> Section:
    """Whether intervals, or probabilities, hold what they promise."""
    if run.labelled is None:
        return section("calibration", "Calibration")
    split, given = run.labelled
    if run.task.kind == "regression":
        return _intervals(run)
    if run.task.kind == "classes":
        names = np.array(run.task.names)
        confidence = given.scores.max(axis=2).ravel()
        right = (names[given.scores.argmax(axis=2)] == given.truth).ravel().astype(np.float64)
        charts = _probabilities(confidence, right, ("confidence", "accuracy"), split)
        return section("calibration", "Calibration", charts=charts)
    truth = np.broadcast_to(given.label_matrix(run.task).astype(np.float64), given.scores.shape)
    axes = ("probability of a label", "share that has it")
    charts = _probabilities(given.scores.ravel(), truth.ravel(), axes, split)
    rows = []
    for i, name in enumerate(run.task.names):
        odds, came = given.scores[..., i].ravel(), truth[..., i].ravel()
        rows.append([name, percent(odds.mean()), percent(came.mean()), percent(calibration_error(odds, came))])
    head = ("label", "mean probability", "share that has it", "calibration error")
    return section("calibration", "Calibration", charts=charts, tables=[Table(head, rows)])


def _probabilities(odds: Array, came: Array, axes: tuple[str, str], split: str) -> list[Chart]:
    """Reliability in ten bins, and how many answers lie in each."""
    bins = binned(odds, came)
    side = "too high" if odds.mean() > came.mean() else "too low"
    caption = (
        f"On {split}, all seeds. Expected calibration error {percent(bins.error)}. The mean {axes[0]} is "
        f"{percent(float(odds.mean()))}, the {axes[1]} {percent(float(came.mean()))}: it is {side}."
    )
    edges = [place / BINS for place in range(BINS + 1)]
    import altair as alt

    counts = bars(edges[:-1], edges[1:], bins.counts.tolist(), alt.X(**percent_axis("low", axes[0])), "answers")
    curve = reliability(bins.promised, bins.came, axes)
    return [
        Chart(spec(curve, height=300), f"{axes[0]} and {axes[1]}", f"{capital(axes[0])} against {axes[1]}", caption),
        Chart(
            spec(counts, height=300),
            f"Histogram of {axes[0]}",
            f"How often each {axes[0]} is given",
            "Answers of all seeds.",
        ),
    ]


def _intervals(run: RunRecord) -> Section:
    found: Mapping[str, Any] = run.metrics.get("calibration", {})
    if not found:
        return section("calibration", "Calibration")
    level = float(found["level"])
    text = (
        f"The interval is the score ± {plain(found['half_width'], 2)}. It promises to hold the truth for "
        f"{100 * level:.0f} % of new utterances. Its width comes from the errors on validation (split conformal "
        "prediction). Where more of an utterance is missing than usual it is wider; it never leaves the scale."
    )
    valid, test = run.answers.get("valid"), run.answers.get("test")
    if valid is None or test is None or valid.truth is None or test.truth is None:
        reached = ", ".join(f"{percent(rate)} on {split}" for split, rate in _rates_of(found) if rate is not None)
        pairs = [("promised", f"{100 * level:.0f} %"), ("reached", reached)]
        return section("calibration", "Calibration", texts=[text], pairs=pairs)
    tried = [tried_interval(valid, test, one, delivered=level) for one in LEVELS]
    curve = reliability(LEVELS, [one.reached for one in tried], ("promised coverage", "coverage on test"))
    caption = "Made from validation errors and tried on test; mean over seeds."
    return section(
        "calibration",
        "Calibration",
        texts=[text],
        charts=[
            Chart(
                spec(curve, height=300),
                "Promised and reached coverage",
                "Intervals of every level",
                caption,
                max_width=560,
            )
        ],
        tables=[_levels(valid, test, level)],
    )


def _rates_of(found: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    """Split and coverage; runs of earlier versions have plain numbers."""
    entries = found.get("coverage", {}).items()
    return [(split, entry.get("mean") if isinstance(entry, Mapping) else entry) for split, entry in entries]


def _levels(valid: Answers, test: Answers, delivered: float) -> Table:
    """Width and coverage of the usual levels."""
    rows = []
    for level in TABLE_LEVELS:
        tried = tried_interval(valid, test, level, delivered=delivered)
        known = tried.half_width is not None
        few = "too few" if known else ""
        rows.append(
            [
                f"{100 * level:.0f} %",
                f"± {plain(tried.half_width, 2)}" if known else "",
                percent(tried.reached) if known else "too few to say",
                f"{100 * tried.ci95[0]:.1f} to {100 * tried.ci95[1]:.1f} %" if tried.ci95 else few,
            ]
        )
    unit = test.groups.unit
    note = (
        f"Widths are means over seeds. The row of {100 * delivered:.0f} % is the interval that every prediction gets, "
        "wider where more is missing than usual (its width is that of a whole utterance); the other levels are tried "
        f"without that. The 95 % interval says what other {unit} would have given (bootstrap over whole {unit}). "
        f"{test.groups.resampled.too_few}"
    )
    return Table(("promised", "width", "on test", "95 % interval"), rows, note=note.strip())


# --- single utterances -------------------------------------------------------------------------------------

WORST = {
    "regression": "Largest errors",
    "classes": "Least probability for the true class",
    "multilabel": "Least probability for the true labels",
}


def hard_section(run: RunRecord) -> Section:
    """The utterances with the largest errors, and those the model is least sure of."""
    if run.labelled is None:
        return Section("hard", "Hard utterances", "run_hard.j2", None)
    split, given = run.labelled
    doubt, reason = _doubt(given, run)
    lists = [(WORST[run.task.kind], "", _first(given, run, _error(given, run)))]
    if doubt is not None:
        lists.append(("Least certain", reason, _first(given, run, doubt)))
    legend = "Predictions are means over seeds."
    if run.task.kind == "regression":
        legend += " ◇ truth, ● prediction" + (", ─ interval." if given.low is not None else ".")
    return Section("hard", "Hard utterances", "run_hard.j2", {"split": split, "legend": legend, "lists": lists})


def _error(given: Answers, run: RunRecord) -> Array:
    """How wrong each of N answers is: distance, missing probability, or mean cross-entropy of the labels."""
    assert given.truth is not None
    if run.task.kind == "regression":
        return np.asarray(np.abs(given.prediction - given.truth))
    mean = given.scores.mean(axis=0)
    if run.task.kind == "multilabel":
        right = np.where(given.label_matrix(run.task), mean, 1 - mean)
        return np.asarray(-np.log(np.maximum(right, 1e-12)).mean(axis=1))
    place = {name: index for index, name in enumerate(run.task.names)}
    return np.asarray(1 - mean[np.arange(len(mean)), [place[name] for name in given.truth]])


def _doubt(given: Answers, run: RunRecord) -> tuple[Array | None, str]:
    """How unsure each of N answers is, and what that is measured by; None where nothing tells."""
    if run.task.kind != "regression":
        mean = np.clip(given.scores.mean(axis=0), 1e-12, 1 - 1e-12)
        entropy = -mean * np.log(mean)
        if run.task.kind == "multilabel":
            entropy = entropy - (1 - mean) * np.log(1 - mean)
        return np.asarray(entropy.sum(axis=1)), "By the entropy of the probabilities."
    if given.low is not None and given.high is not None:
        width = given.high - given.low
        if np.ptp(width) > 1e-6 * np.max(width, initial=0):
            return width, "By the width of the interval."
    if len(given.scores) > 1:
        spread = given.scores.std(axis=0, ddof=1)
        return np.asarray(spread), "By how far the seeds disagree: the standard deviation of their scores."
    return None, ""


def _first(given: Answers, run: RunRecord, rank_by: Array) -> list[dict[str, Any]]:
    order = np.argsort(-rank_by, kind="stable")[:MAX_HARD]
    return [_utterance(given, run, int(index)) for index in order]


def _utterance(given: Answers, run: RunRecord, index: int) -> dict[str, Any]:
    """What the template shows of an utterance."""
    assert given.truth is not None
    shown: dict[str, Any] = {"id": given.ids[index], "text": given.texts[index]}
    if run.task.kind == "regression":
        truth, prediction = float(given.truth[index]), float(given.prediction[index])
        several = len(given.scores) > 1
        deviation = f"± {plain(float(given.scores[:, index].std(ddof=1)), 2)}" if several else ""
        known = given.low is not None and given.high is not None
        ends = (float(given.low[index]), float(given.high[index])) if known else None  # type: ignore[index]
        shown |= {"truth": plain(truth, 2), "prediction": plain(prediction, 2), "deviation": deviation}
        return shown | {"probabilities": [], "scale": _scale(run, truth, prediction, ends)}
    chosen = str(given.prediction[index]).split("|")
    mean = given.scores.mean(axis=0)[index]
    odds = sorted(zip(run.task.names, mean.tolist(), strict=True), key=lambda pair: -pair[1])
    shown |= {"truth": _listed(given.truth[index]), "prediction": _listed(given.prediction[index]), "deviation": ""}
    return shown | {"probabilities": [(name, percent(p, 0), name in chosen) for name, p in odds], "scale": None}


def _listed(names: object) -> str:
    return str(names).replace("|", ", ") or "none"


def _scale(run: RunRecord, truth: float, prediction: float, ends: tuple[float, float] | None) -> dict[str, Any]:
    """Places on a number line over the task's range, in hundredths of its width."""
    low, high = run.task.low, run.task.high

    def x(number: float) -> float:
        share = (min(max(number, low), high) - low) / ((high - low) or 1.0)
        return round(2 + 96 * share, 1)

    return {
        "label": f"true {truth:.2f}, predicted {prediction:.2f}, on a scale from {low:g} to {high:g}",
        "ends": (plain(low, 0 if low == int(low) else 1), plain(high, 0 if high == int(high) else 1)),
        "middle": x((low + high) / 2),
        "interval": None if ends is None else (x(ends[0]), x(ends[1])),
        "truth": x(truth),
        "prediction": x(prediction),
    }
