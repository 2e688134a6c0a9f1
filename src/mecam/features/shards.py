"""An extraction divided among processes that know nothing of each other, and its store out of what they made.

All shards compute the same plan: which recordings there are, their labels, task and splits. Shard i of n reads the
recordings i, i + n, i + 2 n … of it, and its folder holds what the store needs of these: their parts, their rows of the
label table, and why others gave nothing. `merge_shards` writes the store from these as `extract` does, byte for byte.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mecam.budget import small_json
from mecam.data.importing.sources.base import Row
from mecam.data.store.store import SHARD_FORMAT
from mecam.errors import ConfigError, DataError
from mecam.features.clips import Clip, Clips
from mecam.features.extract import Progress, make_parts, parts_beside
from mecam.features.extraction_cache import ExtractedRecording, FolderParts, key_of, read_part
from mecam.features.extraction_plan import Plan
from mecam.features.extraction_processes import Workers
from mecam.features.extraction_store import ExtractReport, write_store
from mecam.features.extractor import prepare
from mecam.features.find_media import shown
from mecam.features.recording import Recipe
from mecam.features.segmentation import has_silero
from mecam.files import claimed, replace_folder, write_whole
from mecam.hashes import check_files, check_record, record_sha256, sha256_of
from mecam.task import Task
from mecam.types import FeatureSpec
from mecam.version import __version__

__all__ = ["Shard", "ShardReport", "extract_shard", "is_shard", "merge_shards"]

VERSION = 1
CLIPS, MANIFEST, OWN = "clips.jsonl", "manifest.json", "manifest_sha256"
LABELLING = ("id", "split", "video", "speaker", "labels", "unimodal")
"""Fields of a row that the store needs."""
AGAIN = "extract this shard again"
MAX_LISTED = 20


@dataclass(frozen=True)
class Shard:
    """One of several shards.

    Attributes:
        number: from 1.
        count: of all shards.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `3/8`.

        Raises: ConfigError if it is something else.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(
                f"there is no shard {text!r}", where="--shard", fix="give NUMBER/COUNT, counted from 1, such as 3/8"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class ShardReport:
    """What a shard found.

    Attributes:
        shard: which of how many, as `3/8`.
        recordings: of this shard.
        all_recordings: of all shards.
        reused: recordings that an earlier, interrupted extraction of this shard had done.
        failures: id of a recording → why it gave nothing.
    """

    shard: str
    recordings: int
    all_recordings: int
    reused: int
    failures: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-serialisable values."""
        return asdict(self)


def extract_shard(
    plan: Plan,
    recipe: Recipe,
    folder: str | Path,
    shard: Shard,
    *,
    workers: Workers,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ShardReport:
    """Extract the recordings of one shard; like `extract`, it goes on after it was stopped.

    Args:
        plan: of the whole extraction.
        recipe: how recordings become utterances.
        folder: of the shard, to make.
        shard: which one.
        workers: what extracts.
        overwrite: replace a shard or a store that is there.
        progress: called with (recordings done, all of this shard).

    Raises: DataError if it cannot be written. That a shard holds nothing is no error.
    """
    folder, parts = Path(folder), parts_beside(Path(folder))
    clips = plan.found.clips[shard.number - 1 :: shard.count]
    mine = replace(plan, found=replace(plan.found, clips=clips))
    plan.writer(folder, overwrite=overwrite)  # says now that something is there already
    prepare(recipe.extractors)
    with claimed(folder):
        keys = {clip.id: key_of(clip, recipe) for clip in clips}
        reasons, reused = make_parts(mine, keys, recipe, parts, workers, progress)
        made = {clip.id: keys[clip.id] for clip in clips if clip.id not in reasons}
        parts.remove(parts.known() - set(made.values()))  # of an earlier recipe
        lines = [_line_of(clip, parts, made.get(clip.id), reasons.get(clip.id)) for clip in clips]
        write_whole(parts.folder / CLIPS, "".join(line + "\n" for line in lines))
        _write_manifest(parts.folder, plan, shard)
        replace_folder(parts.folder, folder)
    return ShardReport(str(shard), len(clips), len(plan.found.clips), reused, reasons)


def is_shard(folder: str | Path) -> bool:
    """Whether a folder is a shard of an extraction."""
    try:
        known = small_json(Path(folder) / MANIFEST)
    except DataError:
        return False
    return isinstance(known, dict) and known.get("format") == SHARD_FORMAT


def merge_shards(
    folders: Sequence[str | Path],
    store: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExtractReport:
    """Write the store of an extraction out of its shards: the same bytes as `extract` writes.

    Args:
        folders: all shards, in any order.
        store: the folder to make.
        overwrite: replace a store that exists.
        progress: called with (recordings written, all).

    Raises: DataError if a shard is missing, given twice, damaged or of another extraction; or as `extract`.
    """
    shards = _in_order([_Folder.open(Path(folder)) for folder in folders])
    entries = [entry for some in zip_longest(*(shard.entries() for shard in shards)) for entry in some if entry]
    plan = _plan_of(shards[0].manifest["plan"], [entry.clip for entry in entries])
    by_id = {entry.clip.id: entry for entry in entries}
    done = 0

    def read(clip: Clip) -> ExtractedRecording:
        nonlocal done
        done += 1
        if progress:
            progress(done, len(entries))
        return by_id[clip.id].read()

    reasons = {entry.clip.id: entry.reason for entry in entries if entry.reason is not None}
    return write_store(plan.writer(Path(store), overwrite=overwrite), plan, read, reasons)


@dataclass(frozen=True)
class _Entry:
    """A recording of a shard: its part, or why it has none."""

    clip: Clip
    folder: Path
    key: str | None
    sha256: str | None
    reason: str | None

    def read(self) -> ExtractedRecording:
        assert self.key is not None
        path = FolderParts(self.folder).path_of(self.key)
        part = read_part(path) if sha256_of(path) == self.sha256 else None
        if part is None:
            raise DataError(f"{path.name} was changed or is damaged", where=str(self.folder), fix=AGAIN)
        return part


@dataclass(frozen=True)
class _Folder:
    """A shard's folder."""

    folder: Path
    manifest: Mapping[str, Any]
    shard: Shard

    @classmethod
    def open(cls, folder: Path) -> "_Folder":
        """Read the manifest.

        Raises: DataError if it is no shard, of a newer version, or damaged.
        """
        if not is_shard(folder):
            raise DataError(
                "this is no shard of an extraction, and others of these are",
                where=str(folder),
                fix="merge the shards alone, then the store that they give with other stores",
            )
        manifest = small_json(folder / MANIFEST)
        check_record(manifest, OWN, folder / MANIFEST, fix=AGAIN)
        if manifest["version"] > VERSION:
            raise DataError("this shard is newer than this mecam reads", where=str(folder), fix="upgrade mecam")
        check_files(folder, manifest["sha256"], beside=MANIFEST, full=True, fix=AGAIN)
        return cls(folder, manifest, Shard(manifest["number"], manifest["count"]))

    def entries(self) -> Iterator[_Entry]:
        """Its recordings, in order."""
        with (self.folder / CLIPS).open(encoding="utf-8") as lines:
            for line in lines:
                known = json.loads(line)
                row = None if known["row"] is None else Row(**known["row"])
                clip = Clip(known["id"], Path(known["file"]), row)
                yield _Entry(clip, self.folder, known["part"], known["sha256"], known["reason"])


def _in_order(shards: Sequence[_Folder]) -> list[_Folder]:
    """The shards by their number.

    Raises: DataError if they are not all the shards of one extraction, each once.
    """
    first = shards[0]
    by_number: dict[int, _Folder] = {}
    for one in shards:
        if one.manifest["extraction"] != first.manifest["extraction"] or one.shard.count != first.shard.count:
            raise DataError(
                "these are shards of different extractions: the recordings, labels, options, versions or the number "
                "of shards differ",
                where=f"{first.folder} ({first.shard}) and {one.folder} ({one.shard})",
                fix="extract all shards with the same command, but for the number of the shard",
            )
        if (twice := by_number.setdefault(one.shard.number, one)) is not one:
            raise DataError(f"shard {one.shard} is given twice", where=f"{twice.folder} and {one.folder}")
    count = first.shard.count
    if missing := [str(number) for number in range(1, count + 1) if number not in by_number]:
        shown_numbers = ", ".join(missing[:MAX_LISTED]) + (" …" if len(missing) > MAX_LISTED else "")
        raise DataError(
            f"{len(missing)} of {count} shards are missing: {shown_numbers}",
            fix=f"extract them (--shard {missing[0]}/{count}), and give all of them",
        )
    return [by_number[number] for number in range(1, count + 1)]


def _line_of(clip: Clip, parts: FolderParts, key: str | None, reason: str | None) -> str:
    """What a shard keeps of a recording, as JSON; of its row what labels it, for the part holds the words."""
    row = None if clip.row is None else {name: getattr(clip.row, name) for name in LABELLING}
    sha256 = None if key is None else sha256_of(parts.path_of(key))
    known = {"id": clip.id, "file": shown(clip.path.name), "row": row}
    return json.dumps({**known, "part": key, "sha256": sha256, "reason": reason})


def _write_manifest(folder: Path, plan: Plan, shard: Shard) -> None:
    manifest: dict[str, Any] = {
        "format": SHARD_FORMAT,
        "version": VERSION,
        "written_by": f"mecam {__version__}",
        "extraction": _identity(plan),
        "number": shard.number,
        "count": shard.count,
        "plan": _plan_record(plan),
        "sha256": {CLIPS: sha256_of(folder / CLIPS)},
    }
    manifest[OWN] = record_sha256(manifest, OWN)
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _plan_record(plan: Plan) -> dict[str, Any]:
    """A plan without its recordings, as JSON-serialisable values."""
    found = {name: getattr(plan.found, name) for name in ("missing", "unlabelled", "left_out", "notes", "unusual")}
    return {
        **found,
        "name": plan.name,
        "task": plan.task.to_json(),
        "target": plan.target,
        "targets": {name: task.to_json() for name, task in plan.targets.items()},
        "specs": {modality: asdict(spec) for modality, spec in plan.specs.items()},
        "extracted": plan.extracted,
        "remarks": plan.remarks,
    }


def _plan_of(record: Mapping[str, Any], clips: Sequence[Clip]) -> Plan:
    """The inverse of `_plan_record`."""
    specs = {m: FeatureSpec(**{**spec, "names": tuple(spec["names"])}) for m, spec in record["specs"].items()}
    return Plan(
        found=Clips(
            tuple(clips),
            missing=tuple(record["missing"]),
            unlabelled=tuple(record["unlabelled"]),
            left_out=tuple(record["left_out"]),
            notes=tuple(record["notes"]),
            unusual=tuple((kind, example, count) for kind, example, count in record["unusual"]),
        ),
        name=record["name"],
        task=Task.from_json(record["task"]),
        target=record["target"],
        targets={name: Task.from_json(task) for name, task in record["targets"].items()},
        specs=specs,
        extracted=record["extracted"],
        remarks=record["remarks"],
    )


def _identity(plan: Plan) -> str:
    """A hash of all that the shards of one extraction have in common; where files lie is not part of it."""
    digest = hashlib.sha256(json.dumps([_plan_record(plan), __version__, has_silero()], sort_keys=True).encode())
    for clip in plan.found.clips:
        row = None if clip.row is None else asdict(clip.row)
        beside = [shown(path.name) for path in clip.transcript]
        digest.update(json.dumps([clip.id, shown(clip.path.name), clip.span, beside, row]).encode())
    return digest.hexdigest()
