"""Which recordings there are, and what is known about each: folders, lists, and label tables in the MMSA-FET layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mecam.data.importing.sources.base import Note, Row, data_set_name
from mecam.data.operations.split import first_splits
from mecam.errors import DataError
from mecam.features.find_media import Place, find_media, shown
from mecam.features.label_matching import id_of_place, match_rows
from mecam.features.text import transcript_beside
from mecam.types import SPLITS

__all__ = ["Clip", "Clips", "Tables", "find_clips", "with_splits"]

Tables = Path | Sequence[Path] | None
"""A label table, or several: one per split."""


@dataclass(frozen=True)
class Clip:
    """A recording, or a stretch of one, and what a table says about it.

    Attributes:
        id: of its utterance.
        path: the file.
        row: its row of the label table; None without one.
        transcript: files beside it that may say what is said, the likeliest first.
        span: the seconds that it is of the file; None where it is all of it.
        others: files that babble is made from, where it is asked for.
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
        left_out: files in the folders that may have been meant and are no recordings, as far as can be told.
        notes: how the tables are written and what was decided, in sentences.
        unusual: what was unusual in the tables.
        told: True if the table says which recording a clip is from; else it is guessed from the ids.
    """

    clips: tuple[Clip, ...]
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    name: str = "clips"
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unusual: tuple[Note, ...] = ()
    told: bool = True


def find_clips(inputs: Sequence[str | Path], labels: Tables = None) -> Clips:
    """Find recordings and match them with their labels.

    Args:
        inputs: folders (searched through), media files, patterns with `*`, or `.txt` files that list paths, one a line.
            A single folder with a `label.csv` is read with it.
        labels: tables with a column file that names the file (absolute, relative to the table or to the folder), or
            with video_id and clip_id (the file is `…/video_id/clip_id.mp4`, or one named `video_id_clip_id`), or with
            an id that names the file; or MELD's own. With start and end, and no file of its own, a row is that stretch
            of the recording `video_id`.

    Raises: DataError if nothing is found, or a row may mean several files.
    """
    found = find_media(inputs)
    if not found.places:
        left = f"; {len(found.left_out)} files were left out: {', '.join(found.left_out[:5])}" if found.left_out else ""
        raise DataError(f"there is no video or sound file here{left}", where=", ".join(map(str, inputs)))
    first = Path(inputs[0])
    if labels is None and len(inputs) == 1 and (first / "label.csv").is_file():
        labels = first / "label.csv"
    tables = () if labels is None else (labels,) if isinstance(labels, Path) else tuple(labels)
    clips = _labelled(found.places, tables) if tables else Clips(_unlabelled(found.places))
    return replace(clips, name=shown(data_set_name(first)), left_out=found.left_out, notes=(*found.notes, *clips.notes))


def with_splits(found: Clips) -> Clips:
    """Labelled clips of which no row has a split, with splits, so that a model can be trained; else as they are."""
    rows = [clip.row for clip in found.clips if clip.row is not None]
    without = sum(1 for row in rows if not row.split)
    if not any(row.labels for row in rows) or not without:
        return found
    if without < len(rows):
        note = f"{without} of {len(rows)} rows have no split: they are in the store, but not used for training or test"
        return replace(found, notes=(*found.notes, note))
    own_file = len({clip.path for clip in found.clips}) == len(rows)
    if not found.told and own_file and len({row.video for row in rows}) < len(SPLITS):
        rows = [replace(row, video=row.id) for row in rows]  # ids such as clip_001 tell no recording
    splits, how = first_splits([row.video or row.id for row in rows], [row.speaker for row in rows])
    note = f"no row has a split; {how}. `mecam data split` makes others"
    clips = (replace(c, row=replace(row, split=s)) for c, row, s in zip(found.clips, rows, splits, strict=True))
    return replace(found, clips=tuple(clips), notes=(*found.notes, note))


def _unlabelled(places: Sequence[Place]) -> tuple[Clip, ...]:
    """Ids from the paths; two files of one name in different places are told apart by a number."""
    clips, taken = [], set()
    for place in places:
        base = id_of_place(place.name)
        key, number = base, 2
        while key in taken:
            key, number = f"{base}-{number}", number + 1
        taken.add(key)
        clips.append(Clip(key, place.path, transcript=transcript_beside(place.path)))
    return tuple(clips)


def _labelled(places: Sequence[Place], tables: Sequence[Path]) -> Clips:
    matches = match_rows(tables, places)
    if not matches.found:
        missing = matches.missing
        raise DataError(
            f"none of the {len(missing)} labelled utterances has a file: no file is called {missing[0]!r} or the like"
            if missing
            else "the label table is empty",
            where=", ".join(map(str, tables)),
            fix="lay the clips down as Raw/video_id/clip_id.mp4, or add a column `file` to the table",
        )
    clips = tuple(Clip(m.row.id, m.place.path, m.row, transcript_beside(m.place.path), m.span) for m in matches.found)
    used = {clip.path for clip in clips}
    unlabelled = tuple(shown(place.name) for place in places if place.path not in used)
    return Clips(clips, matches.missing, unlabelled, notes=matches.notes, unusual=matches.unusual, told=matches.told)
