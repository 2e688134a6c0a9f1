"""Learning, after the training, what a checkpoint adds to the answers of its network (`mecam.models.calibration`).

The validation split as it is says how wide an interval must be; with data missing at random it says how much wider
where data is missing, and what the other utterances of a recording tell about one that has lost data.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np

from mecam.data.collate import as_read
from mecam.data.corruption import random_missing
from mecam.data.corruption.utterances import generator_for
from mecam.data.datasets import Dataset
from mecam.errors import ConfigError
from mecam.evaluation.predict import in_recordings, predict, with_interval_scales
from mecam.evaluation.statistics import conformal_quantile
from mecam.models.calibration import (
    IntervalScale,
    RecordingContext,
    RecordingPredictions,
    baseline_missing_rates,
    excess_missing_rates,
    require_recordings,
)
from mecam.models.trained import Trained
from mecam.task import Task
from mecam.types import Modality, Predictions, Utterance

__all__ = ["LEVEL", "RATES", "calibrate", "check_recording_context", "half_width", "recording_context", "widening"]
__all__ += ["with_missing"]

LEVEL = 0.9
"""Probability with which an interval is to hold the truth."""

RATES = (0.2, 0.4, 0.6, 0.8)
"""Of the words and rows that are lost."""


def calibrate(
    trained: Trained, valid: Dataset, predictions: Mapping[str, Predictions], seed: int, *, recordings: bool
) -> tuple[Trained, dict[str, Predictions]]:
    """The model with all that it learns on validation about its own answers, and the predictions with it.

    Args:
        trained: the model, with its best weights.
        valid: the validation split, labelled.
        predictions: split → predictions of the network; `valid` is among them.
        seed: of what goes missing.
        recordings: learn the context of recordings (`RecordingContext`).

    Raises: DataError if there are too few recordings.
    """
    result = dict(predictions)
    reads = bool(trained.model.reads)  # who reads nothing says the same of every recording
    if recordings and reads:
        context = recording_context(trained, valid, result["valid"], seed)
        trained = replace(trained, checkpoint=replace(trained.checkpoint, recording=context))
        result = {name: in_recordings(trained, alone) for name, alone in result.items()}
    width = half_width(trained.checkpoint.inputs.task, result["valid"])
    if width is not None:
        found = widening(trained, valid, result["valid"], width, seed) if reads else None
        known = replace(trained.checkpoint, calibration={str(LEVEL): width}, widening=found)
        trained = replace(trained, checkpoint=known)
        result = {name: with_interval_scales(trained, one) for name, one in result.items()}
    return trained, result


def half_width(task: Task, valid: Predictions) -> float | None:
    """Half width of the interval around a score, from the validation errors (split conformal); None without one."""
    if not task.is_score or valid.truth is None:
        return None
    return conformal_quantile(np.abs(valid.prediction - valid.truth), LEVEL)


def widening(trained: Trained, valid: Dataset, whole: Predictions, width: float, seed: int) -> IntervalScale:
    """Learn how much the interval has to grow when a modality is missing.

    One modality after the other loses data, at rates that take turns over the utterances, up to all of it. Each
    utterance then asks for some slope, so that its interval just holds the truth; the conformal quantile of these is
    taken. Where several modalities lose data the factors add up, which errs on the side of caution.

    Args:
        trained: the model, with what it makes of the rest of a recording.
        valid: the validation split, labelled.
        whole: predictions for the complete split.
        width: half width of the interval there.
        seed: of what goes missing.
    """
    assert whole.truth is not None
    usual, rates, slope = baseline_missing_rates(whole.missing_rates), (*RATES, 1.0), {}
    for modality in usual:
        dataset = with_missing(
            trained, valid, lambda position: rates[position % len(rates)], seed, "interval", only=(modality,)
        )
        predicted = in_recordings(trained, predict(trained.model, dataset, trained.collator))
        lost = excess_missing_rates(predicted.missing_rates, {modality: usual[modality]})[0]
        wanted = np.abs(predicted.prediction - whole.truth) / max(width, 1e-9) - 1
        asked = lost > 0
        found = conformal_quantile(np.clip(wanted[asked] / lost[asked], 0, None), LEVEL)
        slope[modality] = 0.0 if found is None else found
    return IntervalScale(usual, slope)


def check_recording_context(valid: Dataset) -> None:
    """Check before the training what would stop it afterwards.

    Raises: ConfigError if the task is not a score; DataError if there are too few recordings.
    """
    if not valid.task.is_score:
        raise ConfigError(
            f"recording context works with scores only, and this task is {valid.task.answers}",
            where="training.recording_context",
            fix="switch it off",
        )
    require_recordings(valid.videos)


def recording_context(trained: Trained, valid: Dataset, whole: Predictions, seed: int) -> RecordingContext:
    """Learn the weights of `RecordingContext` on the validation split.

    Args:
        trained: the model, with its best weights.
        valid: the validation split.
        whole: predictions for the complete split.
        seed: of what goes missing.

    Raises: DataError if there are too few recordings.
    """
    inputs = trained.checkpoint.inputs
    assert whole.truth is not None
    corrupted = []
    for rate in RATES:
        dataset = with_missing(trained, valid, lambda _, rate=rate: rate, seed, "recording context")  # type: ignore[misc]
        corrupted.append(RecordingPredictions.of(predict(trained.model, dataset, trained.collator)))
    (centre,) = inputs.prior
    return RecordingContext.learn(
        RecordingPredictions.of(whole),
        corrupted,
        np.asarray(whole.truth),
        centre=centre,
        low=inputs.task.low,
        high=inputs.task.high,
    )


def with_missing(
    trained: Trained,
    valid: Dataset,
    rate: Callable[[int], float],
    seed: int,
    purpose: str,
    *,
    only: Collection[Modality] | None = None,
) -> Dataset:
    """The utterances of the split, each with data missing at its own rate.

    Args:
        trained: the model, whose tokenizer knows the unknown token.
        valid: the split.
        rate: position → rate in [0, 1].
        seed: of what goes missing.
        purpose: what it is for; each has its own draws.
        only: modalities that lose anything; None takes all.
    """
    unk = None if trained.tokenizer is None else trained.tokenizer.unk

    def lossy(position: int) -> Utterance:
        utterance, lost = as_read(valid[position]), rate(position)
        draws = generator_for(seed, purpose, utterance.id, str(lost))
        return random_missing(utterance, draws, lost, unk, fill=valid.dropped_row(position), only=only)

    return Dataset([lossy(position) for position in range(len(valid))], task=trained.checkpoint.inputs.task)
