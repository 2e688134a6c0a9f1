"""The validation split with data missing at random: what a finished model learns about its own losses from."""

from collections.abc import Callable, Collection

from mecam.data.collate import as_read
from mecam.data.corruption import random_missing
from mecam.data.corruption.utterances import generator_for
from mecam.data.datasets import Dataset
from mecam.models.checkpoint import Trained
from mecam.types import Modality, Utterance

__all__ = ["RATES", "with_missing"]

RATES = (0.2, 0.4, 0.6, 0.8)
"""Of the words and rows that are lost."""


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
