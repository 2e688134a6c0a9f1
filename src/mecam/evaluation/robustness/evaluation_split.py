"""One split of a store as the protocols corrupt it: the same for every model, whatever it reads and how it scales it.

Features are corrupted as they lie in the store, before any model's normalisation, and texts before any tokenizer, so
that two models that are compared meet the very same words and frames. In the protocol `raw` the recordings themselves
are corrupted and extracted again: one store per kind, severity and seed is made when it is first needed, and kept; it
can be deleted once it has been measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import Corruption, Sounds
from mecam.data.corruption.corruption import spans_of
from mecam.data.corruption.utterances import present
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.groups import Groups
from mecam.features.corrupted_store import corrupted_store, recipe_of_store, recordings_identity
from mecam.features.extractor import chosen
from mecam.types import MISSING_WORD, TEXT, Modality, Span, Utterance

__all__ = ["OWN", "EvaluationSplit", "Recordings", "missing_spans", "read_split"]

OWN = "own"
"""Kind that the negative information goes by which the data brought along, to tell it from what is inserted here."""

SCALE_SAMPLE = 1000
"""Utterances that the scale of a column is taken from."""


class Recordings:
    """What the utterances of a store were extracted from.

    Args:
        store: that the models are measured on.
        inputs: the folder, files or list of recordings.
        labels: the label table that the store was extracted with.
        place: folder of the corrupted stores.
        ids: of the utterances that are measured.
        jobs: processes that extract.
        progress: called with (recordings done, all, what is being done).

    Raises: DataError if the store was not extracted by mecam.
    """

    def __init__(
        self,
        store: Store,
        inputs: Sequence[str | Path],
        place: Path,
        *,
        labels: Path | None = None,
        ids: Sequence[str] = (),
        jobs: int | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.made = tuple(chosen(recipe_of_store(store).extractors))
        self.identity = recordings_identity(inputs, labels)
        self._store, self._inputs, self._labels, self._place = store, tuple(inputs), labels, place
        self._ids, self._jobs, self._progress = tuple(ids), jobs, progress
        self._last: tuple[Corruption, dict[str, Utterance]] | None = None

    def corrupted(self, corruption: Corruption) -> Mapping[str, Utterance]:
        """Id → what the extractors make of the corrupted recording; what cannot be extracted any more is not in it."""
        if self._last is None or self._last[0] != corruption:
            name = f"{corruption.kind}-{corruption.severity:g}-{corruption.extent:g}-{corruption.seed}"

            def progress(done: int, total: int) -> None:
                if self._progress:
                    self._progress(done, total, f"extracting {corruption.kind} {corruption.severity:g}")

            store = corrupted_store(
                self._store,
                self._inputs,
                [corruption],
                self._place / self.identity[:12] / name,
                labels=self._labels,
                only=self._ids or None,
                jobs=self._jobs,
                progress=progress,
            )
            self._last = corruption, {utterance.id: utterance for utterance in store}
        return self._last[1]


class EvaluationSplit:
    """The utterances of a split and what their corruption needs.

    Args:
        store: with labels.
        split: which part of it.
        raw_text: True where transcripts are read by the models, False where rows of text features are.

    Attributes:
        utterances: N, as they lie in the store; spans that they brought along, and missing rows, are called `OWN`.
        brought: N, the spans that they brought along.
        truth: N scores, N class indices, or N × C presences.
        modalities: those that occur, text first.
        recordings: what the store was extracted from, where that is known.

    Raises: DataError if the split is empty or not all of it is labelled.
    """

    def __init__(self, store: Store, split: str, *, raw_text: bool = True) -> None:
        self.store, self.split, self.raw_text = store, split, raw_text
        self.recordings: Recordings | None = None
        found = [store[int(i)] for i in store.split(split)]
        self.brought = [utterance.injected for utterance in found]
        self.utterances = [self._known(utterance) for utterance in found]
        self._dataset = Dataset(self.utterances, task=store.task)
        self._dataset.require_labels(split)
        self.truth = store.task.encode(self._dataset.labels).astype(np.float64)
        self._present = [set(present(utterance)) for utterance in self.utterances]
        self.modalities = tuple(sorted(set().union(*self._present), key=lambda name: (name != TEXT, name)))

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def ids(self) -> tuple[str, ...]:
        """N utterance ids."""
        return self._dataset.ids

    @property
    def videos(self) -> tuple[str, ...]:
        """The recording of each utterance."""
        return self._dataset.videos

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks in each utterance; () where nobody is named."""
        return self._dataset.speakers

    @cached_property
    def groups(self) -> Groups:
        """What is resampled: speakers or recordings."""
        return Groups.among(self.videos, self.speakers)

    @property
    def identity(self) -> Mapping[str, object]:
        """What the corrupted data follows from, beside a condition and a seed."""
        return {"sha256": self.store.manifest["sha256"], "split": self.split, "raw_text": self.raw_text}

    def has(self, place: int, modality: Modality) -> bool:
        """True if an utterance has a modality."""
        return modality in self._present[place]

    @property
    def scale(self) -> dict[Modality, NDArray[np.float64]]:
        """Standard deviation of every column over the train split, or over all where there is none."""
        return {modality: deviation for modality, (_, deviation) in self._columns.items()}

    @property
    def centre(self) -> dict[Modality, NDArray[np.float64]]:
        """Mean of every column, of the same utterances."""
        return {modality: mean for modality, (mean, _) in self._columns.items()}

    @cached_property
    def _columns(self) -> dict[Modality, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        train = self.store.split("train")
        chosen = train if len(train) else np.arange(len(self.store))
        some = [self.store[int(i)].streams for i in chosen[:: max(1, len(chosen) // SCALE_SAMPLE)]]
        found = {}
        for modality, spec in self.store.specs.items():
            parts = [streams[modality] for streams in some if modality in streams]
            rows = np.concatenate([*parts, np.zeros((0, spec.width), np.float32)]).astype(np.float64)
            seen = ~np.isnan(rows)
            count = np.maximum(seen.sum(axis=0), 1)
            mean = np.where(seen, rows, 0.0).sum(axis=0) / count
            found[modality] = mean, np.sqrt(np.where(seen, (rows - mean) ** 2, 0.0).sum(axis=0) / count)
        return found

    @cached_property
    def sounds(self) -> Sounds:
        """The words of the whole store, to be misheard as one another."""
        return Sounds(word for text in self.store.column(TEXT) if text for word in text.split())

    @cached_property
    def spoken(self) -> list[str]:
        """All words of the whole store in alphabetical order, each as often as it occurs."""
        return sorted(word for text in self.store.column(TEXT) if text for word in text.split() if word != MISSING_WORD)

    def opposite(self, place: int, modality: Modality, draw: float) -> Utterance | None:
        """An utterance that feels otherwise and has the modality, or None; `draw` in [0, 1) decides which."""
        return self._drawn([int(i) for i in self._opposites[place] if self.has(int(i), modality)], draw)

    def foreign(self, place: int, modality: Modality, draw: float) -> Utterance | None:
        """An utterance of another speaker (another recording, where speakers are not named) that has the modality."""
        own = self._voice(place)
        return self._drawn([i for i in range(len(self)) if self.has(i, modality) and self._voice(i) != own], draw)

    @cached_property
    def _opposites(self) -> list[NDArray[np.int64]]:
        return self._dataset.partners()

    def _voice(self, place: int) -> str:
        utterance = self.utterances[place]
        return utterance.speaker or utterance.video or utterance.id

    def _drawn(self, candidates: list[int], draw: float) -> Utterance | None:
        return self.utterances[candidates[int(draw * len(candidates))]] if candidates else None

    def _known(self, utterance: Utterance) -> Utterance:
        streams = {m: rows for m, rows in utterance.streams.items() if not (m == TEXT and self.raw_text)}
        own = tuple(Span(span.modality, OWN, span.start, span.stop) for span in utterance.injected)
        text = utterance.text if self.raw_text else None
        return replace(utterance, streams=streams, text=text, injected=(*own, *missing_spans(streams)))


def missing_spans(streams: Mapping[Modality, NDArray[np.float32]]) -> list[Span]:
    """Rows that are missing altogether (silence, no face): no model reads them, so no filter is asked about them."""
    return [
        span
        for modality, rows in streams.items()
        for span in spans_of(modality, OWN, np.asarray(np.isnan(rows).all(axis=1)))
    ]


def read_split(store: Store, split: str, *, raw_text: bool) -> EvaluationSplit:
    """Read a split, with an error that says which splits there are.

    Raises: DataError if the store has no such split, or it is not labelled.
    """
    if not len(store.split(split)):
        known = ", ".join(sorted({name for name in store.column("split") if name})) or "none"
        raise DataError(
            f"the store has no utterance in {split!r}", where=str(store.path), fix=f"choose a split (here: {known})"
        )
    return EvaluationSplit(store, split, raw_text=raw_text)
