"""One command at a time on an output: a lock file beside it, which the system lets go of when its process ends.

`locked(path)` holds `.NAME.lock` beside `path`. The lock is the system's own (`flock`, on Windows `msvcrt.locking`),
so a killed command leaves nothing that anyone has to clean up: a lock file without a holder is free. Who holds `path`
holds all that lies in it, and may ask again. What it is not: it does not keep programs that are no mecam from writing.
"""

import errno
import json
import logging
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mecam.errors import DataError
from mecam.escaping import without_passwords

__all__ = ["locked", "whole_path"]

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
"""Between two looks at a lock that is waited for."""

MAX_COMMAND_CHARACTERS = 200
"""Characters of the holder's command that an error shows."""

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_LOCKS = {getattr(errno, name) for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP") if hasattr(errno, name)}

_held: dict[Path, int] = {}
"""What this process holds: path → the thread that asked for it."""
_holding = threading.Lock()


@contextmanager
def locked(path: Path, *, wait: float = 0.0, inside: bool = False) -> Iterator[bool]:
    """Hold a file or folder that is written, against every other mecam.

    Args:
        path: what is written; its folder must be there.
        wait: seconds to wait for another holder to end.
        inside: take a lock of its own also where a folder around it is held.

    Yields: True if it is held from now on; False if this thread held it, or a folder around it, already.
    Raises: DataError if another one writes there, with its process and command; OSError if there can be no lock file.
    """
    key = whole_path(path)
    if _is_ours(key, inside=inside):
        yield False
        return
    place, file = _taken(key, time.monotonic() + wait)
    with _holding:
        _held[key] = threading.get_ident()
    try:
        yield True
    finally:
        with _holding:
            del _held[key]
        _release(place, file)


def whole_path(path: Path) -> Path:
    """The absolute path of an output, by which two names of the same place are the same."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _is_ours(key: Path, *, inside: bool) -> bool:
    places = (key,) if inside else (key, *key.parents)
    with _holding:
        return any(_held.get(place) == threading.get_ident() for place in places)


def _taken(key: Path, until: float) -> tuple[Path, int]:
    """The lock file, and its descriptor."""
    place = key.with_name(f".{key.name}.lock") if key.name else key / ".mecam.lock"
    while True:
        try:
            file = _take(place)
        except OSError as error:
            inside = key / ".mecam.lock"
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not key.is_dir() or place == inside:
                raise
            place = inside  # a mounted folder, whose surroundings are not ours
            continue
        if file is not None:
            return place, file
        if time.monotonic() >= until:
            raise DataError(
                f"another mecam{_holder(place)} is writing here", where=str(key), fix="wait until it ends, or stop it"
            )
        time.sleep(PAUSE_SECONDS)


def _take(place: Path) -> int | None:
    """Open and lock; None if another one holds it."""
    while True:
        file = os.open(place, _FLAGS, 0o666)
        try:
            if not _lock(file):
                os.close(file)
                return None
            # Between our opening and our locking it, its last holder may have removed the file: then it locks nothing.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(place)):
                    _sign(file)
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> bool:
    """Lock, without waiting; where the file system knows no locks, go on without."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            log.warning("this file system does not support locks: do not run two commands with the same output")
            return True
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK):
            return False
        raise
    return True


def _sign(file: int) -> None:
    """Say who holds it, from the second byte on: Windows lets nobody read the first, which is the locked one."""
    command = without_passwords(shlex.join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]]))
    text = " " + json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command})
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, text.encode("utf-8", "replace"))


def _holder(place: Path) -> str:
    """Who holds a lock, for an error: process, machine if it is another one, command; "" where that is not known."""
    try:
        with place.open("rb", buffering=0) as file:
            file.seek(1)
            facts = json.loads(file.read(1 << 16) or b"{}")
        command, host = str(facts["command"]), str(facts["host"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    where = "" if host == socket.gethostname() else f" on {host}"
    shown = command if len(command) <= MAX_COMMAND_CHARACTERS else command[: MAX_COMMAND_CHARACTERS - 1] + "…"
    return f" (pid {facts.get('pid')}{where}, `{shown}`)"


def _release(place: Path, file: int) -> None:
    """Remove the file while it is still ours, so that nobody else's is removed; Windows wants it closed first."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.unlink(place)
    os.close(file)
    if sys.platform == "win32":
        with suppress(OSError):
            os.unlink(place)
