"""A modality that the train split has nothing of is not read anywhere."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.models.trained import load_checkpoint
from mecam.prediction.predictor import Predictor
from mecam.runs.config import RunConfig
from mecam.training.run import train
from mecam.types import Utterance

TASK = tiny.TASKS["regression"]


def written(path: Path, utterances: Sequence[Utterance]) -> Store:
    return tiny.write_store(path, TASK, [replace(one, text=None, words=()) for one in utterances])


def without(one: Utterance, modality: str) -> Utterance:
    return replace(
        one,
        streams={m: rows for m, rows in one.streams.items() if m != modality},
        intervals={m: times for m, times in one.intervals.items() if m != modality},
        injected=tuple(span for span in one.injected if span.modality != modality),
    )


def config(name: str) -> RunConfig:
    return RunConfig.decode({"model": {"name": name}, "training": {"epochs": 1}, "accelerator": "cpu"})


@pytest.mark.parametrize("name", ["mecam", "late_fusion"])
def test_what_only_the_other_splits_have_changes_nothing(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    utterances = [without(u, "vision") if u.split == "train" else u for u in tiny.utterances(TASK, 30)]
    store = written(tmp_path / "unmet", utterances)
    run = train(config(name), store, tmp_path / "run")
    assert "no utterance of the train split has vision" in caplog.text
    predictor = Predictor(load_checkpoint(run))
    nowhere = written(tmp_path / "nowhere", [without(u, "vision") for u in utterances])
    seen, unseen = (predictor.predict_utterances([*s]) for s in (store, nowhere))
    np.testing.assert_array_equal([p.score for p in seen], [p.score for p in unseen])


def test_transcripts_that_only_the_other_splits_have_are_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    utterances = [replace(u, text=None, words=()) if u.split == "train" else u for u in tiny.utterances(TASK, 30)]
    run = train(config("late_fusion"), tiny.write_store(tmp_path / "store", TASK, utterances), tmp_path / "run")
    trained = load_checkpoint(run)
    assert "no utterance of the train split has text" in caplog.text
    assert trained.tokenizer is None
    assert "text" not in trained.model.reads


def test_a_model_that_has_nothing_to_learn_from_says_so(tmp_path: Path) -> None:
    utterances = [without(u, "vision") if u.split == "train" else u for u in tiny.utterances(TASK, 30)]
    chosen = RunConfig.decode({"model": {"name": "late_fusion"}, "data": {"without": ["audio", "physio"]}})
    with pytest.raises(DataError, match="train split holds nothing that late_fusion reads"):
        train(chosen, written(tmp_path / "store", utterances), tmp_path / "run")
    assert not (tmp_path / "run").exists()
