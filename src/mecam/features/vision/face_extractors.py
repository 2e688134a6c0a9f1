"""The expression of the speaking face, row by row: `mecam-vision`, `mecam-blendshapes` and `mecam-face`."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError
from mecam.features.extractor import ExtractorEntry, Features
from mecam.features.media import Frame, Glance, Media
from mecam.features.people import People, Person
from mecam.features.picture import Image
from mecam.features.side_threads import ahead
from mecam.features.vision import blendshapes
from mecam.features.vision.active_speaker import choose, choose_by_lips, voice_level
from mecam.features.vision.expression import NAMES
from mecam.features.vision.expression_network import EXPRESSIONS, expressions
from mecam.features.vision.face_models import Box, landmarks, mesh
from mecam.features.vision.same_face import joined
from mecam.features.vision.tracking import Face, Lay, Look, Tracker
from mecam.types import VISION, FeatureSpec, Modality

__all__ = ["CUES", "EXTRACTORS", "MEASURES", "SHAPES", "Blendshapes", "Expressions", "FaceCues", "View"]
__all__ += ["intervals_of", "people_of", "tracker_of"]

FRAMES_AHEAD = 4
"""Pictures that are decoded before they are looked at."""
DESCRIBE_S, LEAST_S = 0.5, 0.5
"""Where people are told apart: seconds between two descriptions of a face, and for how many one must be seen."""
_SURE = 0.5
"""Presence from which a mesh lies on a face."""


@dataclass(frozen=True)
class Expressions:
    """Head pose, mouth, brows, eyes, gaze, cheeks and jaw: see `mecam.features.vision.expression`.

    Attributes:
        rate_hz: at most so many rows per second: every frame, every second, every third … is looked at.
        max_side: pixels of the longer side that pictures are scaled down to.
        most_faces: faces followed at once.
        least_presence: a face that the mesh is less sure of gives no row, 0 to 1.
        gaze_hz: looks at the irises per second; 0 for none, then gaze is missing.
    """

    rate_hz: float = 15.0
    max_side: int = 640
    most_faces: int = 4
    least_presence: float = 0.5
    gaze_hz: float = 5.0

    name = "mecam-vision"
    version = "3"  # 2 took single columns of a picture where it was scaled down, not their mean
    modality: Modality = VISION

    def __post_init__(self) -> None:
        for option in ("rate_hz", "max_side", "most_faces"):
            if getattr(self, option) <= 0:
                raise ConfigError(f"{option} must be positive, got {getattr(self, option)}", where=f"vision.{option}")
        if self.gaze_hz < 0 or not 0 <= self.least_presence <= 1:
            raise ConfigError("gaze_hz must be 0 or more, least_presence between 0 and 1", where="vision")

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(NAMES), self.name, self.version, NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """One row per picture looked at; a row of NaN where there is no face.

        Raises: MediaError if the recording has no picture; DataError if the face models cannot be had.
        """
        return _watch(self, media, start, stop, MEASURES)

    def people(self, media: Media) -> People:
        """Everybody in a recording, with these rows.

        Raises: as `__call__`.
        """
        return _people(self, media, MEASURES)


@dataclass(frozen=True)
class Blendshapes:
    """The 52 blendshapes of MediaPipe's Face Landmarker: see `mecam.features.vision.blendshapes`.

    Faces are found, followed and chosen as `Expressions` does it: the same rows, the same ones missing.

    Attributes:
        watching: how pictures are looked at; gaze is not measured apart, it is among the blendshapes.
    """

    watching: Expressions = field(default_factory=lambda: Expressions(gaze_hz=0.0))

    name = "mecam-blendshapes"
    version = "1"
    modality: Modality = VISION

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(blendshapes.NAMES), self.name, self.version, blendshapes.NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """One row per picture looked at, 0 to 1; a row of NaN where there is no face.

        Raises: MediaError if the recording has no picture; DataError if the face models cannot be had.
        """
        return _watch(self.watching, media, start, stop, SHAPES)

    def people(self, media: Media) -> People:
        """Everybody in a recording, with these rows.

        Raises: as `__call__`.
        """
        return _people(self.watching, media, SHAPES)


@dataclass(frozen=True)
class FaceCues:
    """The 52 blendshapes, and what the face shows: seven expressions with probabilities.

    See `mecam.features.vision.blendshapes` and `mecam.features.vision.expression_network`. The finer mesh of the Face
    Landmarker is laid at once, each crop from the points before, as MediaPipe does: this takes less time than
    `mecam-blendshapes`, which has a mesh of its own laid first.

    Attributes:
        watching: how pictures are looked at; gaze is not measured apart, it is among the blendshapes.
    """

    watching: Expressions = field(default_factory=lambda: Expressions(gaze_hz=0.0))

    name = "mecam-face"
    version = "1"
    modality: Modality = VISION

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(CUES.names), self.name, self.version, CUES.names)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """One row per picture looked at, 0 to 1; a row of NaN where there is no face.

        Raises: MediaError if the recording has no picture; DataError if the face models cannot be had.
        """
        return _watch(self.watching, media, start, stop, CUES)

    def people(self, media: Media) -> People:
        """Everybody in a recording, with these rows.

        Raises: as `__call__`.
        """
        return _people(self.watching, media, CUES)


def _fine_mesh(image: Image, box: Box) -> tuple[NDArray[np.float32], float]:
    """The landmarks of a face; where the box does not fit closely, around the mesh, which asks for less."""
    points, presence = landmarks(image, box)
    if presence < _SURE:
        around, there = mesh(image, box)
        if there >= _SURE:
            return landmarks(image, Box.around(around))
    return points, presence


def _cues(image: Image, points: NDArray[np.float32], _: Box) -> NDArray[np.float32]:
    return np.concatenate([blendshapes.shapes(points), expressions(image, points)])


class View(NamedTuple):
    """What is made of every face.

    Attributes:
        names: of the columns.
        lay: how the mesh is laid; None: by `face_models.mesh`.
        look: what the rows are; None: the measures of the mesh.
        parts: only the parts of a picture that are looked at become colours (`Media.glances`). The values are a little
            others, and those of what models have learned from stay as they are.
    """

    names: tuple[str, ...]
    lay: Lay | None = None
    look: Look | None = None
    parts: bool = False


MEASURES = View(NAMES, parts=True)
SHAPES = View(blendshapes.NAMES, look=lambda image, _, box: blendshapes.look(image, box))
CUES = View((*blendshapes.NAMES, *(f"expression_{name}" for name in EXPRESSIONS)), _fine_mesh, _cues)


def _watch(options: Expressions, media: Media, start: float, stop: float | None, view: View) -> Features:
    """Follow every face, choose the one that speaks; its rows are what the view says."""
    tracker = tracker_of(options, view)
    rate = _follow(tracker, options, media, start, stop, view)
    times, faces = np.array(tracker.times), tracker.faces()
    voice = voice_level(media, times, start, stop) if len(faces) > 1 else None
    chosen = choose(faces, times, voice)
    values = np.full((len(times), len(view.names)), np.nan, np.float32)
    for number, face in enumerate(faces):
        mine = chosen[face.frames] == number
        values[face.frames[mine]] = (face.looks if view.look else face.values)[mine]
    details = _details(times, faces, chosen, tracker.most_at_once)
    return Features(values, intervals_of(times, rate), details)


def _people(options: Expressions, media: Media, view: View) -> People:
    """Follow every face of a whole recording; know each again; see who speaks."""
    tracker = tracker_of(options, view, describe_s=DESCRIBE_S)
    rate = _follow(tracker, options, media, 0.0, None, view)
    times = np.array(tracker.times)
    faces = dict(enumerate(joined(tracker.faces(), least=LEAST_S * rate), 1))
    chosen = choose_by_lips(list(faces.values()), times, media)
    return people_of(faces, chosen, tracker, intervals_of(times, rate), view)


def people_of(
    faces: Mapping[int, Face],
    chosen: NDArray[np.int64],
    tracker: Tracker,
    intervals: NDArray[np.float64],
    view: View,
) -> People:
    """Everybody whose face was followed.

    Args:
        faces: number of the person → their face, by number.
        chosen: T, who speaks: the place among the faces; −1 for nobody.
        tracker: that followed them.
        intervals: T × 2, seconds of its frames.
        view: what the rows are.
    """
    persons = tuple(
        Person(
            number,
            intervals[face.frames],
            face.looks if view.look else face.values,
            face.side,
            face.presence,
            face.boxes,
            chosen[face.frames] == place,
        )
        for place, (number, face) in enumerate(faces.items())
    )
    findings: tuple[str, ...] = ()
    if tracker.most_at_once > tracker.most:
        findings = (f"up to {tracker.most_at_once} faces are visible at once; the {tracker.most} largest are followed",)
    frames = tuple(face.frames for face in faces.values())
    return People(persons, intervals, frames, len(view.names), tracker.most_at_once, findings)


def tracker_of(options: Expressions, view: View, *, describe_s: float | None = None) -> Tracker:
    """What follows faces as these options say, and makes of them what the view says."""
    return Tracker(
        most=options.most_faces,
        least_presence=options.least_presence,
        gaze_s=1 / options.gaze_hz if options.gaze_hz else np.inf,
        lay=view.lay,
        look=view.look,
        describe_s=describe_s,
    )


def _follow(
    tracker: Tracker, options: Expressions, media: Media, start: float, stop: float | None, view: View
) -> float:
    """Show the tracker what is to be looked at; the rate of it per second."""
    rate = _even_rate(media, options.rate_hz)
    read = media.glances if view.parts else media.frames
    shown: Iterator[Frame | Glance] = read(start, stop, rate=rate, max_side=options.max_side)
    with closing(ahead(shown, FRAMES_AHEAD)) as frames:
        for frame in frames:
            tracker.see(frame)
    return rate


def _even_rate(media: Media, most: float) -> float:
    """The highest rate up to `most` that takes every n-th frame."""
    rate = media.video.rate if media.video else 0.0
    return rate / np.ceil(rate / most - 0.01) if rate > 0 else most


def intervals_of(times: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """A row lasts until the next, but at the end, and across a hole, no longer than usual."""
    if not len(times):
        return np.zeros((0, 2))
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 1 / rate_hz
    stops = np.append(np.minimum(times[1:], times[:-1] + 3 * usual), times[-1] + usual)
    return np.stack([times, stops], axis=1)


def _details(
    times: NDArray[np.float64], faces: list[Face], chosen: NDArray[np.int64], most_at_once: int
) -> dict[str, Any]:
    """What was seen, for a report."""
    found = [
        {
            "start": round(float(times[face.frames[0]]), 3),
            "stop": round(float(times[face.frames[-1]]), 3),
            "frames": len(face.frames),
            "chosen": int((chosen == number).sum()),
            "side": round(float(np.median(face.side)), 1),
            "presence": round(float(face.presence.mean()), 4),
        }
        for number, face in enumerate(faces)
    ]
    return {
        "frames": len(times),
        "with_face": int((chosen >= 0).sum()),
        "most_faces_at_once": most_at_once,
        "faces": found,
    }


EXTRACTORS = {
    Expressions.name: ExtractorEntry(lambda _: Expressions()),
    Blendshapes.name: ExtractorEntry(lambda _: Blendshapes()),
    FaceCues.name: ExtractorEntry(lambda _: FaceCues()),
}
