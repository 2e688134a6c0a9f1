"""People in a recording: one number each, the same over cuts; never two at once; whose rows are given; who speaks."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clips import TALK_RATE, need_data, portrait, talk, tone, two_people
from mecam.errors import ConfigError, DataError
from mecam.features.extractor import Extractor, Features
from mecam.features.media import Frame, Media
from mecam.features.people import OfPerson, People, Person, of_person
from mecam.features.recording import Recipe, read_recording
from mecam.features.vision.active_speaker import choose_by_lips
from mecam.features.vision.appearance import EDGES, LENGTH, SAME, Description, distances
from mecam.features.vision.cuts import Cuts
from mecam.features.vision.expression import NAMES
from mecam.features.vision.face_extractors import Expressions, FaceCues
from mecam.features.vision.same_face import joined
from mecam.features.vision.tracking import Face
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip
from mecam.types import VISION, FeatureSpec, Modality

RATE = TALK_RATE


def face(
    frames: NDArray[np.int64], look: int, *, x: float = 0.0, lips: NDArray[np.float32] | None = None, side: float = 80.0
) -> Face:
    """A track; `look` says whom it looks like."""
    count = len(frames)
    values = np.zeros((count, len(NAMES)), np.float32)
    if lips is not None:
        for name in ("mouth_open", "lip_lower_drop", "jaw_open"):
            values[:, NAMES.index(name)] = lips
    boxes = np.tile(np.float32([x, 0.2, 0.2, 0.3]), (count, 1))
    appearance = np.random.default_rng(look).standard_normal(LENGTH).astype(np.float32) * 5
    appearance[EDGES:] = 0.5
    full = np.full(count, side, np.float32)
    return Face(frames, values, full, full / side, np.zeros((count, 0), np.float32), boxes, appearance)


def span(start: int, stop: int) -> NDArray[np.int64]:
    return np.arange(start, stop, dtype=np.int64)


def test_tracks_that_look_alike_are_one_person_in_order_of_appearance() -> None:
    tracks = [
        face(span(0, 20), 1, x=0.6),
        face(span(0, 20), 2, x=0.1),
        face(span(20, 40), 2, x=0.6),
        face(span(25, 40), 3, x=0.1),
        face(span(50, 60), 1),
    ]
    people = joined(tracks)
    assert [one.frames.tolist() for one in people] == [
        [*range(40)],  # from left to right, of those who appear at once
        [*range(20), *range(50, 60)],
        [*range(25, 40)],
    ]


def test_two_that_are_seen_at_once_are_two_however_alike() -> None:
    twins = [face(span(0, 20), 1), face(span(19, 40), 1), face(span(50, 60), 1)]
    people = joined(twins)
    assert len(people) == 2
    assert sum(len(one.frames) for one in people) == 20 + 21 + 10


def test_rows_stay_with_their_frames_when_tracks_are_joined() -> None:
    parts = [face(span(30, 40), 1), face(span(0, 10), 1)]
    parts = [replace(one, side=one.frames.astype(np.float32)) for one in parts]
    (person,) = joined(parts)
    np.testing.assert_array_equal(person.side, person.frames)
    assert (np.diff(person.frames) > 0).all()


def test_who_is_seen_for_a_moment_only_is_nobody_unless_all_are() -> None:
    assert len(joined([face(span(0, 20), 1), face(span(5, 7), 2)], least=6.0)) == 1
    assert len(joined([face(span(5, 7), 2)], least=6.0)) == 1
    assert joined([]) == []


def test_many_tracks_take_little_time() -> None:
    tracks = [face(span(10 * i, 10 * i + 10), i % 40) for i in range(400)]
    assert len(joined(tracks)) == 40


def test_a_description_does_not_count_what_the_picture_does_not_show() -> None:
    one = np.ones((2, LENGTH), np.float32)
    one[1, EDGES + 6 :] = np.nan  # no clothes
    assert distances(one)[0, 1] < SAME
    assert len(Description().mean()) == 0


def test_a_cut_is_found_and_movement_is_none() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 255, (90, 160, 3), dtype=np.uint8) for _ in range(2))
    cuts = Cuts()
    found = []
    for number in range(40):
        shown = np.roll(first if number < 25 else second, number // 8, axis=1)
        grain = rng.integers(0, 4, shown.shape, dtype=np.uint8)
        found.append(cuts.at(Frame(number / RATE, np.clip(shown.astype(int) + grain, 0, 255).astype(np.uint8))))
    assert found.index(True) in (8, 25)  # a jump of a whole picture is one, too
    assert found[25]
    assert not found[0]


def people() -> People:
    """Person 1 on rows 0 to 9 (speaks on 0 to 4), person 2 on rows 3 to 7 (speaks on 5 to 7)."""
    intervals = np.stack([np.arange(10) / 10, np.arange(1, 11) / 10], axis=1)
    frames = (span(0, 10), span(3, 8))
    speaking = (np.arange(10) < 5, np.array([False, False, True, True, True]))
    persons = tuple(
        Person(
            number,
            intervals[at],
            np.full((len(at), 2), number, np.float32),
            np.full(len(at), 50.0, np.float32),
            np.ones(len(at), np.float32),
            np.zeros((len(at), 4), np.float32),
            speaks,
        )
        for number, (at, speaks) in enumerate(zip(frames, speaking, strict=True), 1)
    )
    return People(persons, intervals, frames, 2, most_at_once=2)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("speaker", [1, 1, 1, 1, 1, 2, 2, 2, 0, 0]),
        ("listener", [0, 0, 0, 2, 2, 1, 1, 1, 1, 1]),
        (1, [1] * 10),
        (2, [0, 0, 0, 2, 2, 2, 2, 2, 0, 0]),
    ],
)
def test_whose_rows_are_given(asked: int | str, rows: list[int]) -> None:
    # In row 4 both are said to speak by their own flags; the more visible one is believed only if nobody else is.
    found = people().features(asked)  # type: ignore[arg-type]
    got = np.nan_to_num(found.values[:, 0]).astype(int).tolist()
    expected = list(rows)
    if asked == "speaker":
        expected[4] = got[4]
    np.testing.assert_array_equal(got[:4] + got[5:], expected[:4] + expected[5:])
    assert found.details["frames"] == 10
    assert found.details["with_face"] == np.count_nonzero(got)


def test_rows_between_two_times_are_those_of_the_whole() -> None:
    whole, part = people().features(2), people().features(2, 0.3, 0.6)
    np.testing.assert_array_equal(part.values, whole.values[3:6])
    np.testing.assert_array_equal(part.intervals, whole.intervals[3:6])
    assert [one["person"] for one in part.details["faces"]] == [1, 2]
    assert part.details["frames"] == 3


def test_an_unknown_number_is_one_error_with_the_numbers_there_are() -> None:
    with pytest.raises(DataError, match="no person 3") as caught:
        people().features(3)
    assert "1, 2" in str(caught.value)
    with pytest.raises(DataError, match="no face is visible"):
        People((), np.zeros((0, 2)), (), 2).features(1)


@dataclass(frozen=True)
class Plugged:
    """An extractor that does not tell people apart."""

    name = "plugged"
    version = "1"
    modality = VISION
    spec = FeatureSpec(1)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        raise NotImplementedError


def test_an_extractor_that_knows_no_people_gives_an_error_only_if_one_is_asked_for() -> None:
    made: dict[Modality, Extractor] = {VISION: Plugged()}
    assert of_person(made, "speaker") == made
    with pytest.raises(ConfigError, match="plugged does not tell people apart"):
        of_person(made, 2)
    with pytest.raises(ConfigError, match="nothing looks at faces"):
        of_person({}, "listener")
    for wrong in (0, -1):
        with pytest.raises(ConfigError, match="no person"):
            Recipe(person=wrong)


def sound_of(lips: NDArray[np.float32], path: Path) -> Media:
    """A recording whose loudness follows a mouth."""
    times = np.arange(round(len(lips) / RATE * 16_000)) / 16_000
    level = np.interp(times, np.arange(len(lips)) / RATE, lips)
    sound = (0.3 * level * np.random.default_rng(0).standard_normal(len(times))).astype(np.float32).clip(-1, 1)
    pictures = (np.zeros((16, 16, 3), np.uint8) for _ in lips)
    return Media(write_clip(path, pictures, rate=RATE, sound=sound))


@pytest.mark.parametrize("speaker", [0, 1])
@pytest.mark.parametrize("louder", [1.0, 5.0])
def test_the_lips_that_follow_the_sound_speak_however_much_others_move(
    tmp_path: Path, speaker: int, louder: float
) -> None:
    lips = [talk(seed, 8.0) for seed in (1, 2)]
    media = sound_of(lips[speaker], tmp_path / "a.mp4")
    moved = [0.02 * one * (1.0 if number == speaker else louder) for number, one in enumerate(lips)]
    faces = [face(span(0, len(one)), number, lips=one) for number, one in enumerate(moved)]
    chosen = choose_by_lips(faces, np.arange(len(lips[0])) / RATE, media)
    assert (chosen == speaker).mean() > 0.95


def test_nobody_speaks_who_is_not_there(tmp_path: Path) -> None:
    lips = talk(1, 4.0)
    media = sound_of(lips, tmp_path / "a.mp4")
    faces = [face(span(0, 20), 1, lips=lips[:20]), face(span(25, 50), 2, lips=lips[25:])]
    chosen = choose_by_lips(faces, np.arange(len(lips)) / RATE, media)
    assert chosen.tolist() == [0] * 20 + [-1] * 5 + [1] * 25


def test_people_keep_their_numbers_over_a_cut_with_swapped_sides(tmp_path: Path) -> None:
    clip = two_people(tmp_path / "a.mp4")
    recording = read_recording(clip, Recipe(("mecam-face",), people=True), id="a")
    first, second = recording.people
    assert (first.number, second.number) == (1, 2)
    for person, sides in ((first, (0.25, 0.75)), (second, (0.75, 0.25))):
        x = person.box[:, 0] + person.box[:, 2] / 2
        early = person.intervals[:, 1] < 2.9
        late = person.intervals[:, 0] > 3.1
        assert early.sum() > 30
        assert late.sum() > 30
        np.testing.assert_allclose(x[early], sides[0], atol=0.1)
        np.testing.assert_allclose(x[late], sides[1], atol=0.1)
    assert first.speaking.mean() > 0.9
    (utterance,) = recording.utterances
    np.testing.assert_array_equal(utterance.streams[VISION][person_rows(first)], first.values)
    listens = read_recording(clip, Recipe(("mecam-face",), person="listener"), id="a").utterances[0].streams[VISION]
    second_only = read_recording(clip, Recipe(("mecam-face",), person=2), id="a").utterances[0].streams[VISION]
    assert (np.isfinite(listens).all(axis=1) & (listens == second_only).all(axis=1)).mean() > 0.85
    with pytest.raises(DataError, match="no person 3"):
        read_recording(clip, Recipe(("mecam-face",), person=3), id="a")


def person_rows(person: Person) -> NDArray[np.int64]:
    """Which rows of the recording are a person's while they speak all the time."""
    return np.rint(person.intervals[:, 0] * RATE).astype(np.int64)


def test_of_one_face_people_change_nothing(tmp_path: Path) -> None:
    image, lips = portrait(), talk(1, 2.0)
    pictures = (render(image, ASTRONAUT, {"mouth_open": float(min(one, 1.0))}, side=160) for one in lips)
    clip = write_clip(tmp_path / "a.mp4", pictures, rate=RATE, sound=tone(2.0))
    plain = read_recording(clip, Recipe(("mecam-vision",)), id="a")
    told = read_recording(clip, Recipe(("mecam-vision",), people=True), id="a")
    np.testing.assert_array_equal(plain.utterances[0].streams[VISION], told.utterances[0].streams[VISION])
    assert plain.people == ()
    assert len(told.people) == 1


def test_more_faces_than_are_followed_are_said(tmp_path: Path) -> None:
    image = render(portrait(), ASTRONAUT, {}, side=160)
    clip = write_clip(tmp_path / "a.mp4", [np.concatenate([image] * 3, axis=1)] * 13, rate=RATE)
    found = Expressions(most_faces=2).people(Media(clip))
    assert len(found.persons) == 2
    assert found.findings == ("up to 3 faces are visible at once; the 2 largest are followed",)


def test_the_recording_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = two_people(tmp_path / "a.mp4")
    seen: list[Media] = []
    known = people()
    monkeypatch.setattr(FaceCues, "people", lambda _, media: seen.append(media) or known)
    rows = OfPerson(FaceCues(), 1)
    parts = [rows(Media(clip), start, start + 0.5) for start in (0.0, 0.5)]
    assert len(seen) == 1
    assert all(isinstance(part, Features) and len(part.values) == 5 for part in parts)


@pytest.mark.parametrize("pair", [("bbaf2n.mpg", "brbk7n.mpg"), ("lbax4n.mpg", "swiz3n.mpg")])
def test_real_people_side_by_side(pair: tuple[str, str], tmp_path: Path) -> None:
    clips = [need_data(f"video/{name}") for name in pair]
    pictures = [[frame.image for frame in Media(clip).frames(rate=25.0)] for clip in clips]
    heard = Media(clips[1]).waveform(rate=16_000)[1]
    shown = [np.concatenate(both, axis=1) for both in zip(*pictures, strict=False)]
    swapped = [np.concatenate(both[::-1], axis=1) for both in zip(*pictures, strict=False)]
    clip = write_clip(tmp_path / "a.mp4", [*shown, *swapped], rate=25.0, sound=np.concatenate([heard, heard]))
    first, second = FaceCues().people(Media(clip)).persons
    for person, at in ((first, 0.25), (second, 0.75)):
        x = person.box[:, 0] + person.box[:, 2] / 2
        early = person.intervals[:, 1] < len(shown) / 25
        np.testing.assert_allclose(x[early], at, atol=0.15)
        np.testing.assert_allclose(x[~early][1:], 1 - at, atol=0.15)
