"""People in pictures that still come in: numbers stay, old rows go, and what stays is what it was."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clips import moving_face, portrait
from mecam.features.audio.heard_sound import HeardSound
from mecam.features.media import Media
from mecam.features.vision import tracking
from mecam.features.vision.expression import POINTS
from mecam.features.vision.face_extractors import CUES, MEASURES, Expressions, View, tracker_of
from mecam.features.vision.face_models import Box
from mecam.features.vision.seen_people import SeenPeople
from mecam.synthetic.clips.render import ASTRONAUT, render

RATE = 5.0


def test_what_a_tracker_keeps_is_what_it_would_be_without_forgetting(tmp_path: Path) -> None:
    moves = {"yaw": lambda time: 12 * np.sin(3 * time), "mouth_open": lambda time: time % 0.7}
    frames = list(Media(moving_face(tmp_path / "a.mp4", moves, seconds=3.0, rate=10.0)).frames())
    whole, forgetful = (tracker_of(Expressions(), MEASURES, describe_s=0.5) for _ in range(2))
    for frame in frames:
        whole.see(frame)
        forgetful.see(frame)
        forgetful.forget(frame.time - 1.0)
        forgetful.faces()  # asking changes nothing
    (every,), (last,) = whole.faces(), forgetful.faces()
    count = len(last.frames)
    assert count == len(forgetful.times) == 11
    assert forgetful.times == whole.times[-count:]
    assert last.frames.tolist() == list(range(count))
    for name in ("side", "presence", "boxes", "looks"):
        np.testing.assert_array_equal(getattr(last, name), getattr(every, name)[-count:])
    gazes = [
        name in ("gaze_x", "gaze_y") for name in MEASURES.names
    ]  # interpolated between looks, some of which are gone
    np.testing.assert_allclose(last.values[:, ~np.array(gazes)], every.values[-count:, ~np.array(gazes)], rtol=1e-5)


def side_by_side(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([first, second], axis=1)


def test_numbers_hold_when_people_swap_sides_and_when_one_comes_back() -> None:
    image = portrait()
    one = render(image, ASTRONAUT, {}, side=160)
    other = render(np.ascontiguousarray(image[:, :, ::-1] // 2 + 60), ASTRONAUT, {"roll": 4.0}, side=160)
    nobody = np.zeros_like(one)
    shots = [
        side_by_side(one, other),
        side_by_side(other, one),
        side_by_side(nobody, nobody),
        side_by_side(nobody, other),
    ]
    seen = SeenPeople(Expressions(gaze_hz=0.0), CUES, hold_s=3.0, rate_hz=RATE)
    sound = HeardSound(3.0)
    told: list[dict[int, float]] = []
    for number in range(80):  # four seconds each
        seen.see(number / RATE, shots[number // 20])
        people = seen.people(sound)
        assert people is not None
        told.append(
            {p.number: float(p.box[-1, 0]) for p in people.persons if p.intervals[-1, 0] >= number / RATE - 1e-6}
        )
    assert told[10].keys() == told[30].keys() == {1, 2}
    assert told[10][1] < 0.5 < told[10][2]
    assert told[30][2] < 0.5 < told[30][1]
    assert told[50] == {}
    assert told[75].keys() == {2}
    assert all(set(now) <= {1, 2} for now in told)


def still_face(x: float) -> NDArray[np.float32]:
    """A mesh around a place."""
    points = np.random.default_rng(0).uniform(-20, 20, (POINTS, 3)).astype(np.float32)
    return points + np.float32([x, 60, 0])


def test_memory_is_flat_however_many_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the networks: a face that jumps to another place every second is somebody else to the tracker."""
    place = [60.0]
    monkeypatch.setattr(tracking, "detect", lambda image, closer=False: [Box(place[0], 60.0, 40.0)])

    def lay(image: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.float32], float]:
        return still_face(place[0]), float(abs(box.x - place[0]) < 30)

    view = View(("shade",), lay, lambda image, points, box: image[0, 0, :1].astype(np.float32))
    seen = SeenPeople(Expressions(gaze_hz=0.0), view, hold_s=10.0, rate_hz=RATE)
    drawn = np.random.default_rng(1)
    picture = drawn.integers(0, 255, (120, 340, 3), np.uint8)
    sizes = []
    for number in range(5 * 60 * 4):
        if number % 8 == 0:
            place[0] = 60.0 + 100.0 * (number // 8 % 3)
        seen.see(number / RATE, picture)
        if number % 50 == 0:
            people = seen.people(HeardSound(10.0))
            assert people is not None
            tracker = seen._tracker
            rows = sum(len(run.frames) for track in tracker._tracks for run in track.runs)
            sizes.append((len(tracker.times), rows, len(tracker._tracks), len(seen._numbers), len(seen._looks)))
    assert sizes[4][0] == 51
    assert max(size[:3] for size in sizes[4:]) <= (51, 51, 12)
    assert all(size[3] <= size[2] and size[4] <= 50 for size in sizes)
