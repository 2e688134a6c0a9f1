"""What a run predicts: against the truth, whether its promises hold, and the utterances that are hardest for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.detection import auroc
from mecam.evaluation.metrics import confusion_matrix, score_bins
from mecam.evaluation.reliability import IntervalTrial, binned, calibration_error
from mecam.evaluation.sums import BINS, Array
from mecam.report.charts import bars, percent_x, reliability, spec, thinning
from mecam.report.format import capital, percent, plain
from mecam.report.page import Chart, Section, section
from mecam.report.run_charts import confusion, predicted_against_true, residual_histogram, residuals
from mecam.report.table import Table
from mecam.runs.predictions import mean_predictions
from mecam.runs.run import RunFolder
from mecam.types import Predictions

__all__ = ["calibration_section", "hard_section", "predictions_section"]

LEVELS = tuple(level / 20 for level in range(1, 20))
"""Levels of the chart of intervals."""

TABLE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

MAX_HARD = 10
"""Utterances per list."""


def predictions_section(run: RunFolder) -> Section:
    """Predicted against true, residuals, and which class is taken for which."""
    if run.labelled is None:
        return section("predictions", "Predictions")
    split, seeds = run.labelled
    write = _scores if run.task.is_score else _labels if run.task.several else _classes
    charts, tables, texts = write(mean_predictions(seeds), run)
    heading = f"Predictions on {split}"
    return section("predictions", "Predictions", heading=heading, texts=texts, charts=charts, tables=tables)


Content = tuple[list[Chart], list[Table], list[str]]


def _scores(given: Predictions, run: RunFolder) -> Content:
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
        "Residuals, with their mean along the truth in orange: a falling line means that strong sentiment is "
        "predicted too weakly.{drawn}"
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


def _classes(given: Predictions, run: RunFolder) -> Content:
    assert given.truth is not None
    names = list(run.task.names)
    counts = confusion_matrix(given.prediction.argmax(axis=1), given.truth.astype(np.int64), len(names))
    hits, true, predicted = np.diag(counts).tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    rows = [
        [name, f"{true[i]}", f"{predicted[i]}", *_rates(hits[i], predicted[i], true[i])] for i, name in enumerate(names)
    ]
    matrix = _matrix(counts, names, "The class that is most probable on average over seeds.")
    return [matrix], [Table(("class", "true", "predicted", "precision", "recall", "F1"), rows)], []


def _labels(given: Predictions, run: RunFolder) -> Content:
    """Each label by itself, and which labels are given where another is true."""
    assert given.truth is not None
    names, odds, truth = list(run.task.names), given.prediction, given.truth > 0  # N C
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


def _rates(hits: int, predicted: int, true: int) -> list[str]:
    """Precision, recall and F1, printed."""
    wanted = [(hits, predicted), (hits, true), (2 * hits, predicted + true)]
    return [percent(above / below if below else None) for above, below in wanted]


# --- whether promises hold ---------------------------------------------------------------------------------


def calibration_section(run: RunFolder) -> Section:
    """Whether intervals, or probabilities, hold what they promise."""
    if run.labelled is None:
        return section("calibration", "Calibration")
    split, seeds = run.labelled
    if run.task.is_score:
        return _intervals(run)
    scores, known = np.stack([p.prediction for p in seeds]), np.asarray(seeds[0].truth)
    if not run.task.several:
        right = (scores.argmax(axis=2) == known).ravel().astype(np.float64)
        charts = _probabilities(scores.max(axis=2).ravel(), right, ("confidence", "accuracy"), split)
        return section("calibration", "Calibration", charts=charts)
    truth = np.broadcast_to((known > 0).astype(np.float64), scores.shape)
    axes = ("probability of a label", "observed frequency")
    charts = _probabilities(scores.ravel(), truth.ravel(), axes, split)
    rows = []
    for i, name in enumerate(run.task.names):
        odds, came = scores[..., i].ravel(), truth[..., i].ravel()
        rows.append([name, percent(odds.mean()), percent(came.mean()), percent(calibration_error(odds, came))])
    head = ("label", "mean probability", "observed frequency", "calibration error")
    return section("calibration", "Calibration", charts=charts, tables=[Table(head, rows)])


def _probabilities(odds: Array, came: Array, axes: tuple[str, str], split: str) -> list[Chart]:
    """Reliability in ten bins, and how many answers lie in each."""
    bins = binned(odds, came)
    side = "too high" if odds.mean() > came.mean() else "too low"
    caption = (
        f"On {split}, all seeds. Expected calibration error {percent(bins.error)}. The mean {axes[0]} is "
        f"{percent(float(odds.mean()))}, the {axes[1]} {percent(float(came.mean()))}: the {axes[0]} is {side}."
    )
    edges = [place / BINS for place in range(BINS + 1)]
    counts = bars(edges[:-1], edges[1:], bins.counts.tolist(), percent_x("low", axes[0]), "answers")
    curve = reliability(bins.promised, bins.came, axes)
    return [
        Chart(spec(curve, height=300), f"{axes[0]} and {axes[1]}", f"{capital(axes[0])} against {axes[1]}", caption),
        Chart(
            spec(counts, height=300),
            f"Histogram of {axes[0]}",
            f"How often each {axes[0]} is given",
            "Predictions of all seeds.",
        ),
    ]


def _intervals(run: RunFolder) -> Section:
    found: Mapping[str, Any] = run.metrics.get("calibration", {})
    if not found:
        return section("calibration", "Calibration")
    level = float(found["level"])
    text = (
        f"The interval is the score ± {plain(found['half_width'], 2)}. It is calibrated to contain the truth for "
        f"{100 * level:.0f} % of new utterances. Its width comes from the errors on validation (split conformal "
        "prediction). It is wider where more of an utterance is missing than usual, and never leaves the scale."
    )
    valid, test = run.predictions.get("valid"), run.predictions.get("test")
    if valid is None or test is None or valid[0].truth is None or test[0].truth is None:
        reached = ", ".join(f"{percent(rate)} on {split}" for split, rate in _rates_of(found) if rate is not None)
        pairs = [("promised", f"{100 * level:.0f} %"), ("reached", reached)]
        return section("calibration", "Calibration", texts=[text], pairs=pairs)
    trial = IntervalTrial(valid, test, level, run.intervals("test"))
    tried = [trial.at(one) for one in LEVELS]
    curve = reliability(LEVELS, [one.reached for one in tried], ("nominal coverage", "coverage on test"))
    caption = "Calibrated on validation errors, measured on test; mean over seeds."
    return section(
        "calibration",
        "Calibration",
        texts=[text],
        charts=[
            Chart(
                spec(curve, height=300),
                "Nominal and measured coverage",
                "Intervals of every level",
                caption,
                max_width=560,
            )
        ],
        tables=[_levels(trial)],
    )


def _rates_of(found: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    """Split and coverage; runs of earlier versions have plain numbers."""
    entries = found.get("coverage", {}).items()
    return [(split, entry.get("mean") if isinstance(entry, Mapping) else entry) for split, entry in entries]


def _levels(trial: IntervalTrial) -> Table:
    """Width and coverage of the usual levels."""
    rows = []
    for level in TABLE_LEVELS:
        tried = trial.at(level)
        known = tried.half_width is not None
        few = "too few" if known else ""
        rows.append(
            [
                f"{100 * level:.0f} %",
                f"± {plain(tried.half_width, 2)}" if known else "",
                percent(tried.reached) if known else "too few utterances",
                f"{100 * tried.ci95[0]:.1f} to {100 * tried.ci95[1]:.1f} %" if tried.ci95 else few,
            ]
        )
    unit = trial.groups.unit
    note = (
        f"Widths are means over seeds. The row of {100 * trial.level:.0f} % is the interval that every "
        "prediction gets, wider where more is missing than usual (its width is that of a whole utterance); the "
        f"other levels are tried without that. The 95 % interval says what other {unit} would have given (bootstrap "
        f"over whole {unit}). "
        f"{trial.groups.resampled.too_few}"
    )
    return Table(("promised", "width", "on test", "95 % interval"), rows, note=note.strip())


# --- single utterances -------------------------------------------------------------------------------------


class Given:
    """The seeds' predictions of a labelled split: S seeds, N utterances.

    Attributes:
        seeds: predictions of each.
        truth: N scores or class indices, N × C presences.
        mean: of the predictions.
        ends: 2 × N ends of the intervals, mean over seeds; None where there are none.
    """

    def __init__(self, run: RunFolder, split: str, seeds: Sequence[Predictions]) -> None:
        assert seeds[0].truth is not None
        self.seeds, self.truth = seeds, seeds[0].truth
        self.mean = np.mean([p.prediction for p in seeds], axis=0)
        intervals = run.intervals(split)
        self.ends = None if intervals is None else np.stack(intervals).mean(axis=1)

    @property
    def deviation(self) -> Array | None:
        """N standard deviations over seeds; None for one seed."""
        if len(self.seeds) == 1:
            return None
        return np.asarray(np.std([p.prediction for p in self.seeds], axis=0, ddof=1))


def hard_section(run: RunFolder) -> Section:
    """The utterances with the largest errors, and those the model is least sure of."""
    if run.labelled is None:
        return Section("hard", "Hard utterances", "run_hard.j2", None)
    split, seeds = run.labelled
    given = Given(run, split, seeds)
    doubt, reason = _uncertainty(given, run)
    lists = [(run.task.surprise_name, "", _first(given, run, run.task.surprise(given.mean, given.truth)))]
    if doubt is not None:
        lists.append(("Least certain", reason, _first(given, run, doubt)))
    legend = "Predictions are means over seeds."
    if run.task.is_score:
        legend += " ◇ truth, ● prediction" + (", ─ interval." if given.ends is not None else ".")
    return Section("hard", "Hard utterances", "run_hard.j2", {"split": split, "legend": legend, "lists": lists})


def _uncertainty(given: Given, run: RunFolder) -> tuple[Array | None, str]:
    """How unsure each of N predictions is, and what that is measured by; None where nothing tells."""
    entropy = run.task.uncertainty(given.mean)
    if entropy is not None:
        return entropy, "By the entropy of the probabilities."
    width = np.mean([p.interval_half_widths(1.0) for p in given.seeds], axis=0)
    if given.ends is not None and np.ptp(width) > 1e-6 * np.max(width, initial=0):
        return width, "By the width of the interval."
    return given.deviation, "By the disagreement of the seeds: the standard deviation of their scores."


def _first(given: Given, run: RunFolder, rank_by: Array) -> list[dict[str, Any]]:
    order = np.argsort(-rank_by, kind="stable")[:MAX_HARD]
    return [_utterance(given, run, int(index)) for index in order]


def _utterance(given: Given, run: RunFolder, index: int) -> dict[str, Any]:
    """What the template shows of an utterance."""
    name = given.seeds[0].ids[index]
    shown: dict[str, Any] = {"id": name, "text": run.texts.get(name), "deviation": "", "scale": None}
    if run.task.is_score:
        truth, prediction = float(given.truth[index]), float(given.mean[index])
        ends = None if given.ends is None else (float(given.ends[0, index]), float(given.ends[1, index]))
        deviation = "" if given.deviation is None else f"± {plain(float(given.deviation[index]), 2)}"
        shown |= {"truth": plain(truth, 2), "prediction": plain(prediction, 2), "deviation": deviation}
        return shown | {"probabilities": [], "scale": _scale(run, truth, prediction, ends)}
    mean = given.mean[index]
    columns = run.task.columns(mean, given.truth[index])
    chosen = str(columns["prediction"]).split("|")
    odds = sorted(zip(run.task.names, mean.tolist(), strict=True), key=lambda pair: -pair[1])
    shown |= {"truth": _listed(columns["truth"]), "prediction": _listed(columns["prediction"])}
    return shown | {"probabilities": [(name, percent(p, 0), name in chosen) for name, p in odds]}


def _listed(names: object) -> str:
    return str(names).replace("|", ", ") or "none"


def _scale(run: RunFolder, truth: float, prediction: float, ends: tuple[float, float] | None) -> dict[str, Any]:
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
