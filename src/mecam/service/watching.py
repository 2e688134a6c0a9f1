"""Who waits for a job is told of its changes, in whichever process they happen: one look at the table for all."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from mecam.service.jobs import ENDED, Job, Jobs

__all__ = ["Watch"]

LOOK_S = 0.1
"""Seconds between two looks."""
SAME_S = 10.0
"""Seconds after which a job that has not changed is told again, so that nobody takes the connection for dead."""


class Watch:
    """Looks at jobs for all who wait in this process.

    Args:
        jobs: the table.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._waiting: dict[str, set[asyncio.Queue[Job | None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def changes(self, id: str) -> AsyncIterator[Job]:
        """The job, and again at every change, until it has ended; nothing more once it is removed."""
        inbox: asyncio.Queue[Job | None] = asyncio.Queue(1)
        self._waiting.setdefault(id, set()).add(inbox)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        last, told = None, 0.0
        try:
            while True:
                job = await inbox.get()
                if job is None:
                    return
                if job != last or time.monotonic() - told > SAME_S:
                    last, told = job, time.monotonic()
                    yield job
                if job.state in ENDED or (self._stopping and job.state == "queued"):
                    return
        finally:
            self._waiting[id].discard(inbox)
            if not self._waiting[id]:
                del self._waiting[id]

    async def ended(self, id: str, seconds: float) -> Job | None:
        """The job once it has ended; None if it has not by then, or is gone."""
        with suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(self._end(id), seconds)
        return None

    async def _end(self, id: str) -> Job | None:
        async for job in self.changes(id):
            if job.state in ENDED:
                return job
        return None

    def stop(self) -> None:
        """Let nobody wait for a job that this process will not begin."""
        self._stopping = True

    async def _look(self) -> None:
        while self._waiting:
            ids = list(self._waiting)
            found = await asyncio.to_thread(self._jobs.look, ids)
            for id in ids:
                for inbox in self._waiting.get(id, ()):
                    _put(inbox, found.get(id))
            await asyncio.sleep(LOOK_S)


def _put(inbox: "asyncio.Queue[Job | None]", job: Job | None) -> None:
    """The newest takes the place of one that nobody has taken yet."""
    if inbox.full():
        inbox.get_nowait()
    inbox.put_nowait(job)
