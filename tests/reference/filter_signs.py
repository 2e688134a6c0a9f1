"""Slow readings of what the filter judges by: pairs of words in order, and voices that disagree."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def layer_norm(row: Array) -> Array:
    mean = sum(row) / len(row)
    variance = sum((x - mean) ** 2 for x in row) / len(row)
    return np.array([(x - mean) / math.sqrt(variance + 1e-5) for x in row])


def affine(weight: Array, bias: Array, row: Array) -> list[float]:
    return [sum(w * x for w, x in zip(line, row, strict=True)) + b for line, b in zip(weight, bias, strict=True)]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > -30 else x


def order_signs(tokens: Array, mask: NDArray[np.bool_], parts: list[tuple[Array, Array, Array, Array, float]]) -> Array:
    """B × T × 2 per distance: log σ(s(a, b)) at a, then at b; `parts` holds A, a's bias, B, b's bias and c."""
    count, steps, _ = tokens.shape
    result = np.zeros((count, steps, 2 * len(parts)))
    for i, (first, first_bias, second, second_bias, offset) in enumerate(parts):
        distance = i + 1
        for b in range(count):
            for t in range(steps - distance):
                if not (mask[b, t] and mask[b, t + distance]):
                    continue
                left = affine(first, first_bias, layer_norm(tokens[b, t]))
                right = affine(second, second_bias, layer_norm(tokens[b, t + distance]))
                score = sum(x * y for x, y in zip(left, right, strict=True)) / math.sqrt(len(left)) + offset
                result[b, t, 2 * i] = log_sigmoid(score)
                result[b, t + distance, 2 * i + 1] = log_sigmoid(score)
    return result
