"""Contrast within one modality: what the filter keeps should be ordered by the label and nothing else."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["equal_labels", "instance_contrast", "label_contrast", "published_contrast"]


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
        affinity: â before normalisation, ≥ 0, zero on the diagonal (`Task.affinity`).
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


def equal_labels(target: Tensor) -> Bool[Tensor, "B B"]:
    """Which pairs have exactly the same label, all of a label set; the diagonal is True.

    Args:
        target: `Targets.value`.
    """
    rows = target.reshape(len(target), -1)  # B C
    return (rows.unsqueeze(1) == rows.unsqueeze(0)).all(dim=2)


def published_contrast(
    embeddings: Float[Tensor, "B D"],
    same: Bool[Tensor, "B B"],
    present: Bool[Tensor, " B"],
    *,
    temperature: float = 0.03,
    negative: float = 0.8,
) -> Float[Tensor, ""]:
    """The intra-modal contrast of the published code, quirks included; `label_contrast` is what it should be.

    With S = z zᵀ/τ of normalised z and P_ij = 1 where the labels are equal, row i has the 2B logits
    [S_i, w · S_i ∘ (1 − P_i)], and its loss is −log Σ_j softmax(logits_i)_j · [P_i, 0]_j. So an utterance is its own
    positive, which at τ = 0.03 is nearly all of the softmax; a score has no other where no label is equal to the last
    digit; and every positive adds e⁰ to the denominator.

    Args:
        embeddings: of any norm; normalised here.
        same: P (`equal_labels`).
        present: utterances that have the modality.
        temperature: τ > 0.
        negative: w, the weight of the negatives.

    Returns: the mean over present utterances; 0 where there is none.
    Source: the published code of the MECAM paper. Differs: a batch of one works, and utterances that lack the
    modality are left out.
    """
    unit = torch.nn.functional.normalize(embeddings[present].float(), dim=-1)  # P D
    same = same[present][:, present]  # P P
    scores = unit @ unit.T / temperature  # P P
    logits = torch.cat([scores, negative * scores.masked_fill(same, 0.0)], dim=1)  # P 2P
    positives = scores.masked_fill(~same, float("-inf"))
    losses = logits.logsumexp(dim=1) - positives.logsumexp(dim=1)  # P
    return losses.sum() / present.sum().clamp(min=1)


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
