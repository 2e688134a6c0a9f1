"""Contrast within one modality: what the filter keeps should be ordered by the label and nothing else."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mecam.types import Task

__all__ = ["instance_contrast", "label_affinity", "label_contrast"]


def label_affinity(task: Task, target: Tensor, *, spread: float) -> Float[Tensor, "B B"]:
    """How much each pair of utterances belongs together, from their labels.

    Regression: exp(−|y_i − y_j| / spread). Classes: 1 for the same class, else 0. Multilabel: overlap of
    the label sets (Jaccard). The diagonal is 0: an utterance is not its own partner.

    Args:
        task: kind of label.
        target: `Targets.value`.
        spread: σ_y, in units of the score.
    """
    if task.kind == "regression":
        affinity = torch.exp(-(target[:, None] - target[None, :]).abs() / spread)  # B B
    elif task.kind == "classes":
        affinity = (target[:, None] == target[None, :]).float()
    else:
        shared = target @ target.T  # B B
        count = target.sum(dim=1)
        affinity = shared / (count[:, None] + count[None, :] - shared).clamp(min=1)
    return affinity.fill_diagonal_(0.0)


def label_contrast(
    kept: Float[Tensor, "B D"],
    affinity: Float[Tensor, "B B"],
    present: Bool[Tensor, " B"],
    *,
    temperature: float,
    removed: Float[Tensor, "B D"] | None = None,
    removed_weight: float = 0.0,
) -> Float[Tensor, ""]:
    """Pull together the embeddings of one modality in proportion to how close their labels are.

    −Σ_j â_ij log p_ij, where p_ij is the softmax over j ≠ i of cos(k_i, k_j)/τ, whose denominator also
    counts every removed embedding, times w: what was filtered out must not resemble what was kept.

    Args:
        kept: embeddings of any norm; normalised here.
        affinity: â before normalisation, ≥ 0, zero on the diagonal (`label_affinity`).
        present: False for utterances that lack the modality; they are neither anchor nor partner.
        temperature: τ > 0.
        removed: embeddings of what was filtered out.
        removed_weight: w ≥ 0.

    Returns: mean over the anchors that have a partner; 0 when none has.
    Source: the MECAM paper's intra-modal contrast. Differs: continuous labels give graded partners, an
    utterance is not its own positive, a batch of one gives 0.
    """
    pairs = present[:, None] & present[None, :] & ~torch.eye(len(kept), dtype=torch.bool, device=kept.device)
    unit = torch.nn.functional.normalize(kept.float(), dim=-1)  # B D
    lowest = torch.finfo(unit.dtype).min
    scores = (unit @ unit.T / temperature).masked_fill(~pairs, lowest)  # B B
    rivals = scores
    if removed is not None and removed_weight > 0:
        away = unit @ torch.nn.functional.normalize(removed.float(), dim=-1).T / temperature  # B B
        away = (away + math.log(removed_weight)).masked_fill(~present[None, :], lowest)
        rivals = torch.cat([scores, away], dim=1)  # B 2B
    log_p = scores - rivals.logsumexp(dim=1, keepdim=True)  # B B
    wanted = affinity.masked_fill(~pairs, 0.0)
    total = wanted.sum(dim=1)  # B
    anchors = total > 0
    per_anchor = -(wanted * log_p.masked_fill(~pairs, 0.0)).sum(dim=1) / total.clamp(min=1e-12)  # B
    return (per_anchor * anchors).sum() / anchors.sum().clamp(min=1)


def instance_contrast(
    views: Float[Tensor, "B D"],
    originals: Float[Tensor, "B D"],
    present: Bool[Tensor, " B"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Recognise each utterance's clean embedding from its corrupted view, among the batch.

    Args:
        views: embeddings of the corrupted views; normalised here.
        originals: embeddings of the clean utterances, taken as fixed targets.
        present: utterances that have the modality in both.
        temperature: τ > 0.

    Returns: mean cross-entropy over present utterances; 0 when fewer than two are present.
    Source: van den Oord et al., 2018 (InfoNCE).
    """
    view = torch.nn.functional.normalize(views[present].float(), dim=-1)  # P D
    original = torch.nn.functional.normalize(originals[present].detach().float(), dim=-1)  # P D
    if len(view) < 2:
        return views.sum() * 0.0
    scores = view @ original.T / temperature  # P P
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(view), device=view.device))
