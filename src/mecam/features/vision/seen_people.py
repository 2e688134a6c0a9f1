"""People in pictures that still come in: followed face by face, numbered once and for all, forgotten row by row."""

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import Frame, SoundSource
from mecam.features.people import People
from mecam.features.vision.active_speaker import choose_by_lips
from mecam.features.vision.appearance import SAME, distances
from mecam.features.vision.face_extractors import (
    DESCRIBE_S,
    LEAST_S,
    Expressions,
    View,
    intervals_of,
    people_of,
    tracker_of,
)
from mecam.features.vision.same_face import meet, together
from mecam.features.vision.tracking import Face

__all__ = ["SeenPeople"]

SURE_S = 1.5
"""Seconds that a face is seen before it is somebody new, where it may be somebody who was here before."""
DESCRIPTIONS, PEOPLE = 8, 50
"""Tracks by whose looks a person is known again; people who are known again."""


class SeenPeople:
    """Everybody who is seen, the last seconds of each; memory stays flat.

    Args:
        options: how pictures are looked at.
        view: what the rows are.
        hold_s: seconds that are kept.
        rate_hz: pictures a second that are expected.
    """

    def __init__(self, options: Expressions, view: View, *, hold_s: float, rate_hz: float) -> None:
        self._view, self._hold_s, self._rate_hz = view, hold_s, rate_hz
        self._tracker = tracker_of(options, view, describe_s=DESCRIBE_S)
        self._numbers: dict[int, int] = {}
        self._looks: dict[int, dict[int, NDArray[np.float32]]] = {}
        self._most = 0

    @property
    def time(self) -> float:
        """Seconds of the last picture; −∞ before the first."""
        return self._tracker.times[-1] if self._tracker.times else -np.inf

    def see(self, time: float, image: NDArray[np.uint8]) -> None:
        """Look at a picture that is later than those before: H × W × 3 RGB."""
        assert time > self.time
        self._tracker.see(Frame(time, image))
        self._tracker.forget(time - self._hold_s)

    def people(self, sound: SoundSource) -> People | None:
        """Who was seen, and who of them spoke; None before the first picture.

        Args:
            sound: what was heard meanwhile.
        """
        if not self._tracker.times:
            return None
        times = np.array(self._tracker.times)
        faces = self._numbered(self._tracker.faces(), times)
        chosen = choose_by_lips(list(faces.values()), times, sound, max(times[0], 0.0))
        return people_of(faces, chosen, self._tracker, intervals_of(times, self._rate_hz), self._view)

    def _numbered(self, tracks: list[Face], times: NDArray[np.float64]) -> dict[int, Face]:
        """Number of the person → their face, by number; a face that was hardly seen yet is nobody's."""
        self._numbers = {t.track: self._numbers[t.track] for t in tracks if t.track in self._numbers}
        for face in sorted(tracks, key=lambda face: (face.frames[0], face.boxes[0, 0])):
            if face.track not in self._numbers and len(face.appearance):
                seen_s = float(times[face.frames[-1]] - times[face.frames[0]])
                number = self._number_of(face, tracks, sure=seen_s >= SURE_S) if seen_s >= LEAST_S - 1e-6 else None
                if number is not None:
                    self._numbers[face.track] = number
                    self._remember(number, face)
        mine: dict[int, list[Face]] = {}
        for face in tracks:
            if face.track in self._numbers:
                mine.setdefault(self._numbers[face.track], []).append(face)
        for number, faces in mine.items():
            for face in faces:
                self._remember(number, face)
        return {number: together(mine[number]) for number in sorted(mine)}

    def _remember(self, number: int, face: Face) -> None:
        """What they look like, of the last ones who were seen and in the last tracks of each."""
        looks = self._looks.pop(number, {})
        looks[face.track] = face.appearance
        self._looks[number] = {track: looks[track] for track in list(looks)[-DESCRIPTIONS:]}
        for oldest in list(self._looks)[:-PEOPLE]:
            del self._looks[oldest]

    def _number_of(self, face: Face, tracks: list[Face], *, sure: bool) -> int | None:
        """Who it is: the most alike of those who are not seen at the same time, or somebody new; None: not sure yet."""
        there = {self._numbers[t.track] for t in tracks if t.track in self._numbers and meet(t.frames, face.frames)}
        away = {number: looks for number, looks in self._looks.items() if number not in there}
        unlike = {
            number: float(distances(np.stack([face.appearance, *looks.values()]))[0, 1:].mean())
            for number, looks in away.items()
        }
        likest = min(unlike, key=lambda number: unlike[number], default=None)
        if likest is not None and unlike[likest] <= SAME:
            return likest
        if away and not sure:
            return None
        self._most += 1
        return self._most
