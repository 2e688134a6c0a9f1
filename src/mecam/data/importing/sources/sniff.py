"""Which layout a file has, by its first bytes and its content, never by its name.

A source is one file: a module beside this one that declares `LAYOUTS`, of `PickleLayout` and `FileLayout`. A package
adds one through the entry point group `mecam.sources`, whose value names such a layout:

    [project.entry-points."mecam.sources"]
    my_layout = "my_package.my_layout:LAYOUT"
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from mecam.budget import Budget, check_regular_file
from mecam.data.importing.archives import Archive
from mecam.data.importing.pickles import looks_like_pickle, open_pickle, open_torch
from mecam.data.importing.sources.base import (
    FileLayout,
    Note,
    PickleLayout,
    Source,
    Timeline,
    split_named,
    text_of,
)
from mecam.errors import DataError, MecamError
from mecam.plugins import load_plug_in, modules_of, plug_ins

__all__ = ["GROUP", "foreign_kind", "open_source", "strange_file"]

GROUP = "mecam.sources"
"""Entry point group of layouts in other packages."""

_Layout = TypeVar("_Layout", PickleLayout, FileLayout)


@cache
def _built_in() -> tuple[PickleLayout | FileLayout, ...]:
    modules = modules_of("mecam.data.importing.sources")
    return tuple(layout for module in modules for layout in getattr(module, "LAYOUTS", ()))


def _layouts(kind: type[_Layout]) -> list[_Layout]:
    """Those of this kind, in the order in which they are asked."""
    added: list[PickleLayout | FileLayout] = [
        load_plug_in(point, PickleLayout, FileLayout) for point in plug_ins(GROUP).values()
    ]
    return sorted((one for one in (*_built_in(), *added) if isinstance(one, kind)), key=lambda layout: layout.order)


_UNPACK = "unpack it first, and import what is in it"
_AS_CSV = "save the table as CSV (in Excel: CSV UTF-8; with pandas: to_csv)"
_JOBLIB = "a compressed file, as joblib writes it"

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ", "an xz file", _UNPACK),
    (b"\x5d\x00\x00", "an lzma file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 file", _UNPACK),
    (b"7z\xbc\xaf", "a 7-zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"x\x01", _JOBLIB, "dump it again with joblib.dump(data, path, compress=0), or save it with numpy.savez"),
    (b"x\x5e", _JOBLIB, "dump it again with joblib.dump(data, path, compress=0), or save it with numpy.savez"),
    (b"x\x9c", _JOBLIB, "dump it again with joblib.dump(data, path, compress=0), or save it with numpy.savez"),
    (b"x\xda", _JOBLIB, "dump it again with joblib.dump(data, path, compress=0), or save it with numpy.savez"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", _AS_CSV),
    (b"PAR1", "a Parquet file", _AS_CSV),
    (b"ARROW1", "a Feather file", _AS_CSV),
    (b"FEA1", "a Feather file", _AS_CSV),
    (b"MATLAB 5.0", "a MATLAB file", "save the arrays with numpy.savez, after scipy.io.loadmat"),
    (b"\x93NUMPY", "a single NumPy array", "save it with its ids: numpy.savez(path, id=ids, audio=array)"),
)


def foreign_kind(path: Path) -> tuple[str, str] | None:
    """What a file is and what to do with it, for kinds that are known and not read.

    Raises: DataError if it cannot be read.
    """
    head, _ = _ends(path)
    for start, kind, fix in _FOREIGN:
        if head.startswith(start):
            return kind, fix
    if head.startswith(b"PK\x03\x04"):
        names = Archive(path, Budget.for_file(path)).names
        if any(name.startswith("xl/") for name in names):
            return "an Excel workbook", _AS_CSV
        if not any(name.endswith((".npy", "data.pkl")) for name in names):
            return "a zip archive", _UNPACK
    return None


def open_source(path: Path) -> list[Source | Timeline]:
    """What a file holds, as sources and time lines; an empty list when it has no known layout.

    Raises: DataError if it cannot be read, is damaged, or asks for something that is refused.
    """
    with strange_file(path.name):
        head, tail = _ends(path)
        if looks_like_pickle(head, tail):
            content, release = open_pickle(path)
            return [replace(source, release=release) for source in _pickled(content, path.name)]
        if head.startswith(b"PK\x03\x04") and (content := open_torch(path)) is not None:
            return list(_pickled(content, path.name))
        for layout in _layouts(FileLayout):
            if layout.begins(head) and (found := layout.read(path)) is not None:
                return list(found)
        return []


@contextmanager
def strange_file(name: str) -> Iterator[None]:
    """Whatever a strange file provokes in the libraries that read it is one clear error.

    Raises: DataError.
    """
    try:
        yield
    except MecamError:
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {str(error)[:120]}"
        raise DataError(
            f"the file is damaged ({detail})", where=name, fix="download it again, or write it anew"
        ) from error


def _pickled(content: object, file: str) -> Sequence[Source]:
    """The sources of a pickle; entries beside the splits, as MMSA-FET writes its `config`, are no part of the data."""
    notes: list[Note] = []
    if isinstance(content, dict) and any(split_named(key) for key in content):
        others = [key for key in content if not split_named(key)]
        notes = [("other entries", f"{file}: {str(key)[:60]}", 1) for key in others]
        content = {key: part for key, part in content.items() if split_named(key)}
        if len({split_named(key) for key in content}) < len(content):
            names = ", ".join(text_of(key) for key in content)
            raise DataError(f"two entries are the same split: {names}", where=file, fix="leave one of them out")
    for layout in _layouts(PickleLayout):
        if (sources := layout.read(content, file)) is not None:
            return [replace(source, notes=notes if not index else ()) for index, source in enumerate(sources)]
    return []


def _ends(path: Path) -> tuple[bytes, bytes]:
    check_regular_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, path.stat().st_size - 1))
            return head, file.read(1)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=path.name) from error
