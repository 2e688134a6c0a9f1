"""The fast code against loops written from the equations."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.losses.contrastive import instance_contrast, label_contrast
from mecam.nn.attention import Attention
from mecam.nn.masked import length_mask, masked_max, masked_mean, masked_softmax, weighted_mean
from mecam.task import Classes, Labels, Regression
from mecam.training.optimizers import warmup_then_decay
from reference import loops


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_mask(seed: int, *shape: int) -> torch.Tensor:
    """About half True; the first row has nothing."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[0] = False
    mask[1:, ..., 0] = True
    return mask


def assert_equal(fast: torch.Tensor, slow: object, *, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(fast.detach(), torch.as_tensor(slow, dtype=fast.dtype), rtol=rtol, atol=1e-11)


def test_masked_reductions() -> None:
    values, mask = drawn(1, 4, 5, 3) * 10, some_mask(2, 4, 5)
    junk = values.masked_fill(~mask.unsqueeze(-1), float("inf"))  # what is masked is not even touched
    assert_equal(masked_mean(junk, mask), loops.mean(values.numpy(), mask.numpy()))
    assert_equal(masked_max(junk, mask), loops.maximum(values.numpy(), mask.numpy()))
    weights = torch.rand(4, 5, 3, dtype=torch.float64)
    weights[2] = 0.0  # all removed
    for floor in (0.1, 0.5):
        fast = weighted_mean(junk, weights, mask, floor=floor)
        # The count of steps is an integer, whose product with the floor is taken in single precision.
        assert_equal(fast, loops.weighted_mean(values.numpy(), weights.numpy(), mask.numpy(), floor), rtol=1e-6)
        assert (fast[2] == 0).all()
    assert_equal(length_mask(torch.tensor([0, 2, 5]), 5), [[t < n for t in range(5)] for n in (0, 2, 5)])


def test_masked_softmax() -> None:
    scores, mask = drawn(3, 4, 6) * 50, some_mask(4, 4, 6)
    slow = [loops.softmax(row, keep) for row, keep in zip(scores.tolist(), mask.tolist(), strict=True)]
    assert_equal(masked_softmax(scores.masked_fill(~mask, float("inf")), mask), slow)
    assert_equal(masked_softmax(scores.view(2, 2, 6), mask.view(2, 2, 6)), np.reshape(slow, (2, 2, 6)))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_talking_heads(heads: int) -> None:
    attention = Attention(8, heads).double()
    for i, parameter in enumerate(attention.parameters()):
        parameter.data = drawn(i, *parameter.shape)
    queries, keys, mask = drawn(10, 3, 4, 8), drawn(11, 3, 5, 8), some_mask(12, 3, 5)
    weights = {name: value.detach().numpy() for name, value in attention.named_parameters()}
    slow = loops.talking_heads(queries.numpy(), keys.numpy(), mask.numpy(), weights, heads)
    assert np.abs(slow[1:]).min() > 0
    assert_equal(attention(queries, keys, mask), slow)


def test_talking_heads_start_as_plain_heads_and_plain_heads_equal_torch() -> None:
    talking, plain = Attention(8, 2).double(), Attention(8, 2, talking=False).double()
    missing = talking.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert set(missing) == {"before", "after"}
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    parts = [plain.query, plain.key, plain.value]
    theirs.in_proj_weight.data = torch.cat([p.weight.data for p in parts])
    theirs.in_proj_bias.data = torch.cat([p.bias.data for p in parts])
    theirs.out_proj.load_state_dict(plain.out.state_dict())
    queries, keys, mask = drawn(1, 3, 4, 8), drawn(2, 3, 5, 8), some_mask(3, 3, 5)
    expected = theirs(queries, keys, keys, key_padding_mask=~mask)[0]
    for ours in (talking, plain):
        result = ours(queries, keys, mask)
        assert_equal(result[1:], expected[1:])
        assert (result[0] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(0, 999), st.sampled_from([0.03, 0.1, 1.0]), st.sampled_from([None, 0.3, 1.0]))
def test_label_contrast(count: int, seed: int, temperature: float, weight: float | None) -> None:
    """Graded labels, removed embeddings as negatives, utterances without the modality, batches of one."""
    rng = np.random.default_rng(seed)
    kept, removed = (torch.from_numpy(rng.standard_normal((count, 4))).float() for _ in range(2))
    scores, present = rng.uniform(-3, 3, count), rng.random(count) < 0.8
    affinity = Regression().affinity(torch.from_numpy(scores), spread=0.5)
    assert_equal(affinity, loops.score_affinity(scores.tolist(), 0.5))
    negatives = {} if weight is None else {"removed": removed, "removed_weight": weight}
    fast = label_contrast(kept, affinity.float(), torch.from_numpy(present), temperature=temperature, **negatives)
    slow = loops.label_contrast(
        kept.double().numpy(),
        affinity.numpy(),
        present.tolist(),
        temperature,
        None if weight is None else removed.double().numpy(),
        weight or 0.0,
    )
    torch.testing.assert_close(fast, torch.tensor(slow).float(), rtol=1e-4, atol=1e-5)


def test_label_contrast_prefers_what_the_labels_say() -> None:
    """Embeddings in the order of their labels cost less than the same ones in another order."""
    angles = torch.linspace(0, 3, 7)
    kept = torch.stack([angles.cos(), angles.sin()], dim=1)
    affinity = Regression().affinity(torch.linspace(-3, 3, 7), spread=0.5)
    present = torch.ones(7, dtype=torch.bool)
    ordered = label_contrast(kept, affinity, present, temperature=0.1)
    mixed = label_contrast(kept[[3, 0, 5, 1, 6, 2, 4]], affinity, present, temperature=0.1)
    assert ordered < mixed - 0.5


def test_affinity_of_classes_and_label_sets() -> None:
    classes = Classes(("a", "b")).affinity(torch.tensor([0, 1, 0]), spread=1.0)
    assert classes.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    sets = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    overlap = Labels(("a", "b", "c")).affinity(sets, spread=1.0)
    assert overlap.tolist() == [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_instance_contrast(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    views, originals = (torch.from_numpy(rng.standard_normal((count, 4))).float().requires_grad_() for _ in range(2))
    present = rng.random(count) < 0.8
    fast = instance_contrast(views, originals, torch.from_numpy(present), temperature=0.1)
    slow = loops.instance_contrast(
        views.detach().double().numpy(), originals.detach().double().numpy(), present.tolist(), 0.1
    )
    torch.testing.assert_close(fast.detach(), torch.tensor(slow).float(), rtol=1e-4, atol=1e-5)
    fast.backward()
    assert originals.grad is None  # the clean embedding is a fixed target
    assert views.grad is not None
    assert (views.grad[~torch.from_numpy(present)] == 0).all()


def test_gate_is_taught_the_place_of_what_was_put_in(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    batch = next(batches(train, trained.collator, 12, shuffle_seed=3, views=ViewOptions(1.0)))
    output = trained.model(batch)
    losses = trained.model.losses(output, batch)
    assert batch.view is not None
    assert output.view is not None
    for modality in trained.model.reads:
        stream = batch.view.streams[modality]
        assert stream.injected is not None
        assert 0 < int(stream.injected.sum()) < int(stream.mask.sum())
        slow = loops.gate_loss(
            output.view.gates[modality].detach().double().numpy(), stream.injected.numpy(), stream.mask.numpy()
        )
        torch.testing.assert_close(
            losses[f"gate_{modality}"].detach(), torch.tensor(slow).float(), rtol=1e-4, atol=1e-6
        )


def test_the_view_in_one_pass_equals_a_pass_of_its_own(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    batch = next(batches(train, trained.collator, 12, shuffle_seed=3, views=ViewOptions(1.0)))
    assert batch.view is not None
    both, clean = trained.model(batch), trained.model(dataclasses.replace(batch, view=None))
    assert both.view is not None
    torch.testing.assert_close(both.prediction, clean.prediction)
    torch.testing.assert_close(both.view.prediction, trained.model(batch.view).prediction)
    assert not torch.allclose(both.prediction, both.view.prediction)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (10, 0.0), (10, 0.3), (37, 0.1), (20, 1.0)])
def test_schedule(steps: int, warmup: float) -> None:
    factor = warmup_then_decay(steps, warmup)
    fast = [factor(step) for step in range(steps + 1)]
    assert fast == pytest.approx([loops.learning_rate(step, steps, warmup) for step in range(steps + 1)])
    assert max(fast[:steps]) == 1.0
    assert min(fast[:steps]) > 0  # no step is wasted
    assert fast[steps] == 0 or warmup == 1.0
