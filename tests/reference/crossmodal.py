"""MulT's crossmodal transformer (Tsai et al., ACL 2019), one query a line."""

import math
from collections.abc import Sequence

from reference.layers import Weights, gelu, layer_norm, linear, softmax


def position(step: int, width: int) -> list[float]:
    """sin(step / 10000^(j/h)) for j < h, then the cosines, h being half of the width."""
    half = (width + 1) // 2
    angles = [step * 10_000.0 ** (-j / half) for j in range(half)]
    return ([math.sin(a) for a in angles] + [math.cos(a) for a in angles])[:width]


def crossmodal(
    weights: Weights,
    queries: Sequence[Sequence[float]],
    keys: Sequence[Sequence[float]],
    heads: int,
    layers: int,
) -> list[list[float]]:
    """Z ← CM(LN(Z), LN(source)) + Z, Z ← f(LN(Z)) + Z; the source is the same for every layer."""
    steps = [list(query) for query in queries]
    for n in range(layers):
        name = f"layers.{n}"
        normed = [layer_norm(weights, f"{name}.norm_keys", key) for key in keys]
        asking = [layer_norm(weights, f"{name}.norm_queries", step) for step in steps]
        gathered = [attend(weights, f"{name}.attention", query, normed, heads) for query in asking]
        steps = [[a + b for a, b in zip(s, g, strict=True)] for s, g in zip(steps, gathered, strict=True)]
        for t, step in enumerate(steps):
            inner = linear(weights, f"{name}.feed_forward.1", layer_norm(weights, f"{name}.feed_forward.0", step))
            outer = linear(weights, f"{name}.feed_forward.3", [gelu(v) for v in inner])
            steps[t] = [a + b for a, b in zip(step, outer, strict=True)]
    return steps


def attend(
    weights: Weights, name: str, query: Sequence[float], keys: Sequence[Sequence[float]], heads: int
) -> list[float]:
    """softmax(Q Kᵀ / √d_k) V per head, side by side, then the output matrix; zeros without keys."""
    if not keys:
        return [0.0] * len(query)
    q = linear(weights, f"{name}.query", query)
    k = [linear(weights, f"{name}.key", key) for key in keys]
    v = [linear(weights, f"{name}.value", key) for key in keys]
    size = len(q) // heads
    gathered = []
    for h in range(heads):
        part = range(h * size, (h + 1) * size)
        share = softmax([sum(q[i] * row[i] for i in part) / math.sqrt(size) for row in k])
        gathered += [sum(s * row[i] for s, row in zip(share, v, strict=True)) for i in part]
    return linear(weights, f"{name}.out", gathered)
