"""Videos → store: in parallel, resumable, one bad file never stops the rest, same bytes for any number of workers."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from mecam.data.corruption import generator_for
from mecam.data.importing.joining import Finding, Findings
from mecam.data.importing.labels import infer_task, label_of, other_labels, other_targets, target_name, unimodal_of
from mecam.data.store import StoreWriter
from mecam.errors import DataError, MecamError
from mecam.features.clips import Clip, Clips, Tables, find_clips, with_splits
from mecam.features.corruption.kinds import ANY
from mecam.features.extraction_cache import ExtractedRecording, key_of, read_part, write_part
from mecam.features.extractor import prepare
from mecam.features.find_media import shown
from mecam.features.recording import Recipe, read_recording
from mecam.files import claimed, clear, writing
from mecam.task import Regression, Task
from mecam.types import Modality, Utterance

__all__ = ["ExtractReport", "Failure", "extract"]

Progress = Callable[[int, int], None]
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
VOICES = 5
"""People in a babble."""
_HIDING = threading.Lock()
MAX_FINDINGS = 50
"""Findings that the manifest lists; the number of all is beside them."""


@dataclass(frozen=True)
class Failure:
    """A recording that gave nothing.

    Attributes:
        id: of the clip.
        file: its name.
        reason: in a sentence.
    """

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class ExtractReport:
    """What an extraction found and made.

    Attributes:
        name: the data set's name.
        task: what its labels are; scores, where there are none.
        recordings: files that gave utterances.
        reused: of these, how many an earlier, interrupted extraction had done.
        utterances: in the store.
        rows: modality → rows in the store.
        failures: what gave nothing, in the order of the clips.
        absent: modality → reason → recordings.
        findings: odd things about the labels and their tables.
        oddities: odd things about recordings: id and sentence.
        notes: how the tables are written, what was decided about them and the splits, in sentences.
        left_out: files in the folders that are no recordings, as far as can be told.
    """

    name: str
    task: Task
    recordings: int
    reused: int
    utterances: int
    rows: dict[Modality, int]
    failures: tuple[Failure, ...] = ()
    absent: dict[Modality, dict[str, int]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    oddities: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-serialisable values."""
        return {**asdict(self), "task": self.task.to_json()}


def extract(
    inputs: Sequence[str | Path],
    store: str | Path,
    *,
    labels: Tables = None,
    recipe: Recipe | None = None,
    jobs: int | None = None,
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
        name: the data set's name; the folder's by default.
        task: what the labels are; told from them by default.
        overwrite: replace a store that exists.
        only: ids of clips; others are left out, but babble may be made from them. None takes all.
        remarks: to be added to the store's provenance.
        progress: called with (recordings done, all).

    Returns: what was found; most of it is the store's provenance too.
    Raises: DataError if there is nothing to extract, nothing could be, or the store cannot be written.
    """
    store, recipe = Path(store), recipe or Recipe()
    _check_process()
    found = _with_voices(with_splits(find_clips(inputs, labels)), recipe)
    if only is not None:
        found = replace(found, clips=tuple(clip for clip in found.clips if clip.id in only), missing=())
    rows = [clip.row for clip in found.clips if clip.row is not None]
    if task is None:
        task = infer_task(rows) if any(row.labels for row in rows) else Regression()
    target = target_name(task, rows)
    writer = StoreWriter(
        store,
        name=name or found.name,
        task=task,
        specs=recipe.specs(),
        target=target,
        targets=other_targets(rows, target, task),
        overwrite=overwrite,
    )  # says now, not after an hour, that there is a store already
    prepare(recipe.extractors)
    with claimed(store):
        return _extracted(found, writer, recipe, jobs or os.cpu_count() or 1, remarks or {}, progress)


def _extracted(
    found: Clips, writer: StoreWriter, recipe: Recipe, jobs: int, remarks: Mapping[str, Any], progress: Progress | None
) -> ExtractReport:
    """Make the parts that are not made yet, and the store of all; nobody else writes there meanwhile."""
    store = writer.path
    parts = store.parent / f".{store.name}.parts"
    with writing(store):
        parts.mkdir(parents=True, exist_ok=True)
    clear([parts])
    places = {clip.id: parts / f"{key_of(clip, recipe)}.safetensors" for clip in found.clips}
    todo = [clip for clip in found.clips if read_part(places[clip.id]) is None]
    done = len(found.clips) - len(todo)
    failures = {}
    for clip, result in _run(todo, recipe, jobs):
        if isinstance(result, ExtractedRecording):
            write_part(places[clip.id], result)
        else:
            failures[clip.id] = Failure(clip.id, shown(clip.path.name), result)
        done += 1
        if progress:
            progress(done, len(found.clips))
    _check_any(found, failures)
    reused = len(found.clips) - len(todo)
    report = _write(writer, found, recipe, places, failures, reused=reused, remarks=remarks)
    shutil.rmtree(parts, ignore_errors=True)
    return report


def _check_process() -> None:
    """Workers need a process that may have some.

    Raises: DataError where this is itself a worker, or one that still imports the caller's script.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        raise DataError(
            "a worker process imports the script and calls extract() again",
            fix='put the code of the script under `if __name__ == "__main__":`',
        )
    if process.daemon:
        raise DataError(
            "extract() starts processes, which a worker of multiprocessing may not",
            fix="call it from the main process; `jobs` is the number of recordings at the same time",
        )


def _with_voices(found: Clips, recipe: Recipe) -> Clips:
    """Each clip with the files that babble over it is made from: drawn from those of other recordings."""
    babble = next((one for one in recipe.corruptions if one.kind in ("babble", ANY)), None)
    if babble is None:
        return found
    files = sorted({clip.path for clip in found.clips})
    clips = []
    for clip in found.clips:
        rest = [path for path in files if path != clip.path]
        drawn = generator_for(babble.seed, clip.id, "voices").permutation(len(rest))[:VOICES]
        clips.append(replace(clip, others=tuple(rest[i] for i in drawn)))
    return replace(found, clips=tuple(clips))


def _check_any(found: Clips, failures: dict[str, Failure]) -> None:
    if failures and len(failures) == len(found.clips):
        first = next(iter(failures.values()))
        raise DataError(f"none of {len(failures)} recordings could be extracted: {first.reason}", where=first.file)


def _write(
    writer: StoreWriter,
    found: Clips,
    recipe: Recipe,
    places: dict[str, Path],
    failures: dict[str, Failure],
    *,
    reused: int,
    remarks: Mapping[str, Any],
) -> ExtractReport:
    """Bring the parts together, in the order of the clips."""
    findings = Findings()
    findings.take(found.unusual)
    absent: dict[Modality, dict[str, int]] = {}
    rows: dict[Modality, int] = {}
    oddities: list[tuple[str, str]] = []
    taken: set[str] = set()
    with writer:
        for clip in found.clips:
            if clip.id in failures:
                continue
            part = read_part(places[clip.id])
            if part is None:
                raise DataError(
                    f"what was extracted from {clip.path.name} is missing or damaged",
                    where=str(places[clip.id]),
                    fix="give the same command again, and do not change this folder during the extraction",
                )
            oddities += [(clip.id, finding) for finding in part.findings]
            for modality, reason in part.absent.items():
                reasons = absent.setdefault(modality, {})
                reasons[reason] = reasons.get(reason, 0) + 1
            for utterance in _with_own_ids(part.utterances, taken, oddities):
                try:
                    writer.add(_labelled(utterance, clip, writer, findings))
                except DataError as error:
                    if isinstance(error.__cause__, OSError):  # the disk, not the recording
                        raise
                    failures[clip.id] = Failure(clip.id, shown(clip.path.name), f"{utterance.id}: {error.what}")
                    continue
                for modality, values in utterance.streams.items():
                    rows[modality] = rows.get(modality, 0) + len(values)
        lost = [Failure(name, "", "no file for this row of the label table") for name in found.missing]
        report = ExtractReport(
            name=writer.name,
            task=writer.task,
            recordings=len(found.clips) - len(failures),
            reused=reused,
            utterances=writer.count,
            rows=rows,
            failures=(*(failures[c.id] for c in found.clips if c.id in failures), *lost),
            absent=absent,
            findings=findings.all(),
            oddities=tuple(oddities),
            notes=found.notes,
            left_out=found.left_out,
        )
        writer.provenance = {**_provenance(report, recipe, found), **remarks}
    return report


def _with_own_ids(
    utterances: Sequence[Utterance], taken: set[str], oddities: list[tuple[str, str]]
) -> Iterator[Utterance]:
    """Utterances whose ids no other has: piece 1 of `talk` is called as the file `talk_1` is."""
    for utterance in utterances:
        name, number = utterance.id, 2
        while name in taken:
            name, number = f"{utterance.id}-{number}", number + 1
        taken.add(name)
        if name != utterance.id:
            oddities.append((name, f"another utterance has the id {utterance.id}"))
        yield replace(utterance, id=name)


def _labelled(utterance: Utterance, clip: Clip, writer: StoreWriter, findings: Findings) -> Utterance:
    row = clip.row
    if row is None:
        return utterance
    return replace(
        utterance,
        split=row.split,
        video=row.video or clip.id,
        speaker=row.speaker,
        label=label_of(row, writer.task, findings) if row.labels else None,
        targets=other_labels(row, writer.targets),
        unimodal=unimodal_of(row, writer.task, findings),
    )


def _provenance(report: ExtractReport, recipe: Recipe, found: Clips) -> dict[str, Any]:
    """What the store remembers: nothing of this machine, nothing of how many processes it took."""
    made = recipe.made()
    return {
        "extracted": {
            "recipe": asdict(recipe),
            "extractors": {m: {"name": e.name, "version": e.version, "options": _options(e)} for m, e in made.items()},
        },
        "recordings": report.recordings,
        "failures": [asdict(failure) for failure in report.failures],
        "unlabelled": len(found.unlabelled),
        "left_out": len(found.left_out),
        "notes": list(found.notes),
        "absent": report.absent,
        "findings": [asdict(finding) for finding in report.findings],
        "oddities": {"count": len(report.oddities), "first": [list(o) for o in report.oddities[:MAX_FINDINGS]]},
    }


def _options(extractor: Any) -> dict[str, Any]:
    """The options of an extractor, as JSON-serialisable values; an extractor may be built upon another's options."""
    return {key: _plain(value) for key, value in vars(extractor).items() if key != "modality"}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _run(clips: Sequence[Clip], recipe: Recipe, jobs: int) -> Iterator[tuple[Clip, ExtractedRecording | str]]:
    """Every clip's part, or why it has none, as they come.

    A file that brings its process down (a fault in a decoder, memory) is found out: those that were in work when it
    happened are tried again one by one, each in a process of its own.
    """
    waiting = list(reversed(clips))
    with _one_thread_each():
        while waiting:
            running: dict[Future[ExtractedRecording | str], Clip] = {}
            try:
                with _pool(jobs) as pool:
                    while waiting or running:
                        while waiting and len(running) < 2 * jobs:
                            clip = waiting.pop()
                            with _without_main():
                                running[pool.submit(_one, clip, recipe)] = clip
                        for future in wait(running, return_when=FIRST_COMPLETED).done:
                            result = future.result()
                            yield running.pop(future), result
            except BrokenProcessPool:
                for clip in running.values():
                    yield clip, _alone(clip, recipe)


def _alone(clip: Clip, recipe: Recipe) -> ExtractedRecording | str:
    try:
        with _pool(1) as pool:
            with _without_main():
                future = pool.submit(_one, clip, recipe)
            return future.result()
    except BrokenProcessPool:
        return "the process crashed while reading the file"


def _one(clip: Clip, recipe: Recipe) -> ExtractedRecording | str:
    """The part of one clip, or why there is none; runs in a worker."""
    row = clip.row
    try:
        recording = read_recording(
            clip.path,
            recipe,
            id=clip.id,
            text=row.text if row else None,
            beside=clip.transcript,
            span=clip.span,
            whole=row is not None,
            others=clip.others,
        )
    except MecamError as error:
        return error.what
    except Exception as error:  # whatever a codec or a model raises concerns this file alone; the table tells it
        return f"{type(error).__name__}: {error}"
    return ExtractedRecording.of(recording)


def _pool(jobs: int) -> ProcessPoolExecutor:
    # A fork would copy threads and locks of whatever the caller has loaded.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=_begin_worker)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start workers that do not import the caller's script again: they need nothing of it, and it would run anew.

    So a script needs no `if __name__ == "__main__":`, and one that is piped into Python works too.
    """
    main = vars(sys.modules["__main__"])
    with _HIDING:
        kept: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
        main["__spec__"] = None
        try:
            yield
        finally:
            del main["__spec__"]
            main.update(kept)


def _begin_worker() -> None:
    """An interrupt is the parent's affair, and a worker does not outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers compute with one thread: two levels of parallelism are slower, and sums would depend on their number."""
    before = {name: os.environ.get(name) for name in THREAD_COUNTS}
    os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
