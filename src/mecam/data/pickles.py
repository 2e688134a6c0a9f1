"""Foreign pickles, read as data: a small interpreter that can call nothing.

A pickle is a program, and `pickle.load` runs it. The field's feature files are pickles from shared
drives, so this module never hands one to Python's own loader. It walks the opcodes itself, keeps
built-in containers, numbers and strings, and rebuilds NumPy arrays from their declared dtype, shape
and bytes; every other name in the program is refused before anything is done with it. Names of
protocols 0 to 5, of NumPy 1 and 2 and of Python 2 are understood; Python-2 strings come out as bytes.

The file is memory-mapped and arrays are read-only views of it, so reading takes memory for the
containers only, and no opcode can make it allocate more than the file itself could hold.
"""

import codecs
import math
import mmap
import re
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError

__all__ = ["is_sound_text", "looks_like_pickle", "open_pickle", "read_pickle"]

MAX_BYTES = 64 << 30
"""Largest file that is opened; the field's largest has 12 GB."""

MAX_STEPS = 40_000_000
"""Opcodes that a file may hold; MOSEI as a list of word lists needs about 3 million."""

MAX_CONTAINERS = 3_000_000
"""Lists, dicts, tuples and marks that a file may hold; they cost far more memory than file."""

_VIEW_FROM = 256
"""Byte strings from this length on stay views of the file."""

_LONG = 1 << 20
"""Texts from this length on are let go of as soon as they have become bytes."""

_ALLOWED = {
    f"{module}.{name}"
    for modules, names in (
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("_reconstruct", "scalar")),
        (("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
        (("numpy",), ("ndarray", "dtype")),
        (("_codecs",), ("encode",)),
        (("builtins", "__builtin__"), ("bytes", "bytearray", "set", "frozenset")),
    )
    for module in modules
    for name in names
}
_DTYPE = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1|\?|O8?|[SUa]\d{1,6})")
_KEYS = str | bytes | int | float | bool | None


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
    return _Machine(memory, path.name).run(), lambda: _forget(memory)


def _forget(memory: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)


def looks_like_pickle(head: bytes, tail: bytes) -> bool:
    """True if a file that starts with `head` and ends with `tail` may be a pickle.

    Protocols from 2 on announce themselves; older ones start with a container or a global and end
    with a full stop.
    """
    if head[:1] == b"\x80":
        return len(head) > 1 and 2 <= head[1] <= 5
    return head[:1] in (b"(", b"]", b"}", b")", b"c", b"l", b"d") and tail[-1:] == b"."


def is_sound_text(flat: NDArray[Any]) -> bool:
    """False for an array of text with numbers that are no characters.

    NumPy hands those on to Python, which would make a broken string of them.
    """
    if flat.dtype.kind != "U" or not flat.size or not flat.dtype.itemsize:
        return True
    codes = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
    return not bool(((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any())


class _Named:
    """One of the allowed names; inert."""

    def __init__(self, name: str) -> None:
        self.short = name.rpartition(".")[2]


class _Dtype:
    """A NumPy dtype while it is read."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)


class _Shell:
    """An array that has been announced and is filled by BUILD."""

    array: NDArray[Any] | None = None


class _Machine:
    """The pickle machine: a stack, marks and a memo."""

    def __init__(self, memory: mmap.mmap, name: str) -> None:
        self.memory, self.view, self.name = memory, memoryview(memory), name
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0
        self.copied = 0

    def run(self) -> Any:
        try:
            for _ in range(MAX_STEPS):
                code = self.take(1)[0]
                if code == 0x2E:  # STOP
                    return self.settled(self.stack.pop())
                operation = _OPERATIONS.get(code)
                if operation is None:
                    self.fail(f"opcode {code:#04x} is not allowed, or this is no pickle")
                operation(self)
        except (IndexError, KeyError, TypeError, ValueError, struct.error, OverflowError, MemoryError) as error:
            detail = f"{type(error).__name__}: {str(error)[:120]}"
            raise DataError(
                "the pickle is damaged", where=f"{self.name}, byte {self.position} ({detail})", fix="download it again"
            ) from None
        self.fail(f"more than {MAX_STEPS} opcodes")

    def fail(self, what: str) -> NoReturn:
        raise DataError(f"refused a pickle: {what}", where=f"{self.name}, byte {self.position}")

    # -- reading the program ------------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        start, self.position = self.position, self.position + count
        if self.position > len(self.view):
            raise DataError(
                f"the pickle is cut off: {count} bytes are announced, {len(self.view) - start} are left",
                where=f"{self.name}, byte {start}",
                fix="download it again",
            )
        return self.view[start : self.position]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self, longest: int) -> bytes:
        stop = self.memory.find(b"\n", self.position, self.position + longest + 1)
        if stop < 0:
            self.fail("a line is cut off or too long")
        line = bytes(self.view[self.position : stop])
        self.position = stop + 1
        return line

    # -- stack ----------------------------------------------------------------------------------------

    def grow(self) -> None:
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            self.fail(f"more than {MAX_CONTAINERS} containers")

    def spend(self, items: int) -> None:
        """Copies made by calls stay within the file's own size, however often they name the same thing."""
        self.copied += items
        if self.copied > 2 * len(self.view):
            self.fail("it copies the same content again and again")

    def mark(self) -> None:
        self.grow()
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return [self.settled(item) for item in items]

    def pop(self) -> Any:
        return self.settled(self.stack.pop())

    @staticmethod
    def settled(item: Any) -> Any:
        """The array of a shell that has been filled; anything else as it is."""
        return item.array if isinstance(item, _Shell) and item.array is not None else item

    def push_container(self, value: object) -> None:
        self.grow()
        self.stack.append(value)

    def push_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push_container(tuple(reversed(items)))

    def push_dict(self, items: list[Any]) -> None:
        self.push_container({})
        self.fill(items)

    def push_bytes(self, size: int) -> None:
        content = self.take(size)
        self.stack.append(content if size >= _VIEW_FROM else bytes(content))

    def push_text(self, size: int) -> None:
        self.stack.append(str(self.take(size), "utf-8"))

    def push_long(self, size: int) -> None:
        if not 0 <= size <= 16:
            self.fail(f"an integer of {size} bytes")
        self.stack.append(int.from_bytes(self.take(size), "little", signed=True))

    def push_text_number(self, convert: Callable[[bytes], Any]) -> None:
        line = self.line(64)
        self.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else convert(line.rstrip(b"L")))

    def push_quoted(self) -> None:
        line = self.line(len(self.view))
        if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
            self.fail("a string without quotes")
        self.stack.append(codecs.escape_decode(line[1:-1])[0])

    # -- containers -----------------------------------------------------------------------------------

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            self.fail("items are added to something that is no list")
        target.extend(items)

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            self.fail("keys are set on something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            self.fail("members are added to something that is no set")
        target.update(self.key(item) for item in items)

    def key(self, key: Any) -> Any:
        """Plain keys only: hashing a tuple nested a million deep would overflow the C stack."""
        if not isinstance(key, _KEYS):
            self.fail(f"a {type(key).__name__} as a key")
        return key

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    # -- names and calls --------------------------------------------------------------------------------

    def push_name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in _ALLOWED:
            self.fail(f"it asks for {full[:80]!r}; only NumPy arrays and built-in values are read")
        self.stack.append(_Named(full))

    def push_stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self.fail("a name that is no text")
        self.push_name(module, name)

    def call(self) -> None:
        arguments, named = self.pop(), self.pop()
        if not isinstance(named, _Named) or not isinstance(arguments, tuple):
            self.fail("it calls something that is no allowed name")
        self.grow()
        self.stack.append(_CALLS[named.short](self, *arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.dtype = self.with_order(target.dtype, state)
        elif isinstance(target, _Shell) and target.array is None and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, content = state
            target.array = self.array(content, dtype, shape, "F" if fortran else "C")
            self.stack[-1] = target.array
        else:
            self.fail("it sets the state of something that is no array")

    def with_order(self, dtype: np.dtype[Any], state: Any) -> np.dtype[Any]:
        if not isinstance(state, tuple) or len(state) < 8 or any(part is not None for part in state[2:5]):
            self.fail("a structured dtype")
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|"):
            self.fail("a dtype without byte order")
        ordered: np.dtype[Any] = dtype if order == "|" else dtype.newbyteorder("<" if order == "<" else ">")
        return ordered

    def array(self, content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            self.fail("an array without dtype or order")
        if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
            self.fail("an array without shape")
        count, kind = math.prod(shape), dtype.dtype
        held = len(content) if isinstance(content, list | bytes | bytearray | memoryview) else -1
        if held != (count if kind.hasobject else count * kind.itemsize) or isinstance(content, list) != kind.hasobject:
            self.fail(f"an array of shape {shape} that holds {held} bytes or items")
        if kind.hasobject:
            self.spend(count)
            return np.fromiter(content, object, count).reshape(shape, order=order)
        # an empty buffer, or strings of no length, have nothing to view
        flat = np.frombuffer(content, kind) if held else np.empty(count, kind)
        if not is_sound_text(flat):
            self.fail("an array of text with characters that do not exist")
        return flat.reshape(shape, order=order)

    def dtype(self, name: Any, *_: Any) -> _Dtype:
        name = name.decode("latin-1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            self.fail(f"an array of dtype {str(name)[:40]!r}")
        return _Dtype(name)

    def scalar(self, dtype: Any, content: Any = b"") -> Any:
        if isinstance(dtype, _Dtype) and dtype.dtype.hasobject:
            self.fail("a scalar of dtype object")
        return self.array(content, dtype, (1,), "C")[0]

    def encoded(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            self.fail("an encoding that is not latin-1")
        self.spend(len(text))
        content = text.encode("latin-1")
        if len(text) > _LONG:
            # Python 3 writes the bytes of an array as text in old protocols, and never names that text
            # again: let go of it, and of the part of the file it came from
            for index in list(islice(reversed(self.memo), 3)):
                if self.memo[index] is text or (isinstance(self.memo[index], tuple) and text in self.memo[index]):
                    del self.memo[index]
            _forget(self.memory)
        return content

    def plain(self, kind: Any, content: Any = ()) -> Any:
        """A set, or bytes, of the items of a list; never of a number, which would be a size."""
        if not isinstance(content, list | tuple | bytes | memoryview):
            self.fail(f"{kind.__name__} of a {type(content).__name__}")
        self.spend(len(content))
        return kind(content) if issubclass(kind, bytes | bytearray) else kind(self.key(item) for item in content)


_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda machine, *_: _Shell(),
    "scalar": _Machine.scalar,
    "_frombuffer": _Machine.array,
    "dtype": _Machine.dtype,
    "encode": _Machine.encoded,
    "bytes": lambda machine, content=b"": machine.plain(bytes, content),
    "bytearray": lambda machine, content=b"": machine.plain(bytearray, content),
    "set": lambda machine, content=(): machine.plain(set, content),
    "frozenset": lambda machine, content=(): machine.plain(frozenset, content),
    "ndarray": lambda machine, *_: machine.fail("it calls ndarray"),
}

_OPERATIONS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): operation
    for code, operation in {
        "\x80": lambda m: m.take(1),  # PROTO
        "\x95": lambda m: m.take(8),  # FRAME
        "N": lambda m: m.stack.append(None),
        "\x88": lambda m: m.stack.append(True),
        "\x89": lambda m: m.stack.append(False),
        # numbers
        "K": lambda m: m.stack.append(m.number("<B")),
        "M": lambda m: m.stack.append(m.number("<H")),
        "J": lambda m: m.stack.append(m.number("<i")),
        "G": lambda m: m.stack.append(m.number(">d")),
        "\x8a": lambda m: m.push_long(m.number("<B")),
        "\x8b": lambda m: m.push_long(m.number("<i")),
        "I": lambda m: m.push_text_number(int),
        "L": lambda m: m.push_text_number(int),
        "F": lambda m: m.push_text_number(float),
        # bytes and Python-2 strings
        "C": lambda m: m.push_bytes(m.number("<B")),
        "B": lambda m: m.push_bytes(m.number("<I")),
        "\x8e": lambda m: m.push_bytes(m.number("<Q")),
        "\x96": lambda m: m.push_bytes(m.number("<Q")),
        "U": lambda m: m.push_bytes(m.number("<B")),
        "T": lambda m: m.push_bytes(m.number("<I")),
        "S": _Machine.push_quoted,
        # text
        "\x8c": lambda m: m.push_text(m.number("<B")),
        "X": lambda m: m.push_text(m.number("<I")),
        "\x8d": lambda m: m.push_text(m.number("<Q")),
        "V": lambda m: m.stack.append(m.line(len(m.view)).decode("raw-unicode-escape")),
        # containers
        "(": _Machine.mark,
        "]": lambda m: m.push_container([]),
        "}": lambda m: m.push_container({}),
        ")": lambda m: m.push_container(()),
        "\x8f": lambda m: m.push_container(set()),
        "l": lambda m: m.push_container(m.since_mark()),
        "t": lambda m: m.push_container(tuple(m.since_mark())),
        "\x91": lambda m: m.push_container(frozenset(m.key(item) for item in m.since_mark())),
        "d": lambda m: m.push_dict(m.since_mark()),
        "\x85": lambda m: m.push_tuple(1),
        "\x86": lambda m: m.push_tuple(2),
        "\x87": lambda m: m.push_tuple(3),
        "a": lambda m: m.extend([m.pop()]),
        "e": lambda m: m.extend(m.since_mark()),
        "s": lambda m: (lambda value, key: m.fill([key, value]))(m.pop(), m.pop()),
        "u": lambda m: m.fill(m.since_mark()),
        "\x90": lambda m: m.add(m.since_mark()),
        # stack and memo
        "0": lambda m: m.stack.pop(),
        "1": lambda m: m.since_mark(),
        "2": lambda m: m.stack.append(m.stack[-1]),
        "p": lambda m: m.remember(int(m.line(20))),
        "q": lambda m: m.remember(m.number("<B")),
        "r": lambda m: m.remember(m.number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "g": lambda m: m.stack.append(m.settled(m.memo[int(m.line(20))])),
        "h": lambda m: m.stack.append(m.settled(m.memo[m.number("<B")])),
        "j": lambda m: m.stack.append(m.settled(m.memo[m.number("<I")])),
        # names, calls, state
        "c": lambda m: m.push_name(m.line(200).decode(), m.line(200).decode()),
        "\x93": _Machine.push_stack_name,
        "R": _Machine.call,
        "b": _Machine.build,
    }.items()
}
