"""Several stores as one: how often each is drawn, and what may not be mixed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.collate import Collator, ViewOptions, batches
from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture, WeightedStore, check_sources, merged
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.task import Regression
from mecam.types import FeatureSpec

TASK = tiny.TASKS["regression"]


def store_of(path: Path, name: str, count: int = 30, **options: object) -> Store:
    content = tiny.utterances(TASK, count, seed=len(name), **options)  # type: ignore[arg-type]
    return tiny.write_store(path / name, TASK, [replace(u, id=f"{name}{u.id}") for u in content])


@pytest.fixture
def parts(tmp_path: Path) -> list[Dataset]:
    """Twelve utterances of one store, six of another whose features are larger."""
    first, second = store_of(tmp_path, "a", 20, modalities=("audio",)), store_of(tmp_path, "bb", 10)
    return [
        Dataset(s, s.split("train"), task=TASK, normaliser=Normaliser.fit(s, s.split("train"), clip=clip))
        for s, clip in ((first, 5.0), (second, 5.0))
    ]


def test_an_epoch_draws_by_weight(parts: list[Dataset]) -> None:
    sizes = [len(part) for part in parts]
    assert sizes == [12, 6]
    mixture = Mixture(parts, (0.25, 2.5))
    assert len(mixture) == 18
    assert mixture.epoch_size == 3 + 15
    seen = np.zeros(18)
    for seed in range(400):
        drawn = mixture.draw(np.random.default_rng(seed))
        counts = np.bincount(drawn, minlength=18)
        assert counts[:12].sum() == 3
        assert counts[:12].max() == 1
        assert set(counts[12:]) == {2, 3}
        seen += counts
    assert seen[:12] / 400 == pytest.approx(np.full(12, 0.25), abs=0.1)
    assert seen[12:] / 400 == pytest.approx(np.full(6, 2.5), abs=0.1)
    orders = {tuple(mixture.draw(np.random.default_rng(seed))) for seed in (0, 1)}
    assert len(orders) == 2
    assert (mixture.draw(np.random.default_rng(7)) == mixture.draw(np.random.default_rng(7))).all()


def test_parts_keep_their_own_normalisation_and_partners(parts: list[Dataset]) -> None:
    mixture = Mixture(parts, (1.0, 1.0))
    for offset, part in ((0, parts[0]), (12, parts[1])):
        for place in range(len(part)):
            assert mixture[offset + place].id == part[place].id
            np.testing.assert_array_equal(
                mixture[offset + place].streams.get("audio", ()), part[place].streams.get("audio", ())
            )
            ours, theirs = mixture.partners()[offset + place], part.partners()[place]
            assert [mixture[int(i)].id for i in ours] == [part[int(i)].id for i in theirs]
            own, known = mixture.dropped_row(offset + place), part.dropped_row(place)
            assert own is not None
            assert known is not None
            assert set(own) == set(known)
    assert mixture.dropped_row(11) != mixture.dropped_row(12)
    assert (mixture.sizes() == np.concatenate([part.sizes() for part in parts])).all()


def test_batches_hold_one_epoch_and_mask_what_a_store_lacks(parts: list[Dataset]) -> None:
    mixture = Mixture(parts, (0.5, 1.0))
    collator = Collator(TASK, {"audio": 4, "vision": 3})
    found = list(batches(mixture, collator, 4, shuffle_seed=3, views=ViewOptions(0.5)))
    ids = [name for batch in found for name in batch.ids]
    assert len(ids) == mixture.epoch_size == 12
    for batch in found:
        for i, name in enumerate(batch.ids):
            if name.startswith("av"):
                assert not batch.streams["vision"].mask[i].any()
    assert any(batch.streams["vision"].mask.any() for batch in found)


def test_sources_of_one_task(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, "a"), store_of(tmp_path, "bb", modalities=("text",))
    task, specs = check_sources([WeightedStore(first), WeightedStore(second, 0.5)])
    assert task == TASK
    assert set(specs) == set(tiny.WIDTHS)
    with pytest.raises(ConfigError, match="above 0"):
        WeightedStore(first, 0.0)
    with pytest.raises(DataError, match="uses none of its"):
        check_sources([WeightedStore(first), WeightedStore(second, 1e-3)])
    classes = tiny.write_store(tmp_path / "c", tiny.TASKS["classes"], tiny.utterances(tiny.TASKS["classes"]))
    with pytest.raises(DataError, match="tasks differ"):
        check_sources([WeightedStore(first), WeightedStore(classes)])
    wide = tiny.write_store(
        tmp_path / "w", Regression(-1.0, 1.0), [replace(u, label=0.5, id=f"w{u.id}") for u in first]
    )
    with pytest.raises(DataError, match="tasks differ"):
        check_sources([WeightedStore(first), WeightedStore(wide)])


def test_what_is_evaluated_is_not_learned_from(tmp_path: Path) -> None:
    first = store_of(tmp_path, "a")
    moved = tiny.write_store(tmp_path / "m", TASK, [replace(u, split="train") for u in first if u.split == "test"])
    with pytest.raises(DataError, match="6 train utterances are in valid or test"):
        check_sources([WeightedStore(first), WeightedStore(moved)])
    same_names = tiny.write_store(
        tmp_path / "n",
        TASK,
        [replace(u, split="train", text="other words", label=1.0) for u in first if u.split == "test"],
    )
    check_sources([WeightedStore(first), WeightedStore(same_names)])


def test_the_target_s_normalisation_wins(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, "a", modalities=("audio",)), store_of(tmp_path, "bb")
    known = [Normaliser.fit(s, s.split("train"), clip=5.0) for s in (first, second)]
    both = merged(known)
    assert set(both.centre) == set(tiny.WIDTHS)
    assert (both.centre["audio"] == known[0].centre["audio"]).all()
    assert (both.scale["vision"] == known[1].scale["vision"]).all()
    assert FeatureSpec(4, extractor="test") == first.specs["audio"]
