"""The one on-disk feature format: a folder that any language can read.

    store/
      manifest.json            tasks, feature specs, counts, size and SHA-256 of every file, provenance
      utterances.jsonl         one utterance a line, in row order: id, split, video, text, label …
      words.jsonl              the same utterances' words with their times; absent where there are none
      <modality>.safetensors   `values` (all rows of all utterances, one after the other), `offsets`
                               (utterance i owns rows offsets[i] to offsets[i+1]), and `intervals`
                               (seconds per row) where the source has them

Everything is memory-mapped and nothing padded. A NaN is a missing value; infinity never occurs.
A store is written under a temporary name and renamed when whole, so a half-written one is never read.
`docs/data.md` describes the bytes.
"""

import json
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mecam.budget import small_json
from mecam.data.store.lines import Lines, to_line, to_record, utterance_fields, words_of
from mecam.data.store.table import StoreTable, TableWriter, checked_rows
from mecam.data_table import DataTable
from mecam.errors import DataError
from mecam.files import as_path, claimed, partial_of, remove, replace_folder, restore, set_alike, writing
from mecam.hashes import check_files, check_record, record_sha256, sha256_of
from mecam.task import Task
from mecam.types import FeatureSpec, Modality, Utterance
from mecam.version import __version__

__all__ = ["Store", "StoreWriter", "check_modality_name", "sha256_of"]

FORMAT = "mecam-store"
SHARD_FORMAT = "mecam-shard"
"""Format of a manifest beside the parts of a store; `mecam.features.shards` makes them, and stores of them."""
VERSION = 1
UTTERANCES, WORDS, MANIFEST = "utterances.jsonl", "words.jsonl", "manifest.json"

FIRST = "label"
"""Name of the first target where the manifest gives it none, as in every store made before there were several."""

OWN = "manifest_sha256"
"""Key of the manifest's own SHA-256: of all its other keys."""


@dataclass(frozen=True)
class _StreamEntry:
    features: FeatureSpec
    rows: int


@dataclass(frozen=True)
class _Manifest:
    """What `manifest.json` holds."""

    format: Literal["mecam-store"]
    version: int
    name: str
    task: dict[str, Any]
    count: int
    streams: dict[Modality, _StreamEntry]
    bytes: dict[str, int]
    sha256: dict[str, str]
    written_by: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    target: str = FIRST
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)


@cache
def _manifest_reader() -> Any:
    return TypeAdapter(_Manifest)  # takes a moment, for which what reads no store does not wait


class Store:
    """Read access to a store folder. Cheap to open, cheap to pickle, safe to share between processes.

    A store may hold several targets: things that its utterances are labelled for, each with a task of its own. One of
    them is chosen, the first unless `choosing` another; `task`, `label` and `split` are those of the chosen one.

    Args:
        path: the store's folder.
        verify: compare every file with its SHA-256 in the manifest, which reads everything. None does so where the
            files were touched since they were written, and remembers the outcome (`mecam.hashes`); False never.

    Attributes:
        path: the folder.
        manifest: `manifest.json` as it stands.
        name: the data set's name.
        targets: the name of everything that it is labelled for → its task, the first first.
        target: the name of the chosen one.
        task: that one's.
        specs: modality → what its rows are.

    Raises: DataError if the folder is no store, is of a newer version, or is damaged.
    """

    def __init__(self, path: str | Path, *, verify: bool | None = None) -> None:
        self.path = as_path(path, "Store: path")
        restore(self.path)
        self.manifest, manifest = _read_manifest(self.path)
        self.name = manifest.name
        tasks = {manifest.target: manifest.task, **manifest.targets}
        self.targets = {name: _task_of(task, self.path / MANIFEST) for name, task in tasks.items()}
        self.target, self.task = manifest.target, self.targets[manifest.target]
        self.specs: dict[Modality, FeatureSpec] = {m: entry.features for m, entry in manifest.streams.items()}
        if verify is not False:
            self._check(full=verify is True)
        self._records = Lines(self.path / UTTERANCES, manifest.count)
        self._words = Lines(self.path / WORDS, manifest.count) if WORDS in manifest.bytes else None
        self._tables = {
            modality: StoreTable(_table_path(self.path, modality), manifest.count, spec.width)
            for modality, spec in self.specs.items()
        }

    def __reduce__(self) -> tuple[Callable[[Path, str], "Store"], tuple[Path, str]]:
        return _opened_before, (self.path, self.target)  # a worker process maps the files itself

    def choosing(self, target: str) -> "Store":
        """The same store with another of its targets chosen; an empty name is the first.

        Raises: DataError if it has no such target.
        """
        target = target or next(iter(self.targets))
        if target not in self.targets:
            raise DataError(
                f"the store has no target {target!r}", where=str(self.path), fix=f"known: {', '.join(self.targets)}"
            )
        other = object.__new__(Store)
        vars(other).update(vars(self))
        other.target, other.task = target, self.targets[target]
        return other

    def for_task(self, task: Task, target: str = "") -> "Store":
        """The same store with that target chosen that asks for `task`: the named one, else the first that does.

        Where there is none, the store as it is.
        """
        names = [name for name, known in self.targets.items() if known == task]
        return self.choosing(target if target in names else names[0]) if names else self

    def __repr__(self) -> str:
        streams = ", ".join(f"{modality} {spec.width}" for modality, spec in self.specs.items())
        told = [f"{len(self)} utterances", self.task.description, *([streams] if streams else [])]
        return f"Store({str(self.path)!r}: {'; '.join(told)})"

    def _repr_html_(self) -> str:
        """As a notebook shows it: what is in its splits."""
        from mecam.data.operations.describe import described_html

        return described_html(self)

    def to_table(self) -> DataTable:
        """The utterances as a table: id, split, video, speaker, text, and the label for each target."""
        fields = {name: self.column(name) for name in ("id", "split", "video", "speaker", "text")}
        labels = {name: [_as_cell(label) for label in self.labels(name)] for name in self.targets}
        columns = {name: values for name, values in {**fields, **labels}.items() if any(v is not None for v in values)}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return DataTable(rows, columns=list(columns), kinds=dict.fromkeys(fields, "text"), title=self.name)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Utterance:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        index %= len(self)
        streams, intervals = {}, {}
        for modality, table in self._tables.items():
            rows = table.rows_of(index)
            if rows is not None:
                streams[modality] = rows[0]
                if rows[1] is not None:
                    intervals[modality] = rows[1]
        words = () if self._words is None else self._words[index]
        try:
            fields = self._chosen(utterance_fields(self._records[index], words))
        except DataError as error:
            where = f"{self.path} → utterance {index}"
            raise DataError(error.what, where=error.where or where, fix="import or extract again") from error
        return Utterance(streams=streams, intervals=intervals, **fields)

    def __iter__(self) -> Iterator[Utterance]:
        return (self[index] for index in range(len(self)))

    @property
    def has_text(self) -> bool:
        """True when at least one utterance has a transcript."""
        return any(_field(record, "text") is not None for record in self._records)

    @property
    def synthetic(self) -> bool:
        """True when nobody ever said any of it."""
        return bool(self.manifest["provenance"].get("synthetic", False))

    def split(self, name: str) -> NDArray[np.int64]:
        """Positions of the utterances of one split, in store order; of another target than the first, the labelled."""
        known = [True] * len(self) if self._is_first else [label is not None for label in self.column("label")]
        return np.array([i for i, split in enumerate(self.column("split")) if split == name and known[i]], np.int64)

    def column(self, name: str) -> list[Any]:
        """One field (`id`, `split`, `label`, `text` …) of every utterance, without touching features.

        A field that a record lacks is None, and `label` is that of the chosen target. Fields stand as JSON holds them:
        `words` as lists of text, start and stop.
        """
        if name == "words":
            return [None] * len(self) if self._words is None else list(self._words)
        if name == "label":
            return self.labels(self.target)
        return [_field(record, name) for record in self._records]

    def labels(self, target: str) -> list[Any]:
        """The labels of a target, None where an utterance has none."""
        if target == next(iter(self.targets)):
            return [_field(record, "label") for record in self._records]
        return [_target_of(_field(r, "targets"), _field(r, "unimodal"), target) for r in self._records]

    @property
    def _is_first(self) -> bool:
        return self.target == next(iter(self.targets))

    def _chosen(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of an utterance with the label of the chosen target, the first one's among the others."""
        if self._is_first:
            return fields
        others = {name: label for name, label in fields["targets"].items() if name != self.target}
        if fields["label"] is not None:
            others = {next(iter(self.targets)): fields["label"], **others}
        label = _target_of(fields["targets"], fields["unimodal"], self.target)
        return {**fields, "label": label, "targets": others}

    def lengths(self, modality: Modality) -> NDArray[np.int64]:
        """Rows of one modality in every utterance."""
        return np.diff(self._tables[modality].offsets)

    def rows(self, modality: Modality) -> NDArray[np.float32]:
        """All rows of one modality, memory-mapped: sum of lengths × D."""
        return self._tables[modality].values

    def has_intervals(self, modality: Modality) -> bool:
        """True when the rows of a modality have times."""
        return self._tables[modality].intervals is not None

    def verify(self) -> None:
        """Compare every file with its SHA-256 in the manifest, and the manifest with its own.

        Raises: DataError naming the first file that differs.
        """
        self._check(full=True)

    def _check(self, *, full: bool) -> None:
        fix = "import or extract the data again"
        check_record(self.manifest, OWN, self.path / MANIFEST, fix=f"{fix}; if you changed it yourself, remove {OWN}")
        check_files(self.path, self.manifest["sha256"], beside=MANIFEST, full=full, fix=fix)


def _as_cell(label: Any) -> Any:
    """A label in a table: several names in one text."""
    return "|".join(map(str, label)) if isinstance(label, list | tuple) else label


def _opened_before(path: Path, target: str) -> Store:
    """The same store in another process, which need not look at every byte once more."""
    return Store(path, verify=False).choosing(target)


def _target_of(targets: Any, unimodal: Any, name: str) -> Any:
    """The label of a target that is not the first; what is felt in one modality may stand under `unimodal` only."""
    given = (targets or {}).get(name)
    return (unimodal or {}).get(name) if given is None else given


class StoreWriter:
    """Write a store, one utterance at a time, in memory that does not grow with the features.

    Args:
        path: the folder to make.
        name: the data set's name.
        task: what its labels are.
        target: the name of what they label.
        targets: name → task of what else its utterances are labelled for.
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
        target: str = FIRST,
        targets: Mapping[str, Task] | None = None,
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path, self._overwrite = Path(path), overwrite
        self._refuse_taken()
        self.name, self.task, self.specs = name, task, dict(specs)
        self.target, self.targets = target, dict(targets or {})
        self.provenance = dict(provenance or {})
        self.count = 0
        self._ids: set[str] = set()
        self._words: BinaryIO | None = None
        for modality in self.specs:
            check_modality_name(modality)

    def _refuse_taken(self) -> None:
        if os.path.lexists(self.path) and not (self._overwrite and (self.path / "manifest.json").exists()):
            raise DataError(
                f"{self.path} exists already",
                where=str(self.path.resolve()),
                fix="choose another place, or add --overwrite to replace a store",
            )

    def __enter__(self) -> "StoreWriter":
        with ExitStack() as stack:
            stack.enter_context(claimed(self.path))
            self._refuse_taken()  # by one that was written while we waited, or prepared
            self._folder = partial_of(self.path)
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            with writing(self.path):
                self._folder.mkdir()
                self._records: BinaryIO = (self._folder / UTTERANCES).open("wb")
                self._tables = {m: TableWriter(_table_path(self._folder, m), s.width) for m, s in self.specs.items()}
            self._claim = stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._claim:
            try:
                with writing(self.path):
                    self._records.close()
                    if self._words is not None:
                        self._words.close()
                    if kind is None:
                        self._finish()
            finally:
                self._close()

    def _close(self) -> None:
        """Close what is open; on a full disk that is refused, and the first refusal has been told."""
        for file in (self._records, self._words, *self._tables.values()):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def add(self, utterance: Utterance) -> None:
        """Append one utterance; one that is refused leaves the store as it was.

        Raises: DataError if its id is empty or known, a stream does not fit its spec, its label does
            not fit the task, or the disk is full.
        """
        if not utterance.id or utterance.id in self._ids:
            raise DataError(f"utterance id {utterance.id!r} is empty or occurs twice", where=str(self.path))
        if unknown := set(utterance.streams) - set(self._tables):
            raise DataError(f"no spec was given for the stream {min(unknown)!r}", where=utterance.id)
        where = utterance.id
        try:
            record = to_line(self._fitting(to_record(utterance)))
            words = to_line(words_of(utterance)) if utterance.words else None
            rows = {}
            for modality, spec in self.specs.items():
                where = f"{utterance.id} → {modality}"
                values, times = utterance.streams.get(modality), utterance.intervals.get(modality)
                rows[modality] = checked_rows(values, times, spec.width)
        except DataError as error:
            raise DataError(error.what, where=where, fix=error.fix) from None
        with writing(self.path):
            self._records.write(record)
            self._write_words(words)
            for modality, table in self._tables.items():
                table.append(rows[modality])
        self._ids.add(utterance.id)
        self.count += 1

    def _fitting(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, if its labels are what their tasks ask for."""
        labels = {self.target: (record["label"], self.task)} if "label" in record else {}
        for name, label in record.get("targets", {}).items():
            if name not in self.targets:
                raise DataError(f"no task was given for the target {name!r}")
            labels[name] = label, self.targets[name]
        for label, task in labels.values():
            if not task.fits(label):
                raise DataError(f"the label {label!r} does not fit the task: {task.description}")
        return record

    def _write_words(self, line: bytes | None) -> None:
        if line is not None and self._words is None:
            self._words = (self._folder / WORDS).open("wb")
            self._words.write(b"[]\n" * self.count)
        if self._words is not None:
            self._words.write(line or b"[]\n")

    def _finish(self) -> None:
        if not self.count:
            raise DataError("there is no utterance to write", where=str(self.path))
        streams = {}
        for modality, table in self._tables.items():
            if table.rows == 0:
                table.close()
                _table_path(self._folder, modality).unlink()
                continue
            table.finish()
            streams[modality] = {"features": asdict(self.specs[modality]), "rows": table.rows}
        files = sorted(self._folder.iterdir())
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "task": self.task.to_json(),
            "count": self.count,
            "streams": streams,
            "bytes": {file.name: file.stat().st_size for file in files},
            "sha256": {file.name: sha256_of(file) for file in files},
            "written_by": f"mecam {__version__}",
            "provenance": self.provenance,
        }
        if self.target != FIRST:
            manifest["target"] = self.target
        if self.targets:
            manifest["targets"] = {name: task.to_json() for name, task in self.targets.items()}
        try:
            manifest[OWN] = record_sha256(manifest, OWN)
            text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"the manifest cannot be written as JSON: {error}", where=str(self.path)) from error
        (self._folder / MANIFEST).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        set_alike([*files, self._folder / MANIFEST])
        replace_folder(self._folder, self.path)
        remove(self.path.with_name(f".{self.path.name}.parts"))  # of an extraction that was stopped: done with


def check_modality_name(modality: Modality) -> None:
    """Refuse a name that could not be a plain file name.

    Raises: DataError.
    """
    if not modality.isidentifier() or not modality.islower():
        raise DataError(
            f"{modality!r} is no modality name",
            fix="use lower-case letters, digits and underscores, starting with a letter",
        )


def _table_path(folder: Path, modality: Modality) -> Path:
    return folder / f"{modality}.safetensors"


def _field(record: Any, name: str) -> Any:
    if not isinstance(record, dict):
        raise DataError(f"an utterance is damaged: {record!r:.60}", where=UTTERANCES, fix="import or extract again")
    return record.get(name)


def _read_manifest(path: Path) -> tuple[dict[str, Any], _Manifest]:
    """The manifest as it stands and checked; the files it names exist in the size it states."""
    file = path / MANIFEST
    if not file.is_file():
        raise DataError(
            "this is no store" if path.exists() else "no such store",
            where=str(path),
            fix="make one with `mecam data import` or `mecam data synth`",
        )
    try:
        raw = small_json(file)
        if isinstance(raw, dict) and raw.get("format") == SHARD_FORMAT:
            fix = "merge all shards with `mecam data merge`"
            raise DataError("this is one shard of an extraction, and no store yet", where=str(path), fix=fix)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise DataError("this manifest is not a mecam store's", where=str(file))
        if isinstance(raw.get("version"), int) and raw["version"] > VERSION:
            what = f"store version {raw['version']} is newer than this mecam reads ({VERSION})"
            raise DataError(what, where=str(file), fix="upgrade mecam")
        manifest = _manifest_reader().validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"the manifest is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DataError(what, where=str(file), fix="import or extract again") from error
    for modality in manifest.streams:
        check_modality_name(modality)
    _check_files(path, manifest)
    return raw, manifest


def _task_of(values: Mapping[str, Any], manifest: Path) -> Task:
    try:
        return Task.from_json(values)
    except DataError as error:
        raise DataError(f"the manifest is damaged: {error.what}", where=str(manifest), fix=error.fix) from error


def _check_files(path: Path, manifest: _Manifest) -> None:
    """Every file that the manifest needs is listed, lies in the folder, and has its size."""
    known = {UTTERANCES, *(_table_path(path, modality).name for modality in manifest.streams)}
    listed = set(manifest.bytes)
    if not known <= listed <= known | {WORDS} or listed != set(manifest.sha256):
        raise DataError("the manifest lists other files than its streams need", where=str(path / MANIFEST))
    for name, size in manifest.bytes.items():
        file = path / name
        actual = file.stat().st_size if file.is_file() else None
        if actual != size:
            what = f"{name} is missing" if actual is None else f"{name} has {actual} bytes instead of {size}"
            raise DataError(what, where=str(path), fix="import or extract the data again")
