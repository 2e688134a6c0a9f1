"""Padding, ids, names and time: what the importers decide about a row."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.data.importing.joining import Findings, rename_rows
from mecam.data.importing.labels import infer_task, label_of
from mecam.data.importing.sources.base import (
    Row,
    Source,
    make_id,
    modality_of,
    number_of,
    scores_of,
    split_ids,
    split_in_name,
    text_of,
)
from mecam.data.importing.sources.padding import Padded
from mecam.errors import DataError
from mecam.task import Classes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(lambda n: sum(0 < k < 9 for k in n) > 0),
    left=st.booleans(),
    told=st.booleans(),
    seed=st.integers(0, 99),
)
def test_padding_goes_and_every_real_row_stays(lengths, left, told, seed):
    """Interior zero rows, and zero rows at the end that is not padded, belong to the data."""
    rng = np.random.default_rng(seed)
    padded = np.zeros((len(lengths), 9, 3), np.float32)
    real = []
    for row, length in zip(padded, lengths, strict=True):
        values = np.ones((length, 3), np.float32) * rng.integers(1, 5)
        values[1 : length - 1][rng.random(max(length - 2, 0)) < 0.5] = 0
        real.append(values)
        if length:
            row[9 - length :] = values if left else row[9 - length :]
            if not left:
                row[:length] = values
    source = Padded.of({"audio": padded}, {"audio": lengths} if told else {}, len(lengths))
    for index, values in enumerate(real):
        assert source.pieces(index)["audio"].values.tolist() == values.tolist()


def test_a_faceless_start_is_kept_when_the_padding_is_at_the_end():
    vision = np.ones((5, 10, 2), np.float32)
    vision[:, 6:] = 0
    vision[0, :3] = 0
    assert len(Padded.of({"vision": vision}, {}, 5).pieces(0)["vision"].values) == 6
    assert len(Padded.of({"vision": vision[:, ::-1]}, {}, 5).pieces(0)["vision"].values) == 6


def test_modalities_of_equal_length_and_different_padding_keep_their_own_lengths():
    rng = np.random.default_rng(0)
    arrays = {"audio": np.ones((20, 10, 2)), "vision": np.ones((20, 10, 3))}
    lengths = {modality: rng.integers(1, 10, 20) for modality in arrays}
    for modality, array in arrays.items():
        for row, length in zip(array, lengths[modality], strict=True):
            row[length:] = 0
    source = Padded.of(arrays, {}, 20)
    for index in range(20):
        assert {m: len(piece.values) for m, piece in source.pieces(index).items()} == {
            m: count[index] for m, count in lengths.items()
        }


def test_lengths_longer_than_the_array_are_no_reason_to_fail():
    source = Padded.of({"audio": np.ones((1, 4, 2))}, {"audio": [9]}, 1)
    assert source.pieces(0)["audio"].values.shape == (4, 2)


@pytest.mark.parametrize(
    "arrays",
    [{"audio": np.ones((2, 3, 4))}, {"audio": np.ones(3)}, {"audio": np.array([["a"] * 3] * 3)}, {"audio": None}],
)
def test_arrays_that_are_no_features_are_refused(arrays):
    with pytest.raises(DataError):
        Padded.of(arrays, {}, 3)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("03bSnISJMiM$_$11",), "03bSnISJMiM_11"),
        ((b"03bSnISJMiM_11",), "03bSnISJMiM_11"),
        (("03bSnISJMiM", 11), "03bSnISJMiM_11"),
        (("-3g5yACwYnA", "82.7645"), "-3g5yACwYnA_82_7645"),
        (("video[3]",), "video[3]"),
        (("某视频", "0001"), "某视频_0001"),
    ],
)
def test_one_utterance_has_one_id_however_it_is_written(parts, name):
    assert make_id(*parts) == name


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "a\\b", "..", ".", "", " ", "a\x00b", "a\nb", "a\u2028b", "a\u202eb", "x" * 300]
)
def test_an_id_that_could_be_a_path_or_break_a_line_is_refused(name):
    with pytest.raises(DataError, match="cannot be an utterance id"):
        make_id(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a_b$_$3", ("a_b", "3")),
        ("6_0THN4chvY_9", ("6_0THN4chvY", "9")),
        ("v[12]", ("v", "12")),
        ("03-01-01", ("03-01-01", "")),
    ],
)
def test_the_recording_is_found_in_the_id(name, parts):
    assert split_ids(name) == parts


def test_names_of_modalities_and_splits():
    names = [
        "audio",
        "COVAREP",
        "CMU_MOSEI_VisualFacet42",
        "OpenFace_2.0",
        "glove_vectors",
        "eda_signal",
        "video",
        "9",
        "AU",
    ]
    modalities = ["audio", "audio", "vision", "vision", "text", "eda_signal", "vision", "features", "vision"]
    assert [modality_of(name) for name in names] == modalities
    assert [split_in_name(name) for name in ("dev_sent_emo", "train", "my-test", "contest", "train_test", "x")] == [
        "valid", "train", "test", "", "", "",
    ]  # fmt: skip


def test_values_of_any_wrapping():
    assert scores_of(np.array([[[1.5]]])) == {"score": 1.5}
    assert scores_of(np.float32(1.5)) == scores_of("1.5") == scores_of(b"1.5") == {"score": 1.5}
    assert scores_of(np.arange(7.0).reshape(1, 7))["fear"] == 6.0
    assert all(math.isnan(number_of(value)) for value in ("x", None, [1, 2], np.ones(2), np.array(["x"])))
    assert text_of(b"caf\xc3\xa9") == text_of(b"caf\xe9") == text_of(memoryview(b"caf\xc3\xa9")) == "café"
    with pytest.raises(DataError):
        text_of(["a"])


@pytest.mark.parametrize(
    ("scores", "unimodal", "scale"),
    [
        ([-2.4, 3.0], {}, (-3.0, 3.0)),
        ([0.2, -0.8], {}, (-3.0, 3.0)),
        ([0.2, -0.8], {"text": 0.4}, (-1.0, 1.0)),
        ([0.2, -0.8] * 60, {}, (-1.0, 1.0)),
        ([1.0, 4.5], {}, (1.0, 5.0)),
        ([1.0, 6.5], {}, (1.0, 7.0)),
        ([1.0, 2.5], {}, (-3.0, 3.0)),
        ([-3.4, 3.3], {}, (-3.0, 3.0)),
    ],
)
def test_the_scale_is_told_from_the_scores(scores, unimodal, scale):
    task = infer_task([Row(str(i), labels={"score": score}, unimodal=unimodal) for i, score in enumerate(scores)])
    assert (task.kind, task.low, task.high) == ("regression", *scale)


def test_classes_are_told_from_names_and_others_are_left_out():
    rows = [Row("a", labels={"emotion": "joy", "polarity": "positive"}), Row("b", labels={"polarity": "neutral"})]
    assert infer_task(rows).names == ("joy",)
    polarity, findings = Classes(("neutral", "positive")), Findings()
    assert [label_of(row, polarity, findings) for row in rows] == ["positive", "neutral"]
    assert label_of(Row("c", labels={"emotion": "rage"}), polarity, findings) is None
    assert [(f.kind, f.count) for f in findings.all()] == [("unknown classes", 1)]
    with pytest.raises(DataError, match="no labels"):
        infer_task([Row("a")])


def test_a_word_that_names_an_emotion_and_a_polarity_is_read_as_what_the_task_asks():
    row = Row("a", labels={"emotion": "neutral", "polarity": "positive"})
    assert label_of(row, Classes(("negative", "neutral", "positive")), Findings()) == "positive"
    assert label_of(row, Classes(("joy", "neutral")), Findings()) == "neutral"


def rows(video, *clips):
    return [
        Row(name, video=video, labels={"score": score}, interval=tuple(map(float, interval)))
        for name, score, interval in clips
    ]


NAN = (math.nan, math.nan)


@pytest.mark.parametrize(
    ("ours", "names"),
    [
        ([("v[0]", 1.0, (0, 1)), ("v[1]", -1.0, (1, 2))], ["v_1", "v_2"]),  # same order, same labels
        ([("v[1]", -1.0, (1, 2)), ("v[0]", 1.0, (0, 1))], ["v_2", "v_1"]),  # position in the file does not count
        ([("v[0]", -1.0, (0, 1)), ("v[1]", 1.0, (1, 2))], ["v_1", "v_2"]),  # labels disagree: by time
        ([("v[0]", 0.5, (1.1, 2))], ["v_2"]),  # fewer rows: by time
        ([("v[0]", 0.5, (9, 10))], ["v[0]"]),  # nowhere near
        ([("v[0]", 0.5, NAN)], ["v[0]"]),
        ([("v[0]", 0.5, (0, 1)), ("v[1]", 0.5, (0, 1.1))], ["v_1", "v[1]"]),  # one partner each
    ],
)
def test_rows_without_a_common_id_meet_by_time_and_label(ours, names):
    leaders = rows("v", ("v_1", 1.0, (0, 1)), ("v_2", -1.0, (1, 2)))
    renamed, count = rename_rows(Source("a", "a", leaders), Source("b", "b", rows("v", *ours)), leaders)
    assert [row.id for row in renamed.rows] == names
    assert count == sum("_" in name for name in names)


def test_rows_with_common_ids_keep_them():
    leaders = rows("v", ("v_1", 1.0, (0, 1)), ("v_2", -1.0, (1, 2)))
    other = Source("b", "b", rows("v", ("v_2", 1.0, (0, 1)), ("v_3", -1.0, (1, 2))))
    assert rename_rows(Source("a", "a", leaders), other, leaders) == (other, 0)
