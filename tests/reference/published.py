"""Slow readings of the equations of the published MECAM and of late fusion.

Like `loops`: plain loops over Python floats, one equation a line, written without the fast code.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reference.loops import Array, cosine, softmax


def contrast(z: Array, labels: Sequence[object], present: Sequence[bool], temperature: float, weight: float) -> float:
    """Mean over present i of −log Σ_j softmax([S_i, w · S_i ∘ (1 − P_i)])_j · [P_i, 0]_j."""
    rows = [i for i in range(len(z)) if present[i]]
    losses = []
    for i in rows:
        s = [cosine(z[i], z[j]) / temperature for j in rows]
        p = [1.0 if labels[i] == labels[j] else 0.0 for j in rows]
        logits = [*s, *(weight * s[j] * (1 - p[j]) for j in range(len(rows)))]
        shares = softmax(logits, [True] * len(logits))
        losses.append(-math.log(sum(a * b for a, b in zip(shares, [*p, *([0.0] * len(p))], strict=True))))
    return sum(losses) / len(losses) if losses else 0.0


def log_likelihood(mean: Array, variance: Array, y: Array, present: Sequence[bool], *, normalised: bool) -> float:
    """Mean over present i of Σ_d log N(y_d; μ_d, σ_d²), or of its exponent alone."""
    totals = []
    for i in range(len(y)):
        if not present[i]:
            continue
        total = 0.0
        for d in range(y.shape[1]):
            exponent = -((mean[i, d] - y[i, d]) ** 2) / (2 * variance[i, d])
            total += exponent - (math.log(math.sqrt(2 * math.pi * variance[i, d])) if normalised else 0.0)
        totals.append(total)
    return sum(totals) / len(totals) if totals else 0.0


def log_determinant(matrix: Sequence[Sequence[float]]) -> float:
    """By Gaussian elimination, of a positive definite matrix."""
    rows = [list(row) for row in matrix]
    total = 0.0
    for i in range(len(rows)):
        total += math.log(rows[i][i])
        for k in range(i + 1, len(rows)):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return total


def covariance(samples: Array, shrinkage: float, floor: float) -> list[list[float]]:
    """S_ab = mean of (x_a − x̄_a)(x_b − x̄_b), drawn towards its mean variance times the identity."""
    n, width = samples.shape
    middle = [sum(float(samples[i, d]) for i in range(n)) / n for d in range(width)]
    s = [
        [sum((samples[i, a] - middle[a]) * (samples[i, b] - middle[b]) for i in range(n)) / n for b in range(width)]
        for a in range(width)
    ]
    scale = sum(s[d][d] for d in range(width)) / width
    return [
        [(1 - shrinkage) * s[a][b] + (shrinkage * scale + floor if a == b else 0.0) for b in range(width)]
        for a in range(width)
    ]


def entropy(samples: Array, shrinkage: float, floor: float) -> float:
    """½ log det(2πe Σ)."""
    matrix = covariance(samples, shrinkage, floor)
    return log_determinant([[2 * math.pi * math.e * value for value in row] for row in matrix]) / 2


def sign_entropy(samples: Array, scores: Sequence[float], shrinkage: float, floor: float) -> float:
    """¼ (log det Σ₊ + log det Σ₋)."""
    sides = [samples[[i for i, y in enumerate(scores) if sign * y > 0]] for sign in (1, -1)]
    return sum(log_determinant(covariance(side, shrinkage, floor)) for side in sides) / 4


def single_key_attention(
    query: Array, key: Array, weights: dict[str, Array], heads: int, *, key_present: bool = True
) -> Array:
    """Talking heads mixed after the softmax only, between one query and one key."""

    def linear(name: str, x: Sequence[float]) -> list[float]:
        matrix, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return [sum(matrix[o, i] * x[i] for i in range(len(x))) + bias[o] for o in range(len(bias))]

    if not key_present:
        return np.zeros_like(query)
    q, k, v = linear("query", query.tolist()), linear("key", key.tolist()), linear("value", key.tolist())
    size = len(v) // heads
    scores = [sum(q[h * size + i] * k[h * size + i] for i in range(size)) / math.sqrt(size) for h in range(heads)]
    attention = [softmax([score], [True])[0] for score in scores]
    mixed = [sum(attention[h] * weights["after"][h, g] for h in range(heads)) for g in range(heads)]
    return np.array(linear("out", [mixed[g] * v[g * size + i] for g in range(heads) for i in range(size)]))


def late_fusion(own: Array, trust: Sequence[float], present: NDArray[np.bool_], prior: Sequence[float]) -> Array:
    """B × M × outputs → B × outputs: Σ_m e^{t_m} own_m / Σ_m e^{t_m} over present m; the prior where there is none."""
    result = np.zeros((own.shape[0], own.shape[2]))
    for b in range(own.shape[0]):
        there = [m for m in range(own.shape[1]) if present[b, m]]
        for o in range(own.shape[2]):
            total = sum(math.exp(trust[m]) for m in there)
            result[b, o] = sum(math.exp(trust[m]) * own[b, m, o] for m in there) / total if there else prior[o]
    return result
