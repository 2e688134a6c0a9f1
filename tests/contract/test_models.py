"""What every registered model promises. A model is told by its attributes (`reads`, `views`), never by its name."""

import dataclasses
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import tiny
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.evaluation.evaluate import predict
from mecam.models.base import Model
from mecam.models.checkpoint import Trained, load_checkpoint, save_checkpoint
from mecam.models.registry import MODELS
from mecam.training.loop import fit, moving_only
from mecam.types import TEXT, Batch, Output, Stream, Utterance

pytestmark = pytest.mark.parametrize("name", MODELS)

JUNK = 1e4
"""What lies in padded rows when a test wants to see whether anything reads them."""


def whole(task_kind: str = "regression", count: int = 8) -> list[Utterance]:
    """Utterances that have everything, of different lengths."""
    return tiny.utterances(tiny.TASKS[task_kind], count, holes=False, seed=5)


def read(model: Model, batch: Batch) -> Output:
    with torch.no_grad():
        return model(batch)


def rows_below(stream: Stream, extra: int) -> Stream:
    """The stream with `extra` more padded rows, and junk in all rows that the mask leaves out."""
    if stream.values.is_floating_point():
        values = torch.nn.functional.pad(stream.values, (0, 0, 0, extra), value=JUNK)
        values = values.masked_fill(~torch.nn.functional.pad(stream.mask, (0, extra)).unsqueeze(-1), JUNK)
    else:
        values = torch.nn.functional.pad(stream.values, (0, extra), value=7)
        values = values.masked_fill(~torch.nn.functional.pad(stream.mask, (0, extra)), 7)
    words = None if stream.words is None else torch.nn.functional.pad(stream.words, (0, extra), value=-1)
    mask = torch.nn.functional.pad(stream.mask, (0, extra))
    return Stream(values=values, mask=mask, lengths=stream.lengths, words=words)


@pytest.mark.parametrize("extra", [0, 1, 13])
def test_padding_never_changes_a_prediction(name: str, extra: int, any_store: Store, encoder: str) -> None:
    trained = tiny.build(name, any_store, encoder, used=True)
    batch = tiny.collate(trained, any_store)
    padded = dataclasses.replace(batch, streams={m: rows_below(s, extra) for m, s in batch.streams.items()})
    before, after = read(trained.model, batch), read(trained.model, padded)
    torch.testing.assert_close(after.prediction, before.prediction, rtol=1e-4, atol=1e-5)
    for modality, gate in before.gates.items():
        mask = batch.streams[modality].mask
        torch.testing.assert_close(after.gates[modality][:, : mask.shape[1]][mask], gate[mask], rtol=1e-4, atol=1e-5)


def test_every_modality_that_it_heeds_reaches_the_prediction(name: str, any_store: Store, encoder: str) -> None:
    """Each utterance's prediction follows every modality it has, and no row that is not there.

    `mecam_published` is expected not to heed audio and vision: it makes one vector of each modality before attention,
    so that a query meets a single key, whose weight is 1 whatever the query is. The gradient is 0, not small.
    """
    trained = tiny.build(name, any_store, encoder, used=True)
    model, batch = trained.model, tiny.collate(trained, any_store)
    watched: dict[str, torch.Tensor] = {}
    streams = dict(batch.streams)
    for modality, stream in batch.streams.items():
        if stream.values.is_floating_point():
            watched[modality] = stream.values.clone().requires_grad_()
            streams[modality] = dataclasses.replace(stream, values=watched[modality])
        else:
            embedding = next(module for module in model.modules() if isinstance(module, torch.nn.Embedding))
            # Identical texts are encoded once, so the gradient is read where it is sure to arrive: in the table.
            watched[modality] = embedding.weight
    assert set(watched) == set(model.reads)
    if not model.reads:
        return
    model(dataclasses.replace(batch, streams=streams)).prediction.sum().backward()
    for modality, values in watched.items():
        assert values.grad is not None, modality
        stream = batch.streams[modality]
        if modality not in model.heeds:
            assert (values.grad == 0).all(), modality
        elif stream.values.is_floating_point():
            size = values.grad.abs().sum(dim=2)
            assert (size[stream.mask] > 0).float().mean() > 0.9, modality
            assert (size.sum(dim=1) > 0).equal(stream.mask.any(dim=1)), modality
            assert (size[~stream.mask] == 0).all(), modality
        else:
            seen = torch.unique(stream.values[stream.mask])
            assert (values.grad[seen].abs().sum(dim=1) > 0).all(), modality


def test_only_the_published_method_reads_what_it_does_not_heed(name: str, any_store: Store, encoder: str) -> None:
    """And there, whatever stands in the audio and the vision of a clip, its prediction is the same to the last bit."""
    trained = tiny.build(name, any_store, encoder, used=True)
    model, batch = trained.model, tiny.collate(trained, any_store)
    ignored = set(model.reads) - set(model.heeds)
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


def one_step(trained: Trained, store: Store, *, indices: Any = None, **changes: Any) -> Any:
    """All phases of the model, one batch long, as the loop goes through them, once or `epochs` times."""
    everything = tiny.dataset(trained, store, store.split("train") if indices is None else indices)
    views = ViewOptions(1.0) if trained.model.views else None

    class Data:
        steps = 1
        metric = "none"
        validated = 0.0

        def batches(self, epoch: int) -> Iterator[Batch]:
            yield from batches(everything, trained.collator, len(everything), shuffle_seed=epoch, views=views)

        def validate(self, model: Model) -> dict[str, float | None]:
            self.validated += 1  # so that the last weights are the best
            return {"select": self.validated}

    config = tiny.training(**{"epochs": 1, "weight_decay": 0.0, **changes})
    return fit(trained.model, Data(), config, fabric=Fabric(accelerator="cpu", devices=1), seed=1)


def test_every_trainable_parameter_moves(name: str, any_store: Store, encoder: str) -> None:
    """In a few steps of all phases, by the gradient alone: weight decay is off.

    Most labels lie above the predictions: where as many lie above as below, which is where training starts, a bias has
    no gradient under L1.

    Queries and keys of a model that does not heed what it reads are expected not to move: all that they decide is the
    weight of a single key, which is always 1.
    """
    trained = tiny.build(name, any_store, encoder)
    model = trained.model
    before = {key: value.clone() for key, value in model.named_parameters()}
    scores = any_store.column("label" if any_store.task.kind == "regression" else "unimodal")
    scores = [max(score.values(), default=0.0) if isinstance(score, dict) else score or 0.0 for score in scores]
    split = any_store.split("train")
    split = np.array(sorted(split, key=lambda i: scores[i])[len(split) // 3 :])
    one_step(trained, any_store, epochs=3, indices=split)
    still = {k for k, v in model.named_parameters() if v.requires_grad and torch.equal(v, before[k])}
    ignored = set(model.reads) - set(model.heeds)
    idle = {f"attention.{m}.{part}.{kind}" for m in ignored for part in ("query", "key") for kind in ("weight", "bias")}
    assert still == idle


def test_a_frozen_encoder_stays_as_it_is(name: str, store: Store, encoder: str) -> None:
    trained = tiny.build(name, store, encoder, freeze_encoder=True)
    model = trained.model
    frozen = {k: v.clone() for k, v in model.named_parameters() if not v.requires_grad}
    if model.text_encoder is not None:
        assert frozen
    one_step(trained, store)
    assert all(torch.equal(dict(model.named_parameters())[key], value) for key, value in frozen.items())


def test_batch_order_and_size_do_not_matter(name: str, any_store: Store, encoder: str) -> None:
    trained = tiny.build(name, any_store, encoder, used=True)
    everything = tiny.dataset(trained, any_store)
    at_once = predict(trained.model, everything, trained.collator, size=len(any_store), details=True)
    alone = predict(trained.model, everything, trained.collator, size=1, details=True)
    assert at_once.ids == alone.ids == tuple(any_store.column("id"))
    np.testing.assert_allclose(alone.prediction, at_once.prediction, rtol=1e-4, atol=1e-5)
    for one, other in zip(alone.gates, at_once.gates, strict=True):
        assert one.keys() == other.keys()
        for modality in one:
            np.testing.assert_allclose(one[modality], other[modality], rtol=1e-4, atol=1e-5)
    backwards = predict(trained.model, tiny.dataset(trained, list(any_store)[::-1]), trained.collator, size=7)
    np.testing.assert_allclose(backwards.prediction[::-1], at_once.prediction, rtol=1e-4, atol=1e-5)


def without(utterance: Utterance, absent: tuple[str, ...]) -> Utterance:
    streams = {m: rows for m, rows in utterance.streams.items() if m not in absent}
    text = None if TEXT in absent else utterance.text
    return dataclasses.replace(utterance, streams=streams, text=text, injected=())


def test_an_absent_modality_gives_a_finite_score(name: str, any_store: Store, encoder: str) -> None:
    """Every combination of absent modalities, all of them among it, in one batch; training on it stays finite."""
    trained = tiny.build(name, any_store, encoder, used=True)
    model = trained.model
    combinations = [c for n in range(len(tiny.ALL) + 1) for c in itertools.combinations(tiny.ALL, n)]
    utterance = whole(any_store.task.kind)[0]
    batch = tiny.collate(trained, [without(utterance, absent) for absent in combinations])
    output = model(batch)
    assert output.prediction.isfinite().all()
    # Which modalities are absent makes a difference, as far as the model heeds them.
    assert len(torch.unique(output.prediction.detach(), dim=0)) == 2 ** len(model.heeds)
    for modality, gate in output.gates.items():
        kept = gate[batch.streams[modality].mask]
        assert ((kept >= 0) & (kept <= 1)).all()
    if output.shares:
        shares = torch.stack([output.shares[m] for m in model.reads], dim=1)
        present = torch.stack([batch.streams[m].mask.any(dim=1) for m in model.reads], dim=1)
        assert ((shares > 0) == present).all()
        torch.testing.assert_close(shares.sum(dim=1), present.any(dim=1).float())
    total = torch.stack(list(model.losses(output, batch).values())).sum()
    assert total.isfinite()
    if tiny.trainable(model):
        total.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_nothing_to_go_by_gives_the_constant_prediction(name: str, any_store: Store, encoder: str) -> None:
    """The answer to an empty utterance is that of the training labels, whatever the weights have become."""
    trained = tiny.build(name, any_store, encoder, used=True)
    first, *others = whole(any_store.task.kind)
    prediction = read(trained.model, tiny.collate(trained, [without(first, tiny.ALL), *others])).prediction
    prior = torch.tensor(trained.checkpoint.inputs.prior)
    torch.testing.assert_close(prediction[0].flatten(), prior)
    assert (prediction[1:].reshape(len(others), -1) - prior).abs().max() > 0.01 or not trained.model.reads


def test_save_and_load_give_the_same_score(name: str, any_store: Store, tmp_path: Path) -> None:
    """To the last bit, from the checkpoint folder alone: the text encoder's own folder is gone by then."""
    trained = tiny.build(name, any_store, tiny.make_encoder(tmp_path / "encoder"), used=True)
    one_step(trained, any_store)
    before = predict(trained.model, tiny.dataset(trained, any_store), trained.collator, details=True)
    save_checkpoint(tmp_path / "checkpoint", trained)
    shutil.rmtree(tmp_path / "encoder")
    loaded = load_checkpoint(tmp_path / "checkpoint")
    after = predict(loaded.model, tiny.dataset(loaded, any_store), loaded.collator, details=True)
    np.testing.assert_array_equal(after.prediction, before.prediction)
    assert after.ids == before.ids
    assert after.gates
    assert str(after.gates) == str(before.gates)
    assert loaded.checkpoint.inputs == trained.checkpoint.inputs
    assert loaded.checkpoint.data == trained.checkpoint.data
    assert not loaded.model.training


def test_eight_utterances_can_be_memorised(name: str, any_store: Store, encoder: str) -> None:
    trained = tiny.build(name, any_store, encoder, dropout=0.0)
    model = trained.model
    batch = tiny.collate(trained, whole(any_store.task.kind))
    first = float(model.losses(read(model, batch), batch)["task"])
    if not tiny.trainable(model):
        # Nothing to train: what it says about one utterance it says about all, which no two labels allow.
        assert len(torch.unique(read(model, batch).prediction, dim=0)) == 1
        assert first > 0.1
        return
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _, phase in itertools.product(range(200), model.phases()):
        with moving_only(model, phase):
            losses = model.losses(model(batch), batch)
            if losses["task"] < 0.1 * first:
                break
            loss = torch.stack([w * losses[key] for key, w in phase.weights.items() if key in losses]).sum()
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    assert float(model.losses(read(model.eval(), batch), batch)["task"]) < 0.15 * first


def test_the_same_seed_gives_the_same_run(name: str, store: Store, encoder: str) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        trained = tiny.build(name, store, encoder, seed=seed)
        one_step(trained, store)
        return trained.model.state_dict()

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    moved = [key for key in first if not torch.equal(first[key], other[key])]
    assert moved or not tiny.trainable(tiny.build(name, store, encoder).model)


@pytest.mark.parametrize("modality", tiny.ALL)
def test_a_store_with_one_modality(name: str, modality: str, encoder: str, tmp_path: Path) -> None:
    """Either it trains and predicts, or it says at once which modality it misses."""
    task = tiny.TASKS["regression"]
    lone = tiny.write_store(tmp_path / "lone", task, tiny.utterances(task, 20, modalities=(modality,)))
    try:
        trained = tiny.build(name, lone, encoder)
    except ModelError as error:
        missing = str(error).split("needs ")[1].splitlines()[0]
        assert missing in tiny.ALL
        assert missing != modality
        return
    assert set(trained.model.reads) <= {modality}
    one_step(trained, lone)
    assert np.isfinite(predict(trained.model, tiny.dataset(trained, lone), trained.collator).prediction).all()


def test_every_named_loss_is_weighted_by_some_phase(name: str, store: Store, encoder: str) -> None:
    """A loss that no phase names would be computed for nothing, and a weight without a loss is a typing error."""
    trained = tiny.build(name, store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    views = ViewOptions(1.0) if trained.model.views else None
    batch = next(iter(batches(train, trained.collator, 8, shuffle_seed=1, views=views)))
    losses = trained.model.losses(trained.model.train()(batch), batch)
    assert set(losses) == {key for phase in trained.model.phases() for key in phase.weights}
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


def test_precomputed_text_features_beside_a_transcript(name: str, encoder: str, tmp_path: Path) -> None:
    """A store may hold both, as MMSA's files do: the transcript is read, and corruption hits what is read."""
    task = tiny.TASKS["regression"]
    rng = np.random.default_rng(0)
    both = [
        dataclasses.replace(u, streams={**u.streams, TEXT: rng.standard_normal((50, 5)).astype(np.float32)})
        for u in tiny.utterances(task, 20, holes=False)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.WIDTHS, TEXT, 5)
        store = tiny.write_store(tmp_path / "both", task, both)
    trained = tiny.build(name, store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    if trained.tokenizer is not None:
        assert not any(TEXT in utterance.streams for utterance in train)
    one_step(trained, store)
    assert np.isfinite(predict(trained.model, train, trained.collator).prediction).all()
