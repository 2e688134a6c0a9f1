"""What was extracted from each recording, kept beside the store until it is whole, so that nothing is done twice.

One safetensors file per recording: its arrays, and the rest as JSON in the header. A file's name is a hash of all that
its content depends on; it is written under another name and renamed.
"""

import hashlib
import json
from collections.abc import Sequence
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
from mecam.files import whole_file
from mecam.types import Modality, Utterance
from mecam.version import __version__

__all__ = ["ExtractedRecording", "key_of", "read_part", "write_part"]


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
