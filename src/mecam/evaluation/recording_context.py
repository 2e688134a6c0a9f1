"""Learning, after the training, what the rest of a recording says about an utterance that has lost data."""

import numpy as np

from mecam.data.datasets import Dataset
from mecam.errors import ConfigError
from mecam.evaluation.predict import predict, said
from mecam.evaluation.random_missing import RATES, with_missing
from mecam.models.checkpoint import Trained
from mecam.models.recording_context import RecordingContext, require_recordings
from mecam.types import Predictions

__all__ = ["check_recording_context", "recording_context"]


def check_recording_context(valid: Dataset) -> None:
    """Say before a training what would stop it after.

    Raises: ConfigError if the task is not a score; DataError if there are too few recordings.
    """
    if not valid.task.is_score:
        raise ConfigError(
            f"the rest of a recording can speak for scores only, and this task is {valid.task.answers}",
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
    inputs = trained.checkpoint.inputs
    assert whole.truth is not None
    spoilt = []
    for rate in RATES:
        dataset = with_missing(trained, valid, lambda _, rate=rate: rate, seed, "recording context")  # type: ignore[misc]
        spoilt.append(said(predict(trained.model, dataset, trained.collator)))
    (centre,) = inputs.prior
    return RecordingContext.learn(
        said(whole), spoilt, np.asarray(whole.truth), centre=centre, low=inputs.task.low, high=inputs.task.high
    )
