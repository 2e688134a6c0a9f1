"""Foreign pickles, read as data: a small interpreter that can call nothing.

A pickle is a program, and `pickle.load` runs it. The field's feature files are pickles from shared
drives, so this module never hands one to Python's own loader. `pickle_machine` walks the opcodes itself, keeps
built-in containers, numbers and strings, and rebuilds NumPy arrays from their declared dtype, shape
and bytes; every other name in the program is refused before anything is done with it. Names of
protocols 0 to 5, of NumPy 1 and 2 and of Python 2 are understood; Python-2 strings come out as bytes.

The file is memory-mapped and arrays are read-only views of it, so reading takes memory for the
containers only, and no opcode can make it allocate more than the file itself could hold.
"""

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mecam.budget import Budget
from mecam.data.importing.archives import Archive
from mecam.data.importing.pickle_machine import TORCH_MAGIC, forget_pages, read_old_torch, read_program
from mecam.errors import DataError

__all__ = ["looks_like_pickle", "open_pickle", "open_torch", "read_pickle"]

MAX_BYTES = 64 << 30
"""Largest file that is opened; the field's largest has 12 GB."""


def read_pickle(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle that may come from anyone.

    Args:
        path: the file.
        max_bytes: refuse larger files.

    Returns:
        Built-in containers, numbers, strings, bytes and NumPy arrays. Arrays are read-only views of
        the file; byte strings of 256 bytes or more are memoryviews of it.

    Raises: DataError if the file cannot be read, is cut off or no pickle, asks for anything but NumPy
        arrays and built-in values, or exceeds a limit.
    """
    return open_pickle(Path(path), max_bytes=max_bytes)[0]


def open_pickle(path: Path, *, max_bytes: int = MAX_BYTES) -> tuple[Any, Callable[[], None]]:
    """As `read_pickle`, with a function that gives the pages read so far back to the system.

    Arrays stay valid: what is looked at again is read from the file again.

    Raises: DataError, as `read_pickle`.
    """
    budget = Budget.for_file(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(
                f"the pickle has {size} bytes, more than the limit of {max_bytes}",
                where=path.name,
                fix="raise the limit if you trust the file",
            )
        if size == 0:
            raise DataError("the file is empty", where=path.name, fix="download it again")
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=path.name) from error
    content = read_program(memory, budget)
    if isinstance(content, int) and content == TORCH_MAGIC:
        content = read_old_torch(memory, budget)
    return content, lambda: forget_pages(memory)


def open_torch(path: Path) -> Any:
    """Read a file that `torch.save` has written as a zip file; None when the zip file is another one.

    Raises: DataError, as `read_pickle`.
    """
    budget = Budget.for_file(path)
    archive = Archive(path, budget)
    name = next((name for name in archive.names if name.rpartition("/")[2] == "data.pkl"), None)
    if name is None:
        return None
    folder = name.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names and bytes(archive.read(f"{folder}byteorder")) != b"little":
        raise DataError("tensors in big-endian order", where=path.name, fix="save them as NumPy arrays")
    program = bytes(archive.read(name))
    return read_program(program, budget, storage_of=lambda key, itemsize: archive.read(f"{folder}data/{key}"))


def looks_like_pickle(head: bytes, tail: bytes) -> bool:
    """True if a file that starts with `head` and ends with `tail` may be a pickle.

    Protocols from 2 on announce themselves; older ones start with a container or a global and end
    with a full stop.
    """
    if head[:1] == b"\x80":
        return len(head) > 1 and 2 <= head[1] <= 5
    return head[:1] in (b"(", b"]", b"}", b")", b"c", b"l", b"d") and tail[-1:] == b"."
