"""Many runs under one folder: each by a worker of its own, none redone, no failure stopping the others."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mecam.data.mixture import WeightedStore
from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.experiments.executors import Call, Ears, Executor, Line, ProcessExecutor
from mecam.experiments.ray_executor import ray_executor
from mecam.files import claimed
from mecam.runs.config import RunConfig, record_of
from mecam.runs.run import RunFolder
from mecam.training.run import train

__all__ = ["Member", "Outcome", "train_grid"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

LOST_SECONDS = 60.0
"""How long a run that is taken up waits for the worker that was lost to let go of its folder."""

PARTS = 1000
"""Progress is counted in thousandths of a run: runs differ in their number of steps."""


@dataclass(frozen=True)
class Member:
    """One run of a grid.

    Attributes:
        name: of its folder and of its row in the table.
        config: what to train.
        note: how it differs from the others, for the table.
    """

    name: str
    config: RunConfig
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a grid.

    Attributes:
        folders: name → folder of the runs that are finished, in the order given.
        failed: name → why there is none.
    """

    folders: dict[str, Path]
    failed: dict[str, str]


def train_grid(
    members: Sequence[Member],
    store: Store,
    out: Path,
    *,
    jobs: int | None = None,
    memory_gb: float | None = None,
    ray: str | None = None,
    overwrite: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Train every member into `out/NAME`; those that are finished there are left as they are.

    Each run has a process of its own, so that one that runs out of memory takes no other with it. A grid that was
    interrupted goes on when it is called again.

    Args:
        members: what to train.
        store: to train and evaluate on.
        out: folder of the run folders.
        jobs: runs at a time; they share the cores evenly. By default 1 or, of a cluster, as many as it has room for.
        memory_gb: see `ProcessExecutor`.
        ray: address of a cluster whose tasks train the runs; `store` and `out` lie where all its machines find them.
        overwrite: begin every run anew.
        command: for the runs' records.
        progress: called with (done, all, what is running), in thousandths of a run.

    Raises: ConfigError if a member asks for several devices: a grid is parallel over runs. ConfigError for a limit of
        memory on a cluster, which watches that itself.
    """
    if any(member.config.devices * member.config.nodes > 1 for member in members):
        raise ConfigError(
            "each of several runs uses one device", where="devices", fix="use --jobs to train several at the same time"
        )
    if ray is not None and memory_gb is not None:
        raise ConfigError("Ray watches the memory of its machines itself", where="--memory", fix="leave it out")
    read = record_of([WeightedStore(store)])
    done = [] if overwrite else [m.name for m in members if RunFolder(out / m.name).is_finished(m.config, read)]
    board = _GridProgress([member.name for member in members], done, progress)
    waiting = [
        Call(m.name, partial(_train, m.config, store, out / m.name, overwrite=overwrite, command=command))
        for m in members
        if m.name not in done
    ]
    gpus = any(member.config.accelerator != "cpu" for member in members)
    local = ProcessExecutor(jobs or 1, memory_gb=memory_gb)
    with (
        claimed(out),
        nullcontext(local) if ray is None or not waiting else ray_executor(ray, jobs, gpus=gpus) as executor,
    ):
        _work_off(waiting, executor, board)
    folders = {member.name: out / member.name for member in members if member.name not in board.failed}
    return Outcome(folders, board.failed)


def _work_off(waiting: list[Call], executor: Executor, board: "_GridProgress") -> None:
    ears = Ears(told=board.told, asked=lambda name, question: None)
    running = 0
    try:
        while waiting or running:
            while waiting and running < executor.room:
                job = waiting.pop(0)
                board.told(job.name, 0, 1, "starting")
                executor.start(job)
                running += 1
            for over in executor.listen(ears):
                running -= 1
                board.over(over.name, over.error)
            board.show()
    finally:
        executor.stop()


@dataclass
class _GridProgress:
    """How far the runs are.

    Attributes:
        names: of all runs.
        done: those that need no training.
        progress: as of `train_grid`.
        failed: name → why it failed.
    """

    names: Sequence[str]
    done: Sequence[str]
    progress: Progress | None
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._parts = dict.fromkeys(self.done, PARTS)
        self._notes: dict[str, str] = {}

    def told(self, name: str, done: int, total: int, note: str) -> None:
        """A run says how far it is."""
        self._parts[name], self._notes[name] = PARTS * done // max(total, 1), note

    def over(self, name: str, error: Exception | None) -> None:
        """A run has ended."""
        self._parts[name] = PARTS
        self._notes.pop(name, None)
        if error is not None:
            self.failed[name] = str(error)
            log.warning("%s failed: %s", name, error)

    def show(self) -> None:
        """Tell all of it."""
        if self.progress:
            now = "; ".join(f"{name}: {note}" for name, note in self._notes.items()) or "finishing"
            total = len(self.names) * PARTS
            self.progress(min(sum(self._parts.values()), total), total, now)


def _train(config: RunConfig, store: Store, folder: Path, line: Line, *, overwrite: bool, command: str) -> None:
    """What a worker does: train one member; one that was begun before goes on from its saved state."""
    seeds, first = config.seeds, config.training.seed

    def tell(done: int, total: int, note: str) -> None:
        found = [i for i in range(seeds) if note.startswith(f"seed {first + i} ")]
        before = found[0] if found else 0
        line.tell(before * total + done, seeds * total, note)

    train(
        config,
        store,
        folder,
        overwrite=overwrite and not line.again,
        wait=LOST_SECONDS if line.again else 0.0,
        progress=tell,
        command=command,
    )
