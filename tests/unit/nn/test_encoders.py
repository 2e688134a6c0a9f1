from pathlib import Path

import pytest
import torch

from mecam.errors import MissingExtraError, ModelError
from mecam.hub import resolve_text_encoder
from mecam.nn import text
from mecam.nn.encoders import ConvEncoder, RecurrentEncoder
from mecam.nn.gate import Filtered
from mecam.nn.text import TextEncoder


def test_the_convolution_sees_neighbours_and_nothing_that_is_masked() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(3, 8, layers=1).eval()
    values, mask = torch.randn(2, 20, 3), torch.ones(2, 20, dtype=torch.bool)
    mask[1, 8:] = False
    values.requires_grad_()
    hidden = encoder(values, mask)
    assert (hidden[1, 8:] == 0).all()
    (gradient,) = torch.autograd.grad(hidden[:, 5].sum(), values)
    reach = (gradient.abs().sum(dim=2) > 0).nonzero()[:, 1].unique().tolist()
    assert reach == [2, 3, 4, 5, 6, 7]  # two rows on either side, and the row before those for its change


def test_a_constant_and_a_jumping_sequence_differ_though_their_rows_are_the_same() -> None:
    """The encoder is told the change between rows, so that a frozen camera shows."""
    torch.manual_seed(0)
    encoder = ConvEncoder(1, 8, layers=1).eval()
    mask = torch.ones(1, 3, dtype=torch.bool)
    frozen, moving = torch.tensor([[[1.0], [1.0], [1.0]]]), torch.tensor([[[0.0], [1.0], [2.0]]])
    assert not torch.allclose(encoder(frozen, mask)[0, 1], encoder(moving, mask)[0, 1], atol=1e-3)


def test_the_recurrent_encoder_reads_the_observed_rows_alone() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(3, 4, 5).eval()
    values, mask = torch.randn(3, 6, 3), torch.zeros(3, 6, dtype=torch.bool)
    mask[0], mask[1, :4] = True, torch.tensor([True, False, True, True])
    result = encoder(values, mask)
    assert (result[2] == 0).all()
    torch.testing.assert_close(encoder(values.masked_fill(~mask.unsqueeze(-1), 1e4), mask), result)
    kept = values[1:2, [0, 2, 3]]
    torch.testing.assert_close(encoder(kept, torch.ones(1, 3, dtype=torch.bool)), result[1:2])
    assert not torch.allclose(encoder(kept.flip(1), torch.ones(1, 3, dtype=torch.bool)), result[1:2])
    assert not torch.allclose(encoder(values, torch.ones_like(mask))[1], result[1])


def test_the_same_text_twice_is_encoded_alike_and_once(encoder: str) -> None:
    text = TextEncoder(encoder).eval()
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0], [2, 5, 6, 3], [0, 0, 0, 0]])
    mask = torch.tensor([[True] * 4, [True] * 3 + [False], [True] * 4, [False] * 4])
    sizes = []
    text.network.register_forward_pre_hook(lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True)
    hidden = text(ids, mask)
    assert sizes == [3]
    assert torch.equal(hidden[0], hidden[2])
    assert (hidden[3] == 0).all()
    assert (hidden[1, 3] == 0).all()
    expected = text.network(input_ids=ids[:1], attention_mask=mask[:1].long()).last_hidden_state
    torch.testing.assert_close(hidden[:1], expected, rtol=1e-3, atol=1e-4)


def test_the_pretrained_weights_are_read_only_where_asked_for(encoder: str) -> None:
    torch.manual_seed(1)
    known, fresh = TextEncoder(encoder), TextEncoder(encoder, pretrained=False)
    again = TextEncoder(encoder).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in known.state_dict().items())
    assert fresh.state_dict().keys() == again.keys()
    assert any(not torch.equal(value, again[key]) for key, value in fresh.state_dict().items())
    assert not any("pooler" in key for key in again)


def test_a_frozen_encoder_never_drops_anything(encoder: str) -> None:
    frozen = TextEncoder(encoder, frozen=True).train()
    assert not frozen.network.training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert TextEncoder(encoder).train().network.training


def test_no_such_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="no text encoder"):
        TextEncoder(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mecam\[offline\]"):
        resolve_text_encoder("minilm")
    assert resolve_text_encoder("bert-base-uncased") == "bert-base-uncased"


def test_kept_and_removed_are_the_whole() -> None:
    hidden, gate = torch.randn(2, 5, 8), torch.rand(2, 5, 4)
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    filtered = Filtered(hidden, gate, mask)
    torch.testing.assert_close(filtered.share_kept, gate.mean(dim=2))
    torch.testing.assert_close(filtered.kept[..., 0], hidden[..., 0] * gate[..., 0])
    torch.testing.assert_close(filtered.kept[..., 7], hidden[..., 7] * gate[..., 3])
    everything = Filtered(hidden, torch.ones(2, 5, 4), mask)
    assert (everything.removed_mean == 0).all()
    nothing = Filtered(hidden, torch.zeros(2, 5, 4), mask)
    assert (nothing.kept_mean == 0).all()


def test_a_long_batch_is_read_in_parts_with_the_same_result(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What saves memory changes nothing else, and is off again for the next short batch."""
    reader = TextEncoder(encoder)
    for part in reader.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0  # the parts draw other units
    ids, mask = torch.randint(5, 20, (4, 9)), torch.ones(4, 9, dtype=torch.bool)
    runs: list[int] = []
    first = reader.layer(1)
    first.attention.register_forward_hook(lambda *_: runs.append(1))  # type: ignore[union-attr]
    results = []
    for limit in (10_000, 20, 1, 10_000):
        monkeypatch.setattr(text, "LONG", limit)
        reader.train().zero_grad()
        runs.clear()
        hidden = reader(ids, mask)
        hidden.square().sum().backward()
        results.append((len(runs), hidden.detach(), [p.grad.clone() for p in reader.parameters()]))  # type: ignore[union-attr]
    assert [count for count, _, _ in results] == [1, 4, 8, 1], "parts of two texts and of one, forward and again"
    for _, hidden, gradients in results[1:]:
        torch.testing.assert_close(hidden, results[0][1])
        for one, two in zip(gradients, results[0][2], strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(text, "LONG", 1)
    runs.clear()
    reader.eval()(ids, mask)
    assert len(runs) == 1
