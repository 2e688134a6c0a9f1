"""Files and folders that appear whole or not at all, and a clear error where the system refuses."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mecam.errors import DataError

__all__ = ["replace_folder", "whole_file", "whole_folder", "write_whole", "writing"]


@contextmanager
def writing(where: Path, *, fix: str | None = None) -> Iterator[None]:
    """Turn a refusal of the file system into an error that says where.

    Raises: DataError.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write here: {error.strerror or error}", where=str(where), fix=fix) from error


@contextmanager
def whole_file(path: Path, *, fix: str | None = None) -> Iterator[Path]:
    """A name to write under; what is there when the block ends becomes `path`, and nothing is left when it fails.

    Raises: DataError if it cannot be written.
    """
    partial = _beside(path, "partial")
    try:
        with writing(path, fix=fix):
            yield partial
            os.replace(partial, path)
    finally:
        with suppress(OSError):  # the refusal itself may be that there is no such place
            partial.unlink()


def write_whole(path: Path, text: str) -> Path:
    """Write a text in UTF-8, its line ends as they are; return its path.

    Raises: DataError if it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that becomes `path` when the block ends, in place of what lies there.

    Raises: DataError if it cannot be written.
    """
    partial = _beside(path, "partial")
    try:
        with writing(path):
            partial.mkdir(parents=True)
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
                target.rename(old)
            new.rename(target)
        except OSError:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, what: str) -> Path:
    """A hidden name that nobody else takes."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{what}")
