"""The published MECAM and late fusion against loops written from the equations."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from mecam.data.store import Store
from mecam.losses.contrastive import equal_labels, published_contrast
from mecam.losses.information import FLOOR, gaussian_entropy, gaussian_log_likelihood, group_entropy
from mecam.nn.attention import Attention
from mecam.task import Regression
from mecam.types import TEXT
from reference import published as slow

SCORES = Regression()


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_equal(fast: torch.Tensor, expected: object, *, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    torch.testing.assert_close(fast.detach(), torch.as_tensor(expected, dtype=fast.dtype), rtol=rtol, atol=atol)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(0, 999), st.sampled_from([0.03, 0.5]), st.sampled_from([0.0, 0.8, 1.0]))
def test_published_contrast(count: int, seed: int, temperature: float, weight: float) -> None:
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(rng.standard_normal((count, 4))).float()
    labels = torch.from_numpy(rng.choice([-1.0, 0.0, 1.2], count)).float()
    present = torch.from_numpy(rng.random(count) < 0.8)
    fast = published_contrast(z, equal_labels(labels), present, temperature=temperature, negative=weight)
    expected = slow.contrast(z.double().numpy(), labels.tolist(), present.tolist(), temperature, weight)
    assert_equal(fast, expected, rtol=1e-4, atol=1e-5)


def test_an_utterance_is_its_own_positive_in_the_published_contrast() -> None:
    """Which is nearly all of it: with no label twice, and embeddings that are unlike, there is nothing left to pull."""
    z, labels = normal(1, 8, 64).float(), torch.linspace(-3, 3, 8)
    here = torch.ones(8, dtype=torch.bool)
    assert equal_labels(labels).equal(torch.eye(8, dtype=torch.bool))
    assert published_contrast(z, equal_labels(labels), here) < 0.01
    alone = published_contrast(z[:1], equal_labels(labels[:1]), here[:1])
    assert alone == pytest.approx(math.log1p(math.exp(-1 / 0.03)), abs=1e-6)


def test_equal_labels() -> None:
    near = equal_labels(torch.tensor([1.0, 1.0 + 1e-6, 1.0]))
    assert near.long().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    sets = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    assert equal_labels(sets).long().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_gaussian_log_likelihood(count: int, normalised: bool) -> None:
    mean, log_variance, y = normal(1, count, 3), normal(2, count, 3), normal(3, count, 3)
    for present in (torch.ones(count, dtype=torch.bool), torch.arange(count) % 2 == 0, torch.zeros(count) > 0):
        fast = gaussian_log_likelihood(mean, log_variance, y, present, normalised=normalised)
        variance = log_variance.exp().numpy()
        expected = slow.log_likelihood(mean.numpy(), variance, y.numpy(), present.tolist(), normalised=normalised)
        assert_equal(fast, expected)
    whole = gaussian_log_likelihood(mean, log_variance, y, torch.ones(count, dtype=torch.bool))
    theirs = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(y).sum(dim=1).mean()
    assert_equal(whole, theirs)


def test_the_published_bound_is_reached_by_knowing_nothing() -> None:
    """Its quirk: without −½ log 2πσ² a wide variance is as good as knowing y, so it cannot tell information apart."""
    y, here = normal(1, 6, 3), torch.ones(6, dtype=torch.bool)
    wide, narrow = torch.full_like(y, 8.0), torch.full_like(y, -4.0)
    ignorant = gaussian_log_likelihood(torch.zeros_like(y), wide, y, here, normalised=False)
    assert -0.01 < float(ignorant) <= 0
    knowing = gaussian_log_likelihood(y, narrow, y, here, normalised=False)
    assert float(knowing) - float(ignorant) < 0.01
    proper = [gaussian_log_likelihood(*given, y, here) for given in ((y, narrow), (torch.zeros_like(y), wide))]
    assert proper[0] - proper[1] > 10


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("count", [2, 4, 30])
def test_gaussian_entropy(count: int, shrinkage: float) -> None:
    samples = normal(1, count, 4) * torch.tensor([3.0, 1.0, 0.5, 0.1])
    fast = gaussian_entropy(samples, shrinkage=shrinkage)
    if shrinkage == 0 and count <= 4:
        assert fast is None
        return
    assert fast is not None
    assert_equal(fast, slow.entropy(samples.numpy(), shrinkage, FLOOR))
    if shrinkage == 0:
        theirs = torch.distributions.MultivariateNormal(torch.zeros(4).double(), torch.cov(samples.T, correction=0))
        assert_equal(fast, theirs.entropy(), rtol=1e-3)


@pytest.mark.parametrize("samples", [torch.zeros(3, 5), torch.full((2, 5), 1e3), normal(1, 2, 40).float()])
def test_an_entropy_is_finite_whatever_the_samples(samples: torch.Tensor) -> None:
    samples = samples.clone().requires_grad_()
    entropy = gaussian_entropy(samples, shrinkage=0.1)
    assert entropy is not None
    entropy.backward()
    assert entropy.isfinite()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()


def test_sign_split_entropy() -> None:
    """The paper's H, ¼ (log det Σ₊ + log det Σ₋), with the constant of an entropy; neutral scores are left out."""
    samples, scores = normal(1, 14, 3), [2.0, -1.0, 0.0, 1.5, -3.0, 0.2, -0.1] * 2
    groups = SCORES.groups(torch.tensor(scores))
    assert groups.sum(dim=0).tolist() == [6, 6]
    for shrinkage in (0.0, 0.3):
        found = group_entropy(samples, groups, shrinkage=shrinkage)
        constant = 3 / 2 * math.log(2 * math.pi * math.e)
        assert_equal(found.value, slow.sign_entropy(samples.numpy(), scores, shrinkage, FLOOR) + constant)
        assert found.skipped == 0


def test_a_group_of_too_few_samples_is_skipped_and_counted() -> None:
    samples = normal(1, 6, 3)
    groups = torch.tensor([[True, False]] * 5 + [[False, True]])
    found = group_entropy(samples, groups, shrinkage=0.1)
    assert found.skipped == 0.5
    assert_equal(found.value, slow.entropy(samples[:5].numpy(), 0.1, FLOOR))
    nobody = group_entropy(samples[:0], groups[:0], shrinkage=0.1)
    assert (float(nobody.value), nobody.skipped) == (0.0, 1.0)


def test_groups_of_labels() -> None:
    assert Regression(1.0, 5.0).groups(torch.tensor([1.0, 3.0, 4.0])).long().tolist() == [
        [0, 1],
        [0, 0],
        [1, 0],
    ]
    classes = tiny.TASKS["classes"].groups(torch.tensor([2, 0]))
    assert classes.long().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert tiny.TASKS["multilabel"].groups(torch.tensor([[1.0, 0.0], [1.0, 1.0]])).long().tolist() == [
        [1, 0],
        [1, 1],
    ]


def test_talking_after_the_softmax_over_a_single_key() -> None:
    """And what makes the published fusion blind: another query gathers the very same."""
    attention = Attention(3, 4, before=False, key_width=5, head_width=2).double()
    for i, parameter in enumerate(attention.parameters()):
        parameter.data = normal(i, *parameter.shape)
    assert attention.before is None
    queries, keys, mask = normal(20, 6, 1, 3), normal(21, 6, 1, 5), torch.tensor([[True]] * 5 + [[False]])
    weights = {name: value.detach().numpy() for name, value in attention.named_parameters()}
    expected = [
        slow.single_key_attention(q.numpy(), k.numpy(), weights, 4, key_present=bool(here))
        for q, k, here in zip(queries[:, 0], keys[:, 0], mask[:, 0], strict=True)
    ]
    gathered = attention(queries, keys, mask)[:, 0]
    assert_equal(gathered, np.stack(expected))
    assert (gathered[:5] != 0).all()
    assert torch.equal(attention(queries.flip(0), keys, mask)[:, 0], gathered)


@pytest.mark.parametrize("kind", tiny.TASKS)
def test_late_fusion_averages_over_what_is_there(kind: str, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS[kind]
    store = tiny.write_store(tmp_path / "store", task, tiny.utterances(task))
    trained = tiny.build("late_fusion", store, encoder, used=True)
    model, batch = trained.model, tiny.collate(trained, store)
    model.trust.data = torch.tensor([0.5, -2.0, 1.0, 0.0])
    output = model(batch)
    own = torch.stack([output.extra[f"own_{m}"].reshape(len(batch), -1) for m in model.reads], dim=1)
    present = torch.stack([batch.streams[m].mask.any(dim=1) for m in model.reads], dim=1)
    assert not present.all(dim=1).all()
    prior = list(trained.checkpoint.inputs.prior)
    expected = slow.late_fusion(own.detach().double().numpy(), model.trust.tolist(), present.numpy(), prior)
    assert_equal(output.prediction.reshape(len(batch), -1), expected, rtol=1e-4, atol=1e-5)
    shares = torch.stack([output.shares[m] for m in model.reads], dim=1)
    assert ((shares > 0) == present).all()


def test_the_published_losses(any_store: Store, encoder: str) -> None:
    """Each named loss is its equation, on the vectors that the model says it uses."""
    trained = tiny.build("mecam_published", any_store, encoder)
    batch = trained.collator(list(tiny.dataset(trained, any_store, any_store.split("train"))))
    model, config = trained.model, trained.checkpoint.options
    output = model(batch)
    losses = {key: value.item() for key, value in model.losses(output, batch).items()}
    vectors = {m: v.detach().double().numpy() for m, v in output.embeddings.items()}
    there = {m: batch.streams[m].mask.any(dim=1).tolist() for m in model.reads}
    labels = [tuple(np.atleast_1d(row)) for row in batch.targets.value.numpy()]
    assert model.pairs == (
        (TEXT, "vision"),
        (TEXT, "physio"),
        (TEXT, "audio"),
        ("vision", "physio"),
        ("vision", "audio"),
        ("physio", "audio"),
    )
    for m in model.reads:
        expected = slow.contrast(vectors[m], labels, there[m], 0.03, 0.8)
        assert losses[f"contrast_{m}"] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for x, y in model.pairs:
        mean, log_variance = (part.detach().double() for part in model.information[f"{x}_{y}"](output.embeddings[x]))
        both = [a and b for a, b in zip(there[x], there[y], strict=True)]
        assert 0 < sum(both) < len(both) or "physio" not in (x, y)
        expected = slow.log_likelihood(mean.numpy(), log_variance.exp().numpy(), vectors[y], both, normalised=False)
        assert losses[f"information_{x}_{y}"] == pytest.approx(-expected, rel=1e-4)
    for m in model.others:
        groups = any_store.task.groups(batch.targets.value).numpy()
        members = [[i for i in range(len(batch)) if there[m][i] and groups[i, k]] for k in range(groups.shape[1])]
        sides = [slow.entropy(vectors[m][rows], config.shrinkage, FLOOR) for rows in members if len(rows) > 1]
        assert losses[f"entropy_{m}"] == pytest.approx(-sum(sides) / len(sides), rel=1e-3)
        assert losses[f"skipped_{m}"] == pytest.approx(1 - len(sides) / len(members))


def test_the_entropy_remembers_the_batch_before_and_no_other(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam_published", store, encoder, dropout=0.0)
    model, train = trained.model.train(), list(tiny.dataset(trained, store, store.split("train")))
    parts = [trained.collator(train[i : i + 6]) for i in (0, 6, 12)]
    outputs = [model(part) for part in parts]
    alone = model.losses(outputs[2], parts[2])
    for output, part in zip(outputs[:2], parts[:2], strict=True):
        model.after_step(output, part)
    after = model.losses(outputs[2], parts[2])
    both = trained.collator(train[6:18])
    model.eval()
    expected = model.losses(model(both), both)  # evaluation knows no batch before
    for m in model.others:
        torch.testing.assert_close(after[f"entropy_{m}"], expected[f"entropy_{m}"], rtol=1e-3, atol=1e-3)
        assert not torch.isclose(after[f"entropy_{m}"], alone[f"entropy_{m}"], rtol=1e-3)
    assert {k for k in alone if not torch.equal(alone[k], after[k])} <= {
        f"{kind}_{m}" for kind, m in itertools.product(("entropy", "skipped"), model.others)
    }
