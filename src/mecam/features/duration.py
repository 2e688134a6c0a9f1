"""How long a recording is: what its packets hold, not what its header announces or its bit rate lets guess.

Files with an index (mp4, mkv, avi …) are looked at near their end only; all others are read through once, without
decoding. A container's own figure stands where the two agree.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MediaError
from mecam.features.decoding import Note, opened, origin, packets, sought

__all__ = ["GAP", "MAX_GAP_SECONDS", "Course", "joined", "most_seconds", "seconds_of"]

GAP = 0.05
"""Seconds of missing sound that become silence; less is jitter of the time stamps."""
MAX_GAP_SECONDS = 3600.0
"""Seconds of missing sound beyond which time stamps are damaged."""
_LATE = 0.5
"""Seconds by which the announced length may be wrong without a remark."""
_SAME = 0.1
"""Seconds by which they may differ and the announced one stands: the padding of a coder."""
_TAIL = 5.0
"""Seconds before the announced end from which a file with an index is read."""
_INDEXED = ("mov", "matroska", "avi", "asf")
_FREE_SECONDS, _BYTES_PER_S = 3600.0, 20.0
"""Any file may be an hour long; longer ones hold at least so many bytes a second. Speech takes a hundred or more."""


def most_seconds(path: Path) -> float:
    """How long a file of this size may be: a small one that claims days is refused."""
    return max(_FREE_SECONDS, path.stat().st_size / _BYTES_PER_S)


@dataclass(frozen=True)
class Course:
    """Where the packets of the sound lie in a file without an index, and when they begin.

    Attributes:
        positions: bytes from the beginning of the file, increasing.
        times: seconds.
    """

    positions: NDArray[np.int64]
    times: NDArray[np.float64]

    def time_at(self, position: int | None) -> float:
        """When the packet at this place begins; NaN where there is none."""
        at = int(np.searchsorted(self.positions, position)) if position is not None else len(self.positions)
        return float(self.times[at]) if at < len(self.times) and self.positions[at] == position else math.nan


def seconds_of(container: Any, path: Path, streams: Sequence[int], note: Note) -> tuple[float, Course | None]:
    """How long a recording is.

    Args:
        container: the open file, of which nothing was read yet; its place is changed.
        path: the file.
        streams: numbers of those that count.
        note: told where the announced length is wrong.

    Returns: seconds, and the course of the sound where the file has no index.
    Raises: MediaError if a file of this size cannot be so long.
    """
    announced = float((container.duration or 0) / 1_000_000)
    indexed = container.format.name.startswith(_INDEXED) and announced > 2 * _TAIL
    course = None
    found = _end(container, streams) if indexed and sought(container, announced - _TAIL) else None
    if found is None and indexed:  # nothing there: the file is shorter, or its index is damaged
        with opened(path) as again:
            found = _end(again, streams)
    elif found is None:
        places: list[tuple[int, float]] = []
        found = _end(container, streams, places)
        course = _course(places)
    if found is None or (indexed and abs(found - announced) <= _SAME):
        found = announced
    if announced and abs(found - announced) > _LATE:
        note(f"the file announces {announced:.1f} s and holds {found:.1f} s; what it holds counts")
    if found > most_seconds(path):
        raise MediaError(
            f"refused: {found / 3600:.1f} hours in a file of {path.stat().st_size / 1000:.0f} kB; its time stamps "
            "or its header are damaged",
            where=str(path),
            fix="export the file again",
        )
    return found, course


def joined(items: Iterable[Any], streams: Sequence[Any], origin: float) -> Iterator[tuple[Any, float, float]]:
    """Packets with their begin and end in seconds, as what they hold is read.

    Sound that follows without a hole is joined, whatever its time stamps say: they begin anew where files were put
    one after the other.
    """
    ends: dict[int, float] = {}
    usual = {s.index: 1 / float(s.average_rate or 25) if s.type == "video" else 0.0 for s in streams}
    for packet in items:
        if not packet.size:
            continue
        index, base = packet.stream.index, float(packet.time_base or 0)
        due = ends.get(index)
        begin = (due or 0.0) if packet.pts is None else packet.pts * base - origin
        if due is not None and packet.stream.type == "audio" and begin - due <= GAP:
            begin = due
        end = begin + ((packet.duration or 0) * base or usual[index])
        ends[index] = max(due or 0.0, end)
        yield packet, begin, end


def _end(container: Any, streams: Sequence[int], places: list[tuple[int, float]] | None = None) -> float | None:
    """Where the last packet of these streams ends, in seconds; None where none is found. Notes the sound's places."""
    chosen = [container.streams[index] for index in streams]
    last = None
    for packet, begin, end in joined(packets(container, chosen), chosen, origin(container)) if chosen else ():
        last = max(last or 0.0, end)
        if places is not None and packet.stream.type == "audio" and packet.pos is not None:
            places.append((packet.pos, begin))
    return None if last is None else round(last, 9)


def _course(places: list[tuple[int, float]]) -> Course:
    """Of several packets at one place, the first."""
    positions, first = np.unique(np.array([at for at, _ in places], np.int64), return_index=True)
    return Course(positions, np.array([time for _, time in places], np.float64)[first])
