"""Boxes of faces over time: few, in order, and as the extractor saw them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mecam.features.people import Person
from mecam.prediction.tracks import tracks_of
from panel_answers import panel_recording


def person(number: int, starts: list[float]) -> Person:
    """Seen for 0.04 s from each start on; to the right of where they were before, and speaking in the second half."""
    count = len(starts)
    begins = np.array(starts)
    box = np.stack([np.arange(count) / 100, *(np.full(count, share) for share in (0.2, 0.3, 0.4))], axis=1)
    return Person(
        number,
        np.stack([begins, begins + 0.04], axis=1),
        np.zeros((count, 2), np.float32),
        np.full(count, 90.0, np.float32),
        np.ones(count, np.float32),
        box.astype(np.float32),
        np.arange(count) >= count / 2,
    )


def test_at_most_five_boxes_a_second() -> None:
    frames = [i / 25 for i in range(50)]
    recording = replace(panel_recording(Path("a.mp4")), people=(person(1, frames), person(2, [3.0, 3.5, 9.0])))
    first, second = tracks_of(recording)
    assert (first["person"], second["person"]) == (1, 2)
    assert first["times"] == [i / 5 for i in range(10)]
    assert first["boxes"][:2] == [[0.0, 0.2, 0.3, 0.4], [0.05, 0.2, 0.3, 0.4]], "of every fifth frame"
    assert first["speaking"] == [False] * 5 + [True] * 5
    assert second["times"] == [3.0, 3.5, 9.0], "what is rarer is kept"


def test_they_are_plain_values_and_no_part_of_the_answer() -> None:
    recording = panel_recording(Path("a.mp4"))
    assert tracks_of(recording) == []
    seen = replace(recording, people=(person(1, [0.0]),))
    json.dumps(tracks_of(seen))
    assert seen.to_json() == recording.to_json()
