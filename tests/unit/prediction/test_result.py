"""A prediction goes through JSON and comes back as it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.errors import DataError
from mecam.prediction.result import Face, Prediction, RecordingPrediction, Voice
from panel_answers import panel_recording

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBER
NAME = st.text(max_size=8)
NUMBERS = st.dictionaries(NAME, NUMBER, max_size=3)
NAMES = st.lists(NAME, max_size=3).map(tuple)

PREDICTIONS = st.fixed_dictionaries(
    {
        "id": NAME,
        "text": st.none() | NAME,
        "score": MAYBE,
        "low": MAYBE,
        "high": MAYBE,
        "label": NAME,
        "probabilities": NUMBERS,
        "kept": st.dictionaries(NAME, st.lists(MAYBE, max_size=3), max_size=3),
        "start": MAYBE,
        "alone": st.dictionaries(NAME, NUMBER | NAME, max_size=3),
        "disagrees": NAMES,
        "contradicts": NAMES,
        "emotions": NUMBERS,
        "voice": st.none() | st.tuples(NUMBER, *[MAYBE] * 6),  # a voice of which nothing is known is none
        "face": st.none() | st.tuples(NUMBER, NUMBERS, NUMBERS),
        "person": st.none() | st.integers(1, 9),
        "speaking": st.booleans(),
    }
)
RECORDINGS = st.fixed_dictionaries(
    {
        "duration": NUMBER,
        "overall": PREDICTIONS,
        "parts": st.lists(PREDICTIONS, max_size=2),
        "listeners": st.lists(PREDICTIONS, max_size=1),
        "contributions": st.lists(st.lists(NUMBER, max_size=3).map(tuple), max_size=2).map(tuple),
        "absent": st.dictionaries(NAME, NAME, max_size=2),
        "details": st.dictionaries(NAME, st.lists(NUMBERS, min_size=1, max_size=2).map(tuple), max_size=2),
        "findings": NAMES,
        "name": NAME,
        "model": NAME,
    }
)


def prediction_of(values: dict[str, Any]) -> Prediction:
    voice, face = values["voice"], values["face"]
    return Prediction(**{**values, "voice": voice and Voice(*voice), "face": face and Face(*face)})


def recording_of(values: dict[str, Any]) -> RecordingPrediction:
    several = {name: tuple(map(prediction_of, values[name])) for name in ("parts", "listeners")}
    overall = prediction_of(values["overall"])
    return RecordingPrediction(path=Path("x"), utterances=(), **{**values, **several, "overall": overall})


def through_json(what: Any) -> Any:
    return json.loads(json.dumps(what.to_json()))


@given(PREDICTIONS)
@settings(deadline=None, max_examples=50)
def test_a_prediction_comes_back_from_json(values: dict[str, Any]) -> None:
    one = prediction_of(values)
    kept = one if one.person is not None else replace(one, speaking=True)  # JSON tells it of people only
    assert Prediction.from_json(through_json(one)) == kept


@given(RECORDINGS)
@settings(deadline=None, max_examples=25)
def test_a_recording_tells_the_same_after_json(values: dict[str, Any]) -> None:
    one = recording_of(values)
    again = RecordingPrediction.from_json(through_json(one))
    assert through_json(again) == through_json(one)
    assert (again.name, again.path, again.utterances) == (one.name, Path(one.name), ())
    assert (again.findings, again.notes, again.absent) == (one.findings, one.notes, one.absent)


def test_files_of_a_recording_are_the_same_after_json(tmp_path: Path) -> None:
    one = panel_recording(Path("clip.mp4"))
    again = RecordingPrediction.from_json(through_json(one))
    assert again.parts == one.parts
    for name in ("table.csv", "recording.jsonl"):
        assert again.save(tmp_path / name).read_bytes() == one.save(tmp_path / f"first-{name}").read_bytes()


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert Prediction.from_json({"id": "1", "label": "positive", "novel": 5}).label == "positive"


@pytest.mark.parametrize("values", [[], "text", None, {}, {"id": "1"}, {"id": "1", "label": "", "face": {}}])
def test_what_is_no_prediction_is_refused(values: Any) -> None:
    with pytest.raises(DataError, match="this is not a"):
        Prediction.from_json(values)


@pytest.mark.parametrize("values", [[], None, {}, {"file": "clip.mp4", "duration": 1.0, "overall": None}])
def test_what_is_no_recording_is_refused(values: Any) -> None:
    with pytest.raises(DataError, match="this is not a prediction of a recording"):
        RecordingPrediction.from_json(values)
