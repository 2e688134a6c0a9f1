"""Who is seen in a recording, and when: one number a person, in order of appearance, stable over the whole of it."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError, DataError
from mecam.features.extractor import Extractor, Features
from mecam.features.media import Media
from mecam.features.side_threads import has_spare_core
from mecam.types import VISION, FeatureSpec, Modality

__all__ = ["OfPerson", "People", "Person", "Whose", "of_person"]

Whose: TypeAlias = int | Literal["speaker", "listener"]
"""Whose rows: a person's by number; whoever speaks; the most visible one of those who do not speak at that moment."""


@dataclass(frozen=True)
class Person:
    """One person, whenever their face is seen.

    Attributes:
        number: from 1, in order of appearance.
        intervals: N × 2, start and stop in seconds of each row.
        values: N × F, rows of the extractor.
        side: N pixels, the size of the face in the pictures that were looked at.
        presence: N, how sure the mesh was that it lies on a face, 0 to 1.
        box: N × 4, left, top, width and height of the face in shares of the picture.
        speaking: N, whether they are the one who speaks.
    """

    number: int
    intervals: NDArray[np.float64]
    values: NDArray[np.float32]
    side: NDArray[np.float32]
    presence: NDArray[np.float32]
    box: NDArray[np.float32]
    speaking: NDArray[np.bool_]

    def between(self, start: float, stop: float) -> NDArray[np.bool_]:
        """N, which rows have their middle in [start, stop) seconds."""
        middle = self.intervals.mean(axis=1)
        chosen: NDArray[np.bool_] = (middle >= start) & (middle < stop)
        return chosen


@dataclass(frozen=True)
class People:
    """Everybody in a recording.

    Attributes:
        persons: by number; without a gap where all of a recording is known.
        intervals: T × 2, start and stop in seconds of every picture looked at.
        frames: per person, N of T: the pictures they are seen in.
        width: columns of the extractor's rows.
        most_at_once: the highest number of faces that were found in one picture.
        findings: what is worth knowing, in sentences.
    """

    persons: tuple[Person, ...]
    intervals: NDArray[np.float64]
    frames: tuple[NDArray[np.int64], ...]
    width: int
    most_at_once: int = 0
    findings: tuple[str, ...] = ()

    def features(self, asked: Whose, start: float = 0.0, stop: float | None = None) -> Features:
        """The rows of one person between two times; a row of NaN where they are not seen.

        Raises: DataError if there is nobody with this number.
        """
        values = np.full((len(self.intervals), self.width), np.nan, np.float32)
        owner = self._owners(asked)
        for place, (person, frames) in enumerate(zip(self.persons, self.frames, strict=True)):
            mine = owner[frames] == place
            values[frames[mine]] = person.values[mine]
        stop = np.inf if stop is None else stop
        rows = Features(values, self.intervals).between(start, stop)
        return replace(rows, details=self._details(rows, start, stop))

    def _owners(self, asked: Whose) -> NDArray[np.int64]:
        """T, whose row it is: the place in `persons`; −1 for nobody's."""
        owner = np.full(len(self.intervals), -1, np.int64)
        if isinstance(asked, int):
            place = self._place(asked)
            owner[self.frames[place]] = place
            return owner
        seen = [float(person.side.sum()) for person in self.persons]
        for place in np.argsort(seen, kind="stable"):  # whoever is more visible comes later, and stays
            speaking = self.persons[place].speaking
            owner[self.frames[place][speaking if asked == "speaker" else ~speaking]] = place
        return owner

    def _place(self, number: int) -> int:
        known = [person.number for person in self.persons]
        if number in known:
            return known.index(number)
        numbers = ", ".join(map(str, known))
        raise DataError(
            f"there is no person {number} in this recording",
            fix=f"choose one of {numbers}" if numbers else "no face is visible: choose another recording",
        )

    def _details(self, rows: Features, start: float, stop: float) -> dict[str, Any]:
        """What was seen between two times, for a report."""
        found = []
        for person in self.persons:
            mine = person.between(start, stop)
            if mine.any():
                times = person.intervals[mine, 0]
                found.append(
                    {
                        "person": person.number,
                        "start": round(float(times[0]), 3),
                        "stop": round(float(times[-1]), 3),
                        "frames": int(mine.sum()),
                        "chosen": int(person.speaking[mine].sum()),
                        "side": round(float(np.median(person.side[mine])), 1),
                        "presence": round(float(person.presence[mine].mean()), 4),
                    }
                )
        return {
            "frames": len(rows.values),
            "with_face": int(np.isfinite(rows.values).any(axis=1).sum()),
            "most_faces_at_once": self.most_at_once,
            "faces": found,
        }


@runtime_checkable
class TellsPeopleApart(Protocol):
    """An extractor of faces that knows whose they are."""

    def people(self, media: Media) -> People:
        """Everybody in a recording.

        Raises: MediaError if it has no picture.
        """
        ...


@dataclass
class OfPerson:
    """The rows of one person, as an extractor gives them: the recording is looked at once, and cut where it is asked.

    For one recording, and not for worker processes.

    Attributes:
        extractor: of the rows.
        asked: whose.
    """

    extractor: Extractor
    asked: Whose
    _people: People | None = field(default=None, repr=False)
    _ahead: tuple[threading.Thread, Media] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The extractor's."""
        return self.extractor.name

    @property
    def version(self) -> str:
        """The extractor's."""
        return self.extractor.version

    @property
    def modality(self) -> Modality:
        """The extractor's."""
        return self.extractor.modality

    @property
    def spec(self) -> FeatureSpec:
        """The extractor's."""
        return self.extractor.spec

    @property
    def people(self) -> People | None:
        """Everybody in the recording; None before the first call, and where there is no picture."""
        return self._people

    def look_ahead(self, media: Media) -> None:
        """Look at the recording in a thread beside this one, where there is another core; the first call waits for it.

        What goes wrong is found again, and told, by that call.
        """
        seen = media.apart()

        def look() -> None:
            with suppress(Exception):
                self._people = self._look(seen)

        if has_spare_core():
            thread = threading.Thread(target=look, daemon=True)  # an interrupted program does not wait for it
            self._ahead = thread, seen
            thread.start()

    def _look(self, media: Media) -> People:
        assert isinstance(self.extractor, TellsPeopleApart)
        return self.extractor.people(media)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """The person's rows between two times.

        Raises: MediaError if the recording has no picture; DataError if there is nobody with this number.
        """
        if self._ahead is not None:
            thread, seen = self._ahead
            thread.join()
            media.take_in(seen)
            self._ahead = None
        if self._people is None:
            self._people = self._look(media)
        return self._people.features(self.asked, start, stop)


def of_person(made: Mapping[Modality, Extractor], asked: Whose) -> dict[Modality, Extractor]:
    """The extractors, with the one of faces giving the rows of one person.

    Raises: ConfigError if a person is asked for by number or as the listener, and no extractor knows people.
    """
    faces = made.get(VISION)
    if isinstance(faces, TellsPeopleApart):
        return {**made, VISION: OfPerson(faces, asked)}
    if asked != "speaker":
        what = "nothing looks at faces" if faces is None else f"{faces.name} does not tell people apart"
        raise ConfigError(
            f"person {asked!r} is asked for, but {what}", fix="use mecam-vision, mecam-blendshapes or mecam-face"
        )
    return dict(made)
