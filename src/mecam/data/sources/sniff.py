"""Which layout a file has, by its first bytes and its content, never by its name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mecam.data.pickles import looks_like_pickle, open_pickle
from mecam.data.sources.arrays import read_npz
from mecam.data.sources.base import Source, Timeline
from mecam.data.sources.csd import read_csd
from mecam.data.sources.delimited import looks_like_table
from mecam.data.sources.lmf import read_lmf
from mecam.data.sources.mag_bert import read_mag_bert
from mecam.data.sources.mecam_folder import read_cache
from mecam.data.sources.misa import read_misa
from mecam.data.sources.mmsa import read_mmsa
from mecam.data.sources.mult import read_mult
from mecam.data.sources.tables import read_table
from mecam.errors import DataError

__all__ = ["open_source"]

_PICKLES: tuple[Callable[[object, str], list[Source] | None], ...] = (
    read_mmsa,
    read_mult,
    read_misa,
    read_cache,
    read_mag_bert,
    read_lmf,
)


def open_source(path: Path) -> list[Source | Timeline]:
    """What a file holds, as sources and time lines; an empty list when it has no known layout.

    Raises: DataError if it cannot be read, is damaged, or asks for something that is refused.
    """
    head, tail = _ends(path)
    if looks_like_pickle(head, tail):
        content, release = open_pickle(path)
        for read in _PICKLES:
            if (sources := read(content, path.name)) is not None:
                return [replace(source, release=release) for source in sources]
        return []
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_csd(path) or []
    if head.startswith(b"PK\x03\x04"):
        return list(read_npz(path) or [])
    if looks_like_table(head):
        table = read_table(path)
        return [] if table is None else [table]
    return []


def _ends(path: Path) -> tuple[bytes, bytes]:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, path.stat().st_size - 1))
            return head, file.read(1)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=path.name) from error
