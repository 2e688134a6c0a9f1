"""What reading one file from a stranger may cost, and which files are opened at all.

A small file can announce anything: arrays of 10⁹ rows, a compressed run of zeros, a sound of thirty days. Every reader
of files from outside asks a `Budget` before it allocates, unpacks or goes on, so that the worst that such a file can do
is to be refused. It is no sandbox: it bounds what our own code does.
"""

import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from mecam.errors import DataError

__all__ = ["Budget", "check_regular_file"]

BYTES_PER_BYTE = 20
"""How many bytes of memory a byte of file may become. Padded features compress about tenfold, bombs a thousandfold."""

MIN_BYTES = 256 << 20
"""Bytes of memory that any file may become."""

MIN_ELEMENTS = 2_000_000
"""Elements that any file may announce; a larger file may announce one per byte."""

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
        return cls(path.name, max(MIN_BYTES, BYTES_PER_BYTE * size), max(MIN_ELEMENTS, size), seconds, fix)

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
            raise DataError(
                f"refused: {what} would take {asked}, more than a file of this size can hold",
                where=self.where,
                fix=self.fix or "check where the file comes from; if you trust it, write it again without compression",
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
