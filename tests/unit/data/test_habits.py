"""An utterance moved to another speaker's mean: what changes, and what must not."""

import numpy as np
import pytest

import tiny
from mecam.config import AugmentationConfig
from mecam.data.collate import ViewOptions, batches
from mecam.data.datasets import Dataset
from mecam.data.habits import Habits, moved
from mecam.data.mixture import Mixture
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.types import Utterance

NAN = float("nan")
LOW, HIGH = np.array([[-1.0, 0.0], [1.0, 2.0]], np.float32), np.array([[9.0, 7.0], [NAN, NAN], [11.0, 7.0]], np.float32)


def spoken(rows: np.ndarray, speaker: str, **given: object) -> Utterance:
    return Utterance(id=str(given), speaker=speaker, streams={"audio": rows}, label=1.0, **given)  # type: ignore[arg-type]


def test_an_utterance_takes_the_mean_of_another_and_keeps_its_own_course() -> None:
    habits = Habits(["low", "high"], [{"audio": LOW}, {"audio": HIGH}])
    seen = set()
    for seed in range(20):
        shifts = habits.shifts(1, 1.0, np.random.default_rng(seed))
        result = moved(spoken(HIGH, "high"), shifts).streams["audio"]
        np.testing.assert_allclose(np.diff(result[[0, 2]], axis=0), np.diff(HIGH[[0, 2]], axis=0))
        assert np.isnan(result[1]).all()
        seen.add(tuple(np.nanmean(result, axis=0).tolist()))
    assert seen == {(0.0, 1.0), (10.0, 7.0)}  # of all speakers, the own one among them


def test_rate_is_how_often_a_modality_moves() -> None:
    habits = Habits(["low", "high"], [{"audio": LOW, "vision": LOW}, {"audio": HIGH, "vision": HIGH}])
    rng = np.random.default_rng(0)
    drawn = [habits.shifts(0, 0.3, rng) for _ in range(500)]
    for modality in ("audio", "vision"):
        assert 0.24 < np.mean([modality in shifts for shifts in drawn]) < 0.36
    assert not habits.shifts(0, 0.0, rng)


def test_who_has_no_rows_of_a_modality_neither_gives_nor_takes_its_mean() -> None:
    silent = np.full((2, 2), NAN, np.float32)
    habits = Habits(["low", "silent", "high"], [{"audio": LOW}, {"audio": silent}, {}])
    assert not habits.shifts(1, 1.0, np.random.default_rng(0))
    assert not habits.shifts(2, 1.0, np.random.default_rng(0))
    for seed in range(5):
        np.testing.assert_array_equal(habits.shifts(0, 1.0, np.random.default_rng(seed))["audio"], 0.0)


def test_batch_and_view_move_alike_and_padding_stays_empty(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    options = AugmentationConfig(speaker=1.0)
    plain = list(batches(train, trained.collator, 8, shuffle_seed=3, views=ViewOptions(0.0)))
    there = list(batches(train, trained.collator, 8, shuffle_seed=3, views=ViewOptions(0.0), augmentation=options))
    moves = 0
    for before, after in zip(plain, there, strict=True):
        assert before.ids == after.ids
        assert after.view is not None
        for modality, stream in after.streams.items():
            assert (stream.mask == before.streams[modality].mask).all()
            assert (stream.values == after.view.streams[modality].values).all()
            moves += int((stream.values != before.streams[modality].values).any())
            if stream.values.is_floating_point():
                assert not stream.values[~stream.mask].any()
        assert (after.streams["text"].values == before.streams["text"].values).all()
    assert moves


def test_of_several_stores_each_keeps_to_its_own_speakers() -> None:
    def part(*rows: np.ndarray) -> Dataset:
        return Dataset([spoken(r, f"s{i}", video="v") for i, r in enumerate(rows)], task=tiny.TASKS["regression"])

    mixture = Mixture([part(LOW, LOW + 1), part(HIGH, HIGH + 50)], [1.0, 1.0])
    for seed in range(10):
        shift = mixture.shifts(2, 1.0, np.random.default_rng(seed))["audio"]
        assert np.abs(shift - np.array([0, 0])).max() in (0, 50)


def test_utterances_of_nobody_are_refused() -> None:
    nameless = Dataset([spoken(LOW, "")], task=tiny.TASKS["regression"])
    with pytest.raises(DataError, match=r"1 of 1 utterances name no speaker(.|\n)*augmentation\.speaker"):
        nameless.shifts(0, 1.0, np.random.default_rng(0))
