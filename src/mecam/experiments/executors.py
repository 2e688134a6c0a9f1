"""Who does the jobs of a command with many: this process, or processes of their own (on a cluster: `ray_executor`).

A job is a call that can be sent away. While it runs it has a line to whoever started it: it tells how far it is, and it
may ask. What it is not: a queue. Whoever starts jobs keeps to the room there is.
"""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Protocol, runtime_checkable

import torch

from mecam.errors import MecamError, TrainingError
from mecam.pipes import PipeEnd
from mecam.threads import available_cores
from mecam.training.costs import resident_mb

__all__ = ["Call", "Ears", "Executor", "InlineExecutor", "Line", "Over", "ProcessExecutor", "failure", "quiet"]

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""How long to listen before the listener looks around."""

WATCHED_SECONDS = 0.2
"""How often the memory of the jobs is looked at, where it is limited."""


@runtime_checkable
class Line(Protocol):
    """From a job to whoever started it."""

    @property
    def again(self) -> bool:
        """True if the job was begun before and its worker was lost."""

    def tell(self, done: int, total: int, note: str) -> None:
        """How far it is."""

    def ask(self, question: Any) -> Any:
        """Ask, and wait for the answer."""


@dataclass(frozen=True)
class Call:
    """A job.

    Attributes:
        name: of the job, unlike that of any other.
        function: what to do; it and its result can be pickled.
    """

    name: str
    function: Callable[[Line], Any]


@dataclass(frozen=True)
class Over:
    """A job has ended.

    Attributes:
        name: of the job.
        result: what its call returned.
        error: why it returned nothing.
    """

    name: str
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class Ears:
    """Who listens to the jobs.

    Attributes:
        told: called with the name of a job, and (done, total, note).
        asked: called with the name of a job and its question; what it returns is the answer.
    """

    told: Callable[[str, int, int, str], None]
    asked: Callable[[str, Any], Any]


@runtime_checkable
class Executor(Protocol):
    """Does jobs."""

    @property
    def room(self) -> int:
        """Jobs at the same time."""

    def start(self, job: Call) -> None:
        """Begin a job."""

    def listen(self, ears: Ears) -> list[Over]:
        """Hear what there is to hear for a while; the jobs that have ended."""

    def stop(self) -> None:
        """Stop all jobs that still run."""


def failure(error: Exception) -> MecamError:
    """An error as it may be sent and shown: one of ours stays as it is."""
    if isinstance(error, MecamError):
        return error
    log.error("%s", "".join(traceback.format_exception(error)))
    return TrainingError(f"{type(error).__name__}: {error}")


class InlineExecutor:
    """One job at a time in this very process, with all its threads."""

    room = 1

    def __init__(self) -> None:
        self._job: Call | None = None

    def start(self, job: Call) -> None:
        """Keep it until somebody listens."""
        self._job = job

    def listen(self, ears: Ears) -> list[Over]:
        """Do it."""
        job, self._job = self._job, None
        if job is None:
            return []
        try:
            return [Over(job.name, job.function(_Direct(job.name, ears)))]
        except (MecamError, RuntimeError, MemoryError) as error:  # anything else is a fault of the program
            return [Over(job.name, error=error)]

    def stop(self) -> None:
        """Nothing runs."""


@dataclass(frozen=True)
class _Direct:
    """The line of a job in this process."""

    name: str
    ears: Ears
    again: bool = False

    def tell(self, done: int, total: int, note: str) -> None:
        self.ears.told(self.name, done, total, note)

    def ask(self, question: Any) -> Any:
        return self.ears.asked(self.name, question)


class ProcessExecutor:
    """Each job in a process of its own, so that one that runs out of memory takes no other with it.

    Args:
        room: jobs at a time; they share the cores evenly.
        memory_gb: a job whose process takes more is stopped and has failed. It is looked at five times a second, so
            that a limit should leave the machine some air.
    """

    def __init__(self, room: int, *, memory_gb: float | None = None) -> None:
        self.room, self._memory_gb = room, memory_gb
        self._running: list[_Process] = []

    def start(self, job: Call) -> None:
        """In a new process."""
        threads = max(1, min(torch.get_num_threads(), available_cores()) // self.room)
        self._running.append(_Process.started(job, threads))

    def listen(self, ears: Ears) -> list[Over]:
        """For a second at most."""
        pause = PAUSE_SECONDS if self._memory_gb is None else WATCHED_SECONDS
        wait([process.connection for process in self._running], timeout=pause)
        ended = []
        for process in list(self._running):
            over = process.listen(ears) or process.outgrown(self._memory_gb)
            if over is not None:
                self._running.remove(process)
                ended.append(over)
        return ended

    def stop(self) -> None:
        """At once."""
        for process in self._running:
            process.stop()
        self._running.clear()


@dataclass
class _Process:
    """A job in its process."""

    name: str
    process: Any
    connection: PipeEnd

    @classmethod
    def started(cls, job: Call, threads: int) -> "_Process":
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, job, threads), daemon=True)
        process.start()
        theirs.close()  # the child holds its only end: when it dies, ours says so
        return cls(job.name, process, ours)

    def listen(self, ears: Ears) -> Over | None:
        """Hear what there is to hear; the end of the job, if it is over."""
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Over):
                    self.process.join()
                    return message
                if isinstance(message, _Question):
                    self.connection.send(ears.asked(self.name, message.question))
                else:
                    ears.told(self.name, *message)
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            what = f"its process ended with code {code}"
            if code is not None and code < 0:
                what = f"its process was killed by signal {-code}; the machine may have run out of memory"
            return Over(self.name, error=TrainingError(what))
        return None

    def outgrown(self, memory_gb: float | None) -> Over | None:
        """The end of the job, which is stopped, if its process takes more than this."""
        taken = None if memory_gb is None else resident_mb(self.process.pid)
        if memory_gb is None or taken is None or taken <= memory_gb * 1024:
            return None
        self.stop()
        what = (
            f"its process took {taken / 1024:.1f} GB of memory where {memory_gb:g} GB are allowed; "
            "lower data.batch_size, or raise --memory"
        )
        return Over(self.name, error=TrainingError(what))

    def stop(self) -> None:
        with suppress(OSError, AttributeError):
            self.process.terminate()
            self.process.join()


@dataclass(frozen=True)
class _Question:
    """What a child wants to know."""

    question: Any


@dataclass(frozen=True)
class _Piped:
    """The line of a job in a process of its own."""

    connection: PipeEnd
    again: bool = False

    def tell(self, done: int, total: int, note: str) -> None:
        self.connection.send((done, total, note))

    def ask(self, question: Any) -> Any:
        self.connection.send(_Question(question))
        return self.connection.recv()


def _context() -> Any:
    """Processes that start quickly where the system has fork servers, and cleanly everywhere."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    return context


def quiet() -> None:
    """Let the libraries of a worker note nothing but errors."""
    for name in ("lightning_fabric", "lightning.fabric", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _work(connection: PipeEnd, job: Call, threads: int) -> None:
    """The child: do the job and say how it went."""
    torch.set_num_threads(threads)
    quiet()
    try:
        over = Over(job.name, job.function(_Piped(connection)))
    except Exception as error:  # whatever it is, it belongs in the table and not in the way of the others
        over = Over(job.name, error=failure(error))
    connection.send(over)
