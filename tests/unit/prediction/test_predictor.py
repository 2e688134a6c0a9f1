import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import mecam
import tiny
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.evaluation.predict import predict
from mecam.models.trained import Trained, save_checkpoint
from mecam.prediction.predictor import Predictor
from mecam.task import Classes, Labels, Regression
from mecam.types import TEXT, Utterance


@pytest.fixture
def trained(store: Store, encoder: str) -> Trained:
    whole = tiny.build("mecam", store, encoder)
    return dataclasses.replace(whole, checkpoint=dataclasses.replace(whole.checkpoint, calibration={"0.9": 0.5}))


def test_sentences(trained: Trained) -> None:
    results = Predictor(trained).predict(["the film was superb", "DULL FOOD"])
    assert [r.text for r in results] == ["the film was superb", "DULL FOOD"]
    for result, words in zip(results, (4, 2), strict=True):
        assert result.score is not None
        assert result.low == pytest.approx(result.score - 0.5)
        assert result.high == pytest.approx(result.score + 0.5)
        assert result.shares[TEXT] == pytest.approx(1.0)
        assert sum(result.shares.values()) == pytest.approx(1.0)
        assert len(result.kept[TEXT]) == words
        assert set(result.kept) == {TEXT}
    assert results[0].score != results[1].score
    assert json.loads(json.dumps(results[0].to_json(), allow_nan=False))["id"] == "1"


def test_a_store_and_its_utterances_alike(trained: Trained, store: Store) -> None:
    predictor = Predictor(trained)
    calls: list[tuple[int, int]] = []
    from_store = predictor.predict_store(store, progress=lambda *call: calls.append(call))
    in_memory = predictor.predict_utterances(list(store))
    expected = predict(trained.model, tiny.dataset(trained, store), trained.collator)
    assert [r.id for r in from_store] == store.column("id")
    assert calls[-1] == (len(store), len(store))
    for one, other, value in zip(from_store, in_memory, expected.prediction, strict=True):
        assert one.score == pytest.approx(float(value), rel=1e-4, abs=1e-5)
        assert other.score == pytest.approx(one.score, rel=1e-4, abs=1e-5)
    test = predictor.predict_store(store, split="test")
    assert [r.id for r in test] == [u.id for u in store if u.split == "test"]
    for result, utterance in zip(from_store, store, strict=True):
        lengths = {m: len(rows) for m, rows in utterance.streams.items()}
        lengths |= {TEXT: len(utterance.text.split())} if utterance.text else {}
        assert {m: len(kept) for m, kept in result.kept.items()} == lengths


def test_what_the_gates_keep_is_per_word(trained: Trained) -> None:
    """A word of two pieces has one value, the mean of theirs."""
    predictor = Predictor(trained)
    (result,) = predictor.predict(["the goodly film"])
    dataset = tiny.dataset(trained, [Utterance(id="x", text="the goodly film")])
    gate = trained.model(trained.collator(list(dataset))).gates[TEXT][0].tolist()
    assert result.kept[TEXT] == pytest.approx([gate[1], (gate[2] + gate[3]) / 2, gate[4]], abs=1e-4)


@pytest.mark.parametrize("kind", ["classes", "multilabel"])
def test_other_tasks_give_probabilities(kind: str, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS[kind]
    store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task))
    (result,) = Predictor(tiny.build("mecam", store, encoder)).predict(["the film was superb"])
    assert (result.score, result.low, result.high) == (None, None, None)
    assert set(result.probabilities) == set(task.names)
    assert all(0 < p < 1 for p in result.probabilities.values())
    if kind == "classes":
        assert sum(result.probabilities.values()) == pytest.approx(1)
        assert result.label == max(result.probabilities, key=lambda name: result.probabilities[name])


def test_labels_in_words() -> None:
    scores, small = Regression(-3.0, 3.0), Regression(-1.0, 1.0)
    assert [scores.words(s) for s in (-1.0, -0.2, 0.5, 1.0)] == ["negative", "neutral", "neutral", "positive"]
    assert small.words(0.2) == "positive", "the neutral band scales with the range"
    names = ("a", "b", "c")
    assert Classes(names).words(np.array([0.1, 0.2, 0.7])) == "c"
    assert Labels(names).words(np.array([0.6, 0.7, 0.1])) == "a, b"
    assert Labels(names).words(np.array([0.1, 0.3, 0.2])) == "none"


def test_sentences_for_a_model_that_reads_none(encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task, modalities=("audio",)))
    with pytest.raises(ModelError, match="cannot read text") as caught:
        Predictor(tiny.build("mecam", store, encoder)).predict(["good"])
    assert "audio" in str(caught.value)


def test_a_store_with_other_features_is_refused(trained: Trained, tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    predictor = Predictor(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.WIDTHS, "audio", 9)
        other = tiny.write_store(tmp_path / "wide", task, tiny.utterances(task, 10))
    with pytest.raises(ModelError, match=r"audio features differ.*width 4.*width 9"):
        predictor.predict_store(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.WIDTHS, "gaze", 2)
        strange = tiny.write_store(tmp_path / "strange", task, tiny.utterances(task, 10, modalities=("gaze",)))
    with pytest.raises(ModelError, match="has none of text, audio, physio, vision"):
        predictor.predict_store(strange)


def test_streams_that_the_model_does_not_read_may_be_anything(encoder: str, store: Store, tmp_path: Path) -> None:
    """Also those it was offered in training and left aside."""
    predictor = Predictor(tiny.build("text_only", store, encoder))
    task = tiny.TASKS["regression"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.WIDTHS, "audio", 9)
        patch.setitem(tiny.WIDTHS, "gaze", 2)
        more = tiny.utterances(task, 10, modalities=(TEXT, "audio", "gaze"))
        other = tiny.write_store(tmp_path / "more", task, more)
    results = predictor.predict_store(other)
    alone = predictor.predict_utterances([dataclasses.replace(u, streams={}) for u in more])
    assert [r.score for r in results] == pytest.approx([r.score for r in alone])


def test_fewer_modalities_than_in_training(trained: Trained, tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    fewer = tiny.write_store(tmp_path / "f", task, tiny.utterances(task, 10, modalities=("audio", "vision")))
    results = Predictor(trained).predict_store(fewer)
    assert all(r.score is not None and np.isfinite(r.score) for r in results)
    assert all(r.shares[TEXT] == 0 for r in results)


def test_nothing_to_predict(trained: Trained, store: Store) -> None:
    predictor = Predictor(trained)
    assert predictor.predict([]) == []
    assert predictor.predict_store(store, split="nowhere") == []


def test_load_by_name(trained: Trained, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run" / "checkpoint", trained)
    for place in (tmp_path / "run", str(tmp_path / "run"), tmp_path / "run" / "checkpoint"):
        (result,) = mecam.load(place, device="cpu").predict(["the film was superb"])
        assert result.high is not None
