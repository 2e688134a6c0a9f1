"""TFN (Zadeh et al., EMNLP 2017) and LMF (Liu et al., ACL 2018), index by index."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def tensor(vectors: Sequence[Array]) -> Array:
    """Z[i, j, k] = [x; 1]_i [y; 1]_j [z; 1]_k for one utterance."""
    longer = [[*map(float, vector), 1.0] for vector in vectors]
    result = np.zeros([len(vector) for vector in longer])
    for place in itertools.product(*(range(len(vector)) for vector in longer)):
        value = 1.0
        for vector, i in zip(longer, place, strict=True):
            value *= vector[i]
        result[place] = value
    return result


def weight_tensor(factors: Sequence[Array], weights: Array) -> Array:
    """W[i, j, k, d] = Σ_r a_r w_x⁽ʳ⁾[i, d] w_y⁽ʳ⁾[j, d] w_z⁽ʳ⁾[k, d]: what the factors (R × D_m+1 × d_h) stand for."""
    rank, _, width = factors[0].shape
    result = np.zeros([factor.shape[1] for factor in factors] + [width])
    for *place, d in itertools.product(*(range(size) for size in result.shape)):
        for r in range(rank):
            value = float(weights[r])
            for factor, i in zip(factors, place, strict=True):
                value *= float(factor[r, i, d])
            result[(*place, d)] += value
    return result


def mapped(tensor: Array, weight: Array, bias: Array) -> list[float]:
    """h_d = Σ W[…, d] Z[…] + b_d."""
    result = [float(b) for b in bias]
    for place in itertools.product(*(range(size) for size in tensor.shape)):
        for d in range(len(result)):
            result[d] += float(weight[(*place, d)]) * float(tensor[place])
    return result


def exact_factors(weight: Array) -> list[Array]:
    """Factors of full rank for any W: one rank-one term for every place of the tensor but its last axis."""
    *sizes, width = weight.shape
    places = list(itertools.product(*(range(size) for size in sizes[:-1])))
    factors = [np.zeros((len(places), size, width)) for size in sizes]
    for r, place in enumerate(places):
        for axis, i in enumerate(place):
            factors[axis][r, i, :] = 1.0
        factors[-1][r] = weight[place]
    return factors
