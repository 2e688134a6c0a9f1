"""The one on-disk feature format: a folder that any language can read.

    store/
      manifest.json            task, feature specs, counts, SHA-256 of every file, provenance
      utterances.jsonl         one utterance a line, in row order: id, split, text, label …
      <modality>.safetensors   `values` (all rows of all utterances, one after the other), `offsets`
                               (utterance i owns rows offsets[i] to offsets[i+1]), and `intervals`
                               (seconds per row) where the source has them

Features are memory-mapped and never padded. A NaN is a missing value; infinity never occurs.
A store is written under a temporary name and renamed when whole, so a half-written one is never read.
`docs/data.md` describes the bytes.
"""

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mecam import __version__
from mecam.errors import DataError
from mecam.types import FeatureSpec, Modality, Span, Task, Utterance, Word

__all__ = ["Store", "StoreWriter"]

FORMAT = "mecam-store"
VERSION = 1
HEADER_BYTES = 4096
"""Room for the safetensors header, which is written last, when the sizes are known."""


class Store:
    """Read access to a store folder. Cheap to open, safe to share between processes.

    Args:
        path: the store's folder.
        verify: compare every file's SHA-256 with the manifest; off by default as it reads everything.

    Raises: DataError if the folder is no store, is of a newer version, or is damaged.
    """

    def __init__(self, path: str | Path, *, verify: bool = False) -> None:
        self.path = Path(path)
        self.manifest = _read_manifest(self.path)
        self.name: str = self.manifest["name"]
        self.task = Task(**{**self.manifest["task"], "names": tuple(self.manifest["task"]["names"])})
        self.specs: dict[Modality, FeatureSpec] = {
            modality: FeatureSpec(**{**spec["features"], "names": tuple(spec["features"]["names"])})
            for modality, spec in self.manifest["streams"].items()
        }
        if verify:
            self.verify()
        self._records = _read_records(self.path / "utterances.jsonl", self.manifest["count"])
        self._tables = {modality: _Table(self.path, modality, len(self._records)) for modality in self.specs}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Utterance:
        record = self._records[index]
        streams, intervals = {}, {}
        for modality, table in self._tables.items():
            start, stop = table.offsets[index], table.offsets[index + 1]
            if stop > start:
                streams[modality] = table.values[start:stop]
                if table.intervals is not None:
                    intervals[modality] = table.intervals[start:stop]
        return Utterance(streams=streams, intervals=intervals, **_from_record(record))

    def __iter__(self) -> Iterator[Utterance]:
        return (self[index] for index in range(len(self)))

    @property
    def has_text(self) -> bool:
        """True when at least one utterance has a transcript."""
        return any(text is not None for text in self.column("text"))

    def split(self, name: str) -> NDArray[np.int64]:
        """Positions of the utterances of one split, in store order."""
        return np.array([i for i, record in enumerate(self._records) if record["split"] == name], np.int64)

    def column(self, name: str) -> list[Any]:
        """One field (`id`, `split`, `label`, `text` …) of every utterance, without touching features.

        A field that a record lacks is None.
        """
        return [record.get(name) for record in self._records]

    def lengths(self, modality: Modality) -> NDArray[np.int64]:
        """Rows of one modality in every utterance."""
        return np.diff(self._tables[modality].offsets)

    def rows(self, modality: Modality) -> NDArray[np.float32]:
        """All rows of one modality, memory-mapped: sum of lengths × D."""
        return self._tables[modality].values

    def verify(self) -> None:
        """Compare every file with its SHA-256 in the manifest.

        Raises: DataError naming the first file that differs.
        """
        for name, expected in self.manifest["sha256"].items():
            if sha256_of(self.path / name) != expected:
                raise DataError(
                    f"{name} differs from its SHA-256 in the manifest",
                    where=str(self.path),
                    fix="import or extract the data again",
                )


class StoreWriter:
    """Write a store, one utterance at a time, in memory that does not grow with the features.

    Args:
        path: the folder to make.
        name: the data set's name.
        task: what its labels are.
        specs: modality → spec of the streams it may hold. A stream that no utterance has is dropped.
        provenance: where the data came from; JSON-serialisable, saved as it is.
        overwrite: replace an existing store; it stays intact until the new one is whole.

    Raises: DataError if the folder exists, an id repeats, or a stream does not fit its spec.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str,
        task: Task,
        specs: Mapping[Modality, FeatureSpec],
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not (overwrite and (self.path / "manifest.json").exists()):
            raise DataError(
                f"{self.path} exists already",
                where=str(self.path.resolve()),
                fix="choose another place, or add --overwrite to replace a store",
            )
        self.name, self.task, self.specs = name, task, dict(specs)
        self.provenance = dict(provenance or {})
        self.count = 0
        self._ids: set[str] = set()
        for modality in self.specs:
            check_modality_name(modality)

    def __enter__(self) -> "StoreWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = self.path.parent / f".{self.path.name}.{uuid.uuid4().hex[:8]}.partial"
            self._folder.mkdir()
        except OSError as error:
            raise DataError(f"cannot write here: {error.strerror}", where=str(self.path)) from error
        self._jsonl = (self._folder / "utterances.jsonl").open("w", encoding="utf-8")
        self._streams = {m: _TableWriter(self._folder, m, spec.width) for m, spec in self.specs.items()}
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._jsonl.close()
        try:
            if kind is None:
                self._finish()
        finally:
            for stream in self._streams.values():
                stream.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, utterance: Utterance) -> None:
        """Append one utterance."""
        if not utterance.id or utterance.id in self._ids:
            raise DataError(f"utterance id {utterance.id!r} is empty or occurs twice", where=str(self.path))
        unknown = set(utterance.streams) - set(self._streams)
        if unknown:
            raise DataError(f"no spec was given for the stream {min(unknown)!r}", where=utterance.id)
        for modality, writer in self._streams.items():
            values = utterance.streams.get(modality)
            try:
                writer.append(values, utterance.intervals.get(modality))
            except DataError as error:
                raise DataError(error.what, where=f"{utterance.id} → {modality}") from None
        self._ids.add(utterance.id)
        self._jsonl.write(json.dumps(_to_record(utterance), ensure_ascii=False, allow_nan=False) + "\n")
        self.count += 1

    def _finish(self) -> None:
        if not self.count:
            raise DataError("there is no utterance to write", where=str(self.path))
        streams = {}
        for modality, writer in self._streams.items():
            if writer.rows == 0:
                (self._folder / f"{modality}.safetensors").unlink()
                continue
            writer.finish()
            streams[modality] = {"features": asdict(self.specs[modality]), "rows": writer.rows}
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "task": asdict(self.task),
            "count": self.count,
            "streams": streams,
            "sha256": {
                file.name: sha256_of(file)
                for file in sorted(self._folder.iterdir())
                if file.suffix in (".jsonl", ".safetensors")
            },
            "written_by": f"mecam {__version__}",
            "provenance": self.provenance,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        (self._folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        replace_folder(self._folder, self.path)


class _Table:
    """The rows of one modality, memory-mapped."""

    def __init__(self, folder: Path, modality: Modality, count: int) -> None:
        path = folder / f"{modality}.safetensors"
        try:
            arrays = _map_safetensors(path)
            self.values: NDArray[np.float32] = arrays["values"]
            self.offsets: NDArray[np.int64] = np.array(arrays["offsets"])
            self.intervals: NDArray[np.float64] | None = arrays.get("intervals")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"the features cannot be read: {error}", where=str(path), fix="import or extract again"
            ) from error
        rows = len(self.values)
        steps = np.diff(self.offsets)
        if len(self.offsets) != count + 1 or self.offsets[0] != 0 or self.offsets[-1] != rows or (steps < 0).any():
            raise DataError("the offsets do not match the utterances", where=str(path))


class _TableWriter:
    """Streams rows to disk; the safetensors header is filled in at the end."""

    def __init__(self, folder: Path, modality: Modality, width: int) -> None:
        self._file: BinaryIO = (folder / f"{modality}.safetensors").open("w+b")
        self._file.write(b" " * HEADER_BYTES)
        self._width = width
        self._offsets = [0]
        self._intervals: list[NDArray[np.float64]] = []
        self._has_times = False

    @property
    def rows(self) -> int:
        return self._offsets[-1]

    def append(self, values: NDArray[np.float32] | None, times: NDArray[np.float64] | None) -> None:
        if values is None or len(values) == 0:
            self._offsets.append(self.rows)
            return
        if values.ndim != 2 or values.shape[1] != self._width:
            raise DataError(f"expected rows of width {self._width}, got shape {tuple(values.shape)}")
        if times is not None and times.shape != (len(values), 2):
            raise DataError(f"expected {len(values)} × 2 times, got shape {tuple(times.shape)}")
        if np.isinf(values).any():
            raise DataError("infinite features; replace them with NaN, which means missing")
        self._file.write(np.ascontiguousarray(values, "<f4").data)
        self._has_times |= times is not None
        self._intervals.append(np.full((len(values), 2), np.nan) if times is None else np.asarray(times, np.float64))
        self._offsets.append(self.rows + len(values))

    def finish(self) -> None:
        parts: list[tuple[str, str, list[int], bytes | int]] = [
            ("values", "F32", [self.rows, self._width], 4 * self.rows * self._width),
            ("offsets", "I64", [len(self._offsets)], np.array(self._offsets, "<i8").tobytes()),
        ]
        if self._has_times:
            times = np.concatenate(self._intervals).astype("<f8")
            parts.append(("intervals", "F64", list(times.shape), times.tobytes()))
        header, position = {}, 0
        for key, dtype, shape, content in parts:
            size = content if isinstance(content, int) else len(content)
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
            position += size
            if isinstance(content, bytes):
                self._file.write(content)
        text = json.dumps(header).encode().ljust(HEADER_BYTES - 8)
        self._file.seek(0)
        self._file.write(len(text).to_bytes(8, "little") + text)
        self.close()

    def close(self) -> None:
        self._file.close()


def replace_folder(new: Path, target: Path) -> None:
    """Put the finished folder `new` at `target`; what lies there is kept until the new one stands.

    Raises: DataError if the file system refuses.
    """
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise DataError(f"cannot write here: {error.strerror}", where=str(target)) from error
    shutil.rmtree(old, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises: DataError if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()


def check_modality_name(modality: Modality) -> None:
    """Refuse a name that could not be a plain file name.

    Raises: DataError.
    """
    if not modality.isidentifier() or not modality.islower():
        raise DataError(
            f"{modality!r} is no modality name",
            fix="use lower-case letters, digits and underscores, starting with a letter",
        )


def _map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file as views of one memory map (the library would copy whole tensors)."""
    dtypes = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    size = os.path.getsize(path)
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 0 < header_size <= min(size - 8, 1 << 20):
            raise ValueError("not a safetensors file, or cut off")
        header = json.loads(file.read(header_size))
    memory = np.memmap(path, np.uint8, "r", offset=8 + header_size).view(np.ndarray)
    arrays = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        dtype, shape = np.dtype(dtypes[entry["dtype"]]), tuple(entry["shape"])
        if not 0 <= start <= stop <= len(memory) or stop - start != dtype.itemsize * math.prod(shape):
            raise ValueError(f"tensor {key!r} lies outside the file")
        arrays[key] = memory[start:stop].view(dtype).reshape(shape)
    return arrays


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file():
        raise DataError(
            "this is no store" if path.exists() else "no such store",
            where=str(path),
            fix="make one with `mecam data import` or `mecam data synth`",
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the manifest cannot be read: {error}", where=str(file)) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError("this manifest is not a mecam store's", where=str(file))
    if manifest["version"] > VERSION:
        raise DataError(
            f"store version {manifest['version']} is newer than this mecam reads ({VERSION})",
            where=str(file),
            fix="upgrade mecam",
        )
    return manifest


def _read_records(path: Path, count: int) -> list[dict[str, Any]]:
    """The lines of utterances.jsonl as they stand; `_from_record` reads them when asked for."""
    try:
        with path.open(encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the utterances cannot be read: {error}", where=str(path)) from error
    if len(records) != count:
        raise DataError(f"{len(records)} utterances, but the manifest says {count}", where=str(path))
    return records


def _to_record(utterance: Utterance) -> dict[str, Any]:
    record: dict[str, Any] = {"id": utterance.id, "split": utterance.split, "video": utterance.video}
    optional: Sequence[tuple[str, Any]] = (
        ("speaker", utterance.speaker),
        ("text", utterance.text),
        ("words", [[w.text, _finite(w.start), _finite(w.stop)] for w in utterance.words]),
        ("label", dict(utterance.label) if isinstance(utterance.label, Mapping) else utterance.label),
        ("unimodal", dict(utterance.unimodal)),
        ("injected", [[s.modality, s.kind, s.start, s.stop] for s in utterance.injected]),
    )
    record.update({key: value for key, value in optional if value is not None and value not in ("", [], {})})
    if utterance.text == "":
        record["text"] = ""
    return record


def _from_record(record: dict[str, Any]) -> dict[str, Any]:
    nan = float("nan")
    return {
        "id": record["id"],
        "split": record["split"],
        "video": record["video"],
        "speaker": record.get("speaker", ""),
        "text": record.get("text"),
        "words": tuple(
            Word(text, nan if start is None else start, nan if stop is None else stop)
            for text, start, stop in record.get("words", ())
        ),
        "label": record.get("label"),
        "unimodal": record.get("unimodal", {}),
        "injected": tuple(Span(*span) for span in record.get("injected", ())),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
