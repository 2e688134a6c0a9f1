"""The pickle machine: it walks the opcodes of a pickle, and calls nothing.

Lists, dictionaries, numbers and text are made here, within a budget; what names stand for is in `pickle_values`.
"""

import codecs
import math
import mmap
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from mecam.budget import Budget
from mecam.data.importing.pickle_values import ALLOWED, Builder, Dtype, JoblibArray, Named, Shell, way_out
from mecam.errors import DataError

__all__ = ["TORCH_MAGIC", "forget_pages", "read_old_torch", "read_program"]

MAX_STEPS = 10_000_000
"""Opcodes that a file may hold; MOSEI as a list of word lists needs about 3 million."""

MAX_CONTAINERS = 3_000_000
"""Lists, dicts, tuples and marks that a file may hold; they cost far more memory than file."""

MAX_NUMBER_KEYS = 20_000
"""Keys of dicts and members of sets that are numbers. Python hashes those as they are, so whoever writes a file can
make all of them collide, and the time grows with the square."""

_VIEW_FROM = 256
"""Byte strings from this length on stay views of the file."""

_LONG = 1 << 20
"""Texts from this length on are let go of as soon as they have become bytes."""

_COST = 100
"""Bytes of memory that a list, a tuple, a mark or a call takes, about."""
_COST_OF_SET = 220
"""The same for a set, and for a dict with a key."""
_LOOK_EVERY = 1 << 16
_FAR = 1024
_NOTHING = object()
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that files of `torch.save` began with before they were zip files."""

_KEYS = str | bytes | int | float | bool | None


def read_program(
    memory: mmap.mmap | bytes, budget: Budget, *, storage_of: Callable[[str, int], Any] | None = None
) -> Any:
    """The content of a pickle; `storage_of` gives the bytes of a tensor by its key and the bytes of a value.

    Raises: DataError if it is damaged, or asks for what is refused.
    """
    machine = Machine(memory, budget)
    machine.storage_of = storage_of
    return machine.run()


def forget_pages(memory: mmap.mmap | bytes) -> None:
    """Give the pages of a file that were read so far back to the system."""
    if sys.platform != "win32" and isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)


def read_old_torch(memory: mmap.mmap | bytes, budget: Budget) -> Any:
    """What `torch.save` wrote before it wrote zip files, and what tensors still are within a plain pickle.

    Five pickles: a number, the version, facts about the system, the content, the names of the storages; then the
    storages, each after its length. The content is read twice, as it comes before the bytes that it needs.

    Raises: DataError if it is damaged.
    """
    machine = Machine(memory, budget, inner=True)
    magic, _, _ = machine.run(), machine.run(), machine.run()
    if magic != TORCH_MAGIC:
        machine.fail("bytes that are no storage of PyTorch")
    sizes: dict[str, int] = {}
    place = machine.position
    machine.storage_of = lambda key, itemsize: sizes.update({key: itemsize})  # only looks where they are
    machine.run()
    keys = machine.run()
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in sizes for key in keys):
        machine.fail("a storage that nothing names")
    contents = {key: machine.take(machine.number("<q") * sizes[key]) for key in keys}
    second = Machine(memory, budget, start=place, inner=True)
    second.storage_of = lambda key, itemsize: contents[key]
    return second.run()


class Machine:
    """The pickle machine: a stack, marks and a memo.

    Args:
        memory: the file, or a part of it.
        budget: what the file may still cost; its name in errors.
        start: where the pickle begins.
        inner: the pickle lies within another one, and none may lie in it.

    Attributes:
        position: where it goes on reading.
        storage_of: gives the bytes of a tensor's storage, by its key and the bytes of a value; None: there are none.
    """

    def __init__(self, memory: mmap.mmap | bytes, budget: Budget, *, start: int = 0, inner: bool = False) -> None:
        self.memory, self.view, self.budget = memory, memoryview(memory), budget
        self.builder = Builder(budget, self.fail)
        self.storage_of: Callable[[str, int], Any] | None = None
        self.position, self.inner = start, inner
        self.steps = self.containers = self.copied = self.number_keys = 0
        self.restart()

    def restart(self) -> None:
        """Forget the stack and the memo, for the next pickle of a file."""
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: list[Any] = []

    def run(self) -> Any:
        """Read one pickle, from `position` to its end."""
        self.restart()
        try:
            while self.steps < MAX_STEPS:
                self.steps += 1
                if self.steps % _LOOK_EVERY == 0:
                    self.budget.check_time("reading the pickle")
                code = self.take(1)[0]
                if code == 0x2E:  # STOP
                    return self.settled(self.stack.pop())
                operation = _OPERATIONS.get(code)
                if operation is None:
                    self.fail(f"opcode {code:#04x} is not allowed, or this is no pickle")
                operation(self)
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
            struct.error,
            ArithmeticError,
            RecursionError,
            MemoryError,
        ) as error:
            detail = f"{type(error).__name__}: {str(error)[:120]}"
            raise DataError(
                "the pickle is damaged",
                where=f"{self.budget.where}, byte {self.position} ({detail})",
                fix="download it again",
            ) from None
        self.fail(f"more than {MAX_STEPS} opcodes")

    def fail(self, what: str, *, fix: str = "") -> NoReturn:
        """Refuse the file."""
        where = f"{self.budget.where}, byte {self.position}"
        raise DataError(f"refused a pickle: {what}", where=where, fix=fix or way_out(""))

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        if count < 0:
            self.fail("a negative length")
        start, self.position = self.position, self.position + count
        if self.position > len(self.view):
            raise DataError(
                f"the pickle is cut off: {count} bytes are announced, {len(self.view) - start} are left",
                where=f"{self.budget.where}, byte {start}",
                fix="download it again",
            )
        return self.view[start : self.position]

    def number(self, form: str) -> Any:
        """The next number, as `struct` writes its form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self, longest: int) -> bytes:
        stop = self.memory.find(b"\n", self.position, self.position + longest + 1)
        if stop < 0:
            self.fail("a line is cut off or too long")
        line = bytes(self.view[self.position : stop])
        self.position = stop + 1
        return line

    def grow(self, cost: int = _COST) -> None:
        self.containers += 1
        self.budget.take("the pickle's lists and dictionaries", bytes=cost)
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
        return item.array if isinstance(item, Shell) and item.array is not None else item

    def push_container(self, value: object) -> None:
        self.grow(_COST_OF_SET if isinstance(value, set | frozenset) else _COST)
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

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            self.fail("items are added to something that is no list")
        target.extend(items)

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            self.fail("keys are set on something that is no dict")
        if items and not target:
            self.budget.take("the pickle's dictionaries", bytes=_COST_OF_SET)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            self.fail("members are added to something that is no set")
        target.update(self.key(item) for item in items)

    def key(self, key: Any) -> Any:
        """Plain keys only: hashing a tuple nested a million deep would overflow the C stack."""
        key = key.item() if isinstance(key, np.generic) else key
        if not isinstance(key, _KEYS):
            self.fail(f"a {type(key).__name__} as a key")
        if isinstance(key, int | float):
            self.number_keys += 1
            if self.number_keys > MAX_NUMBER_KEYS:
                self.fail(f"more than {MAX_NUMBER_KEYS} numbers as keys", fix="use text as keys, or an array")
        return key

    def remember(self, index: int) -> None:
        """Picklers count what they remember, so a place far beyond what has been read is no honest one."""
        if not 0 <= index <= 2 * self.position + _FAR:
            self.fail(f"a memo of {index} entries")
        self.memo.extend([_NOTHING] * (index + 1 - len(self.memo)))
        self.memo[index] = self.stack[-1]

    def remembered(self, index: int) -> Any:
        if index < 0 or self.memo[index] is _NOTHING:
            self.fail("a memo of nothing")
        return self.settled(self.memo[index])

    def push_name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in ALLOWED:
            what = f"it asks for {full[:80]!r}; only NumPy arrays, tensors and built-in values are read"
            self.fail(what, fix=way_out(full))
        self.grow()
        self.stack.append(Named(full))

    def push_stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self.fail("a name that is no text")
        self.push_name(module, name)

    def push_storage(self) -> None:
        """A reference to bytes that lie elsewhere in the file; only PyTorch writes these."""
        reference = self.pop()
        if self.storage_of is None or not isinstance(reference, tuple) or len(reference) < 5:
            self.fail("a reference to something outside of the pickle")
        what, kind, key = reference[:3]
        if what not in ("storage", b"storage") or not isinstance(key, str):
            self.fail("a reference to something that is no storage of a tensor")
        self.grow()
        storage = self.builder.storage(kind, None)
        storage.content = self.storage_of(key, storage.itemsize)
        self.stack.append(storage)

    def call(self) -> None:
        arguments, named = self.pop(), self.pop()
        if not isinstance(named, Named) or not isinstance(arguments, tuple):
            self.fail("it calls something that is no allowed name")
        if named.short not in _CALLS:
            self.fail(f"it calls {named.full}")
        self.grow(2 * _COST)
        self.stack.append(_CALLS[named.short](self, *arguments))

    def new(self) -> None:
        """An object without content: only joblib's stand-in for an array is known."""
        arguments, named = self.pop(), self.pop()
        if not isinstance(named, Named) or named.short != "NumpyArrayWrapper" or arguments != ():
            self.fail("an object of a class")
        self.push_container(JoblibArray())

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Dtype):
            target.dtype = self.builder.with_order(target.dtype, state)
        elif isinstance(target, JoblibArray) and target.array is None and isinstance(state, dict):
            target.array = self.stack[-1] = self.joblib_array(state)
        elif type(target) is Shell and target.array is None and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, content = state
            target.array = self.builder.array(content, dtype, shape, "F" if fortran else "C")
            self.stack[-1] = target.array
        else:
            self.fail("it sets the state of something that is no array")

    def joblib_array(self, state: dict[Any, Any]) -> Any:
        """The array whose bytes follow right here, as joblib writes them."""
        dtype, shape, order = state.get("dtype"), self.builder.shape(state.get("shape")), state.get("order")
        kind, subclass = state.get("dtype"), state.get("subclass")
        if not isinstance(kind, Dtype) or not isinstance(subclass, Named) or subclass.short != "ndarray":
            self.fail("a joblib array without dtype", fix=way_out("joblib."))
        if kind.dtype.hasobject:
            return self.nested()
        if state.get("numpy_array_alignment_bytes") is not None:
            self.take(self.number("<B"))
        size = kind.dtype.itemsize * math.prod(shape)
        return self.builder.array(self.take(size), dtype, shape, order)

    def nested(self) -> Any:
        """A pickle within the pickle, which joblib writes for arrays of objects."""
        if self.inner:
            self.fail("pickles within pickles within pickles")
        kept = self.stack, self.marks, self.memo
        self.inner = True
        content = self.run()
        self.inner = False
        self.stack, self.marks, self.memo = kept
        return content

    def from_torch(self, content: Any) -> Any:
        """A storage of PyTorch within a plain pickle."""
        if not isinstance(content, bytes | bytearray | memoryview) or self.inner:
            self.fail("a storage without bytes")
        self.budget.take("a tensor", bytes=len(content), elements=len(content))
        return read_old_torch(bytes(content), self.budget)

    def mapping(self, content: Any = ()) -> dict[Any, Any]:
        """A dict of pairs."""
        if isinstance(content, dict):
            content = list(content.items())
        if not isinstance(content, list | tuple) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in content
        ):
            self.fail("a dictionary of no pairs")
        self.spend(2 * len(content))
        return {self.key(key): value for key, value in content}

    def encoded(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            self.fail("an encoding that is not latin-1")
        self.spend(len(text))
        content = text.encode("latin-1")
        if len(text) > _LONG:
            # Python 3 writes the bytes of an array as text in old protocols, and never names that text
            # again: let go of it, and of the part of the file it came from
            for index in range(max(0, len(self.memo) - 3), len(self.memo)):
                known = self.memo[index]
                if known is text or (isinstance(known, tuple) and any(part is text for part in known)):
                    self.memo[index] = _NOTHING
            forget_pages(self.memory)
        return content

    def plain(self, kind: Any, content: Any = ()) -> Any:
        """A set, or bytes, of the items of a list; never of a number, which would be a size."""
        if not isinstance(content, list | tuple | bytes | memoryview):
            self.fail(f"{kind.__name__} of a {type(content).__name__}")
        self.spend(len(content))
        return kind(content) if issubclass(kind, bytes | bytearray) else kind(self.key(item) for item in content)


_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda machine, *_: Shell(),
    "scalar": lambda machine, *parts: machine.builder.scalar(*parts),
    "_frombuffer": lambda machine, *parts: machine.builder.array(*parts),
    "dtype": lambda machine, *parts: machine.builder.dtype(*parts),
    "encode": Machine.encoded,
    "bytes": lambda machine, content=b"": machine.plain(bytes, content),
    "bytearray": lambda machine, content=b"": machine.plain(bytearray, content),
    "set": lambda machine, content=(): machine.plain(set, content),
    "frozenset": lambda machine, content=(): machine.plain(frozenset, content),
    "OrderedDict": lambda machine, content=(): machine.mapping(content),
    "defaultdict": lambda machine, factory=None, content=(): machine.mapping(content),
    "_rebuild_tensor": lambda machine, *parts: machine.builder.tensor(*parts),
    "_rebuild_tensor_v2": lambda machine, *parts: machine.builder.tensor(*parts),
    "_rebuild_tensor_v3": lambda machine, *parts: machine.builder.tensor(*parts),
    "_rebuild_parameter": lambda machine, tensor, *_: tensor,
    "_load_from_bytes": Machine.from_torch,
    "Size": lambda machine, sizes=(): machine.builder.shape(tuple(sizes)),
}

_OPERATIONS: dict[int, Callable[[Machine], Any]] = {
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
        "S": Machine.push_quoted,
        # text
        "\x8c": lambda m: m.push_text(m.number("<B")),
        "X": lambda m: m.push_text(m.number("<I")),
        "\x8d": lambda m: m.push_text(m.number("<Q")),
        "V": lambda m: m.stack.append(m.line(len(m.view)).decode("raw-unicode-escape")),
        # containers
        "(": Machine.mark,
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
        "g": lambda m: m.stack.append(m.remembered(int(m.line(20)))),
        "h": lambda m: m.stack.append(m.remembered(m.number("<B"))),
        "j": lambda m: m.stack.append(m.remembered(m.number("<I"))),
        # names, calls, state
        "c": lambda m: m.push_name(m.line(200).decode(), m.line(200).decode()),
        "\x93": Machine.push_stack_name,
        "Q": Machine.push_storage,
        "R": Machine.call,
        "\x81": Machine.new,
        "b": Machine.build,
    }.items()
}
