"""Mutual information between two embeddings, bounded from below by Gaussians.

Barber and Agakov's bound is I(x; y) ≥ H(y) + E[log q(y|x)], with the Gaussian q(y|x) = N(μ(x), σ²(x)) that
`GaussianHead` learns. `gaussian_log_likelihood` is its second term, `group_entropy` and
`gaussian_entropy` are estimates of its first.

Source: Barber and Agakov, NeurIPS 2003; Han, Chen and Poria, EMNLP 2021 (MMIM), which the MECAM paper follows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch
from mecam.task import Task
from mecam.types import Modality

__all__ = [
    "EntropyMemory",
    "GaussianHead",
    "GroupEntropy",
    "gaussian_entropy",
    "gaussian_log_likelihood",
    "group_entropy",
    "predictive_bound",
]

LIMIT = 8.0
"""Log variances lie within ± this: e⁻⁸ is narrow enough, and its inverse still a plain number."""


class GaussianHead(nn.Module):
    """q(y|x) = N(μ(x), σ²(x)) with a diagonal σ², both from small networks of their own.

    Args:
        given: D of x.
        width: E of y, and of the hidden layers.
    """

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.mean = _network(given, width)
        self.log_variance = _network(given, width)

    def forward(self, x: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
        """μ and log σ²."""
        return self.mean(x), LIMIT * torch.tanh(self.log_variance(x) / LIMIT)

    def held(self, x: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
        """The same, with the gradient going to x alone: the weights are held as they are.

        For a model that fits its heads (to detached embeddings) and follows them in one and the same step.
        """
        weights = {name: weight.detach() for name, weight in self.named_parameters()}
        result: tuple[Tensor, Tensor] = torch.func.functional_call(self, weights, (x,))
        return result


def _network(given: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(given, width), nn.Tanh(), nn.Linear(width, width))


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


Samples = Mapping[Modality, tuple[Float[Tensor, "N D"], Bool[Tensor, "N K"]]]


class EntropyMemory:
    """The embeddings of the batch before, with the groups of labels that they belong to.

    It belongs to no checkpoint: an epoch's first batch has none before it.

    Args:
        task: kind of label, which says how samples are grouped (`Task.groups`).
        modalities: whose embeddings.
        shrinkage: of the covariances; 0 skips those of fewer samples than dimensions.
    """

    def __init__(self, task: Task, modalities: Sequence[Modality], *, shrinkage: float) -> None:
        self.task, self.modalities, self.shrinkage = task, tuple(modalities), shrinkage
        self._before: Samples = {}

    def forget(self) -> None:
        """Be as before the first batch."""
        self._before = {}

    def losses(self, embeddings: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """`entropy_m`, the negative entropy of each modality, and `skipped_m`, the share of groups too small for it."""
        losses = {}
        for m, (samples, groups) in self._samples(embeddings, batch).items():
            if m in self._before:
                before, groups_before = self._before[m]
                samples, groups = torch.cat([before, samples]), torch.cat([groups_before, groups])
            entropy, skipped = group_entropy(samples, groups, shrinkage=self.shrinkage)
            losses[f"entropy_{m}"] = -entropy
            losses[f"skipped_{m}"] = entropy.new_tensor(skipped)
        return losses

    def keep(self, embeddings: Mapping[str, Tensor], batch: Batch) -> None:
        """Remember the batch for the next."""
        self._before = {m: (samples.detach(), g) for m, (samples, g) in self._samples(embeddings, batch).items()}

    def _samples(self, embeddings: Mapping[str, Tensor], batch: Batch) -> Samples:
        """Of each modality, the embeddings of the utterances that have it, and their groups."""
        assert batch.targets is not None
        groups = self.task.groups(batch.targets.value)  # B K
        present = {m: batch.streams[m].mask.any(dim=1) for m in self.modalities}
        return {m: (embeddings[m][here].float(), groups[here]) for m, here in present.items()}
