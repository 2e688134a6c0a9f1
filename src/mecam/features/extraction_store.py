"""The store of an extraction, out of its plan and the parts of its recordings, however these were made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mecam.data.importing.joining import Finding, Findings
from mecam.data.importing.labels import label_of, other_labels, unimodal_of
from mecam.data.store import StoreWriter
from mecam.errors import DataError
from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording
from mecam.features.extraction_plan import Plan
from mecam.features.find_media import shown
from mecam.task import Task
from mecam.types import Modality, Utterance

__all__ = ["ExtractReport", "Failure", "ReadPart", "write_store"]

MAX_FINDINGS = 50
"""Findings that the manifest lists; the number of all is beside them."""

ReadPart = Callable[[Clip], ExtractedRecording | str]
"""The part of a recording, or why there is none; it may wait until it is made. DataError if it is missing."""


@dataclass(frozen=True)
class Failure:
    """A recording that gave nothing.

    Attributes:
        id: of the clip.
        file: its name.
        reason: in a sentence.
    """

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class ExtractReport:
    """What an extraction found and made.

    Attributes:
        name: the data set's name.
        task: what its labels are; scores, where there are none.
        recordings: files that gave utterances.
        reused: of these, how many an earlier, interrupted extraction had done.
        utterances: in the store.
        rows: modality → rows in the store.
        failures: what gave nothing, in the order of the clips.
        absent: modality → reason → recordings.
        findings: odd things about the labels and their tables.
        oddities: odd things about recordings: id and sentence.
        notes: how the tables are written, what was decided about them and the splits, in sentences.
        left_out: files in the folders that are no recordings, as far as can be told.
    """

    name: str
    task: Task
    recordings: int
    reused: int
    utterances: int
    rows: dict[Modality, int]
    failures: tuple[Failure, ...] = ()
    absent: dict[Modality, dict[str, int]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    oddities: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-serialisable values."""
        return {**asdict(self), "task": self.task.to_json()}


def write_store(writer: StoreWriter, plan: Plan, read: ReadPart, *, reused: int = 0) -> ExtractReport:
    """Bring the parts together, in the order of the clips.

    Args:
        writer: `plan.writer`.
        plan: of the extraction.
        read: gives the part of a clip.
        reused: how many parts were made before.

    Raises: DataError if no recording gave anything, or the store cannot be written.
    """
    clips = plan.found.clips
    failures: dict[str, Failure] = {}
    parts = 0
    findings = Findings()
    findings.take(plan.found.unusual)
    absent: dict[Modality, dict[str, int]] = {}
    rows: dict[Modality, int] = {}
    oddities: list[tuple[str, str]] = []
    taken: set[str] = set()
    with writer:
        for clip in clips:
            part = read(clip)
            if isinstance(part, str):
                failures[clip.id] = _failure(clip, part)
                continue
            parts += 1
            oddities += [(clip.id, finding) for finding in part.findings]
            for modality, reason in part.absent.items():
                of_modality = absent.setdefault(modality, {})
                of_modality[reason] = of_modality.get(reason, 0) + 1
            for utterance in _with_own_ids(part.utterances, taken, oddities):
                try:
                    writer.add(_labelled(utterance, clip, writer, findings))
                except DataError as error:
                    if isinstance(error.__cause__, OSError):  # the disk, not the recording
                        raise
                    failures[clip.id] = _failure(clip, f"{utterance.id}: {error.what}")
                    continue
                for modality, values in utterance.streams.items():
                    rows[modality] = rows.get(modality, 0) + len(values)
        if failures and not parts:
            first = next(iter(failures.values()))
            raise DataError(f"none of {len(clips)} recordings could be extracted: {first.reason}", where=first.file)
        lost = [Failure(name, "", "no file for this row of the label table") for name in plan.found.missing]
        report = ExtractReport(
            name=writer.name,
            task=writer.task,
            recordings=len(clips) - len(failures),
            reused=reused,
            utterances=writer.count,
            rows=rows,
            failures=(*(failures[c.id] for c in clips if c.id in failures), *lost),
            absent=absent,
            findings=findings.all(),
            oddities=tuple(oddities),
            notes=plan.found.notes,
            left_out=plan.found.left_out,
        )
        writer.provenance = {**_provenance(report, plan), **plan.remarks}
    return report


def _failure(clip: Clip, reason: str) -> Failure:
    return Failure(clip.id, shown(clip.path.name), reason)


def _with_own_ids(
    utterances: Sequence[Utterance], taken: set[str], oddities: list[tuple[str, str]]
) -> Iterator[Utterance]:
    """Utterances whose ids no other has: piece 1 of `talk` is called as the file `talk_1` is."""
    for utterance in utterances:
        name, number = utterance.id, 2
        while name in taken:
            name, number = f"{utterance.id}-{number}", number + 1
        taken.add(name)
        if name != utterance.id:
            oddities.append((name, f"another utterance has the id {utterance.id}"))
        yield replace(utterance, id=name)


def _labelled(utterance: Utterance, clip: Clip, writer: StoreWriter, findings: Findings) -> Utterance:
    row = clip.row
    if row is None:
        return utterance
    return replace(
        utterance,
        split=row.split,
        video=row.video or clip.id,
        speaker=row.speaker,
        label=label_of(row, writer.task, findings) if row.labels else None,
        targets=other_labels(row, writer.targets),
        unimodal=unimodal_of(row, writer.task, findings),
    )


def _provenance(report: ExtractReport, plan: Plan) -> dict[str, Any]:
    """What the store remembers: nothing of this machine, nothing of how the work was divided."""
    return {
        "extracted": plan.extracted,
        "recordings": report.recordings,
        "failures": [asdict(failure) for failure in report.failures],
        "unlabelled": len(plan.found.unlabelled),
        "left_out": len(plan.found.left_out),
        "notes": list(plan.found.notes),
        "absent": report.absent,
        "findings": [asdict(finding) for finding in report.findings],
        "oddities": {"count": len(report.oddities), "first": [list(o) for o in report.oddities[:MAX_FINDINGS]]},
    }
