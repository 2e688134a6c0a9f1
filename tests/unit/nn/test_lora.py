"""Low-rank updates of the text encoder: what learns, what stays, and that it is saved."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from mecam.data.store import Store
from mecam.errors import MissingExtraError
from mecam.evaluation.predict import predict
from mecam.models.trained import load_checkpoint, save_checkpoint
from mecam.nn.text import TextEncoder
from mecam.training.optimizers import phase_optimizer

pytest.importorskip("peft", reason="needs the extra `lora`")
IDS, MASK = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[True] * 4, [True] * 3 + [False]])


def learning(encoder: TextEncoder) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in encoder.network.named_parameters() if p.requires_grad}


def test_it_starts_as_the_pretrained_encoder_and_only_the_updates_learn(encoder: str) -> None:
    plain, thin = TextEncoder(encoder).eval(), TextEncoder(encoder, lora=2).eval()
    torch.testing.assert_close(thin(IDS, MASK), plain(IDS, MASK))
    found = learning(thin)
    # Two layers of query, key, value, output, up and down, an A and a B for each.
    assert len(found) == 2 * 6 * 2
    assert all(".lora_" in name and 2 in p.shape for name, p in found.items())
    thin.train()(IDS, MASK).sum().backward()
    assert all(p.grad is not None for p in found.values())
    assert sum(p.numel() for p in found.values()) < 0.2 * sum(p.numel() for p in plain.parameters())
    assert thin.width == plain.width
    assert not learning(TextEncoder(encoder, frozen=True, lora=2))


def test_updates_of_frozen_layers_stay(encoder: str) -> None:
    names = set(learning(TextEncoder(encoder, lora=2, frozen_layers=1)))
    assert len(names) == 6 * 2
    assert all(".layer.1." in name for name in names)


@pytest.mark.parametrize("rank", [0, 3])
def test_layers_further_from_the_output_learn_slower(rank: int, store: Store, encoder: str) -> None:
    model = tiny.build("text_only", store, encoder, lora=rank).model
    optimizer = phase_optimizer(model, model.phases()[0], tiny.training(encoder_learning_rate=1.0, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    by_layer: dict[str, set[float]] = {"embeddings": set(), ".layer.0.": set(), ".layer.1.": set()}
    for name, parameter in model.named_parameters():
        for place, seen in by_layer.items():
            if place in name and parameter.requires_grad:
                seen.add(rates[id(parameter)])
    assert by_layer == {"embeddings": set() if rank else {0.25}, ".layer.0.": {0.5}, ".layer.1.": {1.0}}


@pytest.mark.parametrize("name", ["text_only", "late_fusion"])
def test_a_model_with_updates_is_saved_and_loaded(
    name: str, store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = tiny.build(name, store, encoder, lora=2, used=True)
    assert any(".lora_" in key for key in tiny.trainable(trained.model))
    before = predict(trained.model, tiny.dataset(trained, store), trained.collator)
    save_checkpoint(tmp_path / "checkpoint", trained)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    after = predict(loaded.model, tiny.dataset(loaded, store), loaded.collator)
    np.testing.assert_array_equal(after.prediction, before.prediction)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"mecam\[lora\]"):
        load_checkpoint(tmp_path / "checkpoint")


def test_without_the_extra_the_error_names_it(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert len(learning(TextEncoder(encoder)))  # nothing is needed while it is off
    with pytest.raises(MissingExtraError, match=r"mecam\[lora\]"):
        TextEncoder(encoder, lora=4)
