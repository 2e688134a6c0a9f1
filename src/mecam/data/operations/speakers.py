"""Features relative to who speaks: each speaker's own mean and deviation taken out.

A voice is high or low, a brow is heavy or light, whatever its owner feels. What is left is how somebody sounds and
looks compared with how they usually do. No label is used, but all that a speaker says is needed before the
first utterance can be read: right for a data set or an archive. A stranger's single clip needs a baseline of that
person (`mecam.features.baseline`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.data.store.derive import Progress, write_derived
from mecam.errors import DataError
from mecam.types import Modality, Utterance

__all__ = ["RELATIVE", "Moments", "moments_of", "normalise_by_speaker", "relative_to"]

RELATIVE = " relative to the speaker"
"""What is added to the name of an extractor, so that a model is not given other features in place of these."""
MIN_KNOWN_VALUES = 2
"""Known values of a column that a mean and a deviation are taken from; with fewer the column is left out."""

Moments: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean and deviation of each column."""


def normalise_by_speaker(
    store: Store,
    path: str | Path,
    *,
    modalities: Sequence[Modality] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a store in which every column has mean 0 and deviation 1 over the rows of each speaker.

    Args:
        store: whose utterances name their speaker.
        path: the store to make.
        modalities: which streams; None takes all.
        overwrite: replace an existing store.
        progress: called with utterances written.

    Raises: DataError if an utterance names no speaker, a stream is unknown, or features are relative already.
    """
    chosen = tuple(store.specs) if modalities is None else tuple(modalities)
    _check(store, chosen)
    speakers = store.column("speaker")
    members: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        members.setdefault(speaker, []).append(index)
    moments = {speaker: _moments(store, mine, chosen) for speaker, mine in members.items()}

    def utterances() -> Iterator[Utterance]:
        for index, speaker in enumerate(speakers):
            yield relative_to(store[index], moments[speaker])

    specs = {
        m: replace(spec, extractor=spec.extractor + RELATIVE) if m in chosen else spec
        for m, spec in store.specs.items()
    }
    step = {"command": "normalise", "by": "speaker", "modalities": list(chosen), "speakers": len(members)}
    write_derived(path, utterances(), [store], step=step, specs=specs, overwrite=overwrite, progress=progress)


def _check(store: Store, chosen: Sequence[Modality]) -> None:
    where = str(store.path)
    unknown = [m for m in chosen if m not in store.specs]
    if unknown or not chosen:
        known = ", ".join(store.specs) or "none"
        raise DataError(f"there is no feature stream {', '.join(unknown)}".rstrip(), where=where, fix=f"known: {known}")
    done = [m for m in chosen if store.specs[m].extractor.endswith(RELATIVE)]
    if done:
        raise DataError(f"the features of {', '.join(done)} are relative to the speaker already", where=where)
    nameless = sum(not speaker for speaker in store.column("speaker"))
    if nameless:
        raise DataError(
            f"{nameless} of {len(store)} utterances name no speaker",
            where=where,
            fix="add a column `speaker` to the label table and make the store again",
        )


def _moments(store: Store, indices: Sequence[int], chosen: Sequence[Modality]) -> dict[Modality, Moments]:
    found = {}
    for modality in chosen:
        streams = (store[index].streams.get(modality) for index in indices)
        found[modality] = moments_of((rows for rows in streams if rows is not None), store.specs[modality].width)
    return found


def moments_of(streams: Iterable[NDArray[np.float32]], width: int) -> Moments:
    """Mean and deviation of every column over one speaker's rows; NaN where too little is known.

    Args:
        streams: T × F each.
        width: F.
    """
    count, total, square = (np.zeros(width) for _ in range(3))
    for rows in streams:
        known = np.isfinite(rows)
        values = np.where(known, rows, 0.0).astype(np.float64)
        count += known.sum(axis=0)
        total += values.sum(axis=0)
        square += np.square(values).sum(axis=0)
    enough = np.where(count >= MIN_KNOWN_VALUES, count, np.nan)
    mean = total / enough
    spread = np.sqrt(np.maximum(square / enough - mean**2, 0.0))
    return mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)


def relative_to(utterance: Utterance, moments: Mapping[Modality, Moments]) -> Utterance:
    """The utterance with these streams relative to a speaker."""
    streams = dict(utterance.streams)
    for modality, (mean, spread) in moments.items():
        if modality in streams:
            streams[modality] = ((streams[modality] - mean) / spread).astype(np.float32)
    return replace(utterance, streams=streams)
