"""What every model promises, as functions that raise AssertionError where it is broken.

A model is told by its attributes (`reads`, `views`), never by its name. The tests run all of this over every
registered model; `mecam models NAME --check` runs it over one.
"""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from mecam.batch import Batch, Output, Stream
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.evaluation.predict import predict
from mecam.models.base import ClosedFormModel, Model
from mecam.models.trained import Trained, load_checkpoint, save_checkpoint
from mecam.testing import small
from mecam.training.loop import fit, moving_only
from mecam.types import TEXT, Modality, Utterance

__all__ = ["EVERY_TASK", "SCORES_ONLY", "Case", "Check", "one_step", "read"]

JUNK = 1e4
"""What lies in padded rows, to see whether anything reads them."""


@dataclass(frozen=True)
class Case:
    """A model and what it is tried on.

    Attributes:
        name: in the registry.
        store: of one task: four modalities, absent ones, missing rows, injected spans.
        encoder: folder of a tiny text encoder.
        folder: an empty one, to write to.
        device: that the model computes on: `cpu` or `cuda`.
    """

    name: str
    store: Store
    encoder: str
    folder: Path
    device: str = "cpu"

    def build(self, store: Store | None = None, encoder: str | None = None, **changes: Any) -> Trained:
        """The model, untrained, small where its options are known by name; for another store where one is given."""
        trained = small.build(self.name, self.store if store is None else store, encoder or self.encoder, **changes)
        trained.model.to(self.device)
        return trained

    def collate(self, trained: Trained, source: Any) -> Batch:
        """All of these utterances as one batch on the device."""
        batch: Batch = small.collate(trained, source).to(self.device)
        return batch


Check = Callable[[Case], None]


def padding_never_changes_a_prediction(case: Case) -> None:
    """Rows that the mask leaves out may hold anything, and be as many as they like."""
    trained = case.build(used=True)
    batch = case.collate(trained, case.store)
    before = read(trained.model, batch)
    for extra in (0, 1, 13):
        padded = dataclasses.replace(batch, streams={m: _rows_below(s, extra) for m, s in batch.streams.items()})
        after = read(trained.model, padded)
        told = f"a prediction changes with {extra} more padded rows: look for a mean, a softmax or a state without mask"
        assert _close(after.prediction, before.prediction), told
        for modality, gate in before.gates.items():
            mask = batch.streams[modality].mask
            there = after.gates[modality][:, : mask.shape[1]][mask]
            assert _close(there, gate[mask]), f"a gate of {modality} reads what the mask leaves out"


def every_modality_reaches_the_prediction(case: Case) -> None:
    """Each utterance's prediction follows every modality it has, and no row that is not there."""
    trained = case.build(used=True)
    model, batch = trained.model, case.collate(trained, case.store)
    watched: dict[str, torch.Tensor] = {}
    streams = dict(batch.streams)
    for modality, stream in batch.streams.items():
        if stream.values.is_floating_point():
            watched[modality] = stream.values.clone().requires_grad_()
            streams[modality] = dataclasses.replace(stream, values=watched[modality])
        else:
            embedding = next(module for module in model.modules() if isinstance(module, torch.nn.Embedding))
            # Identical texts are encoded once, so the gradient is read where it is sure to arrive: in the table.
            watched[modality] = embedding.weight.requires_grad_()  # of an encoder that stays as it is, too
    assert set(watched) == set(model.reads), f"it reads {model.reads}, and is given {sorted(watched)}"
    if not model.reads:
        return
    model(dataclasses.replace(batch, streams=streams)).prediction.sum().backward()
    for modality, values in watched.items():
        assert values.grad is not None, f"no gradient reaches {modality}"
        _check_gradient(model, modality, batch.streams[modality], values.grad)


def _check_gradient(model: Model, modality: str, stream: Stream, gradient: torch.Tensor) -> None:
    if modality not in _heeded(model):
        assert (gradient == 0).all(), f"it says that it ignores {modality}, and does not"
    elif stream.values.is_floating_point():
        size = gradient.abs().sum(dim=2)
        told = f"of {modality}, few rows reach the prediction"
        assert (size[stream.mask] > 0).float().mean() > 0.9, told
        assert (size.sum(dim=1) > 0).equal(stream.mask.any(dim=1)), f"{modality} reaches some utterances only"
        assert (size[~stream.mask] == 0).all(), f"rows of {modality} that are not there reach the prediction"
    else:
        seen = torch.unique(stream.values[stream.mask])
        assert (gradient[seen].abs().sum(dim=1) > 0).all(), f"some tokens of {modality} do not reach the prediction"


def every_trainable_parameter_moves(case: Case) -> None:
    """In a few steps of all phases, by the gradient alone: weight decay is off.

    Most labels lie above the predictions: where as many lie above as below, which is where training starts, a bias has
    no gradient under L1.

    Queries and keys of a model that does not heed what it reads are expected not to move: all that they decide is the
    weight of a single key, which is always 1.
    """
    trained = case.build()
    model = trained.model
    before = {key: value.clone() for key, value in model.named_parameters()}
    scores = case.store.column("label" if case.store.task.is_score else "unimodal")
    scores = [max(score.values(), default=0.0) if isinstance(score, dict) else score or 0.0 for score in scores]
    split = case.store.split("train")
    split = np.array(sorted(split, key=lambda i: scores[i])[len(split) // 3 :])
    one_step(case, trained, case.store, epochs=3, indices=split)
    still = {k for k, v in model.named_parameters() if v.requires_grad and torch.equal(v, before[k])}
    ignored = set(model.reads) - set(_heeded(model))
    idle = {f"attention.{m}.{part}.{kind}" for m in ignored for part in ("query", "key") for kind in ("weight", "bias")}
    assert still == idle, f"these parameters never move: {', '.join(sorted(still - idle))}"


def a_frozen_encoder_stays_as_it_is(case: Case) -> None:
    """Under `freeze_encoder`, where there is this option."""
    if "freeze_encoder" not in small.options_of(case.name):
        return
    trained = case.build(freeze_encoder=True)
    model = trained.model
    frozen = {k: v.clone() for k, v in model.named_parameters() if not v.requires_grad}
    if model.text_encoder is not None:
        assert frozen, "freeze_encoder=true freezes nothing"
    one_step(case, trained, case.store)
    moved = [key for key, value in frozen.items() if not torch.equal(dict(model.named_parameters())[key], value)]
    assert not moved, f"frozen, and moved: {', '.join(moved)}"


def batch_order_and_size_do_not_matter(case: Case) -> None:
    """What is said of an utterance does not depend on its neighbours."""
    trained = case.build(used=True)
    everything = small.dataset(trained, case.store)
    at_once = predict(trained.model, everything, trained.collator, size=len(case.store), details=True)
    alone = predict(trained.model, everything, trained.collator, size=1, details=True)
    assert at_once.ids == alone.ids == tuple(case.store.column("id"))
    told = "an utterance's prediction depends on what else is in the batch"
    assert _close(alone.prediction, at_once.prediction), told
    for one, other in zip(alone.gates, at_once.gates, strict=True):
        assert one.keys() == other.keys()
        for modality in one:
            same = _close(one[modality], other[modality], missing=True)
            assert same, f"a gate of {modality} depends on the batch"
    backwards = predict(trained.model, small.dataset(trained, list(case.store)[::-1]), trained.collator, size=7)
    assert _close(backwards.prediction[::-1], at_once.prediction), told


def an_absent_modality_gives_a_finite_score(case: Case) -> None:
    """Every combination of absent modalities, all of them among it, in one batch; training on it stays finite."""
    trained = case.build(used=True)
    model = trained.model
    combinations = [c for n in range(len(small.ALL) + 1) for c in itertools.combinations(small.ALL, n)]
    utterance = _whole(case.store.task.kind)[0]
    batch = case.collate(trained, [_without(utterance, absent) for absent in combinations])
    output = model(batch)
    assert output.prediction.isfinite().all(), "a prediction is not finite where modalities are absent"
    # Which modalities are absent makes a difference, as far as the model does not ignore them.
    distinct = len(torch.unique(output.prediction.detach(), dim=0))
    told = f"{2 ** len(_heeded(model))} combinations of absent modalities give {distinct} different predictions"
    assert distinct == 2 ** len(_heeded(model)), told
    for modality, gate in output.gates.items():
        kept = gate[batch.streams[modality].mask]
        assert ((kept >= 0) & (kept <= 1)).all(), f"a gate of {modality} leaves [0, 1]"
    if output.shares:
        shares = torch.stack([output.shares[m] for m in model.reads], dim=1)
        present = torch.stack([batch.streams[m].mask.any(dim=1) for m in model.reads], dim=1)
        assert ((shares > 0) == present).all(), "an absent modality has a share, or a present one none"
        assert torch.allclose(shares.sum(dim=1), present.any(dim=1).float()), "shares do not add up to 1"
    total = torch.stack(list(model.losses(output, batch).values())).sum()
    assert total.isfinite(), "a loss is not finite where modalities are absent"
    if small.trainable(model):
        total.backward()  # type: ignore[no-untyped-call]
        whole = all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert whole, "a gradient is not finite where modalities are absent"


def nothing_to_go_by_gives_the_constant_prediction(case: Case) -> None:
    """The answer to an empty utterance is that of the training labels, whatever the weights have become."""
    trained = case.build(used=True)
    first, *others = _whole(case.store.task.kind)
    prediction = read(trained.model, case.collate(trained, [_without(first, small.ALL), *others])).prediction
    prior = torch.tensor(trained.checkpoint.inputs.prior, device=case.device)
    told = "an utterance without any modality does not get the constant prediction: see `or_prior` in models/base.py"
    assert torch.allclose(prediction[0].flatten(), prior, atol=1e-5), told
    differs = (prediction[1:].reshape(len(others), -1) - prior).abs().max() > 0.01
    assert differs or not trained.model.reads, "whatever it reads, it gives the constant prediction"


def save_and_load_give_the_same_score(case: Case) -> None:
    """To the last bit, from the checkpoint folder alone: the text encoder's own folder is gone by then."""
    encoder = str(shutil.copytree(case.encoder, case.folder / "encoder"))
    trained = case.build(encoder=encoder, used=True)
    one_step(case, trained, case.store)
    before = predict(trained.model, small.dataset(trained, case.store), trained.collator, details=True)
    save_checkpoint(case.folder / "checkpoint", trained)
    shutil.rmtree(encoder)
    loaded = load_checkpoint(case.folder / "checkpoint")
    loaded.model.to(case.device)
    after = predict(loaded.model, small.dataset(loaded, case.store), loaded.collator, details=True)
    told = "the loaded model predicts something else: is something it knows neither a parameter nor a buffer?"
    assert np.array_equal(after.prediction, before.prediction), told
    assert after.ids == before.ids
    assert after.gates
    assert str(after.gates) == str(before.gates), "the loaded model's gates are others"
    assert loaded.checkpoint.inputs == trained.checkpoint.inputs
    assert loaded.checkpoint.data == trained.checkpoint.data
    assert not loaded.model.training


def eight_utterances_can_be_memorised(case: Case) -> None:
    """Without dropout, in 200 steps."""
    trained = case.build(dropout=0.0)
    model = trained.model
    batch = case.collate(trained, _whole(case.store.task.kind))
    first = float(model.losses(read(model, batch), batch)["task"])
    if not small.trainable(model):
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
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    last = float(model.losses(read(model.eval(), batch), batch)["task"])
    assert last < 0.15 * first, f"eight utterances are not memorised: the task loss goes from {first:.3f} to {last:.3f}"


def the_same_seed_gives_the_same_run(case: Case) -> None:
    """And another seed another one."""

    def run(seed: int) -> dict[str, torch.Tensor]:
        trained = case.build(seed=seed)
        one_step(case, trained, case.store)
        return trained.model.state_dict()

    first, again, other = run(1), run(1), run(2)
    same = torch.equal if case.device == "cpu" else _close  # a GPU adds up in an order of its own
    differs = [key for key in first if not same(first[key], again[key])]
    assert not differs, f"two runs of one seed differ in {', '.join(differs)}"
    moved = [key for key in first if not torch.equal(first[key], other[key])]
    learns = small.trainable(case.build().model) and not isinstance(case.build().model, ClosedFormModel)
    assert moved or not learns, "the seed makes no difference"


def a_store_with_one_modality(case: Case) -> None:
    """Whichever it is, it trains and predicts, or it says at once which modality it misses."""
    task = small.TASKS["regression"]
    for modality in small.ALL:
        lone = small.write_store(case.folder / modality, task, small.utterances(task, 20, modalities=(modality,)))
        try:
            trained = case.build(lone)
        except ModelError as error:
            refusal = str(error)
        else:
            refusal = ""
        if refusal:
            missing = refusal.partition("needs ")[2].partition("\n")[0]
            assert missing in small.ALL, f"on {modality} alone it fails, and does not say what it needs: {refusal}"
            assert missing != modality, f"it says that it needs {modality}, which is there"
            continue
        assert set(trained.model.reads) <= {modality}
        one_step(case, trained, lone)
        predictions = predict(trained.model, small.dataset(trained, lone), trained.collator).prediction
        assert np.isfinite(predictions).all(), f"a prediction on {modality} alone is not finite"


def every_named_loss_is_weighted_by_some_phase(case: Case) -> None:
    """A loss that no phase names would be computed for nothing, and a weight without a loss is a typing error."""
    trained = case.build()
    train = small.dataset(trained, case.store, case.store.split("train"))
    views = ViewOptions(1.0) if trained.model.views else None
    batch = next(iter(batches(train, trained.collator, 8, shuffle_seed=1, views=views))).to(case.device)
    losses = trained.model.losses(trained.model.train()(batch), batch)
    weighted = {key for phase in trained.model.phases() for key in phase.weights}
    assert set(losses) == weighted, f"losses are {sorted(losses)}, weights are of {sorted(weighted)}"
    bad = [name for name, loss in losses.items() if loss.shape != () or not loss.isfinite()]
    assert not bad, f"no finite number: {', '.join(bad)}"


def after_step_gets_every_batch_as_the_model_saw_it(case: Case) -> None:
    """With its own output, also where several batches make one step: on the model's device, nothing left out."""
    trained = case.build()
    model = trained.model
    if not small.trainable(model) or isinstance(model, ClosedFormModel):
        return
    forward, after_step = model.forward, model.after_step
    read: list[tuple[Batch, Output]] = []
    kept: list[tuple[Batch, Output]] = []

    def watched_forward(batch: Batch) -> Output:
        output = forward(batch)
        if model.training:
            read.append((batch, output))
        return output

    def watched_after_step(output: Output, batch: Batch) -> None:
        kept.append((batch, output))
        after_step(output, batch)

    model.forward, model.after_step = watched_forward, watched_after_step  # type: ignore[method-assign]
    one_step(case, trained, case.store, size=4, accumulate=2, epochs=2)
    assert len(kept) == len(read) > 2, f"the model saw {len(read)} batches, and after_step {len(kept)}"
    for (given, output), (batch, own) in zip(kept, read, strict=True):
        assert given is batch, "after_step gets another batch than the model saw"
        assert torch.equal(output.prediction, own.prediction), "after_step gets the output of another batch"
        devices = {str(stream.values.device.type) for stream in given.streams.values()}
        assert devices <= {case.device}, f"after_step gets a batch on {devices} for a model on {case.device}"


def precomputed_text_features_beside_a_transcript(case: Case) -> None:
    """A store may hold both, as MMSA's files do: the transcript is read, and corruption hits what is read."""
    task = small.TASKS["regression"]
    rng = np.random.default_rng(0)
    both = [
        dataclasses.replace(u, streams={**u.streams, TEXT: rng.standard_normal((50, 5)).astype(np.float32)})
        for u in small.utterances(task, 20, holes=False)
    ]
    store = small.write_store(case.folder / "both", task, both, widths={**small.WIDTHS, TEXT: 5})
    trained = case.build(store)
    train = small.dataset(trained, store, store.split("train"))
    if trained.tokenizer is not None:
        assert not any(TEXT in utterance.streams for utterance in train)
    one_step(case, trained, store)
    predictions = predict(trained.model, train, trained.collator).prediction
    assert np.isfinite(predictions).all(), "a prediction is not finite where text is given as tokens and as features"


EVERY_TASK: tuple[Check, ...] = (
    padding_never_changes_a_prediction,
    every_modality_reaches_the_prediction,
    every_trainable_parameter_moves,
    batch_order_and_size_do_not_matter,
    an_absent_modality_gives_a_finite_score,
    nothing_to_go_by_gives_the_constant_prediction,
    save_and_load_give_the_same_score,
    eight_utterances_can_be_memorised,
)
"""For scores, classes and label sets."""

SCORES_ONLY: tuple[Check, ...] = (
    a_frozen_encoder_stays_as_it_is,
    the_same_seed_gives_the_same_run,
    a_store_with_one_modality,
    every_named_loss_is_weighted_by_some_phase,
    precomputed_text_features_beside_a_transcript,
    after_step_gets_every_batch_as_the_model_saw_it,
)
"""What does not depend on the task."""


def _heeded(model: Model) -> tuple[Modality, ...]:
    """The modalities that reach a prediction: all that are read, but those that a flawed model says it `ignores`."""
    return tuple(m for m in model.reads if m not in getattr(model, "ignores", ()))


def read(model: Model, batch: Batch) -> Output:
    """What the model says, without a gradient."""
    with torch.no_grad():
        output: Output = model(batch)
    return output


def one_step(case: Case, trained: Trained, store: Store, *, indices: Any = None, size: int = 0, **changes: Any) -> Any:
    """All phases of the model, one batch long (or in batches of `size`), as the loop goes through them, `epochs` times.

    By default once.
    """
    everything = small.dataset(trained, store, store.split("train") if indices is None else indices)
    views = ViewOptions(1.0) if trained.model.views else None

    size = size or len(everything)

    class Data:
        steps = -(-len(everything) // size)
        metric = "none"
        validated = 0.0

        def batches(self, epoch: int) -> Iterator[Batch]:
            yield from batches(everything, trained.collator, size, shuffle_seed=epoch, views=views)

        def validate(self, model: Model) -> dict[str, float | None]:
            self.validated += 1  # so that the last weights are the best
            return {"select": self.validated}

    config = small.training(**{"epochs": 1, "weight_decay": 0.0, **changes})
    return fit(trained.model, Data(), config, fabric=Fabric(accelerator=case.device, devices=1), seed=1)


def _close(one: Any, other: Any, *, missing: bool = False) -> bool:
    """Equal up to the rounding that another order of sums brings; with `missing`, NaN where the other is NaN."""
    one, other = (value.detach().cpu() if isinstance(value, torch.Tensor) else value for value in (one, other))
    return bool(np.allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5, equal_nan=missing))


def _whole(task_kind: str, count: int = 8) -> list[Utterance]:
    """Utterances that have everything, of different lengths."""
    return small.utterances(small.TASKS[task_kind], count, holes=False, seed=5)


def _without(utterance: Utterance, absent: tuple[str, ...]) -> Utterance:
    streams = {m: rows for m, rows in utterance.streams.items() if m not in absent}
    text = None if TEXT in absent else utterance.text
    return dataclasses.replace(utterance, streams=streams, text=text, injected=())


def _rows_below(stream: Stream, extra: int) -> Stream:
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
