"""`import_data`: whatever feature files you have, into one store, with a report of what is wrong in them.

Which layout a file has is told from its content (`mecam.data.importing.sources`); several files are joined by id
(`mecam.data.importing.joining`); this module cleans the features and writes the store, one utterance at a time.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.importing.joining import Finding, Findings, Joined, join
from mecam.data.importing.labels import (
    infer_task,
    label_of,
    no_label,
    other_labels,
    other_targets,
    target_name,
    unimodal_of,
)
from mecam.data.importing.sources.base import Piece, Row, Source, Timeline, data_set_name
from mecam.data.importing.sources.sniff import foreign_kind, open_source, strange_file
from mecam.data.store import StoreWriter
from mecam.errors import DataError
from mecam.hashes import sha256_of
from mecam.task import Task
from mecam.types import TEXT, FeatureSpec, Modality, Utterance

__all__ = ["Finding", "ImportReport", "StreamCount", "import_data"]


MIN_OUTPUT, MAX_GROWTH = 1 << 30, 100
"""Bytes that any import may write, and how many times larger than its files the store may be beyond that. Compression
of features saves a factor of ten, half precision one of two."""

RELEASE_EVERY = 200
"""Utterances after which pages of the source files are given back; a few cost as much as 100 MB."""


@dataclass
class StreamCount:
    """How much of one modality was imported.

    Attributes:
        utterances: how many have it.
        rows: feature rows over all of them.
        width: features per row.
    """

    utterances: int = 0
    rows: int = 0
    width: int = 0


@dataclass(frozen=True)
class ImportReport:
    """What an import found and made.

    Attributes:
        name: the data set's name in the store.
        task: what its labels are.
        targets: name → task of everything that the utterances are labelled for, the first first.
        files: name, layout, form (of a table: encoding, separator, decimal mark), bytes and SHA-256 of every file.
        ignored: files of a folder that have no known layout.
        splits: utterances per split; the empty name holds those without one.
        streams: modality → how much there is.
        texts: utterances with a transcript.
        words: utterances with words.
        findings: what is not as it should be, how often, where, and what was done.
    """

    name: str
    task: Task
    targets: Mapping[str, Task]
    files: tuple[Mapping[str, Any], ...]
    ignored: tuple[str, ...]
    splits: Mapping[str, int] = field(default_factory=dict)
    streams: Mapping[Modality, StreamCount] = field(default_factory=dict)
    texts: int = 0
    words: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def layouts(self) -> tuple[str, ...]:
        """The layouts that were recognised, each once."""
        return tuple(dict.fromkeys(str(file["layout"]) for file in self.files))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-serialisable values."""
        tasks = {name: task.to_json() for name, task in self.targets.items()}
        return {"layouts": list(self.layouts), **asdict(self), "task": self.task.to_json(), "targets": tasks}


def import_data(
    paths: Sequence[Path],
    store: Path,
    *,
    name: str | None = None,
    task: Task | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import feature files into a store.

    Args:
        paths: files, or folders whose files are all tried (not those of their subfolders). Several are
            joined by id.
        store: the folder to make.
        name: the data set's name; its folder's by default (`data_set_name`).
        task: what the labels are; told from the labels by default. MOSEI's six emotions need
            `Labels(EMOTIONS)`.
        strict: any finding is an error, and nothing is written.
        overwrite: replace a store that exists.
        progress: called with (utterances done, utterances in all).

    Returns:
        What was found; the same is saved as the store's provenance.

    Raises: DataError if nothing can be read, a file is damaged or refused, files do not belong together,
        or `strict` and there is a finding.
    """
    inputs = _open(paths)
    findings = Findings()
    for source in inputs.sources:
        findings.take(source.notes)
    joined = join(inputs.sources, findings)
    with _where(", ".join(path.name for path in paths)):
        task = task or infer_task([utterance.row for utterance in joined])
        labelled = [(u, label) for u in joined if (label := label_of(u.row, task, findings)) is not None]
        rows = [utterance.row for utterance in joined]
        if not labelled:
            raise no_label(rows, task)
        target = target_name(task, rows)
        targets = other_targets(rows, target, task)
    specs = _specs([*inputs.sources, *inputs.timelines], has_text=any(u.row.text is not None for u in joined))
    name = name or data_set_name(paths[0])
    counts = _Counts(specs, sum(path.stat().st_size for path in inputs.files))
    with StoreWriter(
        store, name=name, task=task, specs=specs, target=target, targets=targets, overwrite=overwrite
    ) as writer:
        for done, (utterance, label) in enumerate(labelled, 1):
            complete = _utterance(utterance, label, task, inputs.timelines, specs, findings)
            complete = replace(complete, targets=other_labels(utterance.row, targets))
            counts.add(complete)
            writer.add(complete)
            if done % RELEASE_EVERY == 0:
                for source in inputs.sources:
                    source.release()
            if progress:
                progress(done, len(labelled))
        if strict and findings.all():
            raise DataError(_listed(findings.all()), fix="import without --strict to apply the rules")
        report = ImportReport(
            name=name,
            task=task,
            targets={target: task, **targets},
            files=tuple(inputs.described()),
            ignored=tuple(inputs.ignored),
            findings=findings.all(),
            **counts.report(),
        )
        writer.provenance = report.to_json()
    return report


@dataclass
class _Inputs:
    """The files that were found, and what is in them."""

    sources: list[Source] = field(default_factory=list)
    timelines: list[Timeline] = field(default_factory=list)
    files: dict[Path, tuple[str, str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def add(self, path: Path, parts: Sequence[Source | Timeline]) -> None:
        form = parts[0].form if isinstance(parts[0], Source) else ""
        self.files[path] = parts[0].layout, form
        for part in parts:
            if isinstance(part, Source):
                self.sources.append(part)
            else:
                self.timelines.append(part)

    def described(self) -> list[dict[str, Any]]:
        """Names only: a store must not tell where on a machine its sources lay."""
        return [
            {"name": path.name, "layout": layout, "form": form, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path, (layout, form) in self.files.items()
        ]


def _open(paths: Sequence[Path]) -> _Inputs:
    inputs = _Inputs()
    for path in dict.fromkeys(path.resolve() for path in paths):
        if path.is_dir():
            for file in sorted(file for file in path.iterdir() if file.is_file()):
                if foreign_kind(file) is None and (parts := open_source(file)):
                    inputs.add(file, parts)
                else:
                    inputs.ignored.append(file.name)
        elif path.exists() and not path.is_file():
            raise DataError("this is neither a file nor a folder", where=path.name)
        elif foreign := foreign_kind(path):
            raise DataError(f"this is {foreign[0]}, which cannot be read directly", where=path.name, fix=foreign[1])
        elif parts := open_source(path):
            inputs.add(path, parts)
        else:
            raise DataError(
                "the layout of the file is unknown",
                where=path.name,
                fix="see docs/data.md for the layouts, and for how to bring your own features",
            )
    if not inputs.sources:
        raise DataError(
            "nothing here can be imported",
            where=", ".join(path.name for path in paths),
            fix="give the folder that contains the files; see docs/data.md for the layouts",
        )
    return inputs


def _specs(parts: Sequence[Source | Timeline], *, has_text: bool) -> dict[Modality, FeatureSpec]:
    """The streams of the store; numeric text only where there is no transcript.

    Raises: DataError if two files hold the same modality, or one holds it in two widths.
    """
    specs: dict[Modality, FeatureSpec] = {}
    owner: dict[Modality, str] = {}
    for part in parts:
        for modality, spec in part.specs.items():
            if modality == TEXT and has_text:
                continue
            known = specs.setdefault(modality, spec)
            if owner.setdefault(modality, part.role) != part.role or known.width != spec.width:
                raise DataError(
                    f"{modality} occurs twice: {known.width} wide and {spec.width} wide",
                    where=part.file,
                    fix="give one file per modality",
                )
    return specs


def _utterance(
    joined: Joined,
    label: Any,
    task: Task,
    timelines: Sequence[Timeline],
    specs: Mapping[Modality, FeatureSpec],
    findings: Findings,
) -> Utterance:
    row = joined.row
    pieces: dict[Modality, Piece] = {}
    for source, index in joined.places:
        with _where(row.id), strange_file(source.file):
            pieces.update(source.read(index))
    row = _settled(row, timelines, findings)
    for timeline in timelines:
        if row.video not in timeline.videos or math.isnan(row.interval[0]):
            findings.add("utterances missing from a file", f"{timeline.file}: {row.id}")
            continue
        with strange_file(timeline.file):
            words, cut = timeline.cut(row)
        row = replace(row, words=row.words or words)
        pieces.update(cut)
    words = row.words
    streams, intervals = {}, {}
    for modality, piece in pieces.items():
        if modality not in specs:
            continue
        values = _cleaned(piece, f"{row.id} → {modality}", findings)
        if len(values):
            streams[modality] = values
            if piece.intervals is not None:
                intervals[modality] = piece.intervals
    return Utterance(
        id=row.id,
        split=row.split,
        video=row.video or row.id,
        speaker=row.speaker,
        text=" ".join(word.text for word in words) if row.text is None and words else row.text,
        words=words,
        streams=streams,
        intervals=intervals,
        label=label,
        unimodal=unimodal_of(row, task, findings),
    )


def _settled(row: Row, timelines: Sequence[Timeline], findings: Findings) -> Row:
    """The row with its interval mended, where the file is known to have it wrong and words can tell."""
    for timeline in timelines:
        if row.early and timeline.settle and row.video in timeline.videos:
            findings.add("intervals one word early", row.id)
            return timeline.settle(row)
    return row


@contextmanager
def _where(place: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(error.what, where=" → ".join(filter(None, (place, error.where))), fix=error.fix) from None


def _cleaned(piece: Piece, place: str, findings: Findings) -> NDArray[np.float32]:
    """Float32 copies of the rows, with NaN for whatever is not finite."""
    if not len(piece.values):
        findings.add("empty streams", place)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.array(piece.values, np.float32)
    broken = ~np.isfinite(values)
    if broken.any():
        count = int(broken.sum())
        findings.add("non-finite values", f"{place}: {count}", count)
        values[broken] = np.nan
    return values


class _Counts:
    """What goes into the store, counted on the way."""

    def __init__(self, specs: Mapping[Modality, FeatureSpec], read: int) -> None:
        self._room = MIN_OUTPUT + MAX_GROWTH * read
        self.splits: dict[str, int] = {}
        self.streams = {modality: StreamCount(width=spec.width) for modality, spec in specs.items()}
        self.texts = self.words = 0

    def add(self, utterance: Utterance) -> None:
        """Count an utterance.

        Raises: DataError if what is written has become far more than what was read: a small file can name the same
            long array a thousand times.
        """
        self._room -= sum(values.nbytes for values in utterance.streams.values())
        self._room -= len(utterance.text or "") + sum(len(word.text) for word in utterance.words)
        if self._room < 0:
            raise DataError(
                "refused: the store would become far larger than the files it comes from",
                where=utterance.id,
                fix="check where the files come from: they repeat the same content again and again",
            )
        self.splits[utterance.split] = self.splits.get(utterance.split, 0) + 1
        self.texts += utterance.text is not None
        self.words += bool(utterance.words)
        for modality, values in utterance.streams.items():
            self.streams[modality].utterances += 1
            self.streams[modality].rows += len(values)

    def report(self) -> dict[str, Any]:
        streams = {modality: count for modality, count in self.streams.items() if count.rows}
        return {"splits": self.splits, "streams": streams, "texts": self.texts, "words": self.words}


def _listed(findings: Sequence[Finding]) -> str:
    lines = (f"  {f.count} × {f.kind}, such as {f.examples[0]} ({f.rule})" for f in findings)
    return "\n".join(["the data has problems:", *lines])
