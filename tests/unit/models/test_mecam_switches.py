"""Options of MECAM that switch a piece on or off do that and nothing else."""

import pytest
import torch

import tiny
from mecam.data.store import Store


def losses_of(
    store: Store, encoder: str, *, training: bool = False, **changes: object
) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    trained = tiny.build("mecam", store, encoder, used=True, **changes)
    trained.model.train(training)
    batch = tiny.collate(trained, [u for u in store if u.label is not None][:8])
    return trained.model, trained.model.losses(trained.model(batch), batch)


def test_the_contrast_by_label_is_a_loss_of_its_own(any_store: Store, encoder: str) -> None:
    _, without = losses_of(any_store, encoder)
    model, whole = losses_of(any_store, encoder, filter__contrast=0.1)
    assert set(whole) - set(without) == {f"contrast_{m}" for m in model.reads}
    assert set(model.phases()[0].weights) >= set(whole)
    for name, value in without.items():
        if name not in ("order", "conflict"):  # these draw their own examples
            torch.testing.assert_close(value, whole[name])


def test_the_information_heads_fit_what_stands_still_and_the_rest_follows_held_heads(
    any_store: Store, encoder: str
) -> None:
    model, losses = losses_of(any_store, encoder, information=0.05)
    named = dict(model.named_parameters())
    heads = {name for name in named if name.startswith("information.")}
    reached = {}
    for loss in ("information_heads", "information"):
        gradients = torch.autograd.grad(losses[loss], list(named.values()), retain_graph=True, allow_unused=True)
        reached[loss] = {n for n, g in zip(named, gradients, strict=True) if g is not None and (g != 0).any()}
    assert reached["information_heads"] == heads
    assert not reached["information"] & heads
    assert any(name.startswith("encoders.") for name in reached["information"])
    weights = model.phases()[0].weights
    assert (weights["information"], weights["information_heads"]) == (0.05, 1.0)


@pytest.mark.parametrize(("option", "part"), [("filter__order", "order"), ("filter__conflict", "conflict")])
def test_what_is_switched_off_has_no_parameters_and_no_loss(
    any_store: Store, encoder: str, option: str, part: str
) -> None:
    model, losses = losses_of(any_store, encoder, training=True, **{option: 0.0})
    assert part not in losses
    assert not [name for name, _ in model.named_parameters() if name.startswith(f"{part}.")]
    whole, known = losses_of(any_store, encoder, training=True)
    assert part in known
    assert [name for name, _ in whole.named_parameters() if name.startswith(f"{part}.")]


def test_who_contradicts_is_removed_as_a_whole(any_store: Store, encoder: str) -> None:
    """The gate of every row of a modality is closed by how much it is doubted."""
    trained = tiny.build("mecam", any_store, encoder, used=True)
    model, batch = trained.model, tiny.collate(trained, list(any_store)[:8])
    with torch.no_grad():
        before = model(batch)
        model.conflict.shift[1:] = -1e4  # nobody is ever doubted
        after = model(batch)
    assert (before.extra["doubt"] > 0).any()
    assert (after.extra["doubt"] == 0).all()
    for i, modality in enumerate(model.reads):
        expected = after.gates[modality] * (1 - before.extra["doubt"][:, i : i + 1])
        torch.testing.assert_close(before.gates[modality], expected)
