"""The flat table of predictions: which rows, which columns, in which order."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import light
from mecam.prediction.result import Prediction
from mecam.prediction.rows import columns_of, mean_of_known, rows_of, rows_of_recording, to_frame
from panel_answers import PART, panel_recording

CLIP = Path("clip.mp4")


def test_everybody_has_a_row_for_each_utterance() -> None:
    rows = rows_of_recording(panel_recording(CLIP))
    assert [(row["start"], row["person"], row["speaking"]) for row in rows] == [
        (0.4, 1, True), (0.4, 2, False), (3.0, 1, True), (3.0, 2, False), (6.2, 1, True), (6.2, 2, False),
    ]  # fmt: skip
    first, listener = rows[:2]
    assert first["text"] == "I really loved this film"
    assert (first["score"], first["low"], first["high"]) == pytest.approx((1.9, 0.8, 3.0))
    assert first["emotion_joy"] == pytest.approx(0.62)
    assert (first["activation"], first["activation_low"]) == pytest.approx((0.71, 0.59))
    assert first["expression_happy"] == pytest.approx(0.7)
    assert (first["smile"], first["kept_audio"]) == pytest.approx((0.8, 0.5))
    assert rows[4]["contradicts"] == "vision"
    assert listener["expression_surprised"] == pytest.approx(0.5)
    assert not {"score", "activation", "emotion_joy", "kept_audio"} & listener.keys()


def test_moments_take_the_place_of_utterances() -> None:
    rows = rows_of_recording(panel_recording(CLIP, moments=True))
    assert len(rows) == 20
    assert [row["start"] for row in rows[::2]] == [float(start) for start in range(10)]
    assert [row["start"] for row in rows[::2] if "score" not in row] == [5.0, 9.0], "nothing is said then"


def test_the_order_of_columns_is_fixed() -> None:
    columns = columns_of(rows_of([panel_recording(CLIP)]))
    assert columns[:11] == [
        "file", "start", "stop", "id", "person", "speaking", "text", "label", "score", "low", "high",
    ]  # fmt: skip
    assert columns[11:18] == [f"emotion_{name}" for name in PART.emotions]
    assert columns[18:25] == [
        *("activation", "activation_low", "activation_high", "words_per_s", "pitch_hz", "pitch_range", "pauses"),
    ]
    assert columns[25:33] == ["visible", *(f"expression_{name}" for name in PART.face.expressions)]  # type: ignore[union-attr]
    assert columns[33:] == [
        *("smile", "frown", "mouth_open", "kept_text", "kept_audio", "kept_vision", "contradicts", "note"),
    ]


@settings(deadline=None)
@given(st.permutations(range(4)))
def test_it_does_not_depend_on_the_order_of_rows(order: Sequence[int]) -> None:
    parts = [
        Prediction("a", "x", 1.0, 0.0, 2.0, "positive", shares={"text": 1.0}),
        Prediction("b", None, None, None, None, "joy", {"joy": 1.0}),
        replace(PART, absent=("text",), doubts={"text": 0.1}),
        Prediction("c", "y", None, None, None, ""),
    ]
    assert columns_of(rows_of([parts[i] for i in order])) == columns_of(rows_of(parts))


def test_a_column_that_nobody_fills_is_left_out() -> None:
    silent = Prediction("a", None, None, None, None, "", absent=("text",))
    assert columns_of(rows_of([silent])) == ["id", "absent"]


def test_the_mean_of_what_is_known() -> None:
    assert mean_of_known([0.5, None, 1.0]) == 0.75
    assert mean_of_known([None]) is None
    assert mean_of_known([]) is None


def test_a_data_frame_has_types_that_do_not_depend_on_what_it_holds() -> None:
    frame = panel_recording(CLIP).to_frame()
    bare = to_frame([Prediction("a", "=x", 1.0, None, None, "positive"), PART])
    assert len(frame) == 6
    for column in ("person", "speaking", "score", "text", "start"):
        assert column == "start" or frame[column].dtype == bare[column].dtype, column
    assert str(frame["person"].dtype) == "Int64"
    assert str(frame["score"].dtype) == "float64"
    assert frame["score"].isna().tolist() == [False, True] * 3
    assert bare["text"].tolist()[0] == "=x"
    assert len(to_frame([])) == 0


def test_without_pandas_the_extra_is_named() -> None:
    said = light.run_light("""
        from mecam.errors import MissingExtraError
        from mecam.prediction.rows import to_frame
        try:
            to_frame([])
        except MissingExtraError as error:
            print(error)
    """)
    assert said.strip() == 'this needs pandas, which is not installed (pip install "mecam[table]")'
