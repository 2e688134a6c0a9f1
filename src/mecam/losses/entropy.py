"""Entropy of embeddings, estimated from the batch and the one before it: a batch alone has too few of each label."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mecam.batch import Batch
from mecam.losses.information import group_entropy
from mecam.task import Task
from mecam.types import Modality

__all__ = ["EntropyMemory"]

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
