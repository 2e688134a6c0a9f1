"""Videos → store: in parallel, resumable, one bad file never stops the rest, same bytes for any number of workers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mecam.errors import DataError
from mecam.features.clips import Clip, Tables
from mecam.features.extraction_cache import ExtractedRecording, FolderParts, Parts, key_of, parts_at
from mecam.features.extraction_plan import Plan, plan_extraction
from mecam.features.extraction_processes import Processes, Workers
from mecam.features.extraction_store import ExtractReport, write_store
from mecam.features.extractor import prepare
from mecam.features.recording import Recipe
from mecam.files import claimed
from mecam.task import Task

__all__ = ["PartsMade", "Progress", "extract", "extract_plan", "making", "parts_beside"]

Progress = Callable[[int, int], None]
"""Called with (recordings done, all)."""


def extract(
    inputs: Sequence[str | Path],
    store: str | Path,
    *,
    labels: Tables = None,
    recipe: Recipe | None = None,
    jobs: int | None = None,
    workers: Workers | None = None,
    parts: str | Path | None = None,
    name: str | None = None,
    task: Task | None = None,
    overwrite: bool = False,
    only: Collection[str] | None = None,
    remarks: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExtractReport:
    """Extract recordings into a store.

    Given again after it was stopped, by whatever, it goes on: what was done lies in `.STORE.parts` beside the store
    until the store is whole. Recordings that failed are tried again.

    Args:
        inputs: folders, files, patterns or lists; see `find_clips`.
        store: the folder to make.
        labels: a label table, or several; see `find_clips`. Where no row has a split, splits are drawn.
        recipe: how recordings become utterances. Labelled ones are never cut.
        jobs: processes; by default as many as there are cores.
        workers: what extracts instead: `mecam.features.ray_extraction.RayProcesses`.
        parts: a folder, or a URL that fsspec understands, in place of `.STORE.parts`.
        name: the data set's name; the folder's by default.
        task: what the labels are; told from them by default.
        overwrite: replace a store that exists.
        only: ids of clips; others are left out, but babble may be made from them. None takes all.
        remarks: to be added to the store's provenance.
        progress: called with (recordings done, all).

    Returns: what was found; most of it is the store's provenance too.
    Raises: DataError if there is nothing to extract, nothing could be, or the store cannot be written.
    """
    recipe, workers = recipe or Recipe(), workers or Processes(jobs)
    plan = plan_extraction(inputs, recipe, labels=labels, name=name, task=task, only=only, remarks=remarks)
    return extract_plan(plan, recipe, store, workers=workers, parts=parts, overwrite=overwrite, progress=progress)


def extract_plan(
    plan: Plan,
    recipe: Recipe,
    store: str | Path,
    *,
    workers: Workers,
    parts: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExtractReport:
    """Extract what was planned; for the rest see `extract`."""
    store = Path(store)
    writer = plan.writer(store, overwrite=overwrite)  # says now, not after an hour, that there is a store already
    prepare(recipe.extractors)
    place = parts_beside(store) if parts is None else parts_at(parts)
    with claimed(store):
        keys = {clip.id: key_of(clip, recipe) for clip in plan.found.clips}
        with making(plan, keys, recipe, place, workers, progress=progress) as parts_made:

            def read(clip: Clip) -> ExtractedRecording | str:
                parts_made.wait_for(clip)
                if clip.id in parts_made.reasons:
                    return parts_made.reasons[clip.id]
                if (part := place.read(keys[clip.id])) is None:
                    raise DataError(
                        f"what was extracted from {clip.path.name} is missing or damaged",
                        where=str(parts or parts_beside(store).folder),
                        fix="give the same command again, and do not change this folder during the extraction",
                    )
                return part

            report = write_store(writer, plan, read, reused=parts_made.reused)
        place.remove(keys.values())
    return report


def parts_beside(store: Path) -> FolderParts:
    """Where the parts of a store lie until it is whole."""
    return FolderParts(store.with_name(f".{store.name}.parts"))


class PartsMade:
    """The parts of an extraction while they are made: the store is written meanwhile, in the order of its recordings.

    Args:
        outcomes: each clip as it is done, and why it gave nothing.
        missing: ids of clips whose parts are not there yet.
        progress: called with (recordings done, all).
        total: all of them.

    Attributes:
        reasons: id of a clip → why it gave nothing.
        reused: how many parts were there already.
    """

    def __init__(
        self, outcomes: Iterator[tuple[Clip, str | None]], missing: set[str], progress: Progress | None, total: int
    ) -> None:
        self._outcomes, self._missing, self._progress, self._total = outcomes, missing, progress, total
        self.reasons: dict[str, str] = {}
        self.reused = total - len(missing)

    def wait_for(self, clip: Clip) -> None:
        """Until the clip is done.

        Raises: DataError if a part cannot be written.
        """
        while clip.id in self._missing:
            done, reason = next(self._outcomes)
            self._missing.discard(done.id)
            if reason is not None:
                self.reasons[done.id] = reason
            if self._progress:
                self._progress(self._total - len(self._missing), self._total)


@contextmanager
def making(
    plan: Plan,
    keys: Mapping[str, str],
    recipe: Recipe,
    parts: Parts,
    workers: Workers,
    *,
    progress: Progress | None = None,
) -> Iterator[PartsMade]:
    """Make the parts that are not there yet, while the block asks for them; nobody else writes the store meanwhile.

    Args:
        plan: of the extraction.
        keys: id of a clip → key of its part.
        recipe: how recordings become utterances.
        parts: where the parts lie.
        workers: what extracts.
        progress: called with (recordings done, all).
    """
    parts.prepare()
    known = parts.known()
    todo = {keys[clip.id]: clip for clip in plan.found.clips if keys[clip.id] not in known}
    try:
        with closing(workers(todo, recipe, parts)) as outcomes:
            yield PartsMade(outcomes, {clip.id for clip in todo.values()}, progress, len(plan.found.clips))
    except BaseException:
        parts.forget_if_empty()
        raise
