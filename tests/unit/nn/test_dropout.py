"""Dropout: the rate, the mean, what is left alone, and repeatability."""

import pytest
import torch
from torch import nn

from mecam.nn.dropout import Dropout, with_cheap_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drops_at_its_rate_and_keeps_the_mean(p, dtype):
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(401, 503, dtype=dtype))  # a size that is no multiple of the words that are drawn
    share = (out == 0).float().mean().item()
    assert out.dtype == dtype
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / out.numel()) ** 0.5)
    assert out.float().unique().tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=0.01)


def test_neighbours_fall_independently():
    torch.manual_seed(0)
    gone = (Dropout(0.5)(torch.ones(100_000)) == 0).float() - 0.5
    for lag in (1, 2, 3, 4, 8):  # four numbers share a word
        assert abs((gone[lag:] * gone[:-lag]).mean().item() * 4) < 5 / len(gone) ** 0.5


def test_gradient_goes_where_the_value_went():
    torch.manual_seed(0)
    values = torch.randn(50, 7, requires_grad=True)
    out = Dropout(0.4)(values)
    out.sum().backward()
    torch.testing.assert_close(values.grad * values, out)


def test_the_seed_decides():
    module, values = Dropout(0.3), torch.ones(1000)
    drawn = [(torch.manual_seed(seed), module(values))[1] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("p", [0.0, 1e-9])
def test_next_to_no_rate_drops_nothing_as_does_evaluation(p):
    values = torch.randn(1000)
    assert torch.equal(Dropout(p)(values), values)
    assert torch.equal(Dropout(0.5).eval()(values), values)


def test_everything_can_be_dropped():
    assert not Dropout(1.0)(torch.ones(10)).any()


def test_takes_the_place_of_every_dropout_inside():
    network = nn.Sequential(nn.Dropout(0.2), nn.ModuleDict({"a": nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))}))
    with_cheap_dropout(network)
    rates = [module.p for module in network.modules() if type(module) is Dropout]
    assert rates == [0.2, 0.3]
