"""Join what several files say about the same utterances, by id, and decide what does not fit.

Every decision is counted: a `Findings` holds how often it was taken, with examples, and its rule.

Files may number the same utterances differently: CMU-MOSEI's clips are counted in one file and named by their start in
another; the SDK counts CMU-MOSI's segments from 0, the tables from 1. Rows of two such files belong together when they
lie in the same recording and (a) the recording has as many rows in both and their labels agree one after the other, in
the order of time, or (b) their intervals overlap by more than half. Position in the file never counts.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mecam.data.importing.sources.base import Note, Row, Source
from mecam.errors import DataError
from mecam.types import SPLITS

__all__ = ["EXAMPLES", "Finding", "Findings", "Joined", "join", "rename_rows"]

EXAMPLES = 5

RULES = {
    "non-finite values": "NaN or infinity; kept as NaN, which means missing",
    "empty streams": "nothing but padding; the modality is absent from the utterance",
    "duplicate ids": "the first one in the file is kept",
    "ids in two splits": "kept once: in test before valid before train, so that nothing tested is trained on",
    "rows without a common id": "matched by recording and time, or by recording, order and label",
    "unmatched rows": "no label, or no split, in any file; left out",
    "utterances missing from a file": "kept; what the file would give is absent",
    "conflicting labels": "files differ by more than 0.001; the label of the file with the features stands",
    "intervals one word early": "begins and ends at the end of the words that it names (CMU-MOSI's label file)",
    "missing labels": "left out",
    "labels out of range": "a little beyond the scale; set to its end",
    "unknown classes": "not among the task's classes; left out",
    "other entries": "beside the splits in the file; not read",
    "other encodings": "found out by the letters, and certain; a table in UTF-8 needs no finding out",
    "unusual delimiters": "what separates the columns of the table",
    "decimal commas": "1,4 is read as 1.4",
    "percentages": "50 % is read as 0.5",
    "cells that are no number": "kept as NaN, which means missing",
    "columns without numbers": "no features; left out",
    "row numbers": "the row's number is no feature (pandas writes its index so); left out",
}


@dataclass(frozen=True)
class Finding:
    """Something in the data that is not as it should be.

    Attributes:
        kind: what it is, one of a fixed list.
        count: how often it occurs.
        examples: at most five places.
        rule: what is done about it.
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    rule: str


class Findings:
    """Counts findings while data are read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys(RULES, 0)
        self._examples: dict[str, list[str]] = {kind: [] for kind in RULES}

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Count a finding."""
        self._counts[kind] += count
        if len(self._examples[kind]) < EXAMPLES:
            self._examples[kind].append(example)

    def take(self, notes: Sequence[Note]) -> None:
        """Count what reading a file has brought."""
        for kind, example, count in notes:
            self.add(kind, example, count)

    def all(self) -> tuple[Finding, ...]:
        """What was found, in the order of the rules."""
        return tuple(
            Finding(kind, count, tuple(self._examples[kind]), RULES[kind])
            for kind, count in self._counts.items()
            if count
        )


@dataclass(frozen=True)
class Joined:
    """One utterance and where its features lie.

    Attributes:
        row: everything but features, from all files.
        places: (source, position in it) of every file that has features for it.
    """

    row: Row
    places: tuple[tuple[Source, int], ...]


@dataclass(frozen=True)
class _Place:
    source: Source
    index: int

    @property
    def row(self) -> Row:
        return self.source.rows[self.index]


_Index = dict[str, dict[str, _Place]]
"""Role → id → place."""


def join(sources: Sequence[Source], findings: Findings) -> list[Joined]:
    """Bring the rows of all sources together by id, in the order of the source that leads.

    The sources that have labels and features lead, then those with labels. An utterance is kept when
    some source labels it and, where any source tells splits, one tells its split.

    Raises: DataError if a file shares no id with the others.
    """
    ordered = _with_common_ids(sorted(sources, key=_lead), findings)
    index = _indexed(ordered, _splits(ordered, findings), findings)
    needs_split = any(row.split for source in sources for row in source.rows)
    ids = list(dict.fromkeys(name for places in index.values() for name in places))
    joined = {}
    for name in ids:
        places = [places[name] for places in index.values() if name in places]
        row = _merged([place.row for place in places], findings)
        if row.labels and (row.split or not needs_split):
            joined[name] = Joined(row, tuple((p.source, p.index) for p in places if p.source.specs))
    _report_mismatches(index, joined, findings)
    return sorted(joined.values(), key=lambda utterance: _split_order(utterance.row.split))


def _with_common_ids(sources: Sequence[Source], findings: Findings) -> list[Source]:
    leader = sources[0]
    leaders = [row for source in sources if source.role == leader.role for row in source.rows]
    renamed = [rename_rows(leader, source, leaders) for source in sources]
    for source, count in renamed:
        if count:
            findings.add("rows without a common id", source.file, count)
    return [source for source, _ in renamed]


def _lead(source: Source) -> tuple[bool, bool, bool, int]:
    labelled, assigned = any(row.labels for row in source.rows), any(row.split for row in source.rows)
    return (
        not labelled,
        not source.specs,
        not assigned,
        min((_split_order(row.split) for row in source.rows), default=0),
    )


def _split_order(split: str) -> int:
    return SPLITS.index(split) if split else -1


def _splits(sources: Sequence[Source], findings: Findings) -> dict[str, str]:
    """The one split of every id that has any."""
    splits: dict[str, str] = {}
    for row in (row for source in sources for row in source.rows if row.split):
        known = splits.setdefault(row.id, row.split)
        if known != row.split:
            findings.add("ids in two splits", f"{row.id}: {known} and {row.split}")
            splits[row.id] = max(known, row.split, key=_split_order)
    return splits


def _indexed(sources: Sequence[Source], splits: Mapping[str, str], findings: Findings) -> _Index:
    index: _Index = {}
    for source in sources:
        places = index.setdefault(source.role, {})
        for position, row in enumerate(source.rows):
            if row.split and row.split != splits[row.id]:
                continue
            if row.id in places:
                findings.add("duplicate ids", f"{source.file}: {row.id}")
            else:
                places[row.id] = _Place(source, position)
    return index


def _merged(rows: Sequence[Row], findings: Findings) -> Row:
    """One row from several; of each field the first that says something stands."""
    merged = rows[0]
    for row in rows[1:]:
        first, second = merged.labels.get("score"), row.labels.get("score")
        if isinstance(first, float) and isinstance(second, float) and abs(first - second) > 1e-3:
            findings.add("conflicting labels", f"{row.id}: {first:g} and {second:g}")
        merged = replace(
            merged,
            split=merged.split or row.split,
            video=merged.video or row.video,
            speaker=merged.speaker or row.speaker,
            text=row.text if merged.text is None else merged.text,
            words=merged.words or row.words,
            labels={**merged.labels, **row.labels, **{k: v for k, v in merged.labels.items() if v == v}},
            unimodal={**row.unimodal, **merged.unimodal},
            interval=row.interval if math.isnan(merged.interval[0]) else merged.interval,
            early=row.early if math.isnan(merged.interval[0]) else merged.early,
            scored=merged.scored or row.scored,
        )
    return merged


def _report_mismatches(index: _Index, joined: Mapping[str, Joined], findings: Findings) -> None:
    for role, places in index.items():
        others = {name for key, other in index.items() if key != role for name in other}
        if places and others and not others & places.keys():
            if joined.keys() & places.keys():
                continue  # a data set that is spread over files, each whole in itself
            raise DataError(
                f"it shares no id with the other files: it has {min(places)!r}, they have {min(others)!r}",
                where=role,
                fix="name files of the same data set; ids are `video_clip`",
            )
        for name in places.keys() - joined.keys():
            findings.add("unmatched rows", f"{role}: {name}")
        for name in joined.keys() - places.keys():
            findings.add("utterances missing from a file", f"{role}: {name}")


_SAME = 1e-3


def rename_rows(leader: Source, source: Source, leaders: Sequence[Row]) -> tuple[Source, int]:
    """Give the rows of `source` the ids that the same utterances have in `leaders`.

    A source that shares at least half of its ids with the leaders is left as it is.

    Args:
        leader: the source that leads, for its role.
        source: the other one.
        leaders: all rows with the leader's role.

    Returns:
        The source, with new ids where they were found, and how many.
    """
    known = {row.id for row in leaders}
    shared = sum(row.id in known for row in source.rows)
    if source.role == leader.role or 2 * shared >= len(source.rows):
        return source, 0
    theirs, ours = _by_video(leaders), _by_video(source.rows)
    names: dict[str, str] = {}
    for video in ours.keys() & theirs.keys():
        names |= _in_order(ours[video], theirs[video]) or _by_overlap(ours[video], theirs[video])
    rows = [replace(row, id=names.get(row.id, row.id)) for row in source.rows]
    return replace(source, rows=rows), len(names)


def _by_video(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of every recording, in the order of time, or of the clip's number where there is no time."""
    videos: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.video:
            videos[row.video].append(row)
    return {video: sorted(clips, key=_moment) for video, clips in videos.items()}


def _moment(row: Row) -> tuple[float, ...]:
    if not math.isnan(row.interval[0]):
        return (row.interval[0],)
    numbers = re.findall(r"\d+", row.id.removeprefix(row.video))
    return tuple(float(number) for number in numbers[:4])


def _in_order(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, str]:
    if len(ours) != len(theirs):
        return {}
    for our, their in zip(ours, theirs, strict=True):
        first, second = our.labels.get("score"), their.labels.get("score")
        if not (isinstance(first, float) and isinstance(second, float) and abs(first - second) <= _SAME):
            return {}
    return {our.id: their.id for our, their in zip(ours, theirs, strict=True)}


def _by_overlap(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, str]:
    names: dict[str, str] = {}
    for our in ours:
        best = max(theirs, key=lambda their: _overlap(our, their))
        if _overlap(our, best) > 0.5 and best.id not in names.values():
            names[our.id] = best.id
    return names


def _overlap(one: Row, other: Row) -> float:
    """Common time over the time of both, 0 to 1; 0 where a time is unknown."""
    (start, stop), (begin, end) = one.interval, other.interval
    both = max(stop, end) - min(start, begin)
    if math.isnan(start) or math.isnan(begin) or both <= 0:
        return 0.0
    return max(0.0, min(stop, end) - max(start, begin)) / both
