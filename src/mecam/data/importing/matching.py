"""Find the same utterances in files that number them differently.

CMU-MOSEI's clips are counted in one file and named by their start in another; the SDK counts CMU-MOSI's
segments from 0, the tables from 1. Rows of two such files belong together when they lie in the same
recording and (a) the recording has as many rows in both and their labels agree one after the other, in
the order of time, or (b) their intervals overlap by more than half. Position in the file never counts.
"""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mecam.data.importing.sources.base import Row, Source

__all__ = ["rename_rows"]

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
