import torch
from torch.nn.functional import softplus

from mecam.nn.gate import DISTANCES, WordOrder
from reference.filter_signs import order_signs


def counting(texts: int, words: int, *, steps: int = 12, seed: int = 0) -> torch.Tensor:
    """A language in which every word is followed by the next number, starting anywhere."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, words, (texts, 1), generator=generator)
    return (start + torch.arange(steps)) % words


def test_signs_are_the_log_probabilities_of_the_pairs() -> None:
    torch.manual_seed(1)
    order = WordOrder(6, width=3).double()
    tokens, mask = torch.randn(4, 7, 6, dtype=torch.float64), torch.rand(4, 7) < 0.7
    parts = [
        (a.weight, a.bias, b.weight, b.bias, c)
        for a, b, c in zip(order.first, order.second, order.offset.tolist(), strict=True)
    ]
    slow = order_signs(
        tokens.numpy(), mask.numpy(), [tuple(getattr(p, "detach", lambda p=p: p)() for p in part) for part in parts]
    )
    torch.testing.assert_close(order(tokens, mask).detach(), torch.from_numpy(slow), rtol=1e-9, atol=1e-11)


def test_texts_shorter_than_a_pair_have_no_signs_and_no_loss() -> None:
    order = WordOrder(6, width=3)
    for steps in range(1, max(DISTANCES) + 2):
        tokens, mask = torch.randn(2, steps, 6), torch.zeros(2, steps, dtype=torch.bool)
        mask[:, 0] = True
        assert (order(tokens, mask) == 0).all()
        assert order.loss(tokens, mask).item() == 0.0


def test_words_out_of_place_stand_out_though_no_spoilt_text_was_seen() -> None:
    torch.manual_seed(0)
    words, embedding = 20, torch.randn(20, 16)
    order = WordOrder(16, width=16)
    optimizer = torch.optim.AdamW(order.parameters(), lr=1e-2)
    mask = torch.ones(32, 12, dtype=torch.bool)
    for step in range(150):
        optimizer.zero_grad()
        order.loss(embedding[counting(32, words, seed=step)], mask).backward()
        optimizer.step()
    text = counting(32, words, seed=10_000)
    spoilt = text.clone()
    spoilt[:, [5, 6]] = spoilt[:, [6, 5]]
    with torch.no_grad():
        before, after = (order(embedding[ids], mask).sum(dim=-1) for ids in (text, spoilt))
    assert (after[:, [5, 6]] < before[:, [5, 6]] - 1).all()
    torch.testing.assert_close(after[:, :3], before[:, :3])  # further away nothing changes


def test_the_loss_is_that_of_telling_real_pairs_from_made_ones() -> None:
    """Where all words are one and the same, real and made pairs have one score, and the loss is known."""
    torch.manual_seed(0)
    order = WordOrder(6, width=3)
    tokens, mask = torch.randn(1, 1, 6).expand(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
    scores = [order._score(i, order.norm(tokens[0, :1]), order.norm(tokens[0, :1])) for i in range(len(DISTANCES))]
    known = torch.stack([softplus(-s) + softplus(s) for s in scores]).mean() / 2
    torch.testing.assert_close(order.loss(tokens, mask), known)
