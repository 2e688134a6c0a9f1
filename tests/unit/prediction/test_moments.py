"""Moments of equal length: each says what is said of the utterance that covers most of it."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.errors import ConfigError
from mecam.prediction.moments import moments_of, row_times
from mecam.prediction.result import Face, Prediction, Voice
from mecam.types import Utterance
from panel_answers import PART, utterance_of


def part(start: float, stop: float, text: str = "", **changes: object) -> Prediction:
    words = len(text.split())
    kept = {"text": [0.5] * words, "audio": [0.2, 0.4, None]}
    return replace(PART, id=f"{start:g}", start=start, stop=stop, text=text or None, kept=kept, **changes)


PARTS = (part(0.5, 1.4, "one two three"), part(1.4, 3.2, "four five six seven", score=-1.0, label="negative"))
UTTERANCES = tuple(map(utterance_of, PARTS))


def test_a_moment_takes_what_covers_most_of_it() -> None:
    moments = moments_of(PARTS, UTTERANCES, 4.5, 1.0)
    assert [(m.start, m.stop) for m in moments] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 4.5)]
    assert [m.id for m in moments] == ["0.5", "1.4", "1.4", "1.4", ""]
    assert [m.score for m in moments] == [PARTS[0].score, -1.0, -1.0, -1.0, None]
    assert [m.label for m in moments] == ["positive", "negative", "negative", "negative", ""]
    assert moments[0].emotions == PART.emotions
    assert moments[4] == Prediction("", None, None, None, None, "", start=4.0, stop=4.5)


def test_words_and_gates_stand_where_their_middle_lies() -> None:
    moments = moments_of(PARTS, UTTERANCES, 4.5, 1.0)
    assert [m.text for m in moments] == ["one two", "three four", "five six seven", None, None]
    assert [m.kept.get("audio") for m in moments] == [[pytest.approx(0.3)], [pytest.approx(0.2)], [0.4], None, None]
    assert moments[0].kept["text"] == [0.5]


def test_rows_that_are_all_missing_have_no_mean() -> None:
    lost = (replace(PARTS[0], kept={"audio": [None, None, None]}),)
    assert moments_of(lost, UTTERANCES[:1], 1.0, 1.0)[0].kept == {"audio": [None]}


@dataclass(frozen=True)
class Somebody:
    number: int


def test_voice_and_faces_are_those_of_the_moment() -> None:
    asked: list[tuple[float, float]] = []

    def voice(start: float, stop: float) -> Voice:
        asked.append((start, stop))
        return Voice(start / 10)

    def others(start: float, stop: float) -> list[Prediction]:
        other = Prediction("", None, None, None, None, "", start=start, stop=stop, person=1, speaking=False)
        return [other] if start == 1 else []

    moments = moments_of(
        PARTS,
        UTTERANCES,
        2.0,
        1.0,
        voice=voice,
        face=lambda start, stop: (Somebody(3) if start else None, start > 0, Face(start) if start else None),
        others=others,
    )
    assert asked == [(0.0, 1.0), (1.0, 2.0)]
    assert [(m.id, m.person, m.speaking) for m in moments] == [
        ("0.5", None, False),
        ("1.4", 3, True),
        ("1.4", 1, False),
    ]
    assert [m.voice.activation if m.voice else None for m in moments] == [0.0, 0.1, None]
    assert [m.face for m in moments[:2]] == [None, Face(1.0)]


def test_without_readers_no_voice_and_no_face_is_told() -> None:
    assert {(m.voice, m.face) for m in moments_of(PARTS, UTTERANCES, 2.0, 1.0)} == {(None, None)}


@settings(deadline=None)
@given(st.floats(0.1, 60), st.floats(0.01, 60))
def test_moments_cover_the_recording_without_gaps(every: float, duration: float) -> None:
    moments = moments_of((), (), duration, every)
    assert moments[0].start == 0.0
    assert moments[-1].stop == duration
    assert len(moments) == pytest.approx(duration / every, abs=1.01)
    for one, next_ in pairwise(moments):
        assert one.stop == next_.start
        assert one.stop is not None
        assert one.start is not None
        assert math.isclose(one.stop - one.start, every, rel_tol=1e-6)


def test_no_word_is_lost() -> None:
    for every in (0.1, 0.35, 1.0, 7.0):
        moments = moments_of(PARTS, UTTERANCES, 3.2, every)
        assert " ".join(filter(None, (m.text for m in moments))) == "one two three four five six seven"


@pytest.mark.parametrize("every", [0.0, 0.09, -1.0, math.nan, math.inf])
def test_a_moment_that_is_none(every: float) -> None:
    with pytest.raises(ConfigError, match="a moment cannot last"):
        moments_of(PARTS, UTTERANCES, 2.0, every)


def test_words_without_times_lie_evenly() -> None:
    assert row_times(PARTS[0], Utterance("a", text="one two three"), "text", 3) == [
        (pytest.approx(0.5 + 0.3 * i), pytest.approx(0.8 + 0.3 * i)) for i in range(3)
    ]
    assert row_times(PARTS[0], Utterance("a"), "audio", 3) == []
