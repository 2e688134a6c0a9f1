"""What every registered model promises: the checks of `mecam models NAME --check`, and what only the built-in owe."""

import dataclasses
from pathlib import Path

import pytest
import torch

import tiny
from mecam.data.store import Store
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


@every_model
@pytest.mark.parametrize("check", OF_THE_HEAD, **each_named)
def test_on_every_task(check: Check, name: str, any_store: Store, encoder: str, tmp_path: Path) -> None:
    check(Case(name, any_store, encoder, tmp_path))


@every_model
@pytest.mark.parametrize("check", [*OF_THE_BODY, *SCORES_ONLY], **each_named)
def test_on_scores(check: Check, name: str, store: Store, encoder: str, tmp_path: Path) -> None:
    check(Case(name, store, encoder, tmp_path))


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("check", OF_THE_BODY, **each_named)
@pytest.mark.parametrize("any_store", ["classes", "multilabel"], indirect=True)
def test_the_body_on_every_task(check: Check, name: str, any_store: Store, encoder: str, tmp_path: Path) -> None:
    check(Case(name, any_store, encoder, tmp_path))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> str:
    """A GPU that multiplies with all digits, so that a prediction does not depend on its neighbours."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return "cuda"


@pytest.mark.gpu
@every_model
@pytest.mark.parametrize("check", EVERY_TASK, **each_named)
def test_every_task_on_a_gpu(
    check: Check, name: str, any_store: Store, encoder: str, tmp_path: Path, cuda: str
) -> None:
    check(Case(name, any_store, encoder, tmp_path, cuda))


@pytest.mark.gpu
@every_model
@pytest.mark.parametrize("check", SCORES_ONLY, **each_named)
def test_scores_on_a_gpu(check: Check, name: str, store: Store, encoder: str, tmp_path: Path, cuda: str) -> None:
    check(Case(name, store, encoder, tmp_path, cuda))


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
