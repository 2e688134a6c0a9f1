"""The jobs of a service in one SQLite file, which its processes share and which outlives them.

A job is a row, and a folder with what was uploaded and what came out. Whoever works on a job holds it by a lease that
is renewed as long as the process lives; a lease that has run out belongs to a process that was killed, and the job goes
back to the queue. A row appears before its folder does, and goes after it, so that nothing is left that no row knows.
"""

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from mecam.errors import DataError

__all__ = ["ENDED", "Job", "Jobs", "State"]

State = Literal["uploading", "queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")

LEASE_S = 10.0
"""Seconds after which a process that has not been heard of is taken for dead."""
MAX_CRASHES, MAX_ABANDONED = 3, 20
"""How often the process that reads a recording, and the server around it, may end before the job fails."""
_ORPHAN_S = 60.0
"""Age from which a folder without a row is removed."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  name TEXT NOT NULL DEFAULT '',
  options TEXT NOT NULL DEFAULT '{}',
  bytes INTEGER NOT NULL DEFAULT 0,
  stage TEXT NOT NULL DEFAULT '',
  progress REAL NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  started REAL,
  finished REAL,
  expires REAL,
  owner TEXT,
  lease REAL,
  crashes INTEGER NOT NULL DEFAULT 0,
  abandoned INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  files TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, number);
"""


@dataclass(frozen=True)
class Job:
    """A recording that was given to the service.

    Attributes:
        id: cannot be guessed.
        state: `uploading` until all of it is there.
        name: what the client calls the recording.
        options: how it is to be read.
        bytes: on the disk.
        stage: what is being done.
        progress: 0 to 1.
        created: seconds since 1970, as all times.
        started: when it was last begun.
        finished: when it ended.
        expires: when it is removed.
        error: the problem, of a job that failed.
        files: kinds of output, of one that is done.
        place: jobs before it in the queue.
    """

    id: str
    state: State
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    stage: str = ""
    progress: float = 0.0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    error: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()
    place: int | None = None


class Jobs:
    """The table of jobs, for one process. Safe to use from several threads.

    Args:
        folder: of the service; made where it is missing.
        keep_s: how long an ended job is kept.
        clock: seconds since 1970.

    Attributes:
        owner: who this process is.

    Raises: DataError if the folder cannot be used.
    """

    def __init__(self, folder: Path, *, keep_s: float = 3600.0, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.keep_s, self._clock = folder, keep_s, clock
        self.owner = uuid4().hex
        self._lock = threading.Lock()
        place = folder / "jobs.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "jobs").mkdir(exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(place, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            if hasattr(self, "_base"):
                self._base.close()
            fix = "choose another folder with --data, or remove this one"
            raise DataError(f"the jobs cannot be kept here: {error}", where=str(place), fix=fix) from error
        self._base.row_factory = sqlite3.Row

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()

    def folder_of(self, id: str) -> Path:
        """Where the files of a job lie."""
        return self.folder / "jobs" / id

    def begin(self, *, expected: int, max_disk: float, max_uploads: int, max_queue: int) -> Job | str:
        """Take in a recording that is about to be sent.

        Args:
            expected: its bytes, as far as they are known.
            max_disk: bytes of all jobs.
            max_uploads: at once.
            max_queue: jobs that wait.

        Returns: the job, or what there is no room in: `disk`, `uploads` or `queue`.
        """
        id, now = uuid4().hex, self._clock()
        with self._writing() as base:
            states = {row["state"]: row["n"] for row in base.execute("SELECT state, count(*) n FROM jobs GROUP BY 1")}
            (used,) = base.execute("SELECT coalesce(sum(bytes), 0) FROM jobs").fetchone()
            if states.get("queued", 0) >= max_queue:
                return "queue"
            if states.get("uploading", 0) >= max_uploads:
                return "uploads"
            if used + expected > max_disk:
                return "disk"
            base.execute(
                "INSERT INTO jobs (id, state, bytes, created, owner, lease) VALUES (?, 'uploading', ?, ?, ?, ?)",
                (id, expected, now, self.owner, now + LEASE_S),
            )
        self.folder_of(id).mkdir(mode=0o700)
        return Job(id, "uploading", created=now, bytes=expected)

    def queue(self, id: str, *, name: str, options: Mapping[str, Any], size: int) -> None:
        """All of it is there: from now on the job is not lost."""
        self._do(
            "UPDATE jobs SET state = 'queued', stage = 'waiting', name = ?, options = ?, bytes = ?, owner = NULL, "
            "lease = NULL WHERE id = ?",
            (name, json.dumps(options), size, id),
        )

    def claim(self) -> Job | None:
        """The next job to work on, which is this process's from now on."""
        now = self._clock()
        with self._writing() as base:
            row = base.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            base.execute(
                "UPDATE jobs SET state = 'running', stage = 'starting', progress = 0, started = ?, owner = ?, "
                "lease = ? WHERE id = ?",
                (now, self.owner, now + LEASE_S, row["id"]),
            )
        return self.get(row["id"])

    def report(self, id: str, stage: str, progress: float) -> None:
        """How far a job of this process is."""
        self._do(
            "UPDATE jobs SET stage = ?, progress = max(progress, ?) WHERE id = ? AND owner = ?",
            (stage, min(max(progress, 0.0), 1.0), id, self.owner),
        )

    def finish(self, id: str, files: Mapping[str, str]) -> bool:
        """It is done; False if the job is no longer this process's.

        Args:
            id: of the job.
            files: kinds of output, and their files, which are all that stays.
        """
        folder = self.folder_of(id)
        size = sum((folder / name).stat().st_size for name in files.values() if (folder / name).is_file())
        if not self._end(id, "done", "answer", (None, json.dumps(list(files)), size)):
            return False
        for file in folder.iterdir():  # what was uploaded: only now, as a killed process's job is begun again
            if file.name not in files.values():
                file.unlink(missing_ok=True)
        return True

    def fail(self, id: str, problem: Mapping[str, Any]) -> bool:
        """It cannot be done; False if the job is no longer this process's."""
        if not self._end(id, "failed", "failed", (json.dumps(dict(problem)), "[]", 0)):
            return False
        shutil.rmtree(self.folder_of(id), ignore_errors=True)
        return True

    def _end(self, id: str, state: State, stage: str, values: tuple[Any, ...]) -> bool:
        now = self._clock()
        changed = self._do(
            "UPDATE jobs SET state = ?, stage = ?, progress = 1, error = ?, files = ?, bytes = ?, finished = ?, "
            "expires = ?, owner = NULL, lease = NULL WHERE id = ? AND owner = ? AND state = 'running'",
            (state, stage, *values, now, now + self.keep_s, id, self.owner),
        )
        return changed == 1

    def give_back(self, id: str, *, crashed: bool) -> bool:
        """Put a job of this process back into the queue; False if it failed instead, having crashed too often.

        Args:
            id: of the job.
            crashed: the process that read it ended by itself.
        """
        with self._writing() as base:
            row = base.execute("SELECT crashes FROM jobs WHERE id = ? AND owner = ?", (id, self.owner)).fetchone()
            if row is None:
                return True
            crashes = row["crashes"] + crashed
            if crashes < MAX_CRASHES:
                base.execute(_REQUEUE + "crashes = ? WHERE id = ?", (crashes, id))
                return True
        return False

    def renew(self) -> set[str]:
        """Say that this process lives; the ids of all that it holds."""
        self._do("UPDATE jobs SET lease = ? WHERE owner = ?", (self._clock() + LEASE_S, self.owner))
        with self._lock:
            return {row["id"] for row in self._base.execute("SELECT id FROM jobs WHERE owner = ?", (self.owner,))}

    def get(self, id: str) -> Job | None:
        """A job that was accepted."""
        found = self.look([id])
        return found.get(id)

    def look(self, ids: Iterable[str]) -> dict[str, Job]:
        """Several jobs by id; those that are not there, or have expired, are left out."""
        ids = list(ids)
        marks = ", ".join("?" * len(ids))
        with self._lock:
            there = "state != 'uploading' AND (expires IS NULL OR expires >= ?)"
            rows = self._base.execute(f"SELECT * FROM jobs WHERE id IN ({marks}) AND {there}", (*ids, self._clock()))
            return {row["id"]: _job(row, self._place(row)) for row in rows.fetchall()}

    def _place(self, row: sqlite3.Row) -> int | None:
        if row["state"] != "queued":
            return None
        asked = "SELECT count(*) FROM jobs WHERE state = 'queued' AND number < ?"
        place: int = self._base.execute(asked, (row["number"],)).fetchone()[0]
        return place

    def counts(self) -> dict[str, int]:
        """State → jobs."""
        with self._lock:
            rows = self._base.execute("SELECT state, count(*) n FROM jobs GROUP BY state").fetchall()
        return {row["state"]: row["n"] for row in rows}

    def used(self) -> int:
        """Bytes of all jobs, with those that are expected."""
        with self._lock:
            used: int = self._base.execute("SELECT coalesce(sum(bytes), 0) FROM jobs").fetchone()[0]
        return used

    def remove(self, id: str) -> bool:
        """Forget a job and remove its files; False if there is none.

        The row is kept until the files are gone: what a killed process left is found again by `sweep`.
        """
        known = self._do(
            "UPDATE jobs SET state = 'cancelled', expires = 0, owner = NULL, lease = NULL WHERE id = ?", (id,)
        )
        shutil.rmtree(self.folder_of(id), ignore_errors=True)
        if not self.folder_of(id).exists():
            self._do("DELETE FROM jobs WHERE id = ?", (id,))
        return known == 1

    def sweep(self) -> None:
        """Clear away what killed processes left, and what has expired."""
        now = self._clock()
        with self._writing() as base:
            base.execute(
                _REQUEUE + "abandoned = abandoned + 1 WHERE state = 'running' AND lease < ? AND abandoned < ?",
                (now, MAX_ABANDONED),
            )
            given_up = {
                "status": 422,
                "what": f"the service ended {MAX_ABANDONED} times while it read this recording",
                "fix": "give a shorter or smaller recording",
            }
            base.execute(
                "UPDATE jobs SET state = 'failed', stage = 'failed', progress = 1, error = ?, finished = ?, "
                "expires = ?, owner = NULL, lease = NULL WHERE state = 'running' AND lease < ?",
                (json.dumps(given_up), now, now + self.keep_s, now),
            )
            gone = base.execute(
                "SELECT id FROM jobs WHERE expires < ? OR (state = 'uploading' AND lease < ?)", (now, now)
            ).fetchall()
            known = {row["id"] for row in base.execute("SELECT id FROM jobs")}
        for row in gone:
            self.remove(row["id"])
        for place in (self.folder / "jobs").iterdir():
            if place.name not in known and _age(place) > _ORPHAN_S:
                shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process's comes into."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _do(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._lock:
            return self._base.execute(statement, values).rowcount


_REQUEUE = "UPDATE jobs SET state = 'queued', stage = 'waiting', progress = 0, owner = NULL, lease = NULL, "


def _job(row: sqlite3.Row, place: int | None) -> Job:
    return Job(
        row["id"],
        row["state"],
        row["name"],
        json.loads(row["options"]),
        row["bytes"],
        row["stage"],
        row["progress"],
        row["created"],
        row["started"],
        row["finished"],
        row["expires"],
        None if row["error"] is None else json.loads(row["error"]),
        tuple(json.loads(row["files"])),
        place,
    )


def _age(place: Path) -> float:
    """Seconds since a folder changed; by the clock of the file system."""
    try:
        return time.time() - place.stat().st_mtime
    except OSError:  # another process was faster
        return 0.0
