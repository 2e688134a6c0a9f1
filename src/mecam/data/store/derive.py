"""Stores made from stores: the one way to write them, which keeps the record of where they come from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mecam.data.store.store import Store, StoreWriter
from mecam.task import Task
from mecam.types import FeatureSpec, Modality, Utterance

__all__ = ["Progress", "step_of", "write_derived"]

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def write_derived(
    path: str | Path,
    utterances: Iterable[Utterance],
    sources: Sequence[Store],
    *,
    step: Mapping[str, Any],
    name: str | None = None,
    task: Task | None = None,
    targets: Mapping[str, Task] | None = None,
    specs: Mapping[Modality, FeatureSpec] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    total: int | None = None,
) -> None:
    """Write a store whose utterances come from other stores.

    Args:
        path: the store to make.
        utterances: what it holds.
        sources: where they come from; the first one's name, tasks and specs are the default.
        step: what was done, for the provenance.
        name: of the new data set.
        task: of the new data set.
        targets: what else it is labelled for; by default as in the first source.
        specs: of the new data set.
        overwrite: replace an existing store.
        progress: called with utterances written.
        total: how many there will be; by default as many as the first source has.

    Raises: DataError if the place is taken or an utterance does not fit.
    """
    first = sources[0]
    count = len(first) if total is None else total
    with StoreWriter(
        path,
        name=first.name if name is None else name,
        task=first.task if task is None else task,
        target=first.target,
        targets={n: t for n, t in first.targets.items() if n != first.target} if targets is None else targets,
        specs=first.specs if specs is None else specs,
        provenance=step_of(sources, step),
        overwrite=overwrite,
    ) as writer:
        for done, utterance in enumerate(utterances, 1):
            writer.add(utterance)
            if progress:
                progress(done, count)


def step_of(sources: Sequence[Store], step: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance of a store made from others: what was done, to what, and where that came from."""
    made_from = [
        {"name": s.name, "sha256": s.manifest["sha256"], "provenance": s.manifest.get("provenance", {})}
        for s in sources
    ]
    return {"step": dict(step), "made_from": made_from}
