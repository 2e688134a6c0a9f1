"""How long a recording is: what its packets hold, not what its header announces or its bit rate lets guess.

Files with an index (mp4, mkv, avi …) are looked at near their end only; all others are read through once, without
decoding. A container's own figure stands where the two agree.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mecam.errors import MediaError
from mecam.features.decoding import Note, opened, origin, packets

__all__ = ["GAP", "MOST_HOLE", "most_seconds", "seconds_of"]

GAP = 0.05
"""Seconds of missing sound that become silence; less is jitter of the time stamps."""
MOST_HOLE = 3600.0
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


def seconds_of(container: Any, path: Path, streams: Sequence[int], note: Note) -> float:
    """How long a recording is.

    Args:
        container: the open file, of which nothing was read yet; its place is changed.
        path: the file.
        streams: numbers of those that count.
        note: told where the announced length is wrong.

    Raises: MediaError if a file of this size cannot be so long.
    """
    announced = float((container.duration or 0) / 1_000_000)
    indexed = container.format.name.startswith(_INDEXED) and announced > 2 * _TAIL
    found = _end(container, streams, announced - _TAIL if indexed else None)
    if indexed and found is None:  # nothing there: the file is shorter, or its index is damaged
        with opened(path) as again:
            found = _end(again, streams, None)
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
    return found


def _end(container: Any, streams: Sequence[int], start: float | None) -> float | None:
    """Where the last packet of these streams ends, in seconds; None where none is found."""
    import av

    chosen = [container.streams[index] for index in streams]
    if not chosen:
        return None
    if start is not None:
        try:
            container.seek(int((start + origin(container)) * 1_000_000), backward=True)
        except (av.FFmpegError, OverflowError):
            return None
    ends: dict[int, float] = {}
    for index, time, length in _spans(container, chosen):
        due = ends.get(index)
        begins = (due or 0.0) if time is None else time
        if due is not None and container.streams[index].type == "audio":
            # As it is listened to: what follows without a hole is joined, whatever its time stamps say.
            begins = begins if begins - due > GAP else due
        ends[index] = max(due or 0.0, begins + length)
    return round(max(ends.values()), 9) if ends else None


def _spans(container: Any, streams: Sequence[Any]) -> Iterator[tuple[int, float | None, float]]:
    """Stream, time and length of every packet, in seconds."""
    begin = origin(container)
    usual = {s.index: 1 / float(s.average_rate or 25) if s.type == "video" else 0.0 for s in streams}
    for packet in packets(container, list(streams)):
        if not packet.size:
            continue
        base = float(packet.time_base or 0)
        time = None if packet.pts is None else packet.pts * base - begin
        yield packet.stream.index, time, (packet.duration or 0) * base or usual[packet.stream.index]
