"""What the names in a pickle stand for: arrays, dtypes and tensors, rebuilt from their bytes without calling anything.

A name is an inert object here. The few that are known say how the bytes beside them are to be read; every other one is
refused, with the way out that its library offers.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mecam.budget import Budget

__all__ = ["ALLOWED", "Builder", "Dtype", "JoblibArray", "Named", "Shell", "Storage", "is_sound_text", "way_out"]

_FORMS = {
    **dict.fromkeys(("DoubleStorage", "float64", "double"), "<f8"),
    **dict.fromkeys(("FloatStorage", "float32", "float"), "<f4"),
    **dict.fromkeys(("HalfStorage", "float16", "half"), "<f2"),
    **dict.fromkeys(("BFloat16Storage", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("LongStorage", "int64", "long"), "<i8"),
    **dict.fromkeys(("IntStorage", "int32", "int"), "<i4"),
    **dict.fromkeys(("ShortStorage", "int16", "short"), "<i2"),
    **dict.fromkeys(("CharStorage", "int8"), "<i1"),
    **dict.fromkeys(("ByteStorage", "uint8", "UntypedStorage"), "<u1"),
    **dict.fromkeys(("BoolStorage", "bool"), "?"),
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
}
"""PyTorch's storages and dtypes."""

_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")

ALLOWED = {
    f"{module}.{name}"
    for modules, names in (
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("_reconstruct", "scalar")),
        (("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
        (("numpy",), ("ndarray", "dtype")),
        (("_codecs",), ("encode",)),
        (("builtins", "__builtin__"), ("bytes", "bytearray", "set", "frozenset")),
        # what a defaultdict makes: named, never called
        (("builtins", "__builtin__"), ("dict", "list", "tuple", "str", "int", "long", "float", "bool")),
        (("collections",), ("OrderedDict", "defaultdict")),
        (("torch._utils",), _TENSORS),
        (("torch.storage",), ("_load_from_bytes", "UntypedStorage", "TypedStorage")),
        (("torch",), ("Size", "UntypedStorage", *_FORMS)),
        (("joblib.numpy_pickle",), ("NumpyArrayWrapper",)),
    )
    for module in modules
    for name in names
}

_WAYS_OUT = {
    "pandas.": "a pandas object: write it with to_csv(), or its columns with numpy.savez()",
    "torch.": "a PyTorch object: save its tensors as NumPy arrays, tensor.numpy(), or with numpy.savez()",
    "datetime.": "dates or times: save them as numbers or text",
    "scipy.sparse": "a sparse matrix: save matrix.toarray()",
    "numpy.ma": "a masked array: save array.filled(numpy.nan)",
    "tensorflow": "a TensorFlow object: save tensor.numpy()",
    "jax": "a JAX array: save numpy.asarray(array)",
    "joblib.": "a joblib dump: save the arrays with numpy.savez()",
    "pathlib.": "a path: save str(path)",
    "decimal.": "decimal numbers: save float(number)",
    "PIL.": "an image: save numpy.asarray(image)",
}

_DTYPE = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1|\?|O8?|[SUa]\d{1,6})")
_MAX_AXES = 8


def way_out(name: str) -> str:
    """What to do with a file that asks for this name."""
    known = next((text for prefix, text in _WAYS_OUT.items() if name.startswith(prefix)), "")
    if known:
        return f"it holds {known}"
    return "save it again with plain lists, dictionaries, text, numbers and NumPy arrays, or with numpy.savez()"


def is_sound_text(flat: NDArray[Any]) -> bool:
    """False for an array of text with numbers that are no characters.

    NumPy hands those on to Python, which would make a broken string of them.
    """
    if flat.dtype.kind != "U" or not flat.size or not flat.dtype.itemsize:
        return True
    codes = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
    return not bool(((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any())


class Named:
    """One of the allowed names; inert."""

    def __init__(self, name: str) -> None:
        self.full, self.short = name, name.rpartition(".")[2]


class Dtype:
    """A NumPy dtype while it is read."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)


class Shell:
    """An array that has been announced and is filled by BUILD."""

    array: NDArray[Any] | None = None


class JoblibArray(Shell):
    """An array of joblib: its bytes follow in the file, right after its description."""


class Storage:
    """The bytes of one or several tensors.

    Args:
        form: what a value is, as `_FORMS` writes it.
        content: the bytes; None while only its place is looked for.
    """

    def __init__(self, form: str, content: Any) -> None:
        self.form, self.content = form, content

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return 2 if self.form == "bfloat16" else np.dtype(self.form).itemsize


class Builder:
    """Makes arrays of what a pickle announces, if it holds them.

    Args:
        budget: what the file may still cost.
        fail: raises the error for a reason.
    """

    def __init__(self, budget: Budget, fail: Callable[[str], NoReturn]) -> None:
        self.budget, self.fail = budget, fail

    def dtype(self, name: Any, *_: Any) -> Dtype:
        """A dtype by its name: numbers, text or objects."""
        name = name.decode("latin-1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            self.fail(f"an array of dtype {str(name)[:40]!r}")
        return Dtype(name)

    def with_order(self, dtype: np.dtype[Any], state: Any) -> np.dtype[Any]:
        """The dtype in the byte order of a BUILD."""
        if not isinstance(state, tuple) or len(state) < 8 or any(part is not None for part in state[2:5]):
            self.fail("a structured dtype")
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|"):
            self.fail("a dtype without byte order")
        ordered: np.dtype[Any] = dtype if order == "|" else dtype.newbyteorder("<" if order == "<" else ">")
        return ordered

    def shape(self, shape: Any) -> tuple[int, ...]:
        """A shape of whole numbers."""
        if not isinstance(shape, tuple) or len(shape) > _MAX_AXES or not all(type(n) is int and n >= 0 for n in shape):
            self.fail("an array without shape")
        return shape

    def array(self, content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        """An array as a view of its bytes, or of a list of objects."""
        if not isinstance(dtype, Dtype) or order not in ("C", "F"):
            self.fail("an array without dtype or order")
        axes = self.shape(shape)
        count, kind = math.prod(axes), dtype.dtype
        held = len(content) if isinstance(content, list | bytes | bytearray | memoryview) else -1
        if held != (count if kind.hasobject else count * kind.itemsize) or isinstance(content, list) != kind.hasobject:
            self.fail(f"an array of shape {axes} that holds {held} bytes or items")
        if not held:  # what has no size costs nothing to announce, and much to go through
            self.budget.take("an empty array", elements=max((*axes, count)))
        if kind.hasobject:
            self.budget.take("an array of objects", bytes=8 * count)
            return np.fromiter(content, object, count).reshape(axes, order=order)
        # an empty buffer, or strings of no length, have nothing to view
        flat = np.frombuffer(content, kind) if held else np.empty(count, kind)
        if not is_sound_text(flat):
            self.fail("an array of text with characters that do not exist")
        return flat.reshape(axes, order=order)

    def scalar(self, dtype: Any, content: Any = b"") -> Any:
        """A NumPy scalar."""
        if isinstance(dtype, Dtype) and dtype.dtype.hasobject:
            self.fail("a scalar of dtype object")
        return self.array(content, dtype, (1,), "C")[0]

    def storage(self, kind: Any, content: Any) -> Storage:
        """A storage of PyTorch of a kind that holds plain numbers."""
        if not isinstance(kind, Named) or kind.short not in _FORMS:
            self.fail(f"a storage of {getattr(kind, 'full', 'an unknown kind')}")
        return Storage(_FORMS[kind.short], content)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> NDArray[Any]:
        """A tensor as a view of its storage; `more` ends in a dtype for storages without one (version 3)."""
        typed = [part for part in more if isinstance(part, Named) and part.short in _FORMS]
        if not isinstance(storage, Storage):
            self.fail("a tensor without storage")
        if typed:
            storage = Storage(_FORMS[typed[0].short], storage.content)
        size, stride = self.shape(size), self.shape(stride)
        if len(size) != len(stride) or type(offset) is not int or offset < 0:
            self.fail("a tensor whose size and stride do not fit")
        if storage.content is None:
            return np.empty(0, np.float32)
        held = len(storage.content) // storage.itemsize
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and last >= held:
            self.fail(f"a tensor of size {size} that lies outside of its storage of {held} values")
        if count > held or not count:
            self.budget.take("a tensor", bytes=count * storage.itemsize, elements=max((*size, count)))
        if not count:
            return np.empty(size, np.float32)
        if storage.form == "bfloat16":
            self.budget.take("a tensor of bfloat16", bytes=4 * count)
            halves = _strided(np.frombuffer(storage.content, "<u2", held), offset, size, stride)
            return (halves.astype("<u4") << 16).view("<f4")
        return _strided(np.frombuffer(storage.content, storage.form, held), offset, size, stride)


def _strided(flat: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
    steps = tuple(step * flat.itemsize for step in stride)
    return as_strided(flat[offset:], size, steps, writeable=False)
