"""Which file a row of a label table means, and by what id it goes: as the table says it, never by guessing.

A path is taken as given: absolute, relative to the table, relative to the folder of the recordings. One of another
machine is found by its end, where only one file has it. What may be two files is an error that names both.
"""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mecam.data.importing.sources.base import Note, Row, make_id, split_ids, split_in_name
from mecam.data.importing.sources.tables import LabelTable, id_of_file, read_labels
from mecam.errors import DataError
from mecam.features.find_media import MEDIA_SUFFIXES, VIDEO_SUFFIXES, Place, plain, shown

__all__ = ["Match", "Matches", "id_of_place", "match_rows"]

_OF_MELD = re.compile(r"dia\d+_utt\d+")
"""MELD numbers its clips anew in each split."""
_MAX_EXAMPLES = 5
"""Examples that an error names."""


@dataclass(frozen=True)
class Match:
    """A row and its file.

    Attributes:
        row: of the table.
        place: the file.
        span: the seconds that it is of the file; None where it is all of it.
    """

    row: Row
    place: Place
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Matches:
    """The rows of the tables, in their order.

    Attributes:
        found: those with a file.
        missing: ids of those without one.
        notes: how the tables are written and what was decided, in sentences.
        unusual: what was unusual in the tables.
        told: True if the tables say which recording a row is from; else it is guessed from the ids.
    """

    found: tuple[Match, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    unusual: tuple[Note, ...]
    told: bool


@dataclass(frozen=True)
class _Named:
    """A row, the file that it names or "", and how many parts of that path differ within the table."""

    row: Row
    named: str
    table: Path
    telling: int

    @property
    def called(self) -> str:
        """What the row calls its recording, folders apart."""
        return _last(self.named) or self.row.id

    @property
    def of_meld(self) -> bool:
        """True if the name is one that MELD gives anew in each split."""
        return _OF_MELD.fullmatch(Path(self.called).stem) is not None


def _shared(rows: Sequence[_Named]) -> dict[str, set[tuple[str, str]]]:
    """What recordings are called → the paths and the splits of the rows that call one so."""
    shared: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in rows:
        shared[one.called].add(("/".join(_parts(one.named)), one.row.split))
    return shared


def match_rows(tables: Sequence[Path], places: Sequence[Place]) -> Matches:
    """Find the file of every row.

    Raises: DataError if a row may mean several files, or an id stands for different things.
    """
    read = {table: read_labels(table) for table in tables}
    rows = [row for table in tables for row in _rows_of(table, read[table])]
    index, shared = _Index(places), _shared(rows)
    found: list[tuple[Match, str]] = []
    missing: list[str] = []
    doubtful: list[str] = []
    by_split = 0
    for one in rows:
        split = one.row.split
        candidates, span = _candidates(one, index, unique=len(shared[one.called]) == 1)
        told = [place for place in candidates if split and _split_of(place) == split]
        if len(candidates) > 1 and len(told) == 1:
            by_split, candidates = by_split + 1, told
        elif one.of_meld or len({other for _, other in shared[one.called]}) > 1:
            # The same name in another split's folder is another clip.
            candidates = [place for place in candidates if not split or _split_of(place) in ("", split)]
        if len(candidates) > 1:
            doubtful.append(f"{one.called} ({' or '.join(shown(p.name) for p in candidates[:_MAX_EXAMPLES])})")
        elif candidates:
            found.append((Match(one.row, candidates[0], span), one.named))
        else:
            missing.append(one.row.id)
    if doubtful:
        raise DataError(
            f"{len(doubtful)} rows may mean more than one file: {', '.join(doubtful[:_MAX_EXAMPLES])}",
            where=", ".join(table.name for table in tables),
            fix="name each row's file in a column `file`, by its path below the folder of the recordings",
        )
    notes = [f"{shown(table.name)}: {content.form}" for table, content in read.items()]
    if by_split:
        notes.append(
            f"{by_split} rows may mean several files of one name; the one in the folder of their split is taken"
        )
    found = _stretches(found)
    whole = sum(1 for match, named in found if named and match.span is None and _timed(match.row))
    if whole:
        notes.append(
            f"{whole} rows name a file of their own and times: all of the file is taken, the times are not used"
        )
    own = _with_ids(found, notes, tables)
    unusual = tuple(note for content in read.values() for note in content.notes)
    sure = all(content.tells_recordings for content in read.values())
    return Matches(own, tuple(missing), tuple(notes), unusual, told=sure)


def id_of_place(name: str) -> str:
    """An id from a file's path below its input; whatever cannot be in an id is replaced."""
    base = shown(plain("_".join(Path(name).with_suffix("").parts)))
    clean = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in base)[:180].strip()
    return make_id(clean if clean.strip(".") else "clip")


def _rows_of(table: Path, content: LabelTable) -> Iterator[_Named]:
    rows = content.rows
    folders = [_parts(named)[:-1] for _, named in rows if named]
    levels = zip(*folders, strict=False)  # as deep as the shallowest
    common = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
    return (_Named(row, named, table, len(_parts(named)) - common) for row, named in rows)


def _candidates(one: _Named, index: "_Index", *, unique: bool) -> tuple[list[Place], tuple[float, float] | None]:
    """The files that a row may mean, and the stretch of the recording where it has no file of its own."""
    row = one.row
    candidates = index.named(one, unique=unique) if one.named else []
    if not candidates and (not one.named or "." not in _last(one.named)):
        for key in (row.id, f"{row.video}_{split_ids(row.id)[1]}"):
            candidates = candidates or index.called(key)
    if candidates or not _timed(row) or one.named:
        return candidates, None
    return index.called(row.video), row.interval


def _timed(row: Row) -> bool:
    return row.interval[0] < row.interval[1]


def _stretches(found: Sequence[tuple[Match, str]]) -> list[tuple[Match, str]]:
    """Rows that name the same file with different times are stretches of it."""
    times: dict[Path, set[tuple[float, float]]] = defaultdict(set)
    for match, named in found:
        if named and _timed(match.row):
            times[match.place.path].add(match.row.interval)
    return [
        (replace(match, span=match.row.interval), named)
        if named and _timed(match.row) and len(times[match.place.path]) > 1
        else (match, named)
        for match, named in found
    ]


def _with_ids(found: Sequence[tuple[Match, str]], notes: list[str], tables: Sequence[Path]) -> tuple[Match, ...]:
    """Every row under an id of its own; one that is said twice in the same words is left out."""
    groups: dict[str, list[Match]] = defaultdict(list)
    order: list[Match] = []
    for match, named in found:
        row = match.row
        if named and len(_parts(named)) > 1 and row.id == id_of_file(named):
            own = id_of_place(match.place.name)
            match = replace(match, row=replace(row, id=own, video=own))
        if not any(_same(match, other) for other in groups[match.row.id]):
            groups[match.row.id].append(match)
            order.append(match)
    if len(order) < len(found):
        notes.append(f"{len(found) - len(order)} rows repeat another one; they are left out")
    names = {id: iter(_told_apart(id, same, tables)) for id, same in groups.items() if len(same) > 1}
    if any(len({m.row.split for m in groups[id]}) > 1 for id in names):
        notes.append("some ids occur in several splits; the split is made part of them")
    return tuple(next(names[m.row.id]) if m.row.id in names else m for m in order)


def _same(one: Match, other: Match) -> bool:
    """True if two matches say the same; compared as text, as a time that is not known equals nothing."""
    return repr(one) == repr(other)


def _told_apart(id: str, same: Sequence[Match], tables: Sequence[Path]) -> list[Match]:
    """Rows of one id under ids of their own: by split where each has another, by number where they are stretches."""
    splits = [match.row.split for match in same]
    if all(splits) and len(set(splits)) == len(same) and len({match.place.path for match in same}) == len(same):
        named = [(f"{m.row.split}_{id}", f"{m.row.split}_{m.row.video or id}") for m in same]
    elif all(match.span for match in same) and len({(match.place.path, match.span) for match in same}) == len(same):
        width = len(str(len(same)))
        named = [(f"{id}_{k:0{width}}", match.row.video or id) for k, match in enumerate(same, 1)]
    else:
        raise DataError(
            f"the id {id!r} stands in {len(same)} rows that differ",
            where=", ".join(table.name for table in tables),
            fix="give each row an id of its own, or one label",
        )
    return [replace(m, row=replace(m.row, id=name, video=video)) for m, (name, video) in zip(same, named, strict=True)]


def _split_of(place: Place) -> str:
    """The split that the nearest telling folder of a file names, from the folder of the recordings on; or ""."""
    parts = Path(place.name).parts[:-1]
    root = place.path.absolute().parts[: -len(parts) - 1][-1:]
    return next((split for part in reversed((*root, *parts)) if (split := split_in_name(part))), "")


class _Index:
    """The files by all that a table may call them; names are compared in one form of Unicode."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._exact: dict[str, list[Place]] = defaultdict(list)
        self._called: dict[str, list[Place]] = defaultdict(list)
        self._ends: dict[str, list[Place]] = defaultdict(list)
        for place in places:
            name = Path(plain(place.name))
            for key in {str(place.path.absolute()), os.path.realpath(place.path)}:
                self._exact[plain(key)].append(place)
            self._exact[name.as_posix()].append(place)
            keys = {name.as_posix(), name.name, name.stem}
            folder = name.parent.name or plain(place.path.absolute().parent.name)
            for key in {*keys, f"{folder}_{name.stem}"}:
                self._called[key].append(place)
            for key in {name.name, name.stem}:
                self._ends[key].append(place)
        self._folded = {id(table): _by_folded(table) for table in (self._exact, self._called, self._ends)}

    def called(self, key: str) -> list[Place]:
        """The files of this id; of a video and a sound file side by side, the video."""
        return _one_of_twins(self._look(self._called, plain(key))) if key else []

    def named(self, one: _Named, *, unique: bool) -> list[Place]:
        """The files that a path in a table may mean."""
        parts = _parts(one.named)
        if not parts:
            return []
        path = "/".join(parts)
        there = os.path.normpath(os.path.join(os.path.realpath(one.table.parent), one.named.replace("\\", "/").strip()))
        exact = [*self._look(self._exact, plain(there)), *self._look(self._exact, path)]
        if exact:
            return list(dict.fromkeys(exact))
        known = Path(parts[-1]).suffix.lower() in MEDIA_SUFFIXES
        ends = [
            p for p in self._look(self._ends, parts[-1]) if not known or plain(p.path.name).lower() == parts[-1].lower()
        ]
        lengths = {place: _common_end(parts, _parts(str(place.path.absolute()))) for place in ends}
        best = max(lengths.values(), default=0)
        winners = _one_of_twins([place for place, length in lengths.items() if length == best])
        told = split_in_name("_".join(parts[:-1]))
        winners = [place for place in winners if not told or _split_of(place) in ("", told)]
        sure = best >= min(one.telling, len(parts)) or (unique and len(ends) == 1)
        return winners if sure else []

    def _look(self, table: Mapping[str, list[Place]], key: str) -> list[Place]:
        """What a key leads to; as a last resort without regard to capitals, where that is one file."""
        if key in table:
            return table[key]
        folded = self._folded[id(table)].get(key.casefold(), [])
        return folded if len(folded) == 1 else []


def _by_folded(table: Mapping[str, list[Place]]) -> dict[str, list[Place]]:
    folded: dict[str, list[Place]] = defaultdict(list)
    for key, places in table.items():
        folded[key.casefold()] += [place for place in places if place not in folded[key.casefold()]]
    return folded


def _one_of_twins(places: list[Place]) -> list[Place]:
    """Files that differ in their ending only are one recording: the one video among them holds all of it."""
    stems = {place.path.with_suffix("") for place in places}
    videos = [place for place in places if place.path.suffix.lower() in VIDEO_SUFFIXES]
    return videos if len(places) > 1 and len(stems) == 1 and len(videos) == 1 else list(dict.fromkeys(places))


def _parts(path: str) -> list[str]:
    """The parts of a path of any system, without drive, `.` and what is before `..`."""
    parts: list[str] = []
    for part in re.split(r"[\\/]+", plain(path.strip())):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", ".") and not (not parts and re.fullmatch(r"[A-Za-z]:", part)):
            parts.append(part)
    return parts


def _last(path: str) -> str:
    parts = _parts(path)
    return parts[-1] if parts else ""


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a.casefold() != b.casefold() and Path(b).stem != a:
            break
        count += 1
    return count
