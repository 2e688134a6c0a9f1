"""A store made again from its recordings, with sound or pictures corrupted: the same utterances, known places.

What was done to the recordings when the store was made (extractors, alignment, language) is read from its record.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mecam.data.corruption import Corruption
from mecam.data.operations.speakers import RELATIVE
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.features.clips import Tables, find_clips
from mecam.features.extract import extract
from mecam.features.recording import Recipe
from mecam.features.segmentation import Lengths

__all__ = ["corrupted_store", "recipe_of_store", "recordings_identity"]

Progress = Callable[[int, int], None]


def corrupted_store(
    store: Store,
    recordings: Sequence[str | Path],
    corruptions: Sequence[Corruption],
    path: Path,
    *,
    labels: Tables = None,
    only: Collection[str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Extract the recordings of a store again, corrupted; what lies at `path` already is left as it is.

    Args:
        store: made by `mecam extract`, or from such a store (split, joined …).
        recordings: the folder, files or list that it was extracted from.
        corruptions: put into each of them.
        path: the store to make; stopped half-way, the same call goes on.
        labels: the label table that the store was made with, which gives the utterances their ids.
        only: ids of utterances; the recordings of others are left out. None takes all.
        jobs: processes.
        progress: called with (recordings done, all).

    Returns: the store; `injected` of its utterances says which rows are touched.
    Raises: DataError if the store was not extracted by mecam, is relative to the speaker, or the recordings are others.
    """
    if (path / "manifest.json").exists():
        return Store(path)
    recipe = replace(recipe_of_store(store), corruptions=tuple(corruptions))
    names = {id: video for id, video in zip(store.column("id"), store.column("video"), strict=True)}
    wanted = set(names) if only is None else set(only)
    clips = wanted | {names[id] for id in wanted}
    known = {clip.id for clip in find_clips(recordings, labels).clips}
    if not known & clips:
        raise DataError(
            f"none of the recordings belongs to the store, which contains {next(iter(names), 'nothing')!r}, they are "
            f"{next(iter(sorted(known)))!r} and the like",
            where=str(recordings[0]),
            fix="give the recordings that the store was extracted from, and its label table with --labels",
        )
    extract(recordings, path, labels=labels, recipe=recipe, only=clips, task=store.task, jobs=jobs, progress=progress)
    return Store(path)


def recipe_of_store(store: Store) -> Recipe:
    """How the recordings of a store became utterances.

    Raises: DataError if it was not made by `mecam extract`, or its features are relative to the speaker.
    """
    relative = [m for m, spec in store.specs.items() if spec.extractor.endswith(RELATIVE)]
    if relative:
        raise DataError(
            f"the features of {', '.join(relative)} are relative to each speaker's mean, which corruption would move",
            where=str(store.path),
            fix="use a model that was trained on the store as it was extracted",
        )
    found = _extracted(store.manifest.get("provenance", {}))
    if found is None:
        raise DataError(
            "this store was not extracted by mecam: its recordings cannot be corrupted and extracted in the same way",
            where=str(store.path),
            fix="`mecam extract` the recordings and train on that store",
        )
    values: dict[str, Any] = dict(found["recipe"])
    return Recipe(
        extractors=tuple(values["extractors"]),
        asr=values["asr"],
        language=values["language"],
        lengths=Lengths(**values["lengths"]),
        aligned=tuple(values["aligned"]),
    )


def recordings_identity(recordings: Sequence[str | Path], labels: Tables = None) -> str:
    """A hash that changes with any of the recordings: their names, sizes and times."""
    facts = []
    for clip in find_clips(recordings, labels).clips:
        status = clip.path.stat()
        facts.append([clip.id, clip.span, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _extracted(provenance: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record of the extraction, however many steps ago."""
    if "extracted" in provenance:
        known: Mapping[str, Any] = provenance["extracted"]
        return known
    for source in provenance.get("made_from", ()):
        if (found := _extracted(source.get("provenance", {}))) is not None:
            return found
    return None
