"""Learning, after the training, what the rest of a recording says about an utterance that has lost data."""

import numpy as np

from mecam.data.collate import as_read
from mecam.data.corrupt import random_missing
from mecam.data.corrupt.utterances import generator_for
from mecam.data.datasets import Dataset
from mecam.errors import ConfigError
from mecam.evaluation.evaluate import predict, said
from mecam.models.checkpoint import Trained
from mecam.models.recording import RecordingContext, require_recordings
from mecam.types import Predictions, Utterance

__all__ = ["RATES", "check_recording_context", "recording_context"]

RATES = (0.2, 0.4, 0.6, 0.8)
"""Of the words and rows that the validation split loses while the weights are learned."""


def check_recording_context(valid: Dataset) -> None:
    """Say before a training what would stop it after.

    Raises: ConfigError if the task is not a score; DataError if there are too few recordings.
    """
    if valid.task.kind != "regression":
        raise ConfigError(
            f"the rest of a recording can speak for scores only, and this task is {valid.task.kind}",
            where="training.recording_context",
            fix="leave it off",
        )
    require_recordings(valid.videos)


def recording_context(trained: Trained, valid: Dataset, whole: Predictions, seed: int) -> RecordingContext:
    """Learn the weights of `RecordingContext` on the validation split.

    Args:
        trained: the model, with its best weights.
        valid: the validation split.
        whole: what the model says about it as it is.
        seed: of what goes missing.

    Raises: DataError if there are too few recordings.
    """
    task, inputs = trained.checkpoint.inputs.task, trained.checkpoint.inputs
    assert whole.truth is not None
    unk = None if trained.tokenizer is None else trained.tokenizer.unk

    def lossy(position: int, rate: float) -> Utterance:
        utterance = as_read(valid[position])
        draws = generator_for(seed, "recording context", utterance.id, str(rate))
        return random_missing(utterance, draws, rate, unk, fill=valid.dropped_row(position))

    spoilt = []
    for rate in RATES:
        dataset = Dataset([lossy(position, rate) for position in range(len(valid))], task=task)
        spoilt.append(said(predict(trained.model, dataset, trained.collator)))
    (centre,) = inputs.prior
    return RecordingContext.learn(
        said(whole), spoilt, np.asarray(whole.truth), centre=centre, low=task.low, high=task.high
    )
