"""The published MECAM: sizes, phases, and that each of the faults that kept it from running is mended."""

from typing import Any

import pytest
import torch

import tiny
from mecam.batch import Output
from mecam.config import DataConfig
from mecam.data.collate import batches
from mecam.data.store import Store
from mecam.models.inputs import Inputs
from mecam.models.mecam_published import MecamPublished, MecamPublishedConfig
from mecam.models.trained import build_model
from mecam.task import Regression
from mecam.training.loop import moving_only
from mecam.types import FeatureSpec


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def lstm(features: int, hidden: int) -> int:
    return 4 * (features * hidden + hidden * hidden + 2 * hidden)


@pytest.mark.parametrize("vision", [16, 32])
def test_parameter_count(vision: int, encoder: str) -> None:
    """By hand, at the published sizes: heads 8 × 64, fusion 128, audio 16, vision 16 (MOSI) or 32 (MOSEI)."""
    text = 32  # of the tiny encoder; 768 in the paper
    features = {"audio": FeatureSpec(74), "vision": FeatureSpec(35)}
    config = MecamPublishedConfig(encoder=encoder, hidden_of={"vision": vision})
    model, _ = build_model("mecam_published", config, Inputs(Regression(), features, True), DataConfig())
    sizes = {"audio": 16, "vision": vision}
    expected = {
        "encoders.audio": lstm(74, 16) + linear(16, 16),
        "encoders.vision": lstm(35, vision) + linear(vision, vision),
        "fusion": linear(text + 16 + vision, 128) + linear(128, 128),
        "head": linear(128, 1),
    }
    for m, size in sizes.items():
        expected[f"attention.{m}"] = linear(size, 512) + 2 * linear(text, 512) + linear(512, size) + 8 * 8
    for x, y, given in (("text", "audio", text), ("text", "vision", text), ("vision", "audio", vision)):
        expected[f"information.{x}_{y}"] = 2 * (linear(given, sizes[y]) + linear(sizes[y], sizes[y]))
    parameters = dict(model.named_parameters())
    found = {part: sum(p.numel() for name, p in parameters.items() if name.startswith(f"{part}.")) for part in expected}
    assert found == expected
    rest = [name for name in parameters if not name.startswith((*expected, "encoders.text."))]
    assert not rest


def train_batch(store: Store, encoder: str, size: int = 99, **changes: Any) -> tuple[MecamPublished, Any]:
    trained = tiny.build("mecam_published", store, encoder, **changes)
    train = tiny.dataset(trained, store, store.split("train"))
    assert isinstance(trained.model, MecamPublished)
    return trained.model, next(iter(batches(train, trained.collator, size, shuffle_seed=1)))


def test_the_first_stage_moves_the_heads_and_never_goes_back_through_an_encoder(store: Store, encoder: str) -> None:
    model, batch = train_batch(store, encoder)
    first, second = model.phases()
    with moving_only(model, first):
        output = model(batch)
        assert not any(vector.requires_grad for vector in output.embeddings.values())
        losses = model.losses(output, batch)
        assert {key for key, loss in losses.items() if loss.requires_grad} == set(first.weights)
        sum(w * losses[key] for key, w in first.weights.items()).backward()
    moved = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"information"}
    model.zero_grad()
    with moving_only(model, second):
        losses = model.losses(model(batch), batch)
        sum(w * losses[key] for key, w in second.weights.items()).backward()
    moved = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"encoders", "attention", "fusion", "head"}
    assert all(any(p.grad is not None for p in model.encoders[m].parameters()) for m in model.reads)


def test_the_weights_are_those_of_the_paper(store: Store, encoder: str) -> None:
    """L1 + α · contrast − β · (lld + H), one H for each pair."""
    model, _ = train_batch(store, encoder, contrast=0.3, information=0.07)
    weights = model.phases()[1].weights
    assert weights["task"] == 1
    assert {weights[f"contrast_{m}"] for m in model.reads} == {0.3}
    assert {weights[f"information_{x}_{y}"] for x, y in model.pairs} == {0.07}
    assert sum(weights[f"entropy_{m}"] for m in model.others) == pytest.approx(0.07 * len(model.pairs))


def test_a_batch_of_one(any_store: Store, encoder: str) -> None:
    model, batch = train_batch(any_store, encoder, 1)
    assert len(batch) == 1
    for phase in model.phases():
        with moving_only(model.train(), phase):
            losses = model.losses(model(batch), batch)
            sum(w * losses[key] for key, w in phase.weights.items()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert all(float(losses[f"skipped_{m}"]) == 1 for m in model.others)  # nothing to take a covariance of


def test_attention_is_built_once_learns_and_drops_nothing_at_evaluation(store: Store, encoder: str) -> None:
    model, batch = train_batch(store, encoder, dropout=0.5)

    def gathered() -> Output:
        with torch.no_grad():
            return model(batch)

    assert torch.equal(gathered().prediction, gathered().prediction)
    model.train()
    assert not torch.equal(gathered().prediction, gathered().prediction)
    learned = {name for name in tiny.trainable(model) if name.startswith("attention.")}
    assert {name.split(".")[2] for name in learned} == {"query", "key", "value", "out", "after"}


def test_text_alone_has_nothing_to_query_it(encoder: str, tmp_path: Any) -> None:
    task = tiny.TASKS["regression"]
    lone = tiny.write_store(tmp_path / "lone", task, tiny.utterances(task, 20, modalities=("text",)))
    model, batch = train_batch(lone, encoder)
    (phase,) = model.phases()
    assert set(model.losses(model(batch), batch)) == set(phase.weights) == {"task", "contrast_text"}
