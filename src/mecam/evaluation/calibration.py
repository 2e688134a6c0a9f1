"""The interval around a score: calibrated on validation as it is, widened by what validation shows of missing data."""

import numpy as np

from mecam.data.datasets import Dataset
from mecam.evaluation.predict import in_recordings, predict
from mecam.evaluation.random_missing import RATES, with_missing
from mecam.evaluation.statistics import conformal_quantile
from mecam.models.checkpoint import Trained
from mecam.models.interval_scale import Widening
from mecam.models.missing_rate import beyond_usual, usually_missing
from mecam.task import Task
from mecam.types import Predictions

__all__ = ["LEVEL", "half_width", "widening"]

LEVEL = 0.9
"""Probability with which an interval is to hold the truth."""


def half_width(task: Task, valid: Predictions) -> float | None:
    """Half width of the interval around a score, from the validation errors (split conformal); None without one."""
    if not task.is_score or valid.truth is None:
        return None
    return conformal_quantile(np.abs(valid.prediction - valid.truth), LEVEL)


def widening(trained: Trained, valid: Dataset, whole: Predictions, width: float, seed: int) -> Widening:
    """Learn how much wider the interval has to be where a modality is missing.

    One modality after the other loses data, at rates that take turns over the utterances, up to all of it. Each
    utterance then asks for some slope, so that its interval just holds the truth; the conformal quantile of these is
    taken. Where several modalities lose data the factors add up, which errs on the side of caution.

    Args:
        trained: the model, with what it makes of the rest of a recording.
        valid: the validation split, labelled.
        whole: what the model says about it as it is.
        width: half width of the interval there.
        seed: of what goes missing.
    """
    assert whole.truth is not None
    usual, rates, slope = usually_missing(whole.lost), (*RATES, 1.0), {}
    for modality in usual:
        dataset = with_missing(
            trained, valid, lambda position: rates[position % len(rates)], seed, "interval", only=(modality,)
        )
        said = in_recordings(trained, predict(trained.model, dataset, trained.collator))
        lost = beyond_usual(said.lost, {modality: usual[modality]})[0]
        wanted = np.abs(said.prediction - whole.truth) / max(width, 1e-9) - 1
        asked = lost > 0
        found = conformal_quantile(np.clip(wanted[asked] / lost[asked], 0, None), LEVEL)
        slope[modality] = 0.0 if found is None else found
    return Widening(usual, slope)
