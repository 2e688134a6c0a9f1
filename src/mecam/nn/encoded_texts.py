"""What frozen layers make of a text, kept in a file that all models, seeds and processes of this machine share.

One SQLite file in the user's cache folder; `MECAM_TEXT_CACHE` names another folder, or `off`. The oldest go first when
it is full. It may vanish or be damaged at any time: then what was in it is made again.
"""

import os
import platform
import sqlite3
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

from mecam.threads import ProcessLock

__all__ = ["EncodedTexts", "encoded_texts"]

LIMIT_BYTES = 4 * 2**30
"""Of the file: twice what MOSEI's 16 274 texts of train take of an encoder that is 768 wide."""

MEMORY_BYTES = 512 * 2**20
"""Where no file can be written."""

WAIT_SECONDS = 5.0
"""How long another process may keep the file locked before it is gone on without it."""

ATTEMPTS, PAUSE_SECONDS = 100, 0.05
"""Of one reading or writing."""

AT_ONCE = 500
"""Keys of one question; old versions of SQLite take 999."""

_MEMORY = ":memory:"
_LOCK = ProcessLock()
_Found = TypeVar("_Found")


class EncodedTexts:
    """Key → bytes, in an SQLite file, or in memory where that cannot be written.

    Args:
        folder: of the file, which carries the machine's name: processes of one machine share it, and on a network's
            folder machines stay apart. None: memory.
        limit: bytes of the file.
    """

    def __init__(self, folder: Path | None, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self._place = _MEMORY if folder is None else str(folder / f"{platform.node() or 'here'}.sqlite")
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is kept under these keys, as far as it is whole."""
        with _LOCK:
            found = self._carefully(lambda connection: _read(connection, keys)) or []
        return {key: content for key, content, checksum in found if zlib.crc32(content) == checksum}

    def put(self, contents: Mapping[bytes, bytes]) -> None:
        """Keep these, and let the oldest go where there is no room."""
        with _LOCK:
            self._carefully(lambda connection: self._write(connection, contents))

    def close(self) -> None:
        """Let go of the file."""
        with _LOCK:
            self._forget_connection()

    def _write(self, connection: sqlite3.Connection, contents: Mapping[bytes, bytes]) -> None:
        rows = [(key, content, zlib.crc32(content)) for key, content in contents.items()]
        with connection:
            connection.executemany("INSERT OR REPLACE INTO texts (key, content, checksum) VALUES (?, ?, ?)", rows)
            while (excess := _used(connection) - self.limit) > 0:
                # A tenth more than needed, so that not every batch has to make room for itself.
                [(oldest, newest, count)] = connection.execute("SELECT min(rowid), max(rowid), count(*) FROM texts")
                if not count:
                    return
                share = min(1.0, (excess + self.limit / 10) / _used(connection))
                last = oldest + int((newest - oldest) * share)
                connection.execute("DELETE FROM texts WHERE rowid <= ?", (last,))

    def _carefully(self, what: Callable[[sqlite3.Connection], _Found]) -> _Found | None:
        """Read or write; a file that is damaged is made anew, and one that cannot be used is done without."""
        until = time.monotonic() + WAIT_SECONDS
        for _ in range(ATTEMPTS):
            try:
                return what(self._connected())
            except (sqlite3.Error, OSError) as error:
                self._forget_connection()
                # SQLite does not wait by itself where several open a new file at once.
                if "locked" in str(error) and time.monotonic() < until:
                    time.sleep(PAUSE_SECONDS)
                    continue
                damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
                if damaged and self._place != _MEMORY:
                    for end in ("", "-wal", "-shm"):
                        with suppress(OSError):
                            Path(self._place + end).unlink()
                else:
                    self._place, self.limit = _MEMORY, min(self.limit, MEMORY_BYTES)
        return None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():  # a forked process must not share a connection
            if self._place != _MEMORY:
                Path(self._place).parent.mkdir(parents=True, exist_ok=True)
            self._process = os.getpid()
            self._connection = sqlite3.connect(self._place, timeout=WAIT_SECONDS, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")  # what is lost with the machine is made again
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS texts (key BLOB UNIQUE, content BLOB NOT NULL, checksum INTEGER NOT NULL)"
            )
        return self._connection

    def _forget_connection(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None


def encoded_texts() -> EncodedTexts | None:
    """The texts that this machine keeps; None where `MECAM_TEXT_CACHE` is `off`."""
    from platformdirs import user_cache_path

    given = os.environ.get("MECAM_TEXT_CACHE", "")
    if given.casefold() == "off":
        return None
    return _of(Path(given) if given else user_cache_path("mecam", appauthor=False) / "texts")


@cache
def _of(folder: Path) -> EncodedTexts:
    return EncodedTexts(folder)


def _read(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, bytes, int]]:
    found: list[tuple[bytes, bytes, int]] = []
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        marks = ", ".join("?" * len(some))
        with closing(
            connection.execute(f"SELECT key, content, checksum FROM texts WHERE key IN ({marks})", some)
        ) as rows:
            found += rows
    return found


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    values = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    return int((values[0] - values[1]) * values[2])
