import pytest
import torch

from mecam.nn.gate import ConflictNetwork


def voices(count: int, *, seed: int, noise: float = 0.15) -> torch.Tensor:
    """What three modalities say about as many utterances: the truth in [−1, 1], each with an error of its own."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(count, 1, 1, generator=generator) * 2 - 1
    return truth + noise * torch.randn(count, 3, 1, generator=generator)


def opposite(opinions: torch.Tensor) -> torch.Tensor:
    """A partner that feels otherwise for every utterance, itself where the middle is too near."""
    truth = opinions.mean(dim=(1, 2))
    unlike = (truth.unsqueeze(0) * truth.unsqueeze(1) < 0) & (truth.abs() > 0.3).unsqueeze(0)
    return torch.where(
        unlike.any(dim=1) & (truth.abs() > 0.3), unlike.float().argmax(dim=1), torch.arange(len(opinions))
    )


def trained(rate: float = 0.1) -> ConflictNetwork:
    torch.manual_seed(0)
    conflict = ConflictNetwork(3, 1, rate=rate)
    optimizer = torch.optim.AdamW(conflict.parameters(), lr=1e-3)
    for step in range(200):
        opinions = voices(64, seed=step)
        optimizer.zero_grad()
        conflict.loss(opinions, torch.ones(64, 3, dtype=torch.bool), opposite(opinions)).backward()
        optimizer.step()
    return conflict.eval()


def test_it_names_the_modality_that_contradicts() -> None:
    conflict = trained()
    clean = voices(400, seed=1000)
    partner, everything = opposite(clean), torch.ones(400, 3, dtype=torch.bool)
    able = partner != torch.arange(400)
    with torch.no_grad():
        calm = conflict(clean, everything)
        for m in range(3):
            mixed = clean.clone()
            mixed[:, m] = clean[partner, m]
            found = conflict(mixed, everything)[able]
            assert (found.argmax(dim=1) == m).float().mean() > 0.9
            assert found[:, m].mean() > 5 * calm[able, m].mean()
    assert calm.sum(dim=1).mean() < 0.15  # about the share that is to be expected, at most


def test_a_rarer_contradiction_is_believed_less() -> None:
    opinions, everything = voices(50, seed=3, noise=0.5), torch.ones(50, 3, dtype=torch.bool)
    often, seldom = trained(0.3), trained(0.01)
    with torch.no_grad():
        assert (often(opinions, everything) > seldom(opinions, everything)).all()


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_before_training_the_expected_rate_is_all_that_is_known(rate: float) -> None:
    with torch.no_grad():
        found = ConflictNetwork(3, 2, rate=rate)(torch.randn(5, 3, 2), torch.ones(5, 3, dtype=torch.bool))
    torch.testing.assert_close(found, torch.full((5, 3), rate / 3))


def test_what_is_absent_contradicts_nobody_and_is_not_read() -> None:
    conflict = trained()
    opinions = voices(6, seed=5)
    present = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]]).bool()
    junk = opinions.masked_fill(~present.unsqueeze(-1), 1e4)
    with torch.no_grad():
        found = conflict(opinions, present)
        torch.testing.assert_close(conflict(junk, present), found)
    assert (found[~present] == 0).all()
    assert (found[present.sum(dim=1) < 2] == 0).all()  # one voice alone
    assert (found[0, :2] > 0).all()


def test_no_utterance_that_feels_otherwise_leaves_the_loss_of_calling_everything_calm() -> None:
    conflict, opinions = trained(), voices(8, seed=7)
    everything = torch.ones(8, 3, dtype=torch.bool)
    loss = conflict.loss(opinions, everything, torch.arange(8))
    calm = torch.nn.functional.cross_entropy(conflict._logits(opinions, everything), torch.zeros(8, dtype=torch.long))
    torch.testing.assert_close(loss, calm / 2)
    assert torch.isfinite(conflict.loss(opinions[:1], everything[:1], torch.tensor([0])))
