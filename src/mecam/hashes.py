"""Is this still what was written? SHA-256 of files and of records, computed only where something was touched.

The files of a store or a checkpoint get one common time of change when they are written (`files.set_alike`). Where they
still have it they are taken as they are, which costs a look at each. Where they do not (copied, unpacked, changed),
every byte is read and compared once, and the outcome is remembered in the user's cache folder under the files' place,
size and time. Where that folder cannot be written the bytes are read each time. `mecam data check` always reads them.
This finds damage and mistakes; who forges both a file and what is recorded of it could only be found by a signature.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mecam.budget import check_regular_file
from mecam.errors import DataError
from mecam.files import unchanged, write_whole

__all__ = ["check_files", "check_record", "record_sha256", "sha256_of"]

MAX_REMEMBERED_FOLDERS = 256
"""Folders whose comparison is remembered; the oldest are forgotten."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises: DataError if it is no regular file, or cannot be read.
    """
    check_regular_file(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()


def record_sha256(record: Mapping[str, Any], own: str) -> str:
    """SHA-256 of a JSON record without its key `own`, however its text is laid out."""
    rest = json.loads(json.dumps({key: value for key, value in record.items() if key != own}))  # as it is read back
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_record(record: Mapping[str, Any], own: str, path: Path, *, fix: str) -> None:
    """Compare a record with the SHA-256 that it holds of itself; older ones hold none.

    Raises: DataError if it was changed.
    """
    if own in record and record[own] != record_sha256(record, own):
        raise DataError(f"{path.name} was changed: it differs from its own SHA-256", where=str(path), fix=fix)


def check_files(folder: Path, sha256: Mapping[str, str], *, beside: str, full: bool, fix: str) -> None:
    """Compare the files of a folder with what was recorded of them.

    Args:
        folder: where they lie.
        sha256: name → hex digest.
        beside: the file that holds the record, written with them.
        full: read every byte, touched or not.
        fix: what to do if one differs.

    Raises: DataError naming the first that is missing or differs.
    """
    files = [folder / name for name in sha256]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file.name} is missing", where=str(folder), fix=fix)
    if not full and (unchanged([folder / beside, *files]) or _remembered(folder, sha256)):
        return
    for name, expected in sha256.items():
        if sha256_of(folder / name) != expected:
            raise DataError(f"{name} differs from the SHA-256 recorded in {beside}", where=str(folder), fix=fix)
    _remember(folder, sha256)


def _remembered(folder: Path, sha256: Mapping[str, str]) -> bool:
    """True if these very files were compared before."""
    try:
        return _memory(folder, sha256).read_text(encoding="utf-8") == _facts(folder, sha256)
    except (OSError, ValueError, RuntimeError):
        return False


def _remember(folder: Path, sha256: Mapping[str, str]) -> None:
    with suppress(OSError, ValueError, RuntimeError, DataError):  # a service without a home reads every time
        place = _memory(folder, sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, _facts(folder, sha256))
        known = sorted(place.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in known[:-MAX_REMEMBERED_FOLDERS]:
            old.unlink()


def _memory(folder: Path, names: Iterable[str]) -> Path:
    """Where it is remembered that these files of a folder were compared; a folder may hold several records."""
    from platformdirs import user_cache_path

    whole = "\0".join([str(folder.resolve()), *sorted(names)])
    name = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return user_cache_path("mecam", appauthor=False) / "compared" / f"{name}.json"


def _facts(folder: Path, sha256: Mapping[str, str]) -> str:
    """What tells these files from others in their place."""
    known = {}
    for name, digest in sha256.items():
        facts = (folder / name).stat()
        known[name] = [facts.st_size, facts.st_mtime_ns, facts.st_ino, digest]
    return json.dumps(known, sort_keys=True)
