"""Following faces from frame to frame: one detection, then each crop comes from the last mesh while a face is there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import Frame, Glance
from mecam.features.picture import Image
from mecam.features.vision.appearance import Description
from mecam.features.vision.cuts import Cuts
from mecam.features.vision.expression import NAMES, POINTS, measure
from mecam.features.vision.face_models import Box, detect, irises, mesh

__all__ = ["Face", "Lay", "Look", "Tracker"]

Lay = Callable[[Image, Box], tuple[NDArray[np.float32], float]]
"""Lays a mesh on the face in a box of a picture: `expression.POINTS` or more; how sure it is, 0 to 1."""

Look = Callable[[Image, NDArray[np.float32], Box], NDArray[np.float32]]
"""Something else to be known of a face: of a picture, the mesh and the upright box around it, a row of numbers."""

_SAME = 0.3
"""Overlap from which two boxes are taken for the same face."""
_PATIENCE_S = 2.0
"""A face that comes back at its place within this time is the same one."""
_MIN_FACE_PIXELS = 12
"""Pixels; a face that is smaller has no expression to speak of."""
_PIECE = 256
"""Meshes that are held before they are measured, so that memory stays flat."""
_GAZE = [NAMES.index("gaze_x"), NAMES.index("gaze_y")]


@dataclass(frozen=True)
class Face:
    """One face, as long as it was followed.

    Attributes:
        frames: N, numbers of the frames it was seen in; increasing.
        values: N × len(NAMES), its expression.
        side: N pixels, its size.
        presence: N, how sure the mesh was that it lies on a face, 0 to 1.
        looks: N × whatever the tracker's `look` gives; N × 0 without one.
        boxes: N × 4, left, top, width and height in shares of the picture.
        appearance: what it looks like, see `appearance.Description`; empty where people are not told apart.
        track: its number, from 0, in order of appearance; it stays when others are forgotten.
    """

    frames: NDArray[np.int64]
    values: NDArray[np.float32]
    side: NDArray[np.float32]
    presence: NDArray[np.float32]
    looks: NDArray[np.float32]
    boxes: NDArray[np.float32]
    appearance: NDArray[np.float32]
    track: int = 0


class Tracker:
    """Sees frame after frame; tells the faces whenever it is asked.

    Memory grows with the measures only, never the pictures; where there is no end, `forget` keeps it flat.

    Args:
        most: faces that are followed at once; the largest are taken.
        least_presence: below this a face is lost, 0 to 1.
        look_s: seconds between two searches for further faces.
        look_again_s: the same while there is no face at all.
        gaze_s: seconds between two looks at the irises; what lies between is interpolated. Infinite: none at all.
        lay: how the mesh is laid; None: by `face_models.mesh`.
        look: what else is asked of every face in every frame.
        describe_s: seconds between two descriptions of a face, and tracks end where the picture is cut, so that one
            track is one person; None: neither.

    Attributes:
        times: seconds of the frames seen, but those that are forgotten.
        most_at_once: the highest number of faces that a search found.
    """

    def __init__(
        self,
        *,
        most: int = 4,
        least_presence: float = 0.5,
        look_s: float = 1.0,
        look_again_s: float = 0.1,
        gaze_s: float = 0.2,
        lay: Lay | None = None,
        look: Look | None = None,
        describe_s: float | None = None,
    ) -> None:
        self.most, self.least_presence, self.gaze_s = most, least_presence, gaze_s
        self.lay, self.look, self.describe_s = lay or mesh, look, describe_s
        self.look_s, self.look_again_s = look_s, look_again_s
        self.times: list[float] = []
        self.most_at_once = 0
        self._looked = self._looked_closer = -np.inf
        self._tracks: list[_Track] = []
        self._active: list[_Track] = []
        self._shot = 0
        self._found = 0
        self._cuts = Cuts()

    def see(self, frame: Frame | Glance) -> None:
        """Follow the known faces into a later frame, and look for others when it is time."""
        self.times.append(frame.time)
        if self.describe_s is not None and self._cuts.at(frame):
            self._shot, self._active, self._looked = len(self.times) - 1, [], -np.inf
        before = len(self._active)
        self._active = self._distinct([track for track in self._active if self._follow(track, track.box, frame)])
        pause = self.look_s if self._active else self.look_again_s
        if len(self._active) < before or frame.time - self._looked >= pause:
            self._look(frame)

    def faces(self) -> list[Face]:
        """Every face followed so far, in order of appearance."""
        return [track.face(self.gaze_s) for track in self._tracks]

    def forget(self, before: float) -> None:
        """Let go of the frames before a time, and of the faces that were seen in no other; frames are numbered anew."""
        gone = int(np.searchsorted(self.times, before))
        if not gone:
            return
        del self.times[:gone]
        self._shot -= gone
        for track in self._tracks:
            track.forget_first(gone)
        self._tracks = [track for track in self._tracks if track.runs or track in self._active]

    def _follow(self, track: "_Track", box: Box, frame: Frame | Glance) -> bool:
        points, presence = self.lay(frame.image, box)
        now = Box.around(points, presence)
        height, width = frame.image.shape[:2]
        inside = 0 <= now.x < width and 0 <= now.y < height and now.side >= _MIN_FACE_PIXELS
        if presence < self.least_presence or not inside:
            return False
        gazes = np.isfinite(self.gaze_s) and frame.time - track.gazed >= self.gaze_s - 1e-3
        middles = irises(frame.image, points) if gazes else np.full((2, 2), np.nan, np.float32)
        looked = self.look(frame.image, points, now) if self.look else np.zeros(0, np.float32)
        place = [(now.x - now.side / 2) / width, (now.y - now.side / 2) / height, now.side / width, now.side / height]
        track.add(len(self.times) - 1, frame.time, now, points[:POINTS], middles, looked, np.array(place, np.float32))
        if self.describe_s is not None and frame.time - track.described >= self.describe_s - 1e-3:
            track.description.add(frame.image, points, now)
            track.described = frame.time
        return True

    def _look(self, frame: Frame | Glance) -> None:
        self._looked = frame.time
        closer = not self._active and frame.time - self._looked_closer >= self.look_s / 2
        found = detect(frame.image, closer=closer)
        if closer:
            self._looked_closer = frame.time
        self.most_at_once = max(self.most_at_once, len(found))
        for box in sorted(found, key=lambda box: -box.side):
            if len(self._active) >= self.most:
                return
            if any(box.overlap(track.box) > _SAME for track in self._active):
                continue
            track = self._known(box, frame.time) or _Track(self._found)
            if self._follow(track, box, frame):
                self._active.append(track)
                if track not in self._tracks:
                    self._tracks.append(track)
                    self._found += 1

    def _known(self, box: Box, time: float) -> "_Track | None":
        """The face that was lost at this place a moment ago."""
        lost = [
            track
            for track in self._tracks
            if track not in self._active
            and track.last_frame >= self._shot
            and time - track.seen <= _PATIENCE_S
            and len(self.times) - 1 != track.last_frame
            and box.overlap(track.box) > _SAME
        ]
        return max(lost, key=lambda track: track.seen, default=None)

    def _distinct(self, tracks: list["_Track"]) -> list["_Track"]:
        """Two tracks that slid onto one face become the older one."""
        kept: list[_Track] = []
        for track in tracks:
            if any(track.box.overlap(other.box) > 2 * _SAME for other in kept):
                track.forget_last()
            else:
                kept.append(track)
        return kept


@dataclass(eq=False)
class _Stretch:
    """A face seen without a break: meshes that wait, and measures of those that came before."""

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sides: list[float] = field(default_factory=list)
    presences: list[float] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    irises: list[NDArray[np.float32]] = field(default_factory=list)
    looks: list[NDArray[np.float32]] = field(default_factory=list)
    places: list[NDArray[np.float32]] = field(default_factory=list)
    measured: list[NDArray[np.float32]] = field(default_factory=list)
    done: int = 0

    def measure(self) -> NDArray[np.float32]:
        """What waits, measured: all but the last one has both neighbours, which speeds need."""
        return measure(np.stack(self.points), np.stack(self.irises), np.array(self.moments))[self.done :]

    def flush(self) -> None:
        """Measure what waits, but for the last; it stays with the one before, as a neighbour."""
        self.measured.append(self.measure()[:-1])
        self.done = 1
        self.points, self.moments, self.irises = self.points[-2:], self.moments[-2:], self.irises[-2:]

    def values(self) -> NDArray[np.float32]:
        """N × len(NAMES), all of its measures."""
        return np.concatenate([*self.measured, self.measure()])

    def forget_first(self, count: int) -> None:
        """Without its first rows."""
        if not count:
            return
        if len(self.points) > 1:
            self.flush()
        self.measured = [np.concatenate(self.measured)[count:]]
        for column in (self.frames, self.times, self.sides, self.presences, self.looks, self.places):
            del column[:count]


@dataclass(eq=False)
class _Track:
    """One face while it is followed."""

    number: int
    box: Box = field(default_factory=lambda: Box(0.0, 0.0, 0.0))
    seen: float = -np.inf
    gazed: float = -np.inf
    described: float = -np.inf
    description: Description = field(default_factory=Description)
    runs: list[_Stretch] = field(default_factory=list)

    @property
    def last_frame(self) -> int:
        return self.runs[-1].frames[-1] if self.runs and self.runs[-1].frames else -1

    def add(
        self,
        frame: int,
        time: float,
        box: Box,
        points: NDArray[np.float32],
        middles: NDArray[np.float32],
        looked: NDArray[np.float32],
        place: NDArray[np.float32],
    ) -> None:
        if not self.runs or self.last_frame != frame - 1:
            self.runs.append(_Stretch())
        run = self.runs[-1]
        run.frames.append(frame)
        run.times.append(time)
        run.sides.append(box.side)
        run.presences.append(box.score)
        run.points.append(points)
        run.moments.append(time)
        run.irises.append(middles)
        run.looks.append(looked)
        run.places.append(place)
        self.box, self.seen = box, time
        if np.isfinite(middles).all():
            self.gazed = time
        if len(run.points) >= _PIECE:
            run.flush()

    def forget_last(self) -> None:
        run = self.runs[-1]
        waiting = (run.points, run.moments, run.irises)
        for column in (run.frames, run.times, run.sides, run.presences, run.looks, run.places, *waiting):
            column.pop()
        if not run.frames:
            self.runs.pop()

    def forget_first(self, count: int) -> None:
        """Without what was seen in the first frames of all; the others are numbered anew."""
        self.runs = [run for run in self.runs if run.frames[-1] >= count]
        for run in self.runs:
            run.forget_first(int(np.searchsorted(run.frames, count)))
            run.frames = [frame - count for frame in run.frames]

    def face(self, gaze_s: float) -> Face:
        values = [_gaze_filled(run.values(), np.array(run.times), gaze_s) for run in self.runs]
        return Face(
            np.concatenate([np.array(run.frames, np.int64) for run in self.runs]),
            np.concatenate(values),
            np.concatenate([np.array(run.sides, np.float32) for run in self.runs]),
            np.concatenate([np.array(run.presences, np.float32) for run in self.runs]),
            np.concatenate([np.stack(run.looks) for run in self.runs]),
            np.concatenate([np.stack(run.places) for run in self.runs]),
            self.description.mean(),
            self.number,
        )


def _gaze_filled(values: NDArray[np.float32], times: NDArray[np.float64], gaze_s: float) -> NDArray[np.float32]:
    """Gaze between two looks at the irises, interpolated; none where the next look is too far away."""
    looked = np.isfinite(values[:, _GAZE[0]])
    if not looked.any():
        return values
    distance = _nearest(times, times[looked])
    for column in _GAZE:
        filled = np.interp(times, times[looked], values[looked, column])
        values[:, column] = np.where(distance <= 2 * gaze_s, filled, np.nan)
    return values


def _nearest(times: NDArray[np.float64], looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds from each moment to the nearest look."""
    padded = np.concatenate([[-np.inf], looks, [np.inf]])
    after = np.searchsorted(padded, times)
    distance: NDArray[np.float64] = np.minimum(padded[after] - times, times - padded[after - 1])
    return distance
