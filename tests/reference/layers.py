"""Plain layers as loops over Python floats: what the slow readings of the papers are made of."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def linear(weights: Weights, name: str, x: Sequence[float]) -> list[float]:
    """W x + b; b is 0 where there is none."""
    matrix, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    return [
        sum(float(matrix[o, i]) * x[i] for i in range(len(x))) + (float(bias[o]) if bias is not None else 0.0)
        for o in range(len(matrix))
    ]


def two_layers(weights: Weights, name: str, x: Sequence[float]) -> list[float]:
    """Linear, ReLU, linear; dropout sits between, as number 2."""
    return linear(weights, f"{name}.3", [max(0.0, h) for h in linear(weights, f"{name}.0", x)])


def layer_norm(weights: Weights, name: str, x: Sequence[float]) -> list[float]:
    """(x − mean) / √(variance + 1e−5), scaled and shifted."""
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return [(v - mean) / math.sqrt(variance + 1e-5) * float(scale[i]) + float(shift[i]) for i, v in enumerate(x)]


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x)."""
    return 1 / (1 + math.exp(-x))


def gelu(x: float) -> float:
    """x Φ(x)."""
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def softmax(scores: Sequence[float]) -> list[float]:
    """exp(s_i) / Σ exp(s_j)."""
    top = max(scores)
    total = sum(math.exp(s - top) for s in scores)
    return [math.exp(s - top) / total for s in scores]


def length(x: Sequence[float]) -> float:
    """Euclidean norm."""
    return math.sqrt(sum(v * v for v in x))
