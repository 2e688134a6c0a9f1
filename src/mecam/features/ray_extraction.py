"""Recordings extracted on a Ray cluster: a worker for each processor, one recording at a time, parts on shared storage.

A worker is an actor of Ray that reads recordings in a process of its own, so that a file that crashes its reader does
not take the actor with it; for a device, an actor for each GPU reads some at the same time. It writes the part itself
and returns why there is none, so that the driver's memory does not grow with what is extracted. A part that is there
already is not made again, however often Ray repeats a block.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from mecam.errors import DataError
from mecam.features import encoders
from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording, Parts
from mecam.features.extraction_processes import CRASHED, Child, extract_clip
from mecam.features.recording import Recipe
from mecam.ray_cluster import Stage, connected, streamed

__all__ = ["InChildren", "RayProcesses"]

Reader = Callable[[Clip, Recipe], ExtractedRecording | str]


AT_ONCE = 4
"""Recordings that a worker with a device reads at the same time: while some wait for their networks, others decode."""


class InChildren:
    """Reads recordings in processes of their own, one for each that is read at the same time.

    Args:
        device: that their networks run on, in batches over these recordings; empty: each process runs its own.
        read: what runs in them.
    """

    def __init__(self, device: str, read: Reader = extract_clip) -> None:
        self._stack = ExitStack()
        self._server = self._stack.enter_context(encoders.serving(device)) if device else None
        self._read, self._idle = read, SimpleQueue[Child]()

    def __call__(self, clip: Clip, recipe: Recipe) -> ExtractedRecording | str:
        """The part of a clip, or why there is none."""
        child = Child(self._server) if self._idle.empty() else self._idle.get()
        try:
            extracted = child.call(self._read, clip, recipe)
        finally:
            self._idle.put(child)
        return CRASHED if extracted is None else extracted


@dataclass(frozen=True)
class RayProcesses:
    """Processes of a Ray cluster; see `mecam.features.extraction_processes.Workers`.

    Attributes:
        address: of the cluster; see `mecam.ray_cluster.connected`.
        workers: the most at a time; None is one for each processor of the cluster.
        reader: makes what reads the recordings of a worker, given the recipe's device.
    """

    address: str
    workers: int | None = None
    reader: Callable[[str], Reader] = InChildren

    def __call__(self, todo: Mapping[str, Clip], recipe: Recipe, parts: Parts) -> Iterator[tuple[Clip, str | None]]:
        """As `Workers`.

        Raises: DataError if a worker cannot write its parts, or the cluster fails; ConfigError if there is none;
            MissingExtraError if Ray is not installed.
        """
        with connected(self.address) as ray:
            longest_first = sorted(todo, key=lambda key: _size_of(todo[key]), reverse=True)
            rows = [{"key": key, "clip": pickle.dumps(_anywhere(todo[key]))} for key in longest_first]
            stage = Stage(_ExtractingActor, (recipe, parts.anywhere(), self.reader), self.workers)
            if recipe.device:
                gpus = 1 if recipe.device.startswith("cuda") else 0
                stage = replace(stage, processors=AT_ONCE, gpus=gpus, at_once=AT_ONCE)
            for row in streamed(ray, rows, stage):
                if row["refused"]:
                    raise DataError(row["refused"], where=row["where"])
                yield todo[row["key"]], row["reason"] or None


class _ExtractingActor:
    def __init__(self, recipe: Recipe, parts: Parts, reader: Callable[[str], Reader]) -> None:
        self._recipe, self._parts, self._read = recipe, parts, reader(recipe.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        answer = {"key": row["key"], "reason": "", "refused": "", "where": ""}
        if self._parts.holds(row["key"]):
            return answer
        clip: Clip = pickle.loads(row["clip"])  # noqa: S301 - the driver made it a moment ago
        extracted = self._read(clip, self._recipe)
        if isinstance(extracted, str):
            return {**answer, "reason": extracted}
        try:
            self._parts.write(row["key"], extracted)
        except DataError as error:  # concerns all recordings, and is told as it is without a cluster
            return {**answer, "refused": error.what, "where": error.where or ""}
        return answer


def _anywhere(clip: Clip) -> Clip:
    """The same clip for a process that works in another folder."""
    beside, others = ([path.absolute() for path in paths] for paths in (clip.transcript, clip.others))
    return replace(clip, path=clip.path.absolute(), transcript=tuple(beside), others=tuple(others))


def _size_of(clip: Clip) -> int:
    try:
        return clip.path.stat().st_size
    except OSError:
        return 0
