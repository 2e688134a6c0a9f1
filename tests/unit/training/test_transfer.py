"""Starting from another run, and learning from several stores: what is taken, what is refused, what is recorded."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tiny
from mecam.data.mixture import WeightedStore
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError, ModelError
from mecam.models.trained import Trained, load_checkpoint, save_checkpoint
from mecam.runs.config import RunConfig
from mecam.training import loop, run
from mecam.training.run import train
from mecam.training.transfer import initialise
from mecam.types import FeatureSpec

TASK = tiny.TASKS["regression"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Text alone."""
    content = tiny.utterances(TASK, 40, modalities=("text",), holes=False, seed=5)
    return tiny.write_store(
        tmp_path_factory.mktemp("stores") / "texts", TASK, [replace(u, id=f"t{u.id}") for u in content]
    )


def saved(trained: Trained, folder: Path) -> Path:
    save_checkpoint(folder / "checkpoint", trained)
    return folder


def parameters(trained: Trained) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trained.model.named_parameters()}


def test_the_same_model_is_taken_whole(store: Store, encoder: str, tmp_path: Path) -> None:
    source = tiny.build("mecam", store, encoder, seed=1, used=True)
    target = tiny.build("mecam", store, encoder, seed=2)
    loaded = initialise(target, saved(source, tmp_path / "run"), 1111)
    ours, theirs = parameters(target), parameters(source)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert loaded.parameters == loaded.of == sum(value.numel() for value in ours.values())
    assert loaded.left_out == {}
    assert (loaded.model, loaded.checkpoint) == ("mecam", "checkpoint")


def test_another_model_gives_its_text_encoder(store: Store, encoder: str, tmp_path: Path) -> None:
    source = tiny.build("text_only", store, encoder, seed=1, used=True)
    target = tiny.build("mecam", store, encoder, seed=2)
    before = parameters(target)
    loaded = initialise(target, saved(source, tmp_path / "run"), 1111)
    after, theirs = parameters(target), parameters(source)
    for name, value in after.items():
        text = name.startswith("encoders.text.")
        assert torch.equal(value, theirs[name] if text else before[name]), name
    assert loaded.parameters == sum(value.numel() for name, value in after.items() if name.startswith("encoders.text."))
    assert "gates.audio" in loaded.left_out["not in that model"]


def test_fewer_modalities_give_what_they_have(texts: Store, store: Store, encoder: str, tmp_path: Path) -> None:
    source = tiny.build("mecam", texts, encoder, seed=1, used=True)
    target = tiny.build("mecam", store, encoder, seed=2)
    before = parameters(target)
    loaded = initialise(target, saved(source, tmp_path / "run"), 1111)
    after, theirs = parameters(target), parameters(source)
    taken = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {"scores.text.2.weight", "enter.text.weight"} <= taken
    assert all(torch.equal(after[name], theirs[name]) for name in taken)
    assert "encoders.audio" in loaded.left_out["not in that model"]
    assert "joint.1" in loaded.left_out["of another size in that run"]


def test_another_task_gives_encoders_alone(store: Store, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS["classes"]
    other = tiny.write_store(tmp_path / "classes", task, tiny.utterances(task))
    source = tiny.build("mecam", other, encoder, seed=1, used=True)
    target = tiny.build("mecam", store, encoder, seed=2)
    before = parameters(target)
    loaded = initialise(target, saved(source, tmp_path / "run"), 1111)
    after = parameters(target)
    taken = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert taken
    assert all(name.startswith("encoders.") for name in taken)
    assert any("tasks differ" in reason for reason in loaded.left_out)


def test_other_features_and_other_encoders_are_left_out(store: Store, encoder: str, tmp_path: Path) -> None:
    source = tiny.build("mecam", store, encoder, seed=1, used=True)
    inputs = source.checkpoint.inputs
    features = {**inputs.features, "audio": FeatureSpec(4, extractor="other")}
    changed = replace(source, checkpoint=replace(source.checkpoint, inputs=replace(inputs, features=features)))
    target = tiny.build("mecam", store, encoder, seed=2)
    before = parameters(target)
    loaded = initialise(target, saved(changed, tmp_path / "a"), 1111)
    assert any("audio features differ: other" in reason for reason in loaded.left_out)
    name = next(name for name in before if name.startswith("encoders.audio."))
    assert torch.equal(parameters(target)[name], before[name])
    assert not torch.equal(parameters(target)["scores.text.2.weight"], before["scores.text.2.weight"])
    deeper = tiny.build("mecam", store, encoder, seed=2, layers=2)
    left_out = initialise(deeper, tmp_path / "a", 1111).left_out
    assert any("vision encoder has another architecture" in reason for reason in left_out)


def test_what_makes_no_sense_is_refused(store: Store, encoder: str, tmp_path: Path) -> None:
    target = tiny.build("mecam", store, encoder)
    with pytest.raises(ModelError, match="nothing of this run fits"):
        initialise(target, saved(tiny.build("constant", store, encoder), tmp_path / "c"), 1111)
    with pytest.raises(ModelError, match="no checkpoint"):
        initialise(target, tmp_path / "nowhere", 1111)


def test_each_seed_starts_from_its_own(store: Store, encoder: str, tmp_path: Path) -> None:
    for seed in (1111, 1112):
        saved(tiny.build("mecam", store, encoder, seed=seed, used=True), tmp_path / "run" / "seeds" / str(seed))
    for seed, expected in ((1112, 1112), (1111, 1111), (1113, 1111)):
        target = tiny.build("mecam", store, encoder, seed=9)
        loaded = initialise(target, tmp_path / "run", seed)
        assert loaded.checkpoint == f"seeds/{expected}"
        source = load_checkpoint(tmp_path / "run" / "seeds" / str(expected))
        assert torch.equal(parameters(target)["scores.text.2.weight"], parameters(source)["scores.text.2.weight"])


def config(encoder: str, **changes: Any) -> RunConfig:
    model = {"name": "mecam", "encoder": encoder, "width": 16, "layers": 1}
    training = {"epochs": 2, "precision": "32"}
    return RunConfig.decode({"model": model, "training": training, "accelerator": "cpu", **changes})


def test_a_mixed_run_from_another_run_goes_on_to_the_identical_result(
    store: Store, texts: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tiny.build("mecam", texts, encoder, seed=1, used=True), tmp_path / "source")
    sources = [WeightedStore(store), WeightedStore(texts, 0.5)]
    chosen = config(encoder, init=str(source))
    train(chosen, sources, tmp_path / "whole")
    facts = json.loads((tmp_path / "whole" / "environment.json").read_text())
    assert facts["init"]["1111"]["run"] == str(source)
    assert facts["init"]["1111"]["parameters"] > 0
    assert [(m["name"], m["weight"], m["train"]) for m in facts["mixed_with"]] == [("tiny", 0.5, 24)]
    record = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())
    assert record["init"] == str(source)
    assert record["mixed_with"][0]["sha256"] == dict(texts.manifest["sha256"])
    assert set(json.loads((tmp_path / "whole" / "metrics.json").read_text())) >= {"valid", "test"}

    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    real, calls = run.SplitData.batches, 0

    def killed(self: Any, epoch: int) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(self, epoch)

    monkeypatch.setattr(run.SplitData, "batches", killed)
    with pytest.raises(KeyboardInterrupt):
        train(chosen, sources, tmp_path / "torn")
    train(chosen, sources, tmp_path / "torn")
    for name in ("checkpoint/model.safetensors", "metrics.json", "predictions.csv", "config.yaml"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with pytest.raises(Exception, match="another configuration or other data"):
        train(chosen, [WeightedStore(store), WeightedStore(texts, 0.7)], tmp_path / "whole")
    save_checkpoint(source / "checkpoint", tiny.build("mecam", texts, encoder, seed=2))
    with pytest.raises(Exception, match="another configuration or other data"):
        train(chosen, sources, tmp_path / "whole")  # what it would start from is no longer the same


def test_modalities_are_left_out(store: Store, encoder: str, tmp_path: Path) -> None:
    train(config(encoder, data={"without": ["text", "physio"]}, seeds=1), store, tmp_path / "run")
    trained = load_checkpoint(tmp_path / "run")
    assert trained.model.reads == ("audio", "vision")
    assert trained.tokenizer is None
    with pytest.raises(ConfigError, match="there is no modality 'audoi'"):
        train(config(encoder, data={"without": ["audoi"]}), store, tmp_path / "x")
    with pytest.raises(ConfigError, match="start from itself"):
        train(config(encoder, init=str(tmp_path / "run")), store, tmp_path / "run")
    assert not (tmp_path / "x").exists()


def test_stores_that_do_not_go_together(store: Store, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS["classes"]
    other = tiny.write_store(tmp_path / "classes", task, tiny.utterances(task))
    with pytest.raises(DataError, match="tasks differ"):
        train(config(encoder), [WeightedStore(store), WeightedStore(other)], tmp_path / "run")
    assert not (tmp_path / "run").exists()
