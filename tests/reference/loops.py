"""Slow readings of the equations: plain loops over Python floats, one equation a line, written without the fast code.

Nothing here uses tensors' own arithmetic: NumPy holds the numbers, loops do the work, everything is float64.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(scores: Sequence[float], mask: Sequence[bool]) -> list[float]:
    """exp(s_i) / Σ exp(s_j) over what the mask keeps; zeros where it keeps nothing."""
    kept = [s for s, m in zip(scores, mask, strict=True) if m]
    if not kept:
        return [0.0] * len(scores)
    top = max(kept)
    total = sum(math.exp(s - top) for s in kept)
    return [math.exp(s - top) / total if m else 0.0 for s, m in zip(scores, mask, strict=True)]


def mean(values: Array, mask: NDArray[np.bool_]) -> Array:
    """B × T × D → B × D, mean over observed steps; zeros where there is none."""
    result = np.zeros((values.shape[0], values.shape[2]))
    for b in range(values.shape[0]):
        rows = [t for t in range(values.shape[1]) if mask[b, t]]
        for d in range(values.shape[2]):
            for t in rows:
                result[b, d] += values[b, t, d] / len(rows)
    return result


def maximum(values: Array, mask: NDArray[np.bool_]) -> Array:
    """B × T × D → B × D, largest over observed steps; zeros where there is none."""
    result = np.zeros((values.shape[0], values.shape[2]))
    for b in range(values.shape[0]):
        for d in range(values.shape[2]):
            kept = [float(values[b, t, d]) for t in range(values.shape[1]) if mask[b, t]]
            result[b, d] = max(kept) if kept else 0.0
    return result


def weighted_mean(values: Array, weights: Array, mask: NDArray[np.bool_], floor: float) -> Array:
    """Σ w x / (Σ w + floor · number of observed steps); zeros where there is none."""
    result = np.zeros((values.shape[0], values.shape[2]))
    for b in range(values.shape[0]):
        rows = [t for t in range(values.shape[1]) if mask[b, t]]
        for d in range(values.shape[2]):
            if rows:
                above = sum(weights[b, t, d] * values[b, t, d] for t in rows)
                below = sum(weights[b, t, d] for t in rows) + floor * len(rows)
                result[b, d] = above / below
    return result


def talking_heads(
    queries: Array, keys: Array, key_mask: NDArray[np.bool_], weights: dict[str, Array], heads: int
) -> Array:
    """Shazeer et al., 2020, with one mixing matrix before the softmax and one after it.

    `weights` holds matrices and biases of query, key, value and out as `name.weight` (out × in) and
    `name.bias`, and the H × H mixing matrices `before` and `after` (from head × to head).
    """

    def linear(name: str, x: Array) -> list[float]:
        matrix, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return [sum(matrix[o, i] * x[i] for i in range(len(x))) + bias[o] for o in range(len(bias))]

    batch, steps, width = queries.shape
    size = width // heads
    result = np.zeros_like(queries)
    for b in range(batch):
        if not key_mask[b].any():
            continue
        q = [linear("query", queries[b, t]) for t in range(steps)]
        k = [linear("key", keys[b, t]) for t in range(keys.shape[1])]
        v = [linear("value", keys[b, t]) for t in range(keys.shape[1])]
        for t in range(steps):
            scores = [
                [sum(q[t][h * size + i] * row[h * size + i] for i in range(size)) / math.sqrt(size) for row in k]
                for h in range(heads)
            ]  # J, head × key
            mixed = _mix(scores, weights["before"])
            attention = _mix([softmax(row, key_mask[b]) for row in mixed], weights["after"])
            gathered = [
                sum(attention[h][j] * v[j][h * size + i] for j in range(len(v)))
                for h in range(heads)
                for i in range(size)
            ]
            result[b, t] = linear("out", np.array(gathered))
    return result


def _mix(rows: list[list[float]], matrix: Array) -> list[list[float]]:
    heads = len(rows)
    return [[sum(rows[h][j] * matrix[h, g] for h in range(heads)) for j in range(len(rows[0]))] for g in range(heads)]


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two vectors."""
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b)))


def score_affinity(scores: Sequence[float], spread: float) -> Array:
    """exp(−|y_i − y_j| / σ), zero on the diagonal."""
    n = len(scores)
    return np.array(
        [[0.0 if i == j else math.exp(-abs(scores[i] - scores[j]) / spread) for j in range(n)] for i in range(n)]
    )


def label_contrast(
    kept: Array,
    affinity: Array,
    present: Sequence[bool],
    temperature: float,
    removed: Array | None,
    removed_weight: float,
) -> float:
    """−Σ_j â_ij log p_ij, mean over anchors with a partner; removed embeddings count w each in the denominator."""
    losses = []
    for i in range(len(kept)):
        partners = [j for j in range(len(kept)) if j != i and present[i] and present[j]]
        total = sum(affinity[i, j] for j in partners)
        if total == 0:
            continue
        below = sum(math.exp(cosine(kept[i], kept[j]) / temperature) for j in partners)
        if removed is not None:
            rivals = [j for j in range(len(kept)) if present[j]]
            below += sum(removed_weight * math.exp(cosine(kept[i], removed[j]) / temperature) for j in rivals)
        loss = 0.0
        for j in partners:
            p = math.exp(cosine(kept[i], kept[j]) / temperature) / below
            loss -= affinity[i, j] / total * math.log(p)
        losses.append(loss)
    return sum(losses) / len(losses) if losses else 0.0


def instance_contrast(views: Array, originals: Array, present: Sequence[bool], temperature: float) -> float:
    """InfoNCE: −log of the softmax over the present originals, at the view's own one."""
    rows = [i for i in range(len(views)) if present[i]]
    if len(rows) < 2:
        return 0.0
    total = 0.0
    for i in rows:
        below = sum(math.exp(cosine(views[i], originals[j]) / temperature) for j in rows)
        total -= math.log(math.exp(cosine(views[i], originals[i]) / temperature) / below)
    return total / len(rows)


def gate_loss(gate: Array, injected: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Binary cross-entropy of "kept" against "not injected", mean over all observed rows of the batch.

    Utterances of which everything is injected are left out.
    """
    partly = [b for b in range(len(gate)) if any(mask[b, t] and not injected[b, t] for t in range(gate.shape[1]))]
    losses = [
        -math.log(1 - gate[b, t]) if injected[b, t] else -math.log(gate[b, t])
        for b in partly
        for t in range(gate.shape[1])
        if mask[b, t]
    ]
    return sum(losses) / len(losses) if losses else 0.0


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Factor of the step counted from 0: rises by equal parts to 1, then falls by equal parts to 0 at `steps`."""
    rise = max(1, round(steps * warmup))
    if step + 1 <= rise:
        return (step + 1) / rise
    return max(0, steps - step) / max(1, steps - rise)
