"""What was extracted from each recording, kept until the store is whole, so that nothing is done twice.

One safetensors file per recording, a part: its arrays, and the rest as JSON in the header. A part's name is a hash of
all that its content depends on; it is written under another name and renamed. Parts lie in a folder beside the store,
or anywhere that fsspec reaches.
"""

import hashlib
import json
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mecam.data.store.lines import to_record, utterance_fields, words_of
from mecam.errors import DataError
from mecam.features.clips import Clip
from mecam.features.recording import Recipe, Recording
from mecam.features.segmentation import has_silero
from mecam.files import clear, whole_file, writing
from mecam.types import Modality, Utterance
from mecam.version import __version__

__all__ = ["ExtractedRecording", "FolderParts", "Parts", "key_of", "parts_at", "read_part", "write_part"]

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ExtractedRecording:
    """What one recording gave to the store.

    Attributes:
        utterances: in time.
        absent: modality → why the recording does not have it.
        findings: what was odd, in sentences.
    """

    utterances: tuple[Utterance, ...]
    absent: dict[Modality, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    @classmethod
    def of(cls, recording: Recording) -> "ExtractedRecording":
        """The part of a recording that a store keeps."""
        return cls(recording.utterances, dict(recording.absent), recording.findings)


def key_of(clip: Clip, recipe: Recipe) -> str:
    """Changes with the file, its transcript, its row, the recipe, and the versions of what is run."""
    made = {e.name: e.version for e in recipe.made().values()}
    row = None if clip.row is None else {"text": clip.row.text, "words": len(clip.row.words)}
    known: list[Any] = [clip.id, clip.span, row, _stamp(clip.path), [*map(_stamp, clip.transcript)], asdict(recipe)]
    known += [[_stamp(path) for path in clip.others], has_silero()]
    return hashlib.sha256(json.dumps([known, made, __version__], sort_keys=True).encode()).hexdigest()[:32]


def write_part(path: Path, part: ExtractedRecording) -> None:
    """Write a part, whole or not at all.

    Raises: DataError if the disk refuses.
    """
    arrays: dict[str, Any] = {}
    records = []
    for number, utterance in enumerate(part.utterances):
        for modality, values in utterance.streams.items():
            arrays[f"{number}/{modality}/values"] = np.ascontiguousarray(values)
            arrays[f"{number}/{modality}/intervals"] = np.ascontiguousarray(utterance.intervals[modality])
        records.append([to_record(utterance), words_of(utterance)])
    header = json.dumps({"records": records, "absent": part.absent, "findings": part.findings}, allow_nan=False)
    try:
        with whole_file(path) as partial:
            save_file(arrays, partial, metadata={"part": header})
    except SafetensorError as error:
        raise DataError(f"cannot write here: {error}", where=str(path.parent)) from error


def read_part(path: Path) -> ExtractedRecording | None:
    """Read a part; None if there is none, or it is damaged and must be made again."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["part"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        utterances = tuple(_utterance(i, record, words, arrays) for i, (record, words) in enumerate(header["records"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, DataError):
        return None
    return ExtractedRecording(utterances, header["absent"], tuple(header["findings"]))


class Parts(ABC):
    """Where the parts of an extraction lie. Cheap to pickle: worker processes and other machines get it."""

    @abstractmethod
    def anywhere(self) -> "Parts":
        """The same place, for a process that works in another folder."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the place, and clear away what killed writers left."""

    @abstractmethod
    def known(self) -> set[str]:
        """The keys of the parts that are there."""

    @abstractmethod
    def holds(self, key: str) -> bool:
        """Whether a part is there."""

    @abstractmethod
    def read(self, key: str) -> ExtractedRecording | None:
        """A part; None if there is none. A damaged one is removed, so that it is made again."""

    @abstractmethod
    def write(self, key: str, part: ExtractedRecording) -> None:
        """Write a part, whole or not at all.

        Raises: DataError if the place refuses.
        """

    @abstractmethod
    def remove(self, keys: Iterable[str]) -> None:
        """Remove parts, as far as that can be done."""

    @abstractmethod
    def forget_if_empty(self) -> None:
        """Leave no folder behind that nothing was written to."""


def parts_at(place: str | Path) -> Parts:
    """The parts in a folder, or below the URL of a file system or an object store (`s3://bucket/parts`)."""
    return UrlParts(str(place)) if "://" in str(place) else FolderParts(Path(place))


@dataclass(frozen=True)
class FolderParts(Parts):
    """Parts in a folder, which several machines may share.

    Attributes:
        folder: the folder.
    """

    folder: Path

    def anywhere(self) -> "FolderParts":
        """As `Parts`."""
        return FolderParts(self.folder.absolute())

    def path_of(self, key: str) -> Path:
        """Where a part lies."""
        return self.folder / f"{key}{SUFFIX}"

    def prepare(self) -> None:
        """As `Parts`.

        Raises: DataError if the folder cannot be made.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        clear([self.folder])

    def known(self) -> set[str]:
        """As `Parts`."""
        return {path.stem for path in self.folder.glob(f"[!.]*{SUFFIX}") if self.holds(path.stem)}

    def holds(self, key: str) -> bool:
        """As `Parts`: its header is read, which tells one that was cut off."""
        return _header(self.path_of(key)) is not None

    def read(self, key: str) -> ExtractedRecording | None:
        """As `Parts`."""
        part = read_part(self.path_of(key))
        if part is None:
            self.path_of(key).unlink(missing_ok=True)
        return part

    def write(self, key: str, part: ExtractedRecording) -> None:
        """As `Parts`."""
        write_part(self.path_of(key), part)

    def remove(self, keys: Iterable[str]) -> None:
        """As `Parts`."""
        with suppress(OSError):
            for key in keys:
                self.path_of(key).unlink(missing_ok=True)

    def forget_if_empty(self) -> None:
        """As `Parts`."""
        with suppress(OSError):  # it holds something
            self.folder.rmdir()


@dataclass(frozen=True)
class UrlParts(Parts):
    """Parts below a URL that fsspec understands; each passes through a temporary file of this machine.

    Attributes:
        url: of the folder.
    """

    url: str

    def anywhere(self) -> "UrlParts":
        """As `Parts`."""
        return self

    def prepare(self) -> None:
        """As `Parts`."""
        with self._reached() as (files, folder):
            files.makedirs(folder, exist_ok=True)

    def known(self) -> set[str]:
        """As `Parts`: those that are listed; each was renamed when it was whole."""
        with self._reached() as (files, folder):
            files.invalidate_cache()
            names = [str(name).rpartition("/")[2] for name in files.ls(folder, detail=False)]
        return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}

    def holds(self, key: str) -> bool:
        """As `Parts`."""
        with self._reached() as (files, folder):
            files.invalidate_cache()
            return bool(files.exists(f"{folder}/{key}{SUFFIX}"))

    def read(self, key: str) -> ExtractedRecording | None:
        """As `Parts`."""
        with self._reached() as (files, folder), tempfile.TemporaryDirectory() as here:
            place, copy = f"{folder}/{key}{SUFFIX}", Path(here) / "part"
            try:
                files.get_file(place, str(copy))
            except FileNotFoundError:
                return None
            part = read_part(copy)
            if part is None:
                files.rm_file(place)
            return part

    def write(self, key: str, part: ExtractedRecording) -> None:
        """As `Parts`."""
        with tempfile.TemporaryDirectory() as here:
            copy = Path(here) / "part"
            write_part(copy, part)
            with self._reached() as (files, folder):
                partial = f"{folder}/{key}.{uuid.uuid4().hex[:8]}.partial"
                files.put_file(str(copy), partial)
                files.mv(partial, f"{folder}/{key}{SUFFIX}")

    def remove(self, keys: Iterable[str]) -> None:
        """As `Parts`: also what killed writers left of these."""
        mine = set(keys)
        with suppress(DataError), self._reached() as (files, folder):
            files.invalidate_cache()
            for name in map(str, files.ls(folder, detail=False)):
                if name.rpartition("/")[2].partition(".")[0] in mine:
                    files.rm_file(name)

    def forget_if_empty(self) -> None:
        """As `Parts`: an object store has no folders."""

    @contextmanager
    def _reached(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it; what it refuses is one error.

        Raises: DataError, also where a package for this kind of URL is not installed.
        """
        import fsspec

        try:
            files, folder = fsspec.core.url_to_fs(self.url)
            yield files, folder.rstrip("/")
        except (OSError, ValueError, ImportError) as error:
            raise DataError(f"cannot use this place: {error}", where=self.url) from error


def _header(path: Path) -> Any:
    """What the header of a part says; None if there is no part, or it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            return json.loads(file.metadata()["part"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _utterance(number: int, record: Any, words: Sequence[Any], arrays: dict[str, Any]) -> Utterance:
    mine = [name.split("/")[1] for name in arrays if name.startswith(f"{number}/") and name.endswith("/values")]
    return Utterance(
        streams={m: arrays[f"{number}/{m}/values"] for m in mine},
        intervals={m: arrays[f"{number}/{m}/intervals"] for m in mine},
        **utterance_fields(record, words),
    )


def _stamp(path: Path) -> list[object]:
    try:
        facts = path.stat()
    except OSError:
        return [str(path)]
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]
