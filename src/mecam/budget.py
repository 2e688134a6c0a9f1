"""What reading one file from a stranger may cost, and which files are opened at all.

A small file can announce anything: arrays of 10⁹ rows, a compressed run of zeros, a sound of thirty days. Every reader
of files from outside asks a `Budget` before it allocates, unpacks or goes on, so that the worst that such a file can do
is to be refused. It is no sandbox: it bounds what our own code does.
"""

import json
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecam.errors import DataError

__all__ = ["Budget", "check_regular_file", "small_json", "small_text"]

BYTES_PER_BYTE = 20
"""How many bytes of memory a byte of file may become. Padded features compress about tenfold, bombs a thousandfold."""

MIN_BYTES = 256 << 20
"""Bytes of memory that any file may become."""

MAX_BYTES = 1 << 30
"""Bytes of memory that a file may become, however large it is. What is only looked at in the file takes none."""

MIN_ELEMENTS = 2_000_000
"""Elements that any file may announce; a larger file may announce one per byte."""

MAX_TEXT_FILE_BYTES = 16 << 20
"""Bytes of a file that describes something: a manifest, a configuration, the facts and the metrics of a run."""

SECONDS = 600.0
"""Time that reading one file may take, where the reader asks for it."""


@dataclass
class Budget:
    """What is left for reading one file. Readers draw from it before they spend.

    Attributes:
        where: the file, as errors name it.
        bytes: memory that may still be allocated.
        elements: array elements, list members or dictionary entries that may still be made. Those of no size count too.
        seconds: time that reading may take in all, from the making of this object.
        fix: what an error tells the user to do.
    """

    where: str
    bytes: int
    elements: int
    seconds: float = SECONDS
    fix: str | None = None
    _begin: float = field(default_factory=time.monotonic, repr=False)

    @classmethod
    def for_file(cls, path: Path, *, seconds: float = SECONDS, fix: str | None = None) -> "Budget":
        """A budget by the size of a file.

        Raises: DataError if the file is missing, or is no regular file.
        """
        size = check_regular_file(path)
        most = min(max(MIN_BYTES, BYTES_PER_BYTE * size), MAX_BYTES)
        return cls(path.name, most, max(MIN_ELEMENTS, size), seconds, fix)

    def take(self, what: str, *, bytes: int = 0, elements: int = 0) -> None:
        """Draw from the budget, before the memory is allocated.

        Args:
            what: what it is for, as the subject of a sentence: `"the array 'audio'"`.
            bytes: of memory.
            elements: of arrays, lists, dictionaries; for an array without size, its longest axis.

        Raises: DataError if the file asks for more than is left.
        """
        self.bytes -= bytes
        self.elements -= elements
        if self.bytes < 0 or self.elements < 0:
            asked = f"{bytes:,} bytes" if self.bytes < 0 else f"{elements:,} elements"
            trusted = self.fix or "if you trust the file, save it again without compression"
            raise DataError(
                f"refused: {what} would take {asked}, more than a file of this size can hold",
                where=self.where,
                fix=f"check where the file comes from{f'; {trusted}' if self.bytes < 0 else ''}",
            )

    def check_time(self, what: str) -> None:
        """Call now and then in long loops.

        Raises: DataError if the time is over.
        """
        if time.monotonic() - self._begin > self.seconds:
            raise DataError(f"refused: {what} takes longer than {self.seconds:.0f} s", where=self.where, fix=self.fix)


def check_regular_file(path: Path) -> int:
    """Refuse what is no file: reading a pipe or a device may never end.

    Returns: the file's size in bytes.
    Raises: DataError if it is missing, a folder, a pipe, a socket or a device.
    """
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot read: {error}"
        raise DataError(reason, where=str(path)) from error
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, a socket or a device"
        raise DataError(f"this is {kind}, not a file", where=str(path), fix="give a regular file")
    return facts.st_size


def small_text(path: Path, *, most: int = MAX_TEXT_FILE_BYTES) -> str:
    """The text of a file that mecam writes small, in UTF-8; its line ends stay as they are.

    Raises: DataError if it is missing, no regular file, cannot be read, is no UTF-8, or has more bytes than `most`.
    """
    if (size := check_regular_file(path)) > most:
        raise DataError(f"{path.name} has {size:,} bytes: this was not written by mecam", where=str(path))
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(path)) from error


def small_json(path: Path, *, most: int = MAX_TEXT_FILE_BYTES) -> Any:
    """The value in a JSON file that mecam writes small.

    Raises: DataError, as `small_text`, or if it is no JSON.
    """
    try:
        return json.loads(small_text(path, most=most))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is not valid JSON: {error}", where=str(path)) from error
