"""Many runs under one folder: each in a process of its own, none redone, no failure stopping the others."""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from mecam.data.mixture import WeightedStore
from mecam.data.store import Store
from mecam.errors import ConfigError, MecamError
from mecam.files import claimed
from mecam.runs.config import RunConfig, record_of
from mecam.runs.run import Run
from mecam.threads import available_cores
from mecam.training.costs import resident_mb
from mecam.training.run import train

__all__ = ["Member", "Outcome", "train_grid"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

WATCHED_SECONDS = 0.2
"""How often the memory of the runs is looked at, where it is limited."""

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
    jobs: int = 1,
    memory_gb: float | None = None,
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
        jobs: runs at a time; they share the cores evenly.
        memory_gb: a run whose process takes more is stopped and has failed. It is looked at five times a second, so
            that a limit should leave the machine some air.
        overwrite: begin every run anew.
        command: for the runs' records.
        progress: called with (done, all, what is running), in thousandths of a run.

    Raises: ConfigError if a member asks for several devices: a grid is parallel over runs.
    """
    if any(member.config.devices * member.config.nodes > 1 for member in members):
        raise ConfigError(
            "each of several runs uses one device", where="devices", fix="use --jobs to train several at the same time"
        )
    read = record_of([WeightedStore(store)])
    done = [] if overwrite else [m.name for m in members if Run(out / m.name).is_finished(m.config, read)]
    waiting = [_Task(member, out / member.name) for member in members if member.name not in done]
    running: list[_Task] = []
    failed: dict[str, str] = {}
    shown = {name: PARTS for name in done}
    with claimed(out):
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(waiting.pop(0))
                    running[-1].start(store, overwrite=overwrite, command=command, share=jobs)
                pause = 1.0 if memory_gb is None else WATCHED_SECONDS
                wait([task.connection for task in running if task.connection is not None], timeout=pause)
                for task in [task for task in running if task.listen() or task.outgrows(memory_gb)]:
                    running.remove(task)
                    shown[task.member.name] = PARTS
                    if task.error is not None:
                        failed[task.member.name] = task.error
                        log.warning("%s failed: %s", task.member.name, task.error)
                shown |= {task.member.name: task.done for task in running}
                if progress:
                    now = "; ".join(f"{task.member.name}: {task.note}" for task in running) or "finishing"
                    progress(min(sum(shown.values()), len(members) * PARTS), len(members) * PARTS, now)
        finally:
            for task in running:
                task.stop()
    folders = {member.name: out / member.name for member in members if member.name not in failed}
    return Outcome(folders, failed)


@dataclass
class _Task:
    """A member that waits, runs, or has run."""

    member: Member
    folder: Path
    process: Any = None
    connection: Connection | None = None
    done: int = 0
    note: str = "starting"
    error: str | None = None

    def start(self, store: Store, *, overwrite: bool, command: str, share: int) -> None:
        context = _context()
        self.connection, theirs = context.Pipe(duplex=False)
        threads = max(1, min(torch.get_num_threads(), available_cores()) // share)
        arguments = (theirs, self.member.config, store, self.folder, overwrite, command, threads)
        self.process = context.Process(target=_run, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # the child holds the only end that writes: when it dies, ours says so

    def listen(self) -> bool:
        """Hear what there is to hear; True if the run is over, well or badly."""
        assert self.connection is not None
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, _Over):
                    self.error = message.error
                    self.process.join()
                    return True
                steps, total, self.note = message
                self.done = PARTS * steps // max(total, 1)
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.error = f"its process ended with code {code}"
            if code is not None and code < 0:
                self.error = f"its process was killed by signal {-code}; the machine may have run out of memory"
            return True
        return False

    def outgrows(self, memory_gb: float | None) -> bool:
        """True, and the run is stopped, if its process takes more than this."""
        taken = None if memory_gb is None else resident_mb(self.process.pid)
        if memory_gb is None or taken is None or taken <= memory_gb * 1024:
            return False
        self.stop()
        self.error = (
            f"its process took {taken / 1024:.1f} GB of memory where {memory_gb:g} GB are allowed; "
            "lower data.batch_size, or raise --memory"
        )
        return True

    def stop(self) -> None:
        with suppress(OSError, AttributeError):
            self.process.terminate()
            self.process.join()


@dataclass(frozen=True)
class _Over:
    """A child's last word."""

    error: str | None


def _context() -> Any:
    """Processes that start quickly where the system has fork servers, and cleanly everywhere."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    return context


def _run(
    connection: Connection,
    config: RunConfig,
    store: Store,
    folder: Path,
    overwrite: bool,
    command: str,
    threads: int,
) -> None:
    """The child: train one member and say how it went."""
    torch.set_num_threads(threads)
    for name in ("lightning_fabric", "lightning.fabric", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    seeds = config.seeds
    first = config.training.seed

    def tell(done: int, total: int, note: str) -> None:
        found = [i for i in range(seeds) if note.startswith(f"seed {first + i} ")]
        before = found[0] if found else 0
        connection.send((before * total + done, seeds * total, note))

    try:
        train(config, store, folder, overwrite=overwrite, command=command, progress=tell)
        connection.send(_Over(None))
    except MecamError as error:
        connection.send(_Over(str(error)))
    except Exception as error:  # whatever it is, it belongs in the table and not in the way of the others
        log.error("%s", traceback.format_exc())
        connection.send(_Over(f"{type(error).__name__}: {error}"))
