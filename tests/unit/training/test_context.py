"""The rest of a recording: learned after training, kept in the checkpoint, used wherever a recording is whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.evaluation.comparison import compare, read_run_results
from mecam.evaluation.evaluate_run import evaluate_run
from mecam.evaluation.predict import predict
from mecam.evaluation.robustness import assess
from mecam.evaluation.robustness.cells import read_cell
from mecam.evaluation.robustness.conditions import CLEAN, RandomMissing
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.measure import jobs_of, measure
from mecam.models.calibration import RecordingContext, RecordingPredictions
from mecam.models.trained import load_checkpoint
from mecam.prediction.answers import notes_of
from mecam.prediction.predictor import Predictor
from mecam.runs.config import RunConfig
from mecam.runs.seed import SeedResult
from mecam.training.run import train


def config(encoder: str, **training) -> RunConfig:
    options = {"name": "mecam", "encoder": encoder, "width": 16, "layers": 1}
    training = {"epochs": 1, "precision": "32", "recording_context": True, **training}
    return RunConfig.decode({"model": options, "training": training, "accelerator": "cpu"})


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Five recordings of two utterances each to validate on."""
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "fifty", task, tiny.utterances(task, 50))


@pytest.fixture(scope="module")
def run(store, encoder, tmp_path_factory) -> Path:
    return train(config(encoder), store, tmp_path_factory.mktemp("runs") / "together")


@pytest.fixture(scope="module")
def plain_run(store, encoder, tmp_path_factory) -> Path:
    return train(config(encoder, recording_context=False), store, tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def trained(run):
    """With a context that moves whole utterances too, so that its absence would show."""
    found = load_checkpoint(run)
    assert found.checkpoint.recording is not None
    return replace(found, checkpoint=replace(found.checkpoint, recording=replace(found.checkpoint.recording, pull=0.4)))


def alone(trained, store, split="test"):
    return predict(trained.model, trained.dataset(store, store.split(split)), trained.collator)


def test_a_run_keeps_what_it_learned_and_predicts_with_it(run, store):
    trained = load_checkpoint(run)
    context = trained.checkpoint.recording
    assert isinstance(context, RecordingContext)
    for split in ("valid", "test"):
        kept = SeedResult.read(run / "seeds" / "1111").predictions[split].prediction
        np.testing.assert_allclose(kept, context(RecordingPredictions.of(alone(trained, store, split))), atol=1e-6)
    metrics, _ = evaluate_run(run, store, split="test")
    kept = SeedResult.read(run / "seeds" / "1111").predictions["test"]
    assert metrics["test"]["mae"]["mean"] == pytest.approx(np.abs(kept.prediction - kept.truth).mean(), abs=1e-5)


def test_the_weights_of_the_model_are_the_same_without(run, plain_run):
    model = Path("checkpoint") / "model.safetensors"
    assert (plain_run / model).read_bytes() == (run / model).read_bytes()
    assert load_checkpoint(plain_run).checkpoint.recording is None


def test_a_store_is_read_together_and_single_utterances_alone(trained, store):
    predictor = Predictor(trained)
    plain = alone(trained, store)
    together = [p.score for p in predictor.predict_store(store, split="test")]
    np.testing.assert_allclose(together, trained.checkpoint.recording(RecordingPredictions.of(plain)), atol=1e-6)
    assert not np.allclose(together, plain.prediction)
    test = [store[int(i)] for i in store.split("test")]
    lone = [p.score for p in predictor.predict_utterances(test)]
    np.testing.assert_allclose(lone, plain.prediction, atol=1e-5)
    np.testing.assert_allclose(
        [p.score for p in predictor.predict_utterances(test, together=True)], together, atol=1e-5
    )


def test_robustness_spoils_the_rest_of_the_recording_as_well(trained, run, store, tmp_path):
    material = EvaluationSplit(store, "test")
    jobs = jobs_of(run / "checkpoint", material, (CLEAN, RandomMissing.at(0.6)), (1,), tmp_path)
    measure(trained, material, jobs)
    for job in jobs:
        spoilt = [job.condition.corrupt(material, place, 1) for place in range(len(material))]
        plain = predict(trained.model, trained.dataset(spoilt), trained.collator)
        found, _ = read_cell(job.path, material)
        np.testing.assert_allclose(
            found.prediction, trained.checkpoint.recording(RecordingPredictions.of(plain)), atol=2e-5
        )
    assert min(lost.max() for lost in plain.missing_rates.values()) > 0


def test_what_is_lost(trained, store):
    plain = alone(trained, store)
    test = [store[int(i)] for i in store.split("test")]
    for modality, lost in plain.missing_rates.items():
        for utterance, share in zip(test, lost, strict=True):
            rows = utterance.streams.get(modality)
            if modality == "text":
                tokens = sum(trained.tokenizer([utterance.text])[0], ()) if utterance.text else ()
                assert share == pytest.approx(np.mean(np.array(tokens) == trained.tokenizer.unk) if tokens else 1)
            else:
                gone = 1.0 if rows is None else np.isnan(rows).all(axis=1).mean()
                assert share == pytest.approx(gone)


def test_a_model_that_reads_nothing_has_no_use_for_it(store, tmp_path):
    values = {"model": {"name": "constant"}, "training": {"recording_context": True}, "accelerator": "cpu"}
    assert load_checkpoint(train(RunConfig.decode(values), store, tmp_path / "run")).checkpoint.recording is None


def test_classes_and_lone_utterances_are_refused_before_training(encoder, tmp_path):
    task = tiny.TASKS["classes"]
    classes = tiny.write_store(tmp_path / "classes", task, tiny.utterances(task, 50))
    with pytest.raises(ConfigError, match="scores only"):
        train(config(encoder), classes, tmp_path / "run")
    task = tiny.TASKS["regression"]
    lone = [replace(utterance, video=utterance.id) for utterance in tiny.utterances(task, 50)]
    with pytest.raises(DataError, match="0 recordings"):
        train(config(encoder), tiny.write_store(tmp_path / "lone", task, lone), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_learns_it_without_a_further_epoch(run, plain_run, store, encoder, tmp_path):
    again = replace(config(encoder, epochs=0), init=str(plain_run))
    found = load_checkpoint(train(again, store, tmp_path / "again"))
    assert found.checkpoint.recording == load_checkpoint(run).checkpoint.recording
    assert found.checkpoint.calibration == load_checkpoint(run).checkpoint.calibration


def test_tables_say_who_looks_at_the_rest_of_a_recording(run, plain_run, store, tmp_path):
    findings = assess([run, plain_run], "random-missing", tmp_path / "found", store=store, seeds=1, only=["clean"])
    assert any(
        note.startswith(f"{run.name}: ") and "other utterances of the recording" in note for note in findings.notes
    )
    task, split, run_results = read_run_results([run, plain_run])
    notes = compare(run_results, task, split, permutations=50).notes
    assert any(run.name in note and "context of the recording" in note for note in notes)
    assert "other utterances" in notes_of(load_checkpoint(run))[-1]
    assert notes_of(load_checkpoint(plain_run)) == ()
