"""What every registered model promises: the checks of `mecam models NAME --check`, and what only the built-in owe."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import tiny
from mecam.batch import Batch
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.evaluation.predict import predict
from mecam.models.registry import MODELS
from mecam.testing import EVERY_TASK, SCORES_ONLY, Case, Check
from mecam.testing.checks import (
    an_absent_modality_gives_a_finite_score,
    batch_order_and_size_do_not_matter,
    eight_utterances_can_be_memorised,
    every_modality_reaches_the_prediction,
    padding_never_changes_a_prediction,
    read,
    save_and_load_give_the_same_score,
)
from mecam.training import loop

OF_THE_BODY = (
    padding_never_changes_a_prediction,
    every_modality_reaches_the_prediction,
    batch_order_and_size_do_not_matter,
    an_absent_modality_gives_a_finite_score,
    save_and_load_give_the_same_score,
    eight_utterances_can_be_memorised,
)
"""Checks of what comes before a model's last layer, which is all that depends on the task."""


OF_THE_HEAD = [check for check in EVERY_TASK if check not in OF_THE_BODY]

every_model = pytest.mark.parametrize("name", MODELS)
each_named = {"ids": lambda check: check.__name__}


ON_GPU = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(params=["cpu", ON_GPU])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a model computes. A GPU multiplies with all digits, so that a prediction does not depend on neighbours."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    name: str = request.param
    return name


@every_model
@pytest.mark.parametrize("check", OF_THE_HEAD, **each_named)
def test_on_every_task(check: Check, name: str, any_store: Store, encoder: str, tmp_path: Path, device: str) -> None:
    check(Case(name, any_store, encoder, tmp_path, device))


@every_model
@pytest.mark.parametrize("check", [*OF_THE_BODY, *SCORES_ONLY], **each_named)
def test_on_scores(check: Check, name: str, store: Store, encoder: str, tmp_path: Path, device: str) -> None:
    check(Case(name, store, encoder, tmp_path, device))


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("check", OF_THE_BODY, **each_named)
@pytest.mark.parametrize("any_store", ["classes", "multilabel"], indirect=True)
def test_the_body_on_every_task(
    check: Check, name: str, any_store: Store, encoder: str, tmp_path: Path, device: str
) -> None:
    check(Case(name, any_store, encoder, tmp_path, device))


@every_model
@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), ON_GPU], indirect=True)
def test_an_interrupted_training_goes_on_on_its_device(
    name: str, store: Store, encoder: str, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its second epoch, it ends with the weights of one that was not, and predicts with them."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    case = Case(name, store, encoder, tmp_path, device)

    def learned(resume: Path | None, *, stop: bool = False) -> tuple[Any, dict[str, torch.Tensor]]:
        trained = case.build(seed=3)
        data = Epochs(trained, store, stop=stop)
        fabric = Fabric(accelerator=device, devices=1)
        loop.fit(trained.model, data, tiny.training(epochs=2), fabric=fabric, seed=3, resume=resume)
        return trained, trained.model.state_dict()

    trained, whole = learned(None)
    if not any(parameter.requires_grad for parameter in trained.model.parameters()):
        return
    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "resume.pt", stop=True)
    trained, torn = learned(tmp_path / "resume.pt")
    assert whole.keys() == torn.keys()
    for key, value in whole.items():
        assert value.device.type == torn[key].device.type == device
        torch.testing.assert_close(torn[key], value, rtol=0 if device == "cpu" else 1e-3, atol=1e-4 * (device != "cpu"))
    predictions = predict(trained.model, tiny.dataset(trained, store, store.split("valid")), trained.collator)
    assert np.isfinite(predictions.prediction).all()


class Epochs:
    """The train split, epoch by epoch; each is better than the one before."""

    metric = "none"

    def __init__(self, trained: Any, store: Store, *, stop: bool) -> None:
        self.trained, self.stop = trained, stop
        self.dataset = tiny.dataset(trained, store, store.split("train"))
        self.steps, self.validated = -(-len(self.dataset) // 8), 0.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        if self.stop and epoch == 1:
            raise KeyboardInterrupt
        self.validated = float(epoch)
        views = ViewOptions(0.5) if self.trained.model.views else None
        yield from batches(self.dataset, self.trained.collator, 8, shuffle_seed=epoch, views=views)

    def validate(self, model: Any) -> dict[str, float | None]:
        return {"select": self.validated}


@every_model
def test_only_the_published_method_reads_what_it_does_not_heed(name: str, any_store: Store, encoder: str) -> None:
    """And there, whatever stands in the audio and the vision of a clip, its prediction is the same to the last bit.

    It makes one vector of each modality before attention, so that a query meets a single key, whose weight is 1
    whatever the query is. The gradient is 0, not small.
    """
    trained = tiny.build(name, any_store, encoder, used=True)
    model, batch = trained.model, tiny.collate(trained, any_store)
    ignored = set(getattr(model, "ignores", ()))
    assert ignored == (set(tiny.WIDTHS) if name == "mecam_published" else set())
    if not ignored:
        return
    before = read(model, batch)
    others = {
        m: dataclasses.replace(s, values=torch.randn_like(s.values), mask=s.mask & (torch.rand(s.mask.shape) < 0.5))
        for m, s in batch.streams.items()
        if m in ignored
    }
    after = read(model, dataclasses.replace(batch, streams={**batch.streams, **others}))
    assert torch.equal(after.prediction, before.prediction)
    for modality in ignored:  # though it reads them
        assert not torch.allclose(after.embeddings[modality], before.embeddings[modality])
