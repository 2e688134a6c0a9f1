"""Views that come from corrupted recordings: what a training is given, and when it is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from mecam.config import apply_overrides
from mecam.data.collate import PAIRED_VIEWS, Collator, ViewOptions, batches
from mecam.data.datasets import Dataset
from mecam.data.mixture import WeightedStore
from mecam.data.store import Store, StoreWriter
from mecam.errors import DataError
from mecam.runs.config import RunConfig
from mecam.training.preparation import _PairedRecordings
from mecam.training.run import train
from mecam.types import FeatureSpec, Span, Utterance

TASK = tiny.TASKS["classes"]
MARK = 9.0


def clean(count: int = 60) -> list[Utterance]:
    content = tiny.utterances(TASK, count, modalities=("audio", "vision"), holes=False)
    return [replace(u, streams={m: np.resize(v, (8, v.shape[1])) for m, v in u.streams.items()}) for u in content]


def corrupted(utterance: Utterance) -> Utterance:
    """Its sound is noise from the third to the fifth row; its face is not in the corrupted store."""
    rows = utterance.streams["audio"].copy()
    rows[2:5] = MARK
    return replace(utterance, streams={"audio": rows}, injected=(Span("audio", "white", 2, 5),))


def test_most_views_take_the_damaged_sound_and_its_place() -> None:
    content = clean()
    dataset = Dataset(content, task=TASK)
    collator = Collator(TASK, {"audio": 4, "vision": 3})
    paired_recordings = [{u.id: corrupted(u) for u in content[:50]}]

    def epoch(**options: Any) -> list[Any]:
        return list(batches(dataset, collator, 20, shuffle_seed=3, views=ViewOptions(1.0), **options))

    hits, total = 0, 0
    for plain, one, again in zip(
        epoch(), epoch(paired_recordings=paired_recordings), epoch(paired_recordings=paired_recordings), strict=True
    ):
        assert plain.ids == one.ids
        assert torch.equal(plain.streams["audio"].values, one.streams["audio"].values)  # the batch itself stays
        assert torch.equal(one.view.streams["audio"].values, again.view.streams["audio"].values)
        assert torch.equal(plain.view.streams["vision"].values, one.view.streams["vision"].values)
        for i, name in enumerate(one.ids):
            known = name in paired_recordings[0]
            stream = one.view.streams["audio"]
            hit = bool((stream.values[i, 2:5] == MARK).all())
            assert known or not hit
            if hit:
                assert stream.injected[i].tolist() == [False, False, True, True, True, False, False, False]
            hits, total = hits + hit, total + known
    assert hits / total == pytest.approx(PAIRED_VIEWS, abs=0.15)


def stores(folder: Path) -> tuple[Store, Path]:
    content = clean(30)
    paired_recordings = [corrupted(u) for u in content]
    tiny.write_store(folder / "paired", TASK, paired_recordings)
    return tiny.write_store(folder / "clean", TASK, content), folder / "paired"


def test_a_run_learns_from_them_and_says_when_they_belong_to_others(tmp_path: Path) -> None:
    store, place = stores(tmp_path)
    known = {"model": {"name": "mecam", "width": 16, "layers": 1}, "training": {"epochs": 1, "precision": "32"}}

    def run(name: str, *overrides: str) -> np.ndarray:
        config = RunConfig.decode(apply_overrides(known, overrides))
        train(config, [WeightedStore(store)], tmp_path / name)
        return np.loadtxt(tmp_path / name / "predictions.csv", delimiter=",", dtype=str)

    assert not np.array_equal(run("with", f"data.corrupted_stores=[{place}]"), run("without"))
    other = tmp_path / "other"
    tiny.write_store(other, TASK, [replace(u, id=f"x{u.id}") for u in clean(10)])
    with pytest.raises(DataError, match="none of the train split's utterances"):
        run("others", f"data.corrupted_stores=[{other}]")


def test_features_of_another_kind_are_refused(tmp_path: Path) -> None:
    store, _ = stores(tmp_path)
    trained = tiny.build("mecam", store, "")
    wide = [replace(u, streams={"audio": np.zeros((3, 3), np.float32)}) for u in clean(10)]
    with StoreWriter(tmp_path / "wide", name="wide", task=TASK, specs={"audio": FeatureSpec(3)}) as writer:
        for utterance in wide:
            writer.add(utterance)
    with pytest.raises(DataError, match="audio features are others"):
        _PairedRecordings(tmp_path / "wide", tiny.dataset(trained, store))
