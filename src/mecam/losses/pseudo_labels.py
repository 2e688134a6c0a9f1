"""Labels for single modalities, made from where an utterance lies between the positive and the negative ones.

Source: Yu, Xu, Yuan and Wu, "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for
Multimodal Sentiment Analysis" (Self-MM), AAAI 2021 (arXiv 2102.04830), "Unimodal Label Generation Module" (ULGM).
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.batch import Batch
from mecam.task import Task
from mecam.types import Modality

__all__ = [
    "Memory",
    "PseudoLabels",
    "class_centres",
    "gathered",
    "pseudo_label",
    "relative_distance",
    "supervised_loss",
]


class Memory(nn.Module):
    """Rows of numbers per utterance, found again by `Batch.index`.

    They are buffers, so they travel with the checkpoint and with the state that an interrupted run goes on from.
    The number of utterances is not told beforehand: the buffers grow as utterances are met.

    Args:
        widths: name → numbers per utterance.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(widths)
        self.register_buffer("times", torch.zeros(0, dtype=torch.long))
        for name, width in widths.items():
            self.register_buffer(name, torch.zeros(0, width))

    def __len__(self) -> int:
        return len(self.get_buffer("times"))

    def times_met(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """How often each utterance has been written."""
        return self._rows("times", index)

    def read(self, name: str, index: Int[Tensor, " B"]) -> Tensor:
        """B × width, what was last written under this name; zeros for an utterance never met."""
        return self._rows(name, index)

    def everything(self, name: str) -> tuple[Tensor, Bool[Tensor, " N"]]:
        """N × width of all utterances, and which of them have been written."""
        return self.get_buffer(name), self.get_buffer("times") > 0

    @torch.no_grad()
    def write(self, index: Int[Tensor, " B"], rows: Mapping[str, Tensor]) -> None:
        """Keep these rows, in place of what was there."""
        if not len(index):
            return
        self._grow(int(index.max()) + 1)
        # A batch that the processes share may hold an utterance twice; it was met once.
        self.get_buffer("times")[index] = self._rows("times", index) + 1
        for name, values in rows.items():
            self.get_buffer(name)[index] = values.to(self.get_buffer(name).dtype)

    def _rows(self, name: str, index: Tensor) -> Tensor:
        values = self.get_buffer(name)
        known = index < len(values)
        if not len(values):
            return values.new_zeros(len(index), *values.shape[1:])
        rows = values[index.clamp(max=len(values) - 1)]
        return rows.masked_fill(~known.view(-1, *[1] * (rows.ndim - 1)), 0)

    def _grow(self, size: int) -> None:
        missing = size - len(self)
        if missing > 0:
            for name in ("times", *self.names):
                values = self.get_buffer(name)
                setattr(self, name, torch.cat([values, values.new_zeros(missing, *values.shape[1:])]))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # The memory of another moment holds another number of utterances.
        for name in ("times", *self.names):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.get_buffer(name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def gathered(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors of all processes one below the other, so that every process remembers the same."""
    here = {name: values.detach() for name, values in rows.items()}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return here
    everywhere: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, {name: values.cpu() for name, values in here.items()})
    return {name: torch.cat([part[name] for part in everywhere]).to(here[name].device) for name in here}


SMALL = 1e-6
"""ε of the relative distance."""


def class_centres(
    features: Float[Tensor, "N D"], labels: Float[Tensor, "N C"], known: Bool[Tensor, " N"]
) -> tuple[Float[Tensor, "C D"], Float[Tensor, "C D"], Bool[Tensor, " C"]]:
    """Mean representation of the positive and of the negative utterances, and whether there are both.

    Args:
        features: F*, one row per utterance.
        labels: signed; an utterance at 0 belongs to neither.
        known: rows that count.

    Source: Self-MM, ULGM: the class centres.
    """
    sides = []
    for side in (labels > 0, labels < 0):
        member = (side & known.unsqueeze(1)).to(features.dtype)  # N C
        count = member.sum(dim=0)  # C
        sides.append((member.T @ features / count.clamp(min=1).unsqueeze(1), count > 0))
    (positive, some), (negative, others) = sides
    return positive, negative, some & others


def relative_distance(
    features: Float[Tensor, "B D"], positive: Float[Tensor, "C D"], negative: Float[Tensor, "C D"]
) -> Float[Tensor, "B C"]:
    """How much nearer a representation is to the positive centre: α = (Dⁿ − Dᵖ) / (Dᵖ + ε), D = ‖F − C‖² / √d.

    Source: Self-MM, ULGM: the relative distance.
    """
    scale = features.shape[1] ** 0.5
    near, far = ((features.unsqueeze(1) - centre).square().sum(dim=2) / scale for centre in (positive, negative))  # B C
    nearer: Tensor = (far - near) / (near + SMALL)
    return nearer


def pseudo_label(
    label: Float[Tensor, "B C"], joint: Float[Tensor, "B C"], own: Float[Tensor, "B C"]
) -> Float[Tensor, "B C"]:
    """A modality's label: y + (α_s − α_m)/2 · (y + α_m)/α_m, the mean of the ratio and the difference rule.

    Args:
        label: y, of the utterance, signed.
        joint: α_m, relative distance of the fused representation.
        own: α_s, that of the modality.

    Source: Self-MM, ULGM: the shift from the multimodal label. Differs: |α_m| is at least ε.
    """
    safe = torch.where(joint.abs() < SMALL, torch.where(joint < 0, -SMALL, SMALL), joint)
    fresh: Tensor = label + (own - safe) / 2 * (label + safe) / safe
    return fresh


def supervised_loss(
    task: Task,
    prediction: Float[Tensor, "B C"],
    label: Float[Tensor, "B C"],
    weight: Float[Tensor, "B C"],
    present: Bool[Tensor, " B"],
) -> Float[Tensor, ""]:
    """Weighted loss of one modality's outputs against its own signed labels; the mean over present utterances.

    Source: Self-MM, optimisation objectives (regression).
    """
    gap = task.signed_loss(prediction, label, weight)
    return (gap.mean(dim=1) * present).sum() / present.sum().clamp(min=1)


class PseudoLabels(nn.Module):
    """The labels of every training utterance's modalities, which move as the representations do.

    Args:
        task: kind of label.
        widths: modality → D of its representation.
        joint: D of the fused representation.
    """

    def __init__(self, task: Task, widths: Mapping[Modality, int], joint: int) -> None:
        super().__init__()
        self.task = task
        self.modalities = tuple(widths)
        sizes = {"joint": joint, "truth": task.outputs}
        for modality, width in widths.items():
            sizes |= {f"feature_{modality}": width, f"label_{modality}": task.outputs, f"has_{modality}": 1}
        self.memory = Memory(sizes)

    def labels(self, batch: Batch) -> dict[Modality, Float[Tensor, "B C"]]:
        """Signed labels of each modality: the utterance's own until the second time it is met."""
        assert batch.targets is not None
        truth = self.task.signed(batch.targets.value)  # B C
        moved = (self.memory.times_met(batch.index) >= 2).unsqueeze(1)
        return {m: torch.where(moved, self.memory.read(f"label_{m}", batch.index), truth) for m in self.modalities}

    def losses(
        self, batch: Batch, own: Mapping[Modality, Float[Tensor, "B C"]], *, least_weight: float
    ) -> dict[str, Float[Tensor, ""]]:
        """`unimodal_…`: each modality against its own label, weighted by how far that has moved.

        Args:
            batch: with its targets.
            own: outputs of each modality alone.
            least_weight: a loss counts at least so much.

        Source: Self-MM, optimisation objectives, with W_s = tanh(|y_s − y_m|), which is a `least_weight` of 0.
        """
        assert batch.targets is not None
        truth, result = self.task.signed(batch.targets.value), {}
        for m, label in self.labels(batch).items():
            weight = torch.tanh((label - truth).abs()).clamp(min=least_weight)
            present = batch.streams[m].mask.any(dim=1)
            result[f"unimodal_{m}"] = supervised_loss(self.task, own[m], label, weight, present)
        return result

    @torch.no_grad()
    def update(self, batch: Batch, joint: Tensor, features: Mapping[Modality, Tensor]) -> None:
        """Remember the representations of a batch; from the second time on, move its labels first.

        Source: Self-MM, ULGM, momentum: y⁽ⁱ⁾ = (i−1)/(i+1) y⁽ⁱ⁻¹⁾ + 2/(i+1) yⁱ. Differs: i counts how often
        the utterance was met; labels stay within the range of the scores.
        """
        assert batch.targets is not None
        rows = {"index": batch.index, "joint": joint.float(), "truth": self.task.signed(batch.targets.value)}
        rows |= {f"feature_{m}": features[m].float() for m in self.modalities}
        rows |= {f"has_{m}": batch.streams[m].mask.any(dim=1, keepdim=True).float() for m in self.modalities}
        rows |= {f"label_{m}": label for m, label in self.labels(batch).items()}
        rows = gathered(rows)
        index = rows.pop("index")
        passed = self.memory.times_met(index).unsqueeze(1) + 1  # i, with this time
        alpha, defined = self._relative("joint", "truth", None, rows["joint"])
        for m in self.modalities:
            before = rows[f"label_{m}"]
            own, known = self._relative(f"feature_{m}", f"label_{m}", f"has_{m}", rows[f"feature_{m}"])
            fresh = pseudo_label(rows["truth"], alpha, own)
            mixed = (passed - 1) / (passed + 1) * before + 2 / (passed + 1) * fresh
            move = (passed > 1) & defined & known & (rows[f"has_{m}"] > 0)
            limit = self.task.signed_limit
            rows[f"label_{m}"] = torch.where(move, mixed.clamp(-limit, limit), before)
        self.memory.write(index, rows)

    def _relative(self, feature: str, label: str, has: str | None, rows: Tensor) -> tuple[Tensor, Tensor]:
        """α of the rows between the centres of all that is remembered, and for which columns it is defined."""
        features, known = self.memory.everything(feature)
        if has is not None:
            known = known & (self.memory.everything(has)[0][:, 0] > 0)
        positive, negative, both = class_centres(features, self.memory.everything(label)[0], known)
        return relative_distance(rows, positive, negative), both
