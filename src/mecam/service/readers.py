"""Processes that read recordings for a service: a clip that kills its decoder kills one of them, and no server.

`Reader` is one such process, seen from the server. `Readers` keeps as many as it may, gives them jobs, and ends what
takes too long or too much memory. What runs inside is in `mecam.service.reading`.
"""

import asyncio
import errno
import logging
import multiprocessing
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mecam.service.jobs import Job, Jobs
from mecam.service.outputs import file_of
from mecam.service.problems import Refused
from mecam.service.reading import serve_readings
from mecam.service.settings import MB, Settings

__all__ = ["Reader", "ReaderGone", "Readers"]

_log = logging.getLogger(__name__)

POLL_S = 0.5
"""Seconds between two looks for jobs that other processes took in, and at the memory of a reader."""
RENEW_S = 2.0
"""Seconds between two signs of life."""
SWEEP_S = 15.0
MAX_READINGS = 200
"""Recordings after which a reader is replaced."""
ROOM = 10 * MB
"""Bytes of the disk that must be free before a job is begun: it waits until what comes out has room."""
_END_S = 2.0
"""Seconds in which a process without work ends."""


class ReaderGone(Exception):  # noqa: N818 - an event, and not always an error
    """The process ended, or was ended, before it answered."""


class Reader:
    """One process.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve_readings, args=(there, settings), name="mecam-reader", daemon=True)
        self._process.start()
        there.close()
        self.readings, self._gone = 0, False
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[tuple[Any, ...] | None] = asyncio.Queue()
        self._sending = asyncio.Lock()
        threading.Thread(target=self._listen, name="mecam-listen", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid or 0

    @property
    def alive(self) -> bool:
        """Whether it can still be asked.

        The process itself is not asked: while one thread waits for its end, it tells others that it lives.
        """
        return not self._gone

    async def send(self, message: tuple[Any, ...]) -> None:
        """Hand over a message; waits while the process is busy with those before.

        Raises: ReaderGone if it has ended.
        """
        async with self._sending:
            try:
                await asyncio.to_thread(self._here.send, message)
            except (OSError, ValueError, TypeError) as error:  # the last: closed while it was written to
                self._gone = True
                raise ReaderGone from error

    async def receive(self) -> tuple[Any, ...]:
        """The next message from it.

        Raises: ReaderGone if it has ended.
        """
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ReaderGone
        return message

    def kill(self) -> None:
        """End it, whatever it does."""
        self._gone = True
        with suppress(OSError, ValueError):
            self._process.kill()

    async def end(self) -> None:
        """Let it end by itself, if it does so soon."""
        with suppress(ReaderGone, asyncio.TimeoutError):
            await asyncio.wait_for(self.send(("end",)), _END_S)  # it may be too busy to be told
            await asyncio.to_thread(self._process.join, _END_S)
        self.kill()

    def memory(self) -> int:
        """Bytes that it holds."""
        import psutil

        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _listen(self) -> None:
        def hand_in(message: tuple[Any, ...] | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._inbox.put_nowait, message)

        try:
            while True:
                hand_in(self._here.recv())
        except (EOFError, OSError):
            self._gone = True
            hand_in(None)
        self._process.join()
        self._here.close()


class Readers:
    """The processes of one server process.

    Args:
        settings: of the service.
        jobs: that they work on.
        on_end: called with how each job ended, and the seconds that it took.
        on_live: called with 1 when a live session begins, and with -1 when it ends.

    Attributes:
        stopping: no further job is begun.
    """

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        on_end: Callable[[str, float], None] = lambda *_: None,
        on_live: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings, self._jobs = settings, jobs
        self._on_end, self._on_live = on_end, on_live
        self.stopping = False
        self._wake = asyncio.Event()
        self._running: dict[str, Reader] = {}
        self._dropped: dict[str, bool] = {}
        self._idle: list[Reader] = []
        self._live = 0
        self._lives: set[Reader] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        self._idle = [Reader(self._settings) for _ in range(self._settings.readers_each)]
        work = [self._work() for _ in self._idle]
        self._tasks = [asyncio.create_task(task) for task in (*work, self._keep(RENEW_S, self._renew))]
        self._tasks.append(asyncio.create_task(self._keep(SWEEP_S, self._sweep)))

    def wake(self) -> None:
        """There is a job."""
        self._wake.set()

    async def stop(self) -> None:
        """Let running jobs end, as long as settings allow; the others go back into the queue."""
        self.stopping = True
        self._wake.set()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended(), self._settings.stop_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for id, reader in list(self._running.items()):
            reader.kill()
            await asyncio.to_thread(self._jobs.give_back, id, crashed=False)
        for reader in self._lives:
            reader.kill()
        await asyncio.gather(*(reader.end() for reader in self._idle))

    async def _ended(self) -> None:
        while self._running:
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def live(self) -> AsyncIterator[Reader]:
        """A process of its own for a live session; it is ended afterwards.

        Raises: Refused if all places are taken, or the service stops.
        """
        if self.stopping:
            raise Refused(503, "the service is stopping", retry_s=5)
        if self._live >= self._settings.live:
            what = f"all {self._settings.live} places for live sessions are taken"
            raise Refused(429, what, fix="try again later", retry_s=30)
        self._live += 1
        self._on_live(1)
        reader = Reader(self._settings)
        self._lives.add(reader)
        try:
            yield reader
        finally:
            await reader.end()
            self._lives.discard(reader)
            self._live -= 1
            self._on_live(-1)

    async def _work(self) -> None:
        """Take one job after the other; nothing that goes wrong with one, or with the table, ends this."""
        while not self.stopping:
            try:
                job = await self._next()
            except sqlite3.Error:
                _log.exception("no job can be taken from the table; trying again")
                await asyncio.sleep(RENEW_S)
                continue
            if job is not None:
                await self._serve(job)

    async def _serve(self, job: Job) -> None:
        """Have a job done by a process that is free."""
        reader = self._idle.pop() if self._idle else Reader(self._settings)
        if not reader.alive:
            reader = Reader(self._settings)
        self._running[job.id] = reader
        began, ended = self._loop_time(), ""
        try:
            ended = await self._read(reader, job)
        except Exception as error:
            _log.exception("a job ended in an error of the service itself")
            reader.kill()
            self._dropped[job.id] = not isinstance(error, sqlite3.Error | OSError)  # a full disk is nobody's fault
        self._running.pop(job.id, None)
        if ended:
            self._on_end(ended, self._loop_time() - began)
        if reader.alive and reader.readings < MAX_READINGS:
            self._idle.append(reader)
        else:
            reader.kill()
            self._idle += [] if self.stopping else [Reader(self._settings)]

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _next(self) -> Job | None:
        """The next job, or None after a while without one."""
        self._wake.clear()
        free = shutil.disk_usage(self._jobs.folder).free
        job = await asyncio.to_thread(self._jobs.claim) if free > ROOM else None
        if job is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
        else:
            self._wake.set()  # there may be another one, for another of us
        return job

    async def _read(self, reader: Reader, job: Job) -> str:
        """Have a job done; how it ended, or nothing where it goes on elsewhere."""
        reader.readings += 1
        guard = asyncio.create_task(self._guard(reader))
        try:
            await reader.send(("recording", str(self._jobs.folder_of(job.id)), job.name, dict(job.options)))
            while True:
                kind, *rest = await reader.receive()
                if kind == "progress":
                    await asyncio.to_thread(self._jobs.report, job.id, *rest)
                elif kind == "done":
                    kept = await asyncio.to_thread(self._jobs.finish, job.id, {kind: file_of(kind) for kind in rest[0]})
                    return "done" if kept else ""
                elif kind == "failed":
                    return await self._fail(job, rest[0])
                elif kind == "full":
                    raise OSError(errno.ENOSPC, "no room for what came out")
        except ReaderGone:
            return await self._gone(job, guard)
        finally:
            guard.cancel()

    async def _gone(self, job: Job, guard: "asyncio.Task[dict[str, Any]]") -> str:
        """The process ended: because it took too much, because the job was taken away, or by itself."""
        if guard.done() and not guard.cancelled():
            return await self._fail(job, guard.result())
        if await asyncio.to_thread(self._jobs.get, job.id) is None:  # a client took it away
            return ""
        if await asyncio.to_thread(self._jobs.give_back, job.id, crashed=True):
            _log.warning("a process that read a recording ended by itself; the recording is read again")
            return ""
        what = "the process that read this recording ended each time; the file may be damaged"
        fix = "download or export the file again, or convert it"
        return await self._fail(job, {"status": 422, "what": what, "where": job.name, "fix": fix})

    async def _fail(self, job: Job, problem: dict[str, Any]) -> str:
        return "failed" if await asyncio.to_thread(self._jobs.fail, job.id, problem) else ""

    async def _guard(self, reader: Reader) -> dict[str, Any]:
        """End a process that takes too long or too much memory; the problem that this is."""
        seconds, most = self._settings.max_job_minutes * 60, self._settings.max_memory_mb * MB
        until = self._loop_time() + seconds
        while True:
            await asyncio.sleep(POLL_S)
            if self._loop_time() > until:
                what, fix = f"reading it took more than {seconds / 60:g} minutes", "cut the recording into pieces"
            elif reader.memory() > most:
                what, fix = f"reading it took more than {most / MB:g} MB of memory", "make its pictures smaller"
            else:
                continue
            reader.kill()
            return {"status": 422, "what": what, "fix": fix}

    async def _keep(self, seconds: float, what: Callable[[], Any]) -> None:
        """Do something again and again; a disk that is full for a moment ends nothing."""
        while True:
            try:
                await what()
            except Exception:
                _log.exception("the table of jobs cannot be kept up; trying again")
            await asyncio.sleep(seconds)

    async def _renew(self) -> None:
        for id, crashed in list(self._dropped.items()):
            if not await asyncio.to_thread(self._jobs.give_back, id, crashed=crashed):
                problem = {"status": 422, "what": "the service failed each time it read this recording"}
                await asyncio.to_thread(self._jobs.fail, id, problem)
            del self._dropped[id]
        held = await asyncio.to_thread(self._jobs.renew)
        for id, reader in list(self._running.items()):
            if id not in held:  # a client took it away, or another process did, which thought that we were dead
                reader.kill()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._jobs.sweep)
        self._wake.set()
