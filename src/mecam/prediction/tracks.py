"""Where each face of a recording is in the picture, over time, as plain values: for boxes over a player."""

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from mecam.features.people import Person
    from mecam.prediction.result import RecordingPrediction

__all__ = ["tracks_of"]

STEP_S = 0.2
"""Seconds between two boxes of a person, at least."""


def tracks_of(recording: "RecordingPrediction") -> list[dict[str, Any]]:
    """A track per person: `times` in seconds, `boxes` in shares of the picture, and whether they are `speaking` then.

    A box is left, top, width, height, and stands for the time until the next one.
    """
    return [_track(person) for person in recording.people]


def _track(person: "Person") -> dict[str, Any]:
    starts = person.intervals[:, 0]
    rows = _spread(starts)
    return {
        "person": person.number,
        "times": [round(float(starts[row]), 3) for row in rows],
        "boxes": [[round(float(share), 4) for share in person.box[row]] for row in rows],
        "speaking": [bool(person.speaking[row]) for row in rows],
    }


def _spread(starts: NDArray[Any]) -> list[int]:
    """The first row, and each that lies `STEP_S` or more after the last that was taken."""
    taken: list[int] = []
    for row, start in enumerate(starts):
        if not taken or start >= starts[taken[-1]] + STEP_S - 1e-6:
            taken.append(row)
    return taken
