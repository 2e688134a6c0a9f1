"""What an ONNX file asks for, read from its own bytes before a library is handed it.

An ONNX file is a protocol buffer: fields with a number, a kind and a length. Only the few that matter for safety are
looked at; the weights are passed over, so this takes milliseconds. Numbers of fields: onnx.proto, opset 20
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

from mecam.budget import check_regular_file
from mecam.errors import ModelError

__all__ = ["check_network"]

DOMAINS = ("", "ai.onnx")
"""Whose operators a network may have: those of the ONNX standard."""

MAX_DEPTH = 8
"""Of networks inside the attributes of operators."""

ELEMENT_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}
"""Kind of number in a tensor → its size; others do not occur in what we write."""

View = memoryview
Field = View | int


def check_network(path: Path, *, data: Path) -> None:
    """Refuse a network that asks for more than its files hold.

    Args:
        path: the network.
        data: the only other file that weights may be read from.

    Raises: ModelError for operators from outside the ONNX standard, weights in another file, weights that are larger
        than the files, or a file that is no ONNX; DataError if it is no regular file.
    """
    size = check_regular_file(path) + (check_regular_file(data) if data.exists() else 0)
    try:
        _Network(path, data, size).model(_mapped(path))
    except (IndexError, UnicodeDecodeError, ValueError, OSError) as error:
        raise ModelError(f"{path.name} is no ONNX network", where=str(path), fix="export the model again") from error


def _mapped(path: Path) -> View:
    """The bytes of a file, of which only those that are looked at are read."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class _Network:
    """The walk through one file.

    Args:
        path: the network.
        data: where weights may lie too.
        size: bytes of both.
    """

    def __init__(self, path: Path, data: Path, size: int) -> None:
        self._path, self._data, self._size = path, data, size

    def model(self, view: Field) -> None:
        graphs = 0
        for number, value in _fields(view):
            if number == 25:
                raise self._refused("defines operators of its own")
            if number == 7:
                graphs += 1
                self._graph(value, 0)
        if graphs != 1:
            raise ValueError("a model has one graph")

    def _graph(self, view: Field, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._refused(f"holds networks in networks, more than {MAX_DEPTH} deep")
        for number, value in _fields(view):
            if number == 1:
                self._node(value, depth)
            elif number == 5:
                self._tensor(value)
            elif number == 15:  # sparse
                raise self._refused("holds sparse weights")

    def _node(self, view: Field, depth: int) -> None:
        operator, domain = "", ""
        for number, value in _fields(view):
            if number == 4:
                operator = _text(value)
            elif number == 7:
                domain = _text(value)
            elif number == 5:
                self._attribute(value, depth)
        if domain not in DOMAINS:
            raise self._refused(f"uses the operator {operator!r} of {domain!r}, which is not of the ONNX standard")

    def _attribute(self, view: Field, depth: int) -> None:
        for number, value in _fields(view):
            if number in (5, 10):
                self._tensor(value)
            elif number in (6, 11):
                self._graph(value, depth + 1)
            elif number in (22, 23):
                raise self._refused("holds sparse weights")

    def _tensor(self, view: Field) -> None:
        shape: list[int] = []
        kind, name = 0, "weights"
        place: dict[str, str] = {}
        for number, value in _fields(view):
            if number == 1:
                shape += [value] if isinstance(value, int) else _packed(value)
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number == 8:
                name = _text(value)
            elif number == 13:
                key, text = _entry(value)
                place[key] = text
        if kind not in ELEMENT_BITS:
            raise self._refused(f"holds a kind of number that is not read: {kind}, in {name}")
        if any(length >= 1 << 63 for length in shape) or math.prod(shape) * ELEMENT_BITS[kind] > 8 * self._size:
            raise self._refused(f"asks for more memory than its files hold: {name} of shape {shape}")
        if place and place.get("location") != self._data.name:
            raise self._refused(f"reads weights from another file: {place.get('location')!r}")

    def _refused(self, what: str) -> ModelError:
        return ModelError(
            f"refused: {self._path.name} {what}", where=str(self._path), fix="export the model with `mecam export`"
        )


def _fields(view: Field) -> Iterator[tuple[int, Field]]:
    """Number and value of each field: an integer, or the bytes of what has a length.

    Raises: IndexError or ValueError if they are no protocol buffer.
    """
    if isinstance(view, int):
        raise ValueError("a message was expected")
    place, end = 0, len(view)
    while place < end:
        tag, place = _varint(view, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(view, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(view, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"unknown kind of field: {wire}")
        if length > end - place:
            raise ValueError("a field is longer than what it is in")
        yield number, view[place : place + length]
        place += length


def _varint(view: View, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = view[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")


def _packed(view: View) -> list[int]:
    values, place = [], 0
    while place < len(view):
        value, place = _varint(view, place)
        values.append(value)
    return values


def _entry(view: Field) -> tuple[str, str]:
    """A key and its value."""
    found = {number: _text(value) for number, value in _fields(view)}
    return found.get(1, ""), found.get(2, "")


def _text(value: Field) -> str:
    if isinstance(value, int):
        raise ValueError("a text was expected")
    return str(value, "utf-8")
