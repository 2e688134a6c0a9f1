"""One split of a store, ready for a model: normalised features, tokenised text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.data.tokens import Tokenizer
from mecam.errors import DataError
from mecam.task import Task
from mecam.types import TEXT, Modality, Utterance

__all__ = ["Dataset"]


class Dataset:
    """Utterances of one split.

    Args:
        utterances: a store, or utterances in memory (a sentence typed by a user).
        indices: which of them; all when None.
        task: what the labels are.
        normaliser: fitted on the train split; None leaves features as they are.
        tokenizer: for models that read text through an encoder; None leaves text out.
    """

    def __init__(
        self,
        utterances: Store | Sequence[Utterance],
        indices: NDArray[np.int64] | None = None,
        *,
        task: Task,
        normaliser: Normaliser | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self._source = utterances
        self._indices = np.arange(len(utterances)) if indices is None else indices
        self.task = task
        self.normaliser = normaliser
        self._zero = normaliser.zero if normaliser else None
        self._tokenizer = tokenizer
        self._tokens: dict[int, tuple[tuple[int, ...], ...]] = {}
        if tokenizer is not None:
            texts = [(i, text) for i, text in enumerate(self._column("text")) if text]
            self._tokens = dict(zip([i for i, _ in texts], tokenizer([text for _, text in texts]), strict=True))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Utterance:
        utterance = self._source[int(self._indices[position])]
        if self.normaliser is not None:
            utterance = self.normaliser(utterance)
        if self._tokenizer is not None:
            # Precomputed text features beside the transcript would be corrupted in its place, and read by no one.
            streams = {m: rows for m, rows in utterance.streams.items() if m != TEXT}
            utterance = replace(utterance, streams=streams, tokens=self._tokens.get(position))
        return utterance

    def __iter__(self) -> Iterator[Utterance]:
        return (self[position] for position in range(len(self)))

    @property
    def ids(self) -> tuple[str, ...]:
        """Utterance ids in order."""
        return tuple(self._column("id"))

    @property
    def videos(self) -> tuple[str, ...]:
        """The video of each utterance; its own id where the source names none."""
        return tuple(video or name for video, name in zip(self._column("video"), self.ids, strict=True))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks in each utterance, empty where it is not known; () where nobody is named."""
        named = tuple(speaker or "" for speaker in self._column("speaker"))
        return named if any(named) else ()

    @property
    def texts(self) -> list[str | None]:
        """The transcript of each utterance."""
        return self._column(TEXT)

    @property
    def token_ids(self) -> list[list[int]]:
        """The transcripts as a text encoder reads them, without absent ones."""
        return [] if self._tokenizer is None else [self._tokenizer.framed(words) for words in self._tokens.values()]

    @property
    def labels(self) -> list[object]:
        """The label of each utterance as it stands in the store."""
        return self._column("label")

    @property
    def epoch_size(self) -> int:
        """Utterances that one epoch of training draws: all."""
        return len(self)

    def draw(self, rng: "np.random.Generator") -> NDArray[np.int64]:  # NumPy loads them when they are asked for
        """Positions of one epoch, in random order."""
        return rng.permutation(len(self))

    @property
    def clip(self) -> float | None:
        """Limit of normalised features; None where they are left as they are."""
        return self.normaliser.clip if self.normaliser else None

    def dropped_row(self, position: int) -> dict[Modality, NDArray[np.float32]] | None:
        """What a row of raw zeros, which is how a dropped frame is written, becomes there: modality → D."""
        return self._zero

    def sizes(self) -> NDArray[np.int64]:
        """A length per utterance to sort by: its tokens, or its longest stream where there is no text."""
        if self._tokens:
            return np.array([sum(map(len, self._tokens.get(i, ()))) for i in range(len(self))])
        if isinstance(self._source, Store) and self._source.specs:
            lengths = np.stack([self._source.lengths(modality) for modality in self._source.specs])
            return np.asarray(lengths.max(axis=0)[self._indices])
        return np.zeros(len(self), np.int64)

    def partners(self) -> list[NDArray[np.int64]]:
        """For each utterance, positions of utterances that feel otherwise (`Task.opposites`)."""
        return self.task.opposites(self.labels)

    def require_labels(self, split: str) -> None:
        """Raise DataError unless there are utterances and all are labelled."""
        if not len(self):
            raise DataError(
                f"the {split} split is empty",
                where="the store",
                fix="`mecam data split` assigns utterances to splits",
            )
        missing = [name for name, label in zip(self.ids, self.labels, strict=True) if label is None]
        if missing:
            raise DataError(f"{len(missing)} of {len(self)} utterances have no label", where=f"{split}: {missing[0]}")

    def _column(self, name: str) -> list[Any]:
        if isinstance(self._source, Store):
            column = self._source.column(name)
            return [column[i] for i in self._indices]
        return [getattr(self._source[int(i)], name) for i in self._indices]


def has_text(dataset: Dataset) -> bool:
    """True if any utterance has a transcript."""
    return any(dataset._column(TEXT))
