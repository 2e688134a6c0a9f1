"""`mecam.import_data`, `mecam.extract`, `mecam.synth`: functions that make a store."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mecam.api.arguments import AnyPath, Progress, checked, paths_of, task_of
from mecam.data.store import Store
from mecam.errors import missing_extras
from mecam.files import as_path
from mecam.task import Task

__all__ = ["extract", "import_data", "synth"]

_log = logging.getLogger(__name__)


@checked
def import_data(
    paths: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    name: str | None = None,
    task: Task | str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Import a data set into a store, as `mecam data import`; the layout of a file is told from its content.

    Args:
        paths: files, or folders whose files are all tried; they are joined by id.
        out: the folder of the store, which is made.
        name: of the data set; its folder's by default.
        task: what the labels are, as `regression:-3..3` or `classes:joy,anger`; told from the labels by default.
        strict: anything that would have to be repaired is an error, and nothing is written.
        overwrite: replace a store that exists.
        progress: called with (utterances done, all).

    Returns: the store. What was repaired is logged, shown by a notebook, and kept in its provenance.
    Raises: DataError if nothing can be read, a file is damaged or refused, or the store exists; ConfigError for an
        argument of a wrong kind.
    """
    from mecam.data.importing.importer import import_data as import_files

    given, place = paths_of(paths, "mecam.import_data: paths"), as_path(out, "mecam.import_data: out")
    import_files(
        given,
        place,
        name=name,
        task=task_of(task, "mecam.import_data: task"),
        strict=strict,
        overwrite=overwrite,
        progress=progress,
    )
    return _opened(place)


@checked
def extract(
    recordings: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    labels: AnyPath | Sequence[AnyPath] | None = None,
    extractor: str | Sequence[str] = (),
    asr: bool = False,
    asr_model: str | None = None,
    language: str | None = None,
    min_seconds: float = 1.0,
    max_seconds: float = 15.0,
    align_words: bool = False,
    jobs: int | None = None,
    device: str = "",
    name: str | None = None,
    task: Task | str | None = None,
    corrupt: str | Sequence[str] = (),
    corrupt_extent: float = 1.0,
    corrupt_seed: int = 0,
    ray: str | None = None,
    parts: AnyPath | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Extract features of voice, face and text from recordings into a store, as `mecam extract`.

    After an interruption, the same call continues. Recordings that fail are left out, logged, and named in the store's
    provenance. The work is done in processes of its own: a script need not guard it with `__main__`.

    Args:
        recordings: folders, video and sound files, patterns with `*`, or `.txt` lists of paths.
        out: the folder of the store, which is made.
        labels: a label table, or several; `label.csv` in the folder by default.
        extractor: names, one per modality; `mecam-audio` and `mecam-vision` by default.
        asr: transcribe the speech of recordings without a transcript (extra `asr`).
        asr_model: the faster-whisper model.
        language: of the speech; detected by default.
        min_seconds: shorter utterances are merged with a neighbour.
        max_seconds: longer recordings are cut into utterances.
        align_words: average the features over each word.
        jobs: number of processes; one per core by default.
        device: where PyTorch computes the networks, such as `cuda`; the CPU, without PyTorch, by default.
        name: of the data set; the folder's by default.
        task: what the labels are; told from the labels by default.
        corrupt: corruptions of the recordings, as `babble:3`.
        corrupt_extent: fraction of every 10 seconds to corrupt, 0 to 1.
        corrupt_seed: random seed of the corruption.
        ray: address of a Ray cluster (extra `ray`).
        parts: folder, or URL for fsspec, that keeps what was extracted until the store is whole.
        overwrite: replace a store that exists.
        progress: called with (recordings done, all).

    Returns: the store.
    Raises: DataError if there is nothing to extract, nothing could be, or the store exists; ConfigError for an option
        that is none; MissingExtraError if an extractor needs an extra.
    """
    from mecam.features.extract import extract_plan
    from mecam.features.extract_options import recipe_of, workers_of
    from mecam.features.extraction_plan import plan_extraction

    place = as_path(out, "mecam.extract: out")
    with missing_extras():
        recipe = recipe_of(
            extractor=_several(extractor),
            asr=asr,
            asr_model=asr_model,
            language=language,
            min_seconds=float(min_seconds),
            max_seconds=float(max_seconds),
            align_words=align_words,
            corrupt=_several(corrupt),
            corrupt_extent=float(corrupt_extent),
            corrupt_seed=corrupt_seed,
            device=device,
        )
        tables = None if labels is None else paths_of(labels, "mecam.extract: labels")
        inputs = [str(one) for one in paths_of(recordings, "mecam.extract: recordings")]
        plan = plan_extraction(inputs, recipe, labels=tables, name=name, task=task_of(task, "mecam.extract: task"))
        extract_plan(
            plan, recipe, place, workers=workers_of(ray, jobs), parts=parts, overwrite=overwrite, progress=progress
        )
    return _opened(place)


@checked
def synth(
    out: AnyPath,
    *,
    utterances: int = 1600,
    speakers: int = 40,
    seed: int = 0,
    negative_rate: float = 0.3,
    contradiction_rate: float = 0.1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Create the synthetic corpus, as `mecam data synth`: the positions of its negative information are known.

    Args:
        out: the folder of the store, which is made.
        utterances: how many.
        speakers: how many; no speaker is in two splits.
        seed: the same one gives identical files.
        negative_rate: fraction of utterances with inserted corruption.
        contradiction_rate: fraction of utterances with a contradicting modality.
        overwrite: replace a store that exists.
        progress: called with (utterances done, all).

    Returns: the store.
    Raises: ConfigError for impossible sizes or rates; DataError if the store exists or cannot be written.
    """
    from mecam.synthetic import synthesise

    place = as_path(out, "mecam.synth: out")
    synthesise(
        place,
        utterances=utterances,
        speakers=speakers,
        seed=seed,
        negative_rate=float(negative_rate),
        contradiction_rate=float(contradiction_rate),
        overwrite=overwrite,
        progress=progress,
    )
    return Store(place)


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _opened(place: Path) -> Store:
    """The store that was made; what was repaired or left out in it is logged."""
    from mecam.data.operations.describe import told_of

    store = Store(place)
    for told in told_of(store):
        _log.warning("%s: %s", store.name, told)
    return store
