"""EF-LSTM, LF-DNN, TFN, LMF, MFN, Graph-MFN, MulT, MISA and MAG: what each is about, against loops, and its size."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from mecam.batch import Batch, Stream
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.models.inputs import Inputs
from mecam.models.mag import AdaptationGate
from mecam.models.misa import central_moment_discrepancy, orthogonality
from mecam.models.registry import MODELS
from mecam.models.trained import Trained
from mecam.nn.axis import on_one_axis, resampled, word_counts
from mecam.nn.recurrent import Lstm
from mecam.nn.system import DeltaMemoryAttention, DynamicFusionGraph, GatedMemory, LstmSystem
from mecam.nn.tensors import LowRankFusion, tensor_product
from mecam.nn.transformer import Transformer, sinusoids
from mecam.task import Regression
from mecam.types import TEXT, FeatureSpec
from reference import adaptation, crossmodal, memory_fusion, subspaces, tensor_fusion, time_axis
from reference.memory_fusion import as_weights


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(module: torch.nn.Module, seed: int = 0) -> Any:
    """The module in double precision, every parameter drawn: what starts at 0 or 1 hides what becomes of it."""
    module = module.double().eval()
    for i, parameter in enumerate(module.parameters()):
        parameter.data = 0.5 * drawn(1000 * seed + i, *parameter.shape)
    return module


def assert_equal(fast: torch.Tensor, slow: object, *, atol: float = 1e-11) -> None:
    torch.testing.assert_close(fast.detach(), torch.as_tensor(slow, dtype=fast.dtype), rtol=1e-9, atol=atol)


def batch_with_holes(trained: Trained) -> Batch:
    """Ten utterances; every modality, text among them, is absent from two."""
    task = trained.checkpoint.inputs.task
    utterances = []
    for i, u in enumerate(tiny.utterances(task, 10, holes=False)):
        absent = (*tiny.ALL, None)[i % 5]
        streams = {m: rows for m, rows in u.streams.items() if m != absent}
        utterances.append(dataclasses.replace(u, streams=streams, text=None if absent == TEXT else u.text))
    batch: Batch = tiny.collate(trained, utterances)
    return batch


# TFN, LMF


def test_tensor_product() -> None:
    vectors = [drawn(1, 3, 4), drawn(2, 3, 2), drawn(3, 3, 1)]
    fast = tensor_product(vectors)
    for b in range(3):
        assert_equal(fast[b], tensor_fusion.tensor([v[b].numpy() for v in vectors]).ravel())
    absent = tensor_product([vectors[0], torch.zeros_like(vectors[1])]).view(3, 5, 3)
    assert_equal(absent[:, :4, 2], vectors[0])  # what is left are the others
    assert (absent[:, :, :2] == 0).all()


def test_low_rank_fusion() -> None:
    vectors = {"a": drawn(1, 3, 3), "b": drawn(2, 3, 2), "c": drawn(3, 3, 1)}
    fusion = shaken(LowRankFusion({"a": 3, "b": 2, "c": 1}, rank=2, width=4))
    state = as_weights(fusion.state_dict())
    weight = tensor_fusion.weight_tensor([state[f"factors.{m}"] for m in vectors], state["weights"])
    fast = fusion(vectors)
    for b in range(3):
        whole = tensor_fusion.tensor([v[b].numpy() for v in vectors.values()])
        assert_equal(fast[b], tensor_fusion.mapped(whole, weight, state["bias"]))


def test_factors_of_full_rank_equal_any_linear_map_of_the_tensor() -> None:
    weight = drawn(7, 4, 3, 2, 5).numpy()  # [a; 1], [b; 1], [c; 1], d_h
    fusion = LowRankFusion({"a": 3, "b": 2, "c": 1}, rank=12, width=5).double()
    fusion.weights.data.fill_(1.0)
    fusion.bias.data.zero_()
    for m, factor in zip("abc", tensor_fusion.exact_factors(weight), strict=True):
        fusion.factors[m].data = torch.from_numpy(factor)
    vectors = {"a": drawn(1, 3, 3), "b": drawn(2, 3, 2), "c": drawn(3, 3, 1)}
    assert_equal(fusion(vectors), tensor_product(list(vectors.values())) @ torch.from_numpy(weight.reshape(-1, 5)))


# One time axis, LSTMs


def stream_of(values: torch.Tensor, mask: torch.Tensor, lengths: list[int], words: object = None) -> Stream:
    return Stream(values, mask, torch.tensor(lengths), words=None if words is None else torch.tensor(words))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 999))
def test_rows_on_steps(length: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.standard_normal((1, 10, 2)))
    mask = torch.from_numpy(rng.random((1, 10)) < 0.8) & (torch.arange(10) < length)
    fast, there = resampled(values, stream_of(values, mask, [length]), words=None, steps=torch.tensor([steps]))
    rows = [values[0, t].tolist() if mask[0, t] else None for t in range(10)]
    slow = time_axis.on_steps(rows, range(10), length, steps)
    assert there.shape[1] == max(1, steps)
    for n, row in enumerate(slow or [None]):
        assert bool(there[0, n]) == (row is not None)
        assert_equal(fast[0, n], row or [0.0, 0.0])
    if steps and length:
        reached = torch.autograd.functional.jacobian(
            lambda v: resampled(v, stream_of(v, mask, [length]), words=None, steps=torch.tensor([steps]))[0].sum(),
            values,
        )
        assert ((reached.abs().sum(2) > 0) == mask).all()  # no row is lost


def test_a_step_is_a_word_where_rows_belong_to_words() -> None:
    """Tokens of a transcript, features that the store marks as aligned, and a stream that only shares the time."""
    words = [[-1, 0, 0, 1, 2, -1], [-1, -1, -1, -1, -1, -1]]
    there = torch.tensor([[True] * 6, [False] * 6])
    streams = {
        "text": stream_of(torch.zeros(2, 6, dtype=torch.long), there, [6, 0], words),
        "aligned": stream_of(drawn(2, 2, 3, 1), torch.tensor([[True, False, True], [True, True, False]]), [3, 2]),
        "free": stream_of(drawn(3, 2, 6, 1), torch.ones(2, 6, dtype=torch.bool), [6, 6]),
    }
    hidden = {"text": drawn(1, 2, 6, 1), "aligned": streams["aligned"].values, "free": streams["free"].values}
    assert word_counts(streams, {"aligned"}).tolist() == [3, 2]
    assert word_counts({"free": streams["free"]}, {"aligned"}).tolist() == [0, 0]
    values, masks = on_one_axis(hidden, streams, {"aligned"}, limit=50)
    text, free = hidden["text"][0, :, 0], hidden["free"][..., 0]
    assert_equal(values["text"][0, :, 0], [float(text[1:3].mean()), float(text[3]), float(text[4])])
    assert masks["text"].tolist() == [[True] * 3, [False] * 3]
    assert masks["aligned"].tolist() == [[True, False, True], [True, True, False]]
    assert_equal(values["aligned"][1, :2], hidden["aligned"][1, :2])
    assert_equal(values["free"][0, :, 0], free[0].view(3, 2).mean(1))
    assert_equal(values["free"][1, :, 0], [*free[1].view(2, 3).mean(1).tolist(), 0.0])
    halved, _ = on_one_axis(hidden, streams, {"aligned"}, limit=2)  # words 0 and 1, words 1 and 2
    assert_equal(halved["text"][0, :, 0], [float(text[1:4].mean()), float(text[3:5].mean())])


def test_an_lstm_passes_over_missing_rows() -> None:
    lstm = Lstm(3, 4, layers=2, bidirectional=True).double().eval()
    values, mask = drawn(1, 2, 6, 3), torch.tensor([[True, False, True, True, False, False], [False] * 6])
    found = lstm(values.masked_fill(~mask.unsqueeze(-1), 1e9), mask)
    out, (last, _) = lstm.lstm(values[:1, mask[0]])
    assert_equal(found.steps[:1], out)
    assert_equal(found.last[0], torch.cat([last[-2, 0], last[-1, 0]]))
    assert found.mask.tolist() == [[True] * 3, [False] * 3]
    assert (found.steps[1] == 0).all()
    assert (found.last[1] == 0).all()


# MFN, Graph-MFN


def test_system_of_lstms() -> None:
    system = shaken(LstmSystem({"a": (3, 2), "b": (1, 4)}))
    values = {"a": drawn(1, 2, 5, 3), "b": drawn(2, 2, 5, 1)}
    masks = {
        "a": torch.tensor([[True, False, True, True, False], [False] * 5]),
        "b": torch.ones(2, 5, dtype=torch.bool),
    }
    last, cells = system(values, masks)
    weights = as_weights(system.state_dict())
    for m, b in itertools.product(values, range(2)):
        rows = [values[m][b, n].tolist() if masks[m][b, n] else None for n in range(5)]
        hidden, memories = memory_fusion.lstm(weights, m, rows, system.sizes[m])
        assert_equal(last[m][b], hidden)
        assert_equal(cells[m][b], memories)


def test_delta_memory_attention() -> None:
    sizes = {"a": 2, "b": 3}
    attention = shaken(DeltaMemoryAttention(sizes, hidden=4, dropout=0.5))
    cells = [drawn(1, 3, 5, 2), drawn(2, 3, 5, 3)]
    present = torch.tensor([[True, True], [True, False], [False, False]])
    fast = attention(cells, present)
    weights = as_weights(attention.state_dict())
    for b, n in itertools.product(range(2), range(4)):
        before, after = ([c[b, n + k].tolist() for c in cells] for k in (0, 1))
        assert_equal(fast[b, n], memory_fusion.delta_memory_attention(weights, before, after, present[b].tolist()))
    assert (fast[2] == 0).all()


def test_gated_memory() -> None:
    memory = shaken(GatedMemory(4, 3, hidden=5, dropout=0.5))
    attended, mask = drawn(1, 2, 6, 4), torch.tensor([[True, True, False, True, True, False], [False] * 6])
    weights = as_weights(memory.state_dict())
    fast = memory(attended, mask)
    for b in range(2):
        steps = [attended[b, n].tolist() if mask[b, n] else None for n in range(6)]
        assert_equal(fast[b], memory_fusion.gated_memory(weights, steps, 3))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_dynamic_fusion_graph(count: int) -> None:
    names = "lavp"[:count]
    graph = shaken(DynamicFusionGraph({m: 2 + i for i, m in enumerate(names)}, width=3, hidden=4, dropout=0.5))
    values = [drawn(i, 2, 2, 2 + i) for i in range(count)]
    present = torch.tensor([[True] * count, [i != 1 for i in range(count)]])
    fast, efficacies = graph(values, present)
    weights = as_weights(graph.state_dict())
    for b, n in itertools.product(range(2), range(2)):
        given = {m: values[i][b, n].tolist() for i, m in enumerate(names)}
        tau, efficacy = memory_fusion.fusion_graph(weights, given, present[b].tolist())
        assert_equal(fast[b, n], tau)
        assert_equal(efficacies[b, n], list(efficacy.values()))


def test_the_graph_of_three_modalities_is_that_of_the_paper() -> None:
    """Seven vertices and τ, nineteen edges."""
    graph = DynamicFusionGraph(dict.fromkeys("lva", 2), width=3, hidden=4, dropout=0.0)
    assert len(graph.sets) == 7
    assert len(graph.edges) == 19


# MulT


@pytest.mark.parametrize(("heads", "layers"), [(1, 1), (2, 2)])
def test_crossmodal_transformer(heads: int, layers: int) -> None:
    transformer = shaken(Transformer(4, heads, layers, dropout=0.5, hidden=6))
    queries, keys = drawn(1, 2, 3, 4), drawn(2, 2, 5, 4)
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])
    fast = transformer(queries, mask, keys=keys.masked_fill(~mask.unsqueeze(-1), 1e6))
    weights = as_weights(transformer.state_dict())
    for b in range(2):
        observed = [keys[b, t].tolist() for t in range(5) if mask[b, t]]
        assert_equal(fast[b], crossmodal.crossmodal(weights, queries[b].tolist(), observed, heads, layers), atol=1e-9)


@pytest.mark.parametrize("width", [4, 5])
def test_positions(width: int) -> None:
    steps = torch.zeros(1, 7, width, dtype=torch.float64)
    slow = [crossmodal.position(t, width) for t in range(7)]
    torch.testing.assert_close(sinusoids(steps), torch.tensor(slow, dtype=torch.float64), rtol=1e-4, atol=1e-5)


def test_mult_reads_the_last_observed_step(store: Store, encoder: str) -> None:
    """Not the last step of the longest sequence of the batch; zeros where there is none."""
    trained = tiny.build("mult", store, encoder, used=True, window=1)
    model, batch = trained.model, batch_with_holes(trained)
    seen: dict[str, torch.Tensor] = {}
    model.norm["audio"].register_forward_hook(lambda _, __, out: seen.update(audio=out))
    with torch.no_grad():
        vectors = model(batch).embeddings["audio"]
    mask = batch.streams["audio"].mask
    for b, row in enumerate(mask.tolist()):
        last = [t for t, there in enumerate(row) if there][-1:]
        expected = seen["audio"][b, last[0]] if last else torch.zeros_like(vectors[b])
        assert torch.equal(vectors[b], expected)


# MISA


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 999))
def test_similarity_and_difference(first: int, second: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, z = (torch.from_numpy(rng.random((n, d))) for n, d in ((first, 3), (second, 3), (first, 2)))
    assert_equal(central_moment_discrepancy(x, y), subspaces.cmd(x.tolist(), y.tolist(), 5))
    assert_equal(central_moment_discrepancy(x, y, order=2), subspaces.cmd(x.tolist(), y.tolist(), 2))
    assert_equal(orthogonality(x, z), subspaces.orthogonality(x.tolist(), z.tolist()))


def test_similarity_and_difference_mean_what_they_should() -> None:
    x = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(central_moment_discrepancy(x, x[torch.randperm(50)])) < 1e-12
    assert float(central_moment_discrepancy(x, x / 2)) > 0.1
    assert float(orthogonality(x, x)) > 0.05
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert float(orthogonality(signs[:, :1], signs[:, 1:])) < 1e-12
    for same in (x[:1], torch.full((4, 3), 0.5, dtype=torch.float64)):  # where a norm has no slope
        same = same.clone().requires_grad_()
        (central_moment_discrepancy(same, same.detach()) + orthogonality(same, same.detach())).backward()
        assert same.grad is not None
        assert same.grad.isfinite().all()


def test_misa_s_losses_count_the_utterances_that_have_the_modalities(store: Store, encoder: str) -> None:
    trained = tiny.build("misa", store, encoder, used=True)
    model, batch = trained.model, batch_with_holes(trained)
    output = model(batch)
    losses = model.losses(output, batch)

    def rows(kind: str, modality: str, *others: str) -> list[list[float]]:
        found = output.embeddings if kind in ("shared", "private") else output.extra
        there = torch.stack([batch.streams[m].mask.any(dim=1) for m in (modality, *others)]).all(dim=0)
        assert 0 < int(there.sum()) < len(there)
        values: list[list[float]] = found[f"{kind}_{modality}"][there].double().tolist()
        return values

    pairs = list(itertools.combinations(model.reads, 2))
    similarity = [subspaces.cmd(rows("shared", a, b), rows("shared", b, a), 5) for a, b in pairs]
    difference = [subspaces.orthogonality(rows("shared", m), rows("private", m)) for m in model.reads]
    difference += [subspaces.orthogonality(rows("private", a, b), rows("private", b, a)) for a, b in pairs]
    rebuilt = [subspaces.reconstruction(rows("vector", m), rows("rebuilt", m)) for m in model.reads]
    expected = {
        "similarity": sum(similarity) / len(pairs),
        "difference": sum(difference),
        "reconstruction": sum(rebuilt) / len(model.reads),
    }
    for name, value in expected.items():
        assert value > 0
        torch.testing.assert_close(losses[name].detach(), torch.tensor(value), rtol=1e-4, atol=1e-6)


# MAG


@pytest.mark.parametrize("beta", [0.05, 1.0, 100.0])
def test_adaptation_gate(beta: float) -> None:
    gate = shaken(AdaptationGate(4, {"audio": 3, "vision": 2}, shift=beta, dropout=0.5), seed=1)
    states, rows = drawn(1, 2, 3, 4), {"audio": drawn(2, 2, 3, 3), "vision": drawn(3, 2, 3, 2)}
    there = {
        "audio": torch.tensor([[True, True, False], [True, False, True]]),
        "vision": torch.tensor([[True, False, False], [True, True, True]]),
    }
    fast = gate(states, rows, there)
    weights = as_weights(gate.state_dict())
    for b, t in itertools.product(range(2), range(3)):
        known = {m: rows[m][b, t].tolist() if there[m][b, t] else None for m in rows}
        assert_equal(fast[b, t], adaptation.shifted(weights, states[b, t].tolist(), known, beta), atol=1e-9)


def test_the_gate_s_place_in_the_encoder(store: Store, encoder: str) -> None:
    """What it changes is what the layers above it read; a place that is not there is refused."""
    for layer in (0, 1, 2):
        trained = tiny.build("mag", store, encoder, layer=layer)
        text, batch = trained.model.encoders["text"], tiny.collate(trained, store)
        stream = batch.streams["text"]
        mask = stream.mask | (torch.arange(stream.mask.shape[1]) == 0)
        with torch.no_grad():
            same = text.adapted(stream.values, mask, lambda h: h, after=layer)
            doubled = text.adapted(stream.values, mask, lambda h: 2 * h, after=layer)
            plain = text(stream.values, mask)
        torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(doubled, plain)
        if layer == 2:  # the last one
            torch.testing.assert_close(doubled, 2 * plain, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="the text encoder has 2"):
        tiny.build("mag", store, encoder, layer=3)


def test_rows_belong_to_the_tokens_of_their_word(store: Store, encoder: str) -> None:
    """A change in one row reaches the gate at the tokens of one word alone, and an absent text at its blank token."""
    trained = tiny.build("mag", store, encoder)
    model, batch = trained.model, batch_with_holes(trained)
    text = batch.streams["text"]
    rows, there = model._rows_of_tokens(batch)
    blank = ~text.mask.any(dim=1)
    assert blank.any()
    for m in model.reads[1:]:
        present = batch.streams[m].mask.any(dim=1)
        inside = text.words >= 0
        assert not (there[m] & ~inside)[~blank].any()
        assert there[m][blank & present, 0].all()
        assert not there[m][blank, 1:].any()
        for b in torch.nonzero(present & blank).flatten().tolist():
            stream = batch.streams[m]
            torch.testing.assert_close(rows[m][b, 0], stream.values[b][stream.mask[b]].mean(0))
        for b in torch.nonzero(present & ~blank).flatten().tolist():
            count = int(text.words[b].max()) + 1
            stream = batch.streams[m]
            given = [stream.values[b, t].tolist() if stream.mask[b, t] else None for t in range(stream.mask.shape[1])]
            slow = time_axis.on_steps(given, range(len(given)), int(stream.lengths[b]), count)
            for t in torch.nonzero(inside[b]).flatten().tolist():
                row = slow[int(text.words[b, t])]
                assert bool(there[m][b, t]) == (row is not None)
                if row is not None:
                    torch.testing.assert_close(rows[m][b, t], torch.tensor(row), rtol=1e-4, atol=1e-5)


def test_word_aligned_features_meet_their_words(store: Store, encoder: str) -> None:
    """Row t of a stream that the store marks as aligned reaches the tokens of word t, in whatever length it comes."""
    trained, inputs = tiny.build("mag", store, encoder), tiny.inputs_of(store)
    features = {m: dataclasses.replace(spec, aligned=m == "audio") for m, spec in inputs.features.items()}
    inputs = dataclasses.replace(inputs, features=features)
    models = {name: MODELS[name].model(tiny.small_options(name, encoder), inputs) for name in ("mag", "mfn", "ef_lstm")}
    assert all(model.aligned == {"audio"} for model in models.values())
    utterances = [
        dataclasses.replace(u, streams={"audio": np.random.default_rng(i).random((len(u.text.split()), 4), np.float32)})
        for i, u in enumerate(tiny.utterances(inputs.task, 6, holes=False))
    ]
    batch = tiny.collate(trained, utterances)
    rows, there = models["mag"]._rows_of_tokens(batch)
    words = batch.streams["text"].words
    assert there["audio"].equal(words >= 0)
    for b, t in torch.nonzero(words >= 0).tolist():
        assert torch.equal(rows["audio"][b, t], batch.streams["audio"].values[b, words[b, t]])


def test_what_lies_under_the_mask_of_an_absent_text_does_not_matter(store: Store, encoder: str) -> None:
    trained = tiny.build("mag", store, encoder, used=True)
    batch = batch_with_holes(trained)
    text = batch.streams["text"]
    junk = dataclasses.replace(text, values=text.values.masked_fill(~text.mask, 7))
    with torch.no_grad():
        before = trained.model(batch).prediction
        after = trained.model(dataclasses.replace(batch, streams={**batch.streams, "text": junk})).prediction
    assert not text.mask.any(dim=1).all()
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


# Sizes

F = {"audio": 5, "physio": 2, "text": 6, "vision": 3}
"""Widths of the rows, text features among them."""


def linear(into: int, out: int) -> int:
    return into * out + out


def lstm(into: int, hidden: int, directions: int = 1) -> int:
    return directions * (4 * hidden * (into + hidden) + 8 * hidden)


def subnets(text: int, width: int) -> int:
    others = sum(linear(F[m], width) + 2 * linear(width, width) for m in F if m != "text")
    return others + lstm(F["text"], text) + linear(text, text)


def two_layers(into: int, hidden: int, out: int) -> int:
    return linear(into, hidden) + linear(hidden, out)


def transformer(width: int, layers: int) -> int:
    return layers * (4 * linear(width, width) + two_layers(width, 4 * width, width) + 3 * 2 * width)


def expected_size(name: str, o: Any) -> int:
    """Trainable numbers of a model of one output on the rows above, from the widths of its parts."""
    count, rows = len(F), sum(F.values())
    if name == "ef_lstm":
        return lstm(rows, o.width, 2) + linear(2 * o.width, o.width) + linear(o.width, 1)
    if name in ("lf_dnn", "tfn", "lmf"):
        widths = [o.text_width] + [o.width] * (count - 1)
        joined = sum(widths) if name == "lf_dnn" else math.prod(w + 1 for w in widths)
        if name == "lmf":
            factors = o.rank * sum(w + 1 for w in widths) * o.hidden
            return subnets(o.text_width, o.width) + factors + o.rank + o.hidden + linear(o.hidden, 1)
        return subnets(o.text_width, o.width) + two_layers(joined, o.hidden, o.hidden) + linear(o.hidden, 1)
    if name in ("mfn", "graph_mfn"):
        hidden = {m: o.text_width if m == "text" else o.width for m in F}
        system = sum(4 * h * (F[m] + h) + 4 * h for m, h in hidden.items())
        cells = 2 * sum(hidden.values())
        attended = cells if name == "mfn" else o.vertex
        rest = 3 * two_layers(attended, o.hidden, o.memory)
        rest += linear(sum(hidden.values()) + o.memory, o.hidden) + linear(o.hidden, 1)
        if name == "mfn":
            return system + two_layers(cells, o.hidden, cells) + rest
        into = [2**n - 2 for n in range(2, count + 1) for _ in range(math.comb(count, n))] + [2**count - 1]
        graph = sum(linear(2 * h, o.vertex) for h in hidden.values())
        graph += two_layers(count * o.vertex, o.hidden, sum(into))
        graph += sum(two_layers(n * o.vertex, o.hidden, o.vertex) for n in into)
        return system + graph + rest
    if name == "mult":
        joined = o.width * (count - 1)
        entering = o.width * (o.kernel * (rows - F["text"]) + o.text_kernel * F["text"] + count)
        across, within = count * (count - 1) * transformer(o.width, o.layers), count * transformer(joined, o.layers)
        whole = joined * count
        return entering + across + within + count * 2 * joined + 2 * linear(whole, whole) + linear(whole, 1)
    assert name == "misa"
    r, d = o.recurrent, o.width
    recurrent = sum(lstm(f, r, 2) + 4 * r + lstm(2 * r, r, 2) for f in F.values())
    represent = count * (linear(4 * r, d) + 2 * d) + (1 + 2 * count) * linear(d, d)
    attention = 4 * linear(d, d) + two_layers(d, o.hidden, d) + 3 * 2 * d
    joined = 2 * count * d
    return recurrent + represent + attention + linear(joined, joined // 2) + linear(joined // 2, 1)


@pytest.mark.parametrize("name", ["ef_lstm", "lf_dnn", "tfn", "lmf", "mfn", "graph_mfn", "mult", "misa"])
def test_the_number_of_parameters_is_that_of_the_formula(name: str) -> None:
    inputs = Inputs(Regression(), {m: FeatureSpec(width) for m, width in F.items()})
    sizes = {
        "text_width": 7,
        "width": 4,
        "hidden": 6,
        "heads": 2,
        "layers": 2,
        "memory": 5,
        "recurrent": 3,
        "vertex": 9,
    }
    entry = MODELS[name]
    known = {item.name for item in dataclasses.fields(entry.config)} - ({"layers"} if name == "ef_lstm" else set())
    options = entry.config(**{key: value for key, value in sizes.items() if key in known})
    assert sum(p.numel() for p in entry.model(options, inputs).parameters()) == expected_size(name, options)


def test_mag_adds_its_gate_to_the_encoder(store: Store, encoder: str) -> None:
    model = tiny.build("mag", store, encoder).model
    d = model.encoders["text"].width
    own = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("encoders."))
    assert own == sum(linear(d + f, d) + f * d for f in tiny.WIDTHS.values()) + d + 2 * d + linear(d, 1)
