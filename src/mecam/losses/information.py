"""Mutual information between two embeddings, bounded from below by Gaussians.

Barber and Agakov's bound is I(x; y) ≥ H(y) + E[log q(y|x)], with the Gaussian q(y|x) = N(μ(x), σ²(x)) that
`mecam.nn.gaussian.GaussianHead` learns. `gaussian_log_likelihood` is its second term, `group_entropy` and
`gaussian_entropy` are estimates of its first.

Source: Barber and Agakov, NeurIPS 2003; Han, Chen and Poria, EMNLP 2021 (MMIM), which the MECAM paper follows.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "GroupEntropy",
    "gaussian_entropy",
    "gaussian_log_likelihood",
    "group_entropy",
    "predictive_bound",
]

FLOOR = 1e-6
"""Added to every variance: samples that are all alike have a covariance of 0, whose determinant has no logarithm."""


def gaussian_log_likelihood(
    mean: Float[Tensor, "B D"],
    log_variance: Float[Tensor, "B D"],
    target: Float[Tensor, "B D"],
    present: Bool[Tensor, " B"],
    *,
    normalised: bool = True,
) -> Float[Tensor, ""]:
    """How probable each target is under its Gaussian, in nats: the mean over utterances of log q(y|x).

    Σ_d [−(y_d − μ_d)² / 2σ_d² − ½ log 2πσ_d²].

    Args:
        mean: μ(x).
        log_variance: log σ²(x).
        target: y.
        present: utterances that have both x and y.
        normalised: False leaves −½ log 2πσ² out, as the published code of MECAM and MMIM does. This is no
            likelihood and bounds nothing: it is at most 0, and a growing σ brings it there whatever the means are.

    Returns: the mean over present utterances; 0 where there is none.
    """
    each = -(target - mean).square() * torch.exp(-log_variance) / 2  # B D
    if normalised:
        each = each - (log_variance + math.log(2 * math.pi)) / 2
    total = each.sum(dim=1).masked_fill(~present, 0.0)  # B
    return total.sum() / present.sum().clamp(min=1)


def gaussian_entropy(samples: Float[Tensor, "N D"], *, shrinkage: float) -> Float[Tensor, ""] | None:
    """Entropy of the Gaussian with the covariance of the samples, in nats: ½ log det(2πe Σ).

    Args:
        samples: one per row.
        shrinkage: s in [0, 1]; Σ is (1 − s) S + s (tr S / D) I with S the (biased) sample covariance, which has a
            determinant above 0 even where there are fewer samples than dimensions.

    Returns: None where there are too few samples: fewer than two, or with s = 0 no more than D.
    """
    count, width = samples.shape
    if count < 2 or (shrinkage == 0 and count <= width):
        return None
    centred = samples - samples.mean(dim=0)
    covariance = centred.T @ centred / count  # D D
    identity = torch.eye(width, dtype=samples.dtype, device=samples.device)
    scale = covariance.diagonal().mean()
    covariance = (1 - shrinkage) * covariance + (shrinkage * scale + FLOOR) * identity
    log_determinant: Tensor = torch.linalg.slogdet(covariance).logabsdet
    return (width * math.log(2 * math.pi * math.e) + log_determinant) / 2


class GroupEntropy(NamedTuple):
    """What `group_entropy` found.

    Attributes:
        value: H; 0 where no group has enough samples.
        skipped: share of the groups that had too few.
    """

    value: Float[Tensor, ""]
    skipped: float


def group_entropy(samples: Float[Tensor, "N D"], groups: Bool[Tensor, "N K"], *, shrinkage: float) -> GroupEntropy:
    """Entropy of the samples, estimated within each group of alike labels: the mean over groups of ½ log det Σ.

    With the positive and the negative utterances as groups this is H = ¼ (log det Σ₊ + log det Σ₋).

    Args:
        samples: one per row.
        groups: members of each group (`Task.groups`).
        shrinkage: see `gaussian_entropy`.

    Source: MMIM and the MECAM paper's information term. Differs: Σ is shrunk, and a group with too few samples is
    skipped and counted (the published value is −∞ there); the constant ½ D log 2πe is kept, so that it is an entropy.
    """
    found = [gaussian_entropy(samples[member], shrinkage=shrinkage) for member in groups.unbind(dim=1)]
    known = [entropy for entropy in found if entropy is not None]
    value = torch.stack(known).mean() if known else samples.sum() * 0.0
    return GroupEntropy(value, 1 - len(known) / max(1, len(found)))


def predictive_bound(
    predicted: Float[Tensor, "B D"], target: Float[Tensor, "B D"], present: Bool[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Contrastive predictive coding: −mean_i log of the softmax over j of cos(p_i, t_j), at j = i.

    Its negative, plus the logarithm of the number of utterances, is a lower bound of their mutual information.

    Args:
        predicted: what the fused representation foretells of a modality's vector.
        target: the modality's vectors.
        present: utterances that have the modality; they alone are contrasted.

    Returns: 0 where fewer than two are present.
    Source: MMIM, information at the level of the fusion; van den Oord et al., 2018 (arXiv 1807.03748).
    """
    here, there = (torch.nn.functional.normalize(part[present], dim=-1) for part in (predicted, target))  # P D
    if len(here) < 2:
        return predicted.sum() * 0.0
    scores = here @ there.T  # P P
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(here), device=scores.device))
