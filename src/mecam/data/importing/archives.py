"""Zip files from strangers, as NPZ and PyTorch write them: members as bytes, within a budget.

A member that is not compressed is a view of the file and takes no memory. A compressed one is charged before it is
unpacked, by the size that the archive announces; `zipfile` never unpacks more than that.
"""

import mmap
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mecam.budget import Budget
from mecam.errors import DataError

__all__ = ["Archive"]

_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1


class Archive:
    """An opened zip file.

    Args:
        path: the file.
        budget: what it may cost.

    Attributes:
        names: of the members.

    Raises: DataError if it is damaged.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path, self._budget = path, budget
        with _clear_errors(path), path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with zipfile.ZipFile(file) as archive:
                self._members = {info.filename: info for info in archive.infolist()}
        self.names = list(self._members)

    def read(self, name: str) -> memoryview:
        """The bytes of a member.

        Raises: DataError if there is no such member, it is damaged, or it unpacks to more than the budget has.
        """
        if name not in self._members:
            raise DataError(f"the archive has no {name!r:.80}", where=self._path.name, fix="download it again")
        info = self._members[name]
        if info.flag_bits & _ENCRYPTED:
            raise DataError("the archive is encrypted", where=self._path.name, fix="unpack it and pack it anew")
        with _clear_errors(self._path):
            if info.compress_type == zipfile.ZIP_STORED:
                return self._view(info)
            self._budget.take(f"{name!r:.80} unpacked", bytes=info.file_size)
            with zipfile.ZipFile(self._path) as archive:
                return memoryview(archive.read(info))

    def _view(self, info: zipfile.ZipInfo) -> memoryview:
        head = self._memory[info.header_offset : info.header_offset + _LOCAL.size]
        mark, *_, name_size, extra_size = _LOCAL.unpack(head)
        start = info.header_offset + _LOCAL.size + name_size + extra_size
        if mark != b"PK\x03\x04" or info.compress_size != info.file_size or start + info.file_size > len(self._memory):
            raise zipfile.BadZipFile("a member lies outside of the file")
        return memoryview(self._memory)[start : start + info.file_size]


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zlib.error, lzma.LZMAError, struct.error: whatever a broken archive provokes
        detail = f"{type(error).__name__} {error}"[:120]
        raise DataError(f"the archive is damaged: {detail}", where=path.name, fix="download it again") from None
