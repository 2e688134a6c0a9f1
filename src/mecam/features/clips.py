"""Which recordings there are, and what is known about each: folders, lists, and label tables in the MMSA-FET layout."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mecam.data.sources.base import Row, make_id, split_ids
from mecam.data.sources.tables import read_labels
from mecam.errors import DataError
from mecam.features.transcript import transcript_beside

__all__ = ["MEDIA_SUFFIXES", "RENDERED", "Clip", "Clips", "find_clips"]

RENDERED = "rendered"
"""Name of a data set whose clips `mecam.features.talking` rendered."""

MEDIA_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ts",
        ".mts",
        ".3gp",
        ".ogv",
        ".wav",
        ".flac",
        ".mp3",
        ".m4a",
        ".aac",
        ".ogg",
        ".oga",
        ".opus",
        ".wma",
        ".aiff",
        ".aif",
    ]
)


@dataclass(frozen=True)
class Clip:
    """A recording, or a stretch of one, and what a table says about it.

    Attributes:
        id: of its utterance.
        path: the file.
        row: its row of the label table; None without one.
        transcript: files beside it that may say what is said, the likeliest first.
        span: the seconds that it is of the file; None where it is all of it.
        others: files that babble is made from, where it is to be damaged so.
    """

    id: str
    path: Path
    row: Row | None = None
    transcript: tuple[Path, ...] = ()
    span: tuple[float, float] | None = None
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Clips:
    """What was found.

    Attributes:
        clips: in a fixed order, whatever the order of the inputs' folders.
        missing: ids of label rows without a file.
        unlabelled: files without a label row, which are left out.
        name: of the data set.
    """

    clips: tuple[Clip, ...]
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    name: str = "clips"


def find_clips(inputs: Sequence[str | Path], labels: Path | None = None) -> Clips:
    """Find recordings and match them with their labels.

    Args:
        inputs: folders (searched through), media files, patterns with `*`, or `.txt` files that list paths, one a line.
            A single folder with a `label.csv` is read with it.
        labels: a table with video_id and clip_id (the file is `…/video_id/clip_id.mp4`, or one named
            `video_id_clip_id`), or with an id or a file column that names the file. With start and end, and no file of
            its own, a row is that stretch of the recording `video_id`.

    Raises: DataError if nothing is found.
    """
    files = list(_files(inputs))
    if not files:
        raise DataError("there is no video or sound file here", where=", ".join(map(str, inputs)))
    first = Path(inputs[0])
    if labels is None and len(inputs) == 1 and (first / "label.csv").is_file():
        labels = first / "label.csv"
    name = (first if first.is_dir() else first.parent).resolve().name or "clips"
    return Clips(_unlabelled(files), name=name) if labels is None else replace(_labelled(files, labels), name=name)


def _files(inputs: Sequence[str | Path]) -> Iterator[tuple[Path, str]]:
    """Every media file once, with its path below the input as a name."""
    seen: set[Path] = set()
    for path, name in (found for given in inputs for found in _of_input(given)):
        if (place := path.resolve()) not in seen:
            seen.add(place)
            yield path, name


def _of_input(given: str | Path) -> Iterator[tuple[Path, str]]:
    path = Path(given)
    if path.is_dir():
        found = (f for f in path.rglob("*") if f.suffix.lower() in MEDIA_SUFFIXES and not f.name.startswith("."))
        yield from sorted((file, file.relative_to(path).as_posix()) for file in found if file.is_file())
    elif path.suffix.lower() == ".txt" and path.is_file():
        lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
        for line in lines:
            if line and not line.startswith("#"):
                place = path.parent / line
                yield place, place.name
    elif any(mark in str(given) for mark in "*?[") and not path.exists():
        for match in sorted(glob.glob(str(given), recursive=True)):
            if Path(match).suffix.lower() in MEDIA_SUFFIXES:
                yield Path(match), Path(match).name
    elif path.exists():
        yield path, path.name
    else:
        raise DataError("there is no such file or folder", where=str(given))


def _unlabelled(files: Sequence[tuple[Path, str]]) -> tuple[Clip, ...]:
    """Ids from the paths; two files of one name in different places are told apart by a number."""
    clips, taken = [], set()
    for path, name in files:
        base = make_id("_".join(Path(name).with_suffix("").parts))
        key, number = base, 2
        while key in taken:
            key, number = f"{base}-{number}", number + 1
        taken.add(key)
        clips.append(Clip(key, path, transcript=transcript_beside(path)))
    return tuple(clips)


def _labelled(files: Sequence[tuple[Path, str]], labels: Path) -> Clips:
    places: dict[str, Path] = {}
    for path, name in files:
        for key in _keys(Path(name)):
            places.setdefault(key, path)
    clips, missing, taken = [], [], set()
    for row, named in read_labels(labels):
        if row.id in taken:
            continue
        taken.add(row.id)
        clip = _clip_of(row, named, places)
        if clip is None:
            missing.append(row.id)
        else:
            clips.append(clip)
    if not clips:
        raise DataError(
            f"none of the {len(missing)} labelled utterances has a file: no file is called {missing[0]!r} or the like"
            if missing
            else "the label table is empty",
            where=str(labels),
            fix="lay the clips down as Raw/video_id/clip_id.mp4, or add a column `file` to the table",
        )
    used = {clip.path for clip in clips}
    return Clips(tuple(clips), tuple(missing), tuple(name for path, name in files if path not in used))


def _keys(name: Path) -> Iterator[str]:
    """What a table may call a file."""
    yield from (name.as_posix(), name.name, name.stem)
    if name.parent.name:
        yield f"{name.parent.name}_{name.stem}"


def _clip_of(row: Row, named: str, places: dict[str, Path]) -> Clip | None:
    video, number = row.video, split_ids(row.id)[1]
    for key in (named, Path(named).name, row.id, f"{video}_{number}"):
        if key and key in places:
            return Clip(row.id, places[key], row, transcript_beside(places[key]))
    start, stop = row.interval
    if video in places and start < stop:
        return Clip(row.id, places[video], row, transcript_beside(places[video]), row.interval)
    return None
