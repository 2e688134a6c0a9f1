"""Files and folders that appear whole or not at all, and a clear error where the system refuses.

What is written has a hidden name beside its place (`.NAME.xxxxxxxx.partial`) and is renamed when it is whole. Writers
of the same name keep out of each other's way (`mecam.locks`); whoever holds a name first clears away what killed ones
left.
"""

import errno
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mecam.errors import ConfigError, DataError
from mecam.locks import locked

__all__ = [
    "NO_ROOM",
    "as_path",
    "claimed",
    "clear",
    "no_room",
    "partial_of",
    "remove",
    "replace_folder",
    "restore",
    "set_alike",
    "unchanged",
]
__all__ += ["usual_mode", "whole_file", "whole_folder", "write_whole", "writing"]

FILE_WAIT_SECONDS = 10.0
"""How long the writer of a single file waits for another one of the same name."""

NO_ROOM = "free some space there, or choose another place"
"""What to do about a full disk."""

IN_USE_SECONDS = 2.0 if sys.platform == "win32" else 0.0
"""How long to try again where a file cannot be moved: Windows refuses while a reader or virus scanner has it open."""

_PAUSE_SECONDS = 0.05
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
_LEFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<what>partial|old)", re.DOTALL)


def as_path(given: object, what: str) -> Path:
    """A text or a path of any kind as a `Path`.

    Args:
        given: by a program.
        what: the argument, as in `mecam.train: out`.

    Raises: ConfigError for anything else, and for an empty text.
    """
    if not isinstance(given, str | os.PathLike) or not str(given):
        shown = "an empty text" if given == "" else f"{type(given).__name__} {given!r:.60}"
        raise ConfigError(f"this must be a path, got {shown}", where=what, fix="give a text or a pathlib.Path")
    return Path(given)


@contextmanager
def writing(where: Path, *, fix: str | None = None) -> Iterator[None]:
    """Turn a refusal of the file system into an error that says where.

    Raises: DataError.
    """
    try:
        yield
    except OSError as error:
        fix = fix or (NO_ROOM if error.errno in _FULL else _in_use(error))
        raise DataError(f"cannot write here: {error.strerror or error}", where=str(where), fix=fix) from error


def _in_use(error: OSError) -> str | None:
    """What to do where a file that is open cannot be moved; None of another refusal."""
    held = isinstance(error, PermissionError) and IN_USE_SECONDS > 0
    return "close the programs that have it open, or choose another place" if held else None


def no_room(error: BaseException) -> bool:
    """Whether the disk was full, of an error of the system or the one that was made of it."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in _FULL


@contextmanager
def claimed(path: Path, *, wait: float = 0.0, fix: str | None = None) -> Iterator[None]:
    """Hold a file or folder that is written against every other mecam; clear away what killed ones left of that name.

    Args:
        path: what is written. The folder around it is made if it is missing.
        wait: seconds to wait for another holder to end.
        fix: what to do if the file system refuses.

    Raises: DataError if another one writes there, or nobody may.
    """
    with ExitStack() as stack:
        with writing(path, fix=fix):
            path.parent.mkdir(parents=True, exist_ok=True)
            if stack.enter_context(locked(path, wait=wait)):
                _clear_name(path)
        yield


@contextmanager
def whole_file(path: Path, *, fix: str | None = None) -> Iterator[Path]:
    """A name to write under; what is there when the block ends becomes `path`, and nothing is left when it fails.

    Raises: DataError if it cannot be written.
    """
    with ExitStack() as stack:
        with writing(path, fix=fix):
            if stack.enter_context(locked(path, wait=FILE_WAIT_SECONDS)):
                _clear_name(path)
        partial = partial_of(path)
        try:
            with writing(path, fix=fix):
                partial.touch()
                mode = partial.stat().st_mode & 0o777
                yield partial
                partial.chmod(mode)  # some libraries make files that only their owner may read
                _move(partial, path)
        finally:
            with suppress(OSError):  # the refusal itself may be that there is no such place
                partial.unlink()


def write_whole(path: Path, text: str) -> Path:
    """Write a text in UTF-8, its line ends as they are; return its path.

    Raises: DataError if it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    return path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that becomes `path` when the block ends, in place of what lies there.

    Raises: DataError if it cannot be written.
    """
    with claimed(path):
        partial = partial_of(path)
        try:
            with writing(path):
                partial.mkdir()
                yield partial
                replace_folder(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put the finished folder `new` at `target`; what lies there is kept until the new one stands.

    Raises: DataError if the file system refuses.
    """
    old = _beside(target, "old")
    with writing(target):
        try:
            if target.exists():
                _move(target, old)
            _move(new, target)
        except OSError:
            if old.exists() and not target.exists():
                _move(old, target)
            raise
    remove(old)


def restore(path: Path) -> bool:
    """Put back what a command was replacing when it was killed between taking the old away and putting the new there.

    Returns: True if something was put back.
    """
    if os.path.lexists(path) or not any(what == "old" for _, what in _left_of(path)):
        return False
    with suppress(DataError, OSError), locked(path):
        _clear_name(path)
    return os.path.lexists(path)


def clear(folders: Iterable[Path]) -> None:
    """Remove what killed commands left half-written in these folders; what somebody is still writing stays."""
    for folder in folders:
        for name in {found["name"] for left in _listed(folder) if (found := _LEFT.fullmatch(left.name))}:
            with suppress(DataError, OSError), locked(folder / name, inside=True):
                _clear_name(folder / name)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """A hidden name beside `path` to write under, which nobody else takes."""
    return _beside(path, "partial")


def usual_mode(folder: Path) -> int:
    """The permissions of a file that is made in `folder` in the ordinary way."""
    probe = partial_of(folder / "mode")
    try:
        probe.touch()
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)


def set_alike(files: Iterable[Path]) -> None:
    """Give files one and the same time of change, by which `unchanged` knows them later."""
    files = list(files)
    time = max(file.stat().st_mtime_ns for file in files)
    for file in files:
        os.utime(file, ns=(time, time))


def unchanged(files: Iterable[Path]) -> bool:
    """True if files still have the common time of change that they were given.

    It survives moving, and copying that keeps times. Files that somebody touched since, or copied without their times,
    do not have it, and are to be looked at.
    """
    return len({file.stat().st_mtime_ns for file in files}) == 1


def _move(source: Path, target: Path) -> None:
    """Rename; a file that is at `target` is replaced. Raises OSError."""
    until = time.monotonic() + IN_USE_SECONDS
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE_SECONDS)


def _clear_name(path: Path) -> None:
    """Remove what killed commands left beside `path`; what was to be replaced is put back if the new never came."""
    left = _left_of(path)
    olds = sorted((place for place, what in left if what == "old"), key=lambda old: old.lstat().st_mtime_ns)
    if olds and not os.path.lexists(path):
        _move(olds.pop(), path)
    for place in [*olds, *(place for place, what in left if what == "partial")]:
        remove(place)


def _left_of(path: Path) -> list[tuple[Path, str]]:
    found = [(place, _LEFT.fullmatch(place.name)) for place in _listed(path.parent)]
    return [(place, match["what"]) for place, match in found if match and match["name"] == path.name]


def _listed(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if name.startswith(".")]
    except OSError:
        return []


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{what}")
