"""Recordings read in processes of their own, so that a file that brings its process down is one failure and no more."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from mecam.errors import DataError, MecamError
from mecam.features import encoders
from mecam.features.child_processes import without_main
from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording, Parts
from mecam.features.recording import Recipe, read_recording
from mecam.features.side_threads import stay_on_one_core
from mecam.threads import available_cores

__all__ = ["CRASHED", "Child", "Outcomes", "Processes", "Workers", "extract_clip"]

CRASHED = "the process crashed while reading the file"
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

T = TypeVar("T")
Extracted = ExtractedRecording | str
"""The part of a recording, or why there is none."""


Outcomes = Generator[tuple[Clip, str | None], None, None]
"""Each clip as it is done, and why it gave nothing; None where its part was written."""


@runtime_checkable
class Workers(Protocol):
    """What extracts recordings: processes of this machine, or of many."""

    def __call__(self, todo: Mapping[str, Clip], recipe: Recipe, parts: Parts) -> Outcomes:
        """Extract recordings.

        Args:
            todo: key of a part → its clip.
            recipe: how recordings become utterances.
            parts: where the parts go.

        Yields: each clip as it is done, and why it gave nothing; None where its part was written.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    A file that brings its process down (a fault in a decoder, memory) is found out: those that were in work when it
    happened are tried again one by one, each in a process of its own.

    Attributes:
        jobs: how many; None is one for each core.

    Raises: DataError where processes cannot be started.
    """

    jobs: int | None = None

    def __post_init__(self) -> None:
        _check_process()

    def __call__(self, todo: Mapping[str, Clip], recipe: Recipe, parts: Parts) -> Outcomes:
        """As `Workers`.

        Raises: DataError if a part cannot be written.
        """
        for key, extracted in self._extracted(todo, recipe):
            if isinstance(extracted, str):
                yield todo[key], extracted
            else:
                parts.write(key, extracted)
                yield todo[key], None

    def _extracted(self, todo: Mapping[str, Clip], recipe: Recipe) -> Iterator[tuple[str, Extracted]]:
        if not recipe.device:
            yield from _in_processes(todo, recipe, self.jobs or available_cores(), None)
        elif todo:
            with encoders.serving(recipe.device) as server:
                # While one recording of a core waits for its networks, the other is decoded.
                yield from _in_processes(todo, recipe, self.jobs or 2 * available_cores(), server)


def _in_processes(
    todo: Mapping[str, Clip], recipe: Recipe, jobs: int, server: encoders.Server | None
) -> Iterator[tuple[str, Extracted]]:
    """Each part, or why there is none, under its key as it comes."""
    waiting = list(todo)[::-1]
    while waiting:
        running: dict[Future[Extracted], str] = {}
        try:
            with _pool(jobs, server, busy=min(jobs, len(todo)) >= available_cores()) as pool:
                while waiting or running:
                    while waiting and len(running) < 2 * jobs:
                        key = waiting.pop()
                        running[_submitted(pool, extract_clip, todo[key], recipe)] = key
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
        except BrokenProcessPool:
            for key in running.values():
                yield key, _alone(todo[key], recipe, server)


def extract_clip(clip: Clip, recipe: Recipe) -> Extracted:
    """The part of one clip, or why there is none."""
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
    except encoders.ServerGoneError:  # no fault of this recording
        raise
    except MecamError as error:
        return error.what
    except Exception as error:  # whatever a codec or a model raises concerns this file alone; the table tells it
        return f"{type(error).__name__}: {error}"
    return ExtractedRecording.of(recording)


class Child:
    """One process that is kept for one call after another, and replaced when a call brings it down.

    Args:
        server: that its networks run on; None: in the process itself.
    """

    def __init__(self, server: encoders.Server | None = None) -> None:
        self._server, self._pool = server, _pool(1, server, busy=True)

    def call(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """What the function returns; None if the process crashed, twice.

        Raises: what the function raises.
        """
        for _ in range(2):  # the first time it may have been something else on the machine: memory, somebody's `kill`
            try:
                return _submitted(self._pool, function, *arguments).result()
            except BrokenProcessPool:
                self._pool.shutdown(wait=False)
                self._pool = _pool(1, self._server, busy=True)
        return None


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


def _alone(clip: Clip, recipe: Recipe, server: encoders.Server | None) -> Extracted:
    try:
        with _pool(1, server, busy=False) as pool:
            return _submitted(pool, extract_clip, clip, recipe).result()
    except BrokenProcessPool:
        return CRASHED


def _pool(jobs: int, server: encoders.Server | None, *, busy: bool) -> ProcessPoolExecutor:
    """Processes that read recordings; `busy` where all cores have one."""
    # A fork would copy threads and locks of whatever the caller has loaded.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=_begin_child, initargs=(server, busy))


def _submitted(pool: ProcessPoolExecutor, function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Hand a call to a pool; its process may be started for it."""
    with without_main(), _one_thread_each():
        return pool.submit(function, *arguments)


def _begin_child(server: encoders.Server | None, busy: bool) -> None:
    """An interrupt is the parent's affair, and a worker does not outlive it, however it ends."""
    encoders.use(server)
    if busy:
        stay_on_one_core()
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
