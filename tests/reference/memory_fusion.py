"""MFN (Zadeh et al., AAAI 2018) and the dynamic fusion graph (Zadeh et al., ACL 2018), step by step."""

import itertools
import math
from collections.abc import Mapping, Sequence

from reference.layers import Array, Weights, linear, sigmoid, softmax, two_layers


def lstm(
    weights: Weights, modality: str, rows: Sequence[Sequence[float] | None], size: int
) -> tuple[list[float], list[list[float]]]:
    """h and all memories c, c_0 = 0 first; None is a step without a row, at which both stay."""
    hidden, cell = [0.0] * size, [0.0] * size
    cells = [cell]
    for row in rows:
        if row is not None:
            given, back = linear(weights, f"input.{modality}", row), linear(weights, f"recurrent.{modality}", hidden)
            z = [g + b for g, b in zip(given, back, strict=True)]
            i, f, o, m = (z[k * size : (k + 1) * size] for k in range(4))
            cell = [sigmoid(f[d]) * cell[d] + sigmoid(i[d]) * math.tanh(m[d]) for d in range(size)]
            hidden = [sigmoid(o[d]) * math.tanh(cell[d]) for d in range(size)]
        cells.append(cell)
    return hidden, cells


def delta_memory_attention(
    weights: Weights, before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], present: Sequence[bool]
) -> list[float]:
    """ĉ = c ⊙ softmax(𝓓_a(c)) over c = [c_{t−1} of all, c_t of all], without the coordinates of absent modalities."""
    c = [v for vector in (*before, *after) for v in vector]
    kept = [there for there, vector in zip(present, before, strict=True) for _ in vector] * 2
    scores = two_layers(weights, "attend", c)
    chosen = iter(softmax([s for s, k in zip(scores, kept, strict=True) if k]))
    return [v * next(chosen) if k else 0.0 for v, k in zip(c, kept, strict=True)]


def gated_memory(weights: Weights, attended: Sequence[Sequence[float] | None], size: int) -> list[float]:
    """u_t = γ₁ ⊙ u_{t−1} + γ₂ ⊙ tanh(û_t); None is a step that is not there."""
    u = [0.0] * size
    for c in attended:
        if c is None:
            continue
        new, keep, enter = (two_layers(weights, name, c) for name in ("update", "retain_gate", "update_gate"))
        u = [sigmoid(keep[d]) * u[d] + sigmoid(enter[d]) * math.tanh(new[d]) for d in range(size)]
    return u


def fusion_graph(
    weights: Weights, values: Mapping[str, Sequence[float]], present: Sequence[bool]
) -> tuple[list[float], dict[tuple[str, str], float]]:
    """τ, and the efficacy of every edge (from, to) with vertices named by the letters of their modalities."""
    names = list(values)
    vertices = ["".join(chosen) for n in range(1, len(names) + 1) for chosen in itertools.combinations(names, n)]
    there = {v: all(p for name, p in zip(names, present, strict=True) if name in v) for v in vertices}
    found: dict[str, list[float]] = {}
    for name in names:
        entered = linear(weights, f"enter.{name}", values[name])
        found[name] = entered if there[name] else [0.0] * len(entered)
    edges = [(a, b) for b in vertices for a in vertices if set(a) < set(b)] + [(a, "τ") for a in vertices]
    raw = two_layers(weights, "efficacy", [x for name in names for x in found[name]])
    efficacy = {edge: sigmoid(raw[e]) for e, edge in enumerate(edges)}
    for number, target in enumerate([*vertices, "τ"]):
        if len(target) == 1 and target != "τ":
            continue
        given = [x * efficacy[a, b] for a, b in edges if b == target for x in found[a]]
        vertex = two_layers(weights, f"vertices.{number}", given)
        found[target] = vertex if target == "τ" or there[target] else [0.0] * len(vertex)
    return found["τ"], efficacy


def as_weights(state: Mapping[str, object]) -> dict[str, Array]:
    """A module's state as float64 arrays."""
    return {name: value.detach().double().numpy() for name, value in state.items()}  # type: ignore[attr-defined]
