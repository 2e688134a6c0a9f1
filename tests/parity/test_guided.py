"""Models that let the language lead, and those that rebuild what is missing, against slow readings of their papers."""

import numpy as np
import pytest
import torch

import tiny
from mecam.batch import Stream
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.losses.information import predictive_bound
from mecam.models.cenet import Dictionary, Enhancement
from mecam.models.lnln import completeness, corrected
from mecam.models.tetfn import TextEnhanced
from mecam.models.tfr_net import ConvolutionGate, reconstruction_loss
from mecam.nn.attention import CrossBlock
from mecam.nn.hyper import HyperLayer
from mecam.nn.transformer import SummaryTokens, Transformer, sinusoids
from reference import guided


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_mask(seed: int, *shape: int) -> torch.Tensor:
    """About half True; the first row has nothing."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[0] = False
    mask[1:, 0] = True
    return mask


def with_weights(module: torch.nn.Module) -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    """The module in double precision with weights that hide nothing, and those as arrays."""
    module = module.double().eval()
    for i, parameter in enumerate(module.parameters()):
        parameter.data = drawn(100 + i, *parameter.shape) * 0.5
    return module, {name: value.detach().numpy() for name, value in module.state_dict().items()}


def same(fast: torch.Tensor, expected: object) -> None:
    torch.testing.assert_close(fast.detach(), torch.as_tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-10)


def test_block() -> None:
    module, weights = with_weights(CrossBlock(4, 2, talking=False, hidden=5))
    queries, keys, mask = drawn(0, 3, 2, 4), drawn(1, 3, 3, 4), some_mask(2, 3, 3)
    same(module(queries, keys, mask), guided.block(queries.numpy(), keys.numpy(), mask.numpy(), weights, 2))


def test_text_enhanced_transformer() -> None:
    """TETFN, and what it is for: a source without text changes with the text's content, but not with its padding."""
    module, weights = with_weights(TextEnhanced(4, 2, 2, dropout=0.0))
    target, source, text = drawn(0, 3, 2, 4), drawn(1, 3, 3, 4), drawn(2, 3, 4, 4)
    source_mask, text_mask = some_mask(3, 3, 3), some_mask(4, 3, 4)
    arguments = (source_mask, source, text, text_mask)
    slow = guided.text_enhanced(
        target.numpy(), source.numpy(), source_mask.numpy(), text.numpy(), text_mask.numpy(), weights, 2
    )
    same(module(target, *arguments), slow)
    junk = text.masked_fill(~text_mask.unsqueeze(-1), 1e3)
    same(module(target, source_mask, source, junk, text_mask), slow)
    assert not torch.allclose(
        module(target, source_mask, source, text + text.flip(0), text_mask)[1:], torch.as_tensor(slow)[1:]
    )


def test_hyper_modality() -> None:
    """ALMT's layer; an absent modality adds nothing, and the order of a modality's tokens says nothing."""
    module, weights = with_weights(HyperLayer(4, 2, ("audio", "vision")))
    hyper, language = drawn(0, 3, 2, 4), drawn(1, 3, 2, 4)
    sources = {"audio": drawn(2, 3, 2, 4), "vision": drawn(3, 3, 3, 4)}
    present = {"audio": torch.tensor([True, True, False]), "vision": torch.tensor([True, False, False])}
    slow = guided.hyper_layer(
        hyper.numpy(),
        language.numpy(),
        {m: value.numpy() for m, value in sources.items()},
        {m: value.tolist() for m, value in present.items()},
        weights,
        2,
    )
    fast = module(hyper, language, sources, present)
    same(fast, slow)
    same(fast[2] - hyper[2], weights["out.bias"].reshape(1, -1).repeat(2, axis=0))
    same(module(hyper, language, {m: value.flip(1) for m, value in sources.items()}, present), slow)


def test_summary_tokens_read_what_is_there_and_nothing_else() -> None:
    """The last layer computes the tokens only, which is what all of it would have given."""
    module, _ = with_weights(SummaryTokens(4, 2, 2, 3))
    steps, mask = drawn(0, 3, 5, 4), some_mask(1, 3, 5)
    fast = module(steps, mask)
    assert fast.shape == (3, 3, 4)
    whole = torch.cat([module.tokens.expand(3, -1, -1), steps + sinusoids(steps)], dim=1)
    everything = module.transformer(whole, torch.cat([torch.ones(3, 3, dtype=torch.bool), mask], dim=1))
    same(fast, everything[:, :3])
    same(module(steps.masked_fill(~mask.unsqueeze(-1), 1e6), mask), fast)
    same(fast[0], module(drawn(9, 1, 2, 4), torch.zeros(1, 2, dtype=torch.bool))[0])


def test_positions_are_sines_of_geometric_rates() -> None:
    fast = sinusoids(torch.zeros(1, 6, 5, dtype=torch.float64))
    rates = [10_000 ** (-i / 3) for i in range(3)]
    slow = [[np.sin(t * r) for r in rates] + [np.cos(t * r) for r in rates[:2]] for t in range(6)]
    torch.testing.assert_close(fast, torch.tensor(slow), rtol=1e-5, atol=1e-6)
    assert len(torch.unique(fast, dim=0)) == 6


def test_dictionary() -> None:
    """CENET's, whose limit of great sharpness is k-means: the embedding of the nearest word."""
    module, weights = with_weights(Dictionary(3, 4, 2, sharpness=2.0))
    rows, mask = drawn(0, 2, 5, 3), some_mask(1, 2, 5)
    embedded, gap = module(rows, mask)
    for b in range(2):
        slow, gaps = guided.dictionary(rows[b].numpy(), weights["centres"], weights["words"], 2.0)
        same(embedded[b][mask[b]], slow[mask[b].numpy()])
        same(gap[b], gaps[mask[b].numpy()].mean() if mask[b].any() else 0.0)
    module.sharpness = 1e6
    nearest = np.square(rows[1].numpy()[:, None] - weights["centres"]).sum(axis=2).argmin(axis=1)
    same(module(rows, mask)[0][1][mask[1]], weights["words"][nearest][mask[1].numpy()])


def test_shift() -> None:
    module, weights = with_weights(Enhancement(4, 2, ("audio", "vision"), dropout=0.0))
    states = drawn(0, 3, 2, 4)
    rows = {"audio": drawn(1, 3, 3, 4), "vision": drawn(2, 3, 2, 4)}
    masks = {"audio": some_mask(3, 3, 3), "vision": some_mask(4, 3, 2)}
    slow = guided.shift(
        states.numpy(),
        {m: value.numpy() for m, value in rows.items()},
        {m: value.numpy() for m, value in masks.items()},
        weights,
        2,
    )
    same(module(states, rows, masks), slow)


def test_convolution_gate() -> None:
    module, weights = with_weights(ConvolutionGate(3, 2))
    steps, mask = drawn(0, 4, 5, 3), some_mask(1, 4, 5)
    slow = [guided.convolution_gate(s, m, weights) for s, m in zip(steps.numpy(), mask.numpy(), strict=True)]
    same(module(steps, mask), np.stack(slow))


def test_reconstruction_counts_missing_places_alone() -> None:
    rebuilt, target, missing = drawn(0, 3, 4, 2) * 2, drawn(1, 3, 4, 2) * 2, some_mask(2, 3, 4)
    fast = reconstruction_loss(rebuilt, target, missing)
    same(fast, guided.reconstruction(rebuilt.numpy(), target.numpy(), missing.numpy()))
    same(reconstruction_loss(rebuilt.masked_fill(~missing.unsqueeze(-1), 1e3), target, missing), float(fast))
    same(reconstruction_loss(rebuilt, target, torch.zeros_like(missing)), 0.0)


def test_what_is_rebuilt_is_what_the_view_spoilt(store: Store, encoder: str) -> None:
    """TFR-Net's losses follow the rows under the injected spans and no others; words are matched by their place."""
    trained = tiny.build("tfr_net", store, encoder, window=1)
    model = trained.model
    train = tiny.dataset(trained, store, store.split("train"))
    batch = next(batches(train, trained.collator, 12, shuffle_seed=3, views=ViewOptions(1.0)))
    assert batch.view is not None
    output = model(batch)
    losses = model.losses(output, batch)
    for m in model.reads:
        assert output.view is not None
        output.extra[f"rows_{m}"][:] = model.rebuild[m](output.view.extra[f"known_{m}"]).detach() if m != "text" else 0
    # Now features are rebuilt exactly, and the text is not.
    again = model.losses(output, batch)
    assert all(float(again[f"reconstruction_{m}"].detach()) < 1e-9 < float(losses[f"reconstruction_{m}"].detach())
               for m in tiny.WIDTHS)  # fmt: skip
    assert again["reconstruction_text"] > 0


def test_correction_and_completeness() -> None:
    """LNLN: a whole language stays, an absent one is all proxy; completeness is the share that was left alone."""
    language, proxy = drawn(0, 3, 2, 4), drawn(1, 3, 2, 4)
    mixed = corrected(language, proxy, torch.tensor([1.0, 0.0, 0.25], dtype=torch.float64))
    same(mixed[0], language[0])
    same(mixed[1], proxy[1])
    same(mixed[2], language[2] * 0.25 + proxy[2] * 0.75)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False], [False] * 4])
    injected = torch.tensor([[True, False, False, False], [False] * 4, [False] * 4])
    view = Stream(torch.zeros(3, 4, 1), mask, mask.sum(1), injected=injected)
    whole = Stream(torch.zeros(3, 4, 1), torch.ones_like(mask), torch.full((3,), 4))
    assert completeness(view, whole).tolist() == [0.75, 1.0, 0.0]


@pytest.mark.parametrize("present", [[True] * 5, [True, False, True, True, False], [True] + [False] * 4])
def test_predictive_bound(present: list[bool]) -> None:
    """MMIM's CPC; the order of the utterances and the lengths of the vectors say nothing."""
    predicted, target = drawn(0, 5, 3), drawn(1, 5, 3)
    there = torch.tensor(present)
    fast = predictive_bound(predicted, target, there)
    same(fast, guided.predictive_bound(predicted.numpy(), target.numpy(), present))
    order = torch.tensor([3, 1, 4, 0, 2])
    same(predictive_bound(7 * predicted[order], target[order] / 3, there[order]), float(fast))
    assert predictive_bound(target, target, there) <= fast


def test_a_stack_of_layers_is_its_layers() -> None:
    module, weights = with_weights(Transformer(4, 2, 2))
    steps, mask = drawn(0, 2, 3, 4), some_mask(1, 2, 3)
    slow = steps.numpy()
    for each in guided.layers({f"t.{k}": v for k, v in weights.items()}, "t"):
        slow = guided.block(slow, slow, mask.numpy(), each, 2)
    same(module(steps, mask), slow)
    same(module(steps, mask, only=1), slow[:, :1])
