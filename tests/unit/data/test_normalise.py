import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.types import Utterance

TASK = tiny.TASKS["regression"]


def with_audio(rows: list[list[float]], split: str, name: str) -> Utterance:
    streams = {"audio": np.array(rows, np.float32)}
    return Utterance(id=name, split=split, streams=streams, label=0.0)


def fitted(path: Path, *utterances: Utterance) -> tuple[Store, Normaliser]:
    store = tiny.write_store(path, TASK, utterances)
    return store, Normaliser.fit(store, store.split("train"), clip=5.0)


def test_only_the_train_split_counts(tmp_path: Path) -> None:
    train = [with_audio([[i, 1, 2, 3] for i in range(10)], "train", "a")]
    other = with_audio([[1e6, 1e6, 1e6, 1e6]] * 50, "test", "b")
    _, alone = fitted(tmp_path / "alone", *train)
    _, both = fitted(tmp_path / "both", *train, other)
    np.testing.assert_array_equal(alone.centre["audio"], both.centre["audio"])
    np.testing.assert_array_equal(alone.scale["audio"], both.scale["audio"])


def test_centre_and_scale_are_median_and_interquartile_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(3, 2, 4001), rng.normal(-1, 0.5, 4001), np.full(4001, 7.0), np.zeros(4001)], axis=1)
    rows[4000:, 3] = 1.0  # half of the rows at rest: no interquartile range
    rows[:40, 0] = 1e9  # 1 % outliers
    rows[::2, 1] = np.nan
    store, normaliser = fitted(tmp_path / "s", with_audio(rows.tolist(), "train", "a"))
    assert normaliser.centre["audio"] == pytest.approx([3, -1, 7, 0], abs=0.1)
    assert normaliser.scale["audio"][:3] == pytest.approx([2, 0.5, 1.0], rel=0.05)  # a constant column: 1
    assert normaliser.scale["audio"][3] == pytest.approx(rows[:, 3].std(), rel=1e-4)
    result = normaliser(store[0]).streams["audio"]
    assert np.abs(result).max() == 5.0
    assert result[:40, 0].tolist() == [5.0] * 40
    assert (result[:, 2] == 0).all()
    assert 0.9 < result[40:, 0].std() < 1.1
    assert result.dtype == np.float32


def test_a_missing_value_becomes_the_middle_and_a_missing_row_stays_missing(tmp_path: Path) -> None:
    nan = float("nan")
    rows = [[1, 2, 3, 4], [nan, 9, 9, 9], [nan, nan, nan, nan], [5, 4, 3, 2]]
    store, normaliser = fitted(tmp_path / "s", with_audio(rows, "train", "a"))
    before = store[0].streams["audio"].copy()
    result = normaliser(store[0]).streams["audio"]
    assert result[1, 0] == 0
    assert np.isfinite(result[[0, 1, 3]]).all()
    assert np.isnan(result[2]).all()
    np.testing.assert_array_equal(store[0].streams["audio"], before)  # the store's own rows stay


def test_a_column_that_train_never_saw_is_left_as_it_is_and_a_stream_left_out(tmp_path: Path) -> None:
    nan = float("nan")
    train = with_audio([[nan, 1, 2, 3]] * 3, "train", "a")
    test = dataclasses.replace(
        with_audio([[6, 1, 2, 3]], "test", "b"),
        streams={"audio": np.ones((1, 4), np.float32), "vision": np.ones((2, 3), np.float32)},
    )
    store, normaliser = fitted(tmp_path / "s", train, test)
    result = normaliser(store[1])
    assert set(result.streams) == {"audio"}
    assert np.isfinite(result.streams["audio"]).all()
    assert result.streams["audio"][0, 0] == 1


def test_a_stream_that_the_model_does_not_know_is_left_out(tmp_path: Path) -> None:
    """A store may bring more than a model was trained on, in whatever width."""
    _, normaliser = fitted(tmp_path / "s", with_audio([[1, 2, 3, 4]], "train", "a"))
    more = Utterance(id="x", streams={"audio": np.ones((1, 4), np.float32), "gaze": np.ones((1, 9), np.float32)})
    assert set(normaliser(more).streams) == {"audio"}


def test_json_round_trip(store: Store) -> None:
    normaliser = Normaliser.fit(store, store.split("train"), clip=4.0)
    back = Normaliser.from_json(json.loads(json.dumps(normaliser.to_json(), allow_nan=False)))
    for utterance in store:
        for modality, rows in normaliser(utterance).streams.items():
            np.testing.assert_array_equal(back(utterance).streams[modality], rows)


def test_rows_of_zeros_may_be_missing_rows(tmp_path: Path) -> None:
    rows = [[1, 2, 3, 4], [0, 0, 0, 0], [0, 2, 0, 4], [3, 2, 5, 0]]
    store = tiny.write_store(tmp_path / "s", TASK, [with_audio(rows, "train", "a")])
    taken = Normaliser.fit(store, store.split("train"), clip=5.0, zero_rows_missing=True)
    result = taken(store[0]).streams["audio"]
    assert np.isnan(result).all(axis=1).tolist() == [False, True, False, False]
    assert np.isnan(taken.zero["audio"]).all(), "a row that is dropped in training is missing too"
    np.testing.assert_allclose(taken.centre["audio"], np.median(np.array(rows)[[0, 2, 3]], axis=0))
    back = Normaliser.from_json(json.loads(json.dumps(taken.to_json())))
    assert back.zero_rows_missing
    assert back.only(["audio"]).zero_rows_missing
    plain = Normaliser.fit(store, store.split("train"), clip=5.0)
    assert np.isfinite(plain(store[0]).streams["audio"]).all()
    assert (store[0].streams["audio"][1] == 0).all()
