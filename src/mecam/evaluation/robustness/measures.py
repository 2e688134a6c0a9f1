"""What is measured under a condition beside the task's metrics: calibration, the filter, and the notice of conflict."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.robustness.material import OWN
from mecam.evaluation.sums import Array, binned_gaps, gap, ratio, with_count
from mecam.types import Modality, Predictions, Span, Task

__all__ = ["calibration_metrics", "conflict_scores", "gate_scores", "measures_for", "seen_by"]


def measures_for(task: Task, half_width: float | None) -> dict[str, Metric]:
    """The task's metrics, and those of calibration.

    Args:
        task: what the data set asks for.
        half_width: of the interval around the score of an undamaged utterance; None where there is none.
    """
    return metrics_for(task) | {metric.name: metric for metric in calibration_metrics(task, half_width)}


def calibration_metrics(task: Task, half_width: float | None) -> list[Metric]:
    """Coverage and width of the interval around a score; expected calibration error of probabilities."""
    if task.kind == "regression":
        return [] if half_width is None else [_coverage(half_width), _width(task, half_width)]
    if task.kind == "classes":
        words = "expected calibration error: ten bins of the highest probability, |it − how often it is right|"
        return [Metric("ece", "expected calibration error", words, _of_classes, gap, higher_is_better=False)]
    words = "expected calibration error: ten bins of the labels' probabilities, |they − how often they come true|"
    return [Metric("ece", "expected calibration error", words, _of_labels, gap, higher_is_better=False)]


def _coverage(half_width: float) -> Metric:
    def inside(p: Array, t: Array) -> Array:
        return with_count(np.abs(p - t) <= half_width)

    return Metric(
        "coverage", "coverage of the interval", "share of true scores inside the calibrated interval", inside, ratio
    )


def _width(task: Task, half_width: float) -> Metric:
    def widths(p: Array, wider: Array) -> Array:
        low, high = (np.clip(p + sign * half_width * wider, task.low, task.high) for sign in (-1, 1))
        return with_count(high - low)

    words = "mean width of the interval within the scale"
    return Metric("width", "width of the interval", words, widths, ratio, higher_is_better=False, unit="points")


def seen_by(name: str, predictions: Predictions) -> Predictions:
    """What a measure reads in place of scores and truth, where the interval differs from utterance to utterance.

    Coverage compares the error with one half width: both are divided by the factor of each. The width reads the
    factors in place of the truth.
    """
    if name not in ("coverage", "width"):
        return predictions
    wider = predictions.half_widths(1.0)
    if name == "width":
        return replace(predictions, truth=wider)
    assert predictions.truth is not None
    return replace(predictions, prediction=predictions.prediction / wider, truth=predictions.truth / wider)


def _of_classes(p: Array, t: Array) -> Array:
    return binned_gaps(p.max(axis=1)[:, None], (p.argmax(axis=1) == t)[:, None])


def _of_labels(p: Array, t: Array) -> Array:
    return binned_gaps(p, t > 0)


def gate_scores(
    clean: Predictions,
    clean_spans: Sequence[Sequence[Span]],
    spoilt: Predictions,
    spans: Sequence[Sequence[Span]],
    modality: Modality,
    videos: NDArray[np.int64],
) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]] | None:
    """How much of each row was removed, against whether something was put into it.

    The positives are the rows that the condition touched; the negatives all rows that nothing was put into, in the
    spoilt utterances and in the clean ones. Rows that the data itself brought along spoilt take no part, nor do rows
    that are missing.

    Returns: 1 − gate, whether touched, and the recording of each row; None if the model has no gate here.
    """
    removed, touched, video = [], [], []
    for predictions, known in ((clean, clean_spans), (spoilt, spans)):
        for i, gates in enumerate(predictions.gates):
            if modality not in gates:
                continue
            gate = gates[modality]
            mark = np.zeros(len(gate), np.int8)
            for span in known[i]:
                if span.modality == modality:
                    mark[span.start : span.stop] |= 2 if span.kind == OWN else 1
            part = (mark < 2) & ~np.isnan(gate)
            removed.append(1 - gate[part].astype(np.float64))
            touched.append(mark[part] == 1)
            video.append(np.full(int(part.sum()), videos[i]))
    if not removed:
        return None
    return np.concatenate(removed), np.concatenate(touched), np.concatenate(video)


def conflict_scores(
    clean: Predictions,
    clean_spans: Sequence[Sequence[Span]],
    spoilt: Predictions,
    spans: Sequence[Sequence[Span]],
    modality: Modality,
    videos: NDArray[np.int64],
) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]] | None:
    """How much a modality is doubted, against whether it was made to contradict.

    The positives are the utterances whose modality was replaced; the negatives the same utterances as they were. An
    utterance whose modality the data itself brought along spoilt takes no part.

    Returns: doubt, whether replaced, and the recording of each; None if the model does not ask.
    """
    if modality not in clean.doubts or modality not in spoilt.doubts:
        return None
    own = np.array([any(s.modality == modality and s.kind == OWN for s in row) for row in clean_spans], bool)
    made = np.array([any(s.modality == modality and s.kind != OWN for s in row) for row in spans], bool) & ~own
    doubt = np.concatenate([clean.doubts[modality][made], spoilt.doubts[modality][made]]).astype(np.float64)
    positive = np.repeat([False, True], int(made.sum()))
    video = np.tile(videos[made], 2)
    known = ~np.isnan(doubt)
    return doubt[known], positive[known], video[known]
