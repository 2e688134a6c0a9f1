"""Losses that shape shared and private representations: alike in distribution, orthogonal, sufficient."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["central_moment_discrepancy", "orthogonality"]


def central_moment_discrepancy(
    first: Float[Tensor, "N D"], second: Float[Tensor, "K D"], *, order: int = 5
) -> Float[Tensor, ""]:
    """Distance of two samples: ‖E(X) − E(Y)‖₂ + Σ_{k=2}^{order} ‖C_k(X) − C_k(Y)‖₂, C_k the k-th central moments.

    Args:
        first: X, with values in an interval of width 1 (sigmoid outputs).
        second: Y, likewise.
        order: the highest moment.

    Returns: ≥ 0; 0 if a sample is empty.
    Source: Zellinger et al., ICLR 2017 (arXiv 1702.08811), as in MISA, "Similarity Loss".
    """
    if not len(first) or not len(second):
        return first.sum() * 0.0 + second.sum() * 0.0
    means = first.mean(dim=0), second.mean(dim=0)  # D
    total: Tensor = torch.linalg.vector_norm(means[0] - means[1])
    centred = first - means[0], second - means[1]
    for power in range(2, order + 1):
        total = total + torch.linalg.vector_norm((centred[0] ** power).mean(dim=0) - (centred[1] ** power).mean(dim=0))
    return total


def orthogonality(first: Float[Tensor, "N D"], second: Float[Tensor, "N E"]) -> Float[Tensor, ""]:
    """Mean square of the entries of XᵀY, with rows centred over the sample and of unit length.

    Args:
        first: X, one row per utterance.
        second: Y, of the same utterances.

    Returns: ≥ 0; 0 if there are no rows.
    Source: Bousmalis et al., NeurIPS 2016 (arXiv 1608.06019), as in MISA, "Difference Loss". Differs: the mean over
    the D × E entries instead of their sum, as in the authors' code, so that the weight does not depend on the width.
    """
    if not len(first):
        return first.sum() * 0.0 + second.sum() * 0.0
    x, y = (torch.nn.functional.normalize(part - part.mean(dim=0), dim=1, eps=1e-6) for part in (first, second))
    return (x.T @ y).square().mean()
