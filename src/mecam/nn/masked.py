"""All masking arithmetic: the one place that decides what a mask means.

A mask is True where a row is real and observed. A row without any observed step gives 0, never NaN.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mecam.nn.exporting import exporting

__all__ = [
    "compacted",
    "length_mask",
    "longest",
    "masked_max",
    "masked_mean",
    "masked_quantiles",
    "masked_softmax",
    "masked_windows",
    "weighted_mean",
]


def length_mask(lengths: Int[Tensor, " B"], steps: int) -> Bool[Tensor, "B T"]:
    """True for the first `lengths[i]` of `steps` positions."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


def longest(lengths: Int[Tensor, " B"]) -> int:
    """The largest of them, 1 at least, as a size."""
    size = lengths.max().clamp(min=1).item()
    torch._check(size >= 1)  # type: ignore[no-untyped-call] # known while exporting, when there is no number yet
    return size  # type: ignore[return-value]


def compacted(
    values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, "B T D"], Int[Tensor, " B"]]:
    """The observed steps moved to the front in their order, and how many there are, for networks that know no mask."""
    place = torch.arange(mask.shape[1], device=mask.device)  # T
    order = torch.where(mask, place, place + mask.shape[1]).argsort(dim=1)  # B T
    return values.gather(1, order.unsqueeze(-1).expand_as(values)), mask.sum(dim=1)


def masked_mean(values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Mean over the observed steps; 0 for an empty row."""
    keep = mask.unsqueeze(-1)  # B T 1
    total = values.masked_fill(~keep, 0.0).sum(dim=1)  # B D
    return total / keep.sum(dim=1).clamp(min=1)  # B D


def weighted_mean(
    values: Float[Tensor, "B T D"],
    weights: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "B T"],
    *,
    floor: float = 0.1,
) -> Float[Tensor, "B D"]:
    """Mean over the observed steps, each weighted by `weights` ≥ 0; 0 for an empty row.

    Args:
        values: what is averaged.
        weights: per value, in [0, 1].
        mask: observed steps.
        floor: added to the mean weight in the denominator: while most is kept this is the plain weighted
            mean, and it falls to 0 as everything is removed, so that a stream can be switched off.
    """
    keep = mask.unsqueeze(-1)  # B T 1
    weights = weights.masked_fill(~keep, 0.0)  # B T D
    total = (values.masked_fill(~keep, 0.0) * weights).sum(dim=1)  # B D
    count = keep.sum(dim=1).clamp(min=1)  # B 1
    return total / (weights.sum(dim=1) + floor * count)  # B D


def masked_windows(
    values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"], size: int
) -> tuple[Float[Tensor, "B W D"], Bool[Tensor, "B W"]]:
    """Mean of the observed steps in consecutive windows of `size` steps, and which windows have any."""
    missing = -values.shape[1] % size
    batch, _, width = values.shape
    values = torch.nn.functional.pad(values, (0, 0, 0, missing)).reshape(-1, size, width)  # BW S D
    mask = torch.nn.functional.pad(mask, (0, missing)).reshape(-1, size)  # BW S
    means = masked_mean(values, mask).reshape(batch, -1, width)  # B W D
    return means, mask.any(dim=-1).reshape(batch, -1)


def masked_max(values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Maximum over the observed steps; 0 for an empty row."""
    keep = mask.unsqueeze(-1)  # B T 1
    lowest = torch.finfo(values.dtype).min
    highest = values.masked_fill(~keep, lowest).amax(dim=1)  # B D
    return highest.masked_fill(~keep.any(dim=1), 0.0)  # B D


def masked_quantiles(
    values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"], quantiles: Sequence[float]
) -> list[Float[Tensor, "B D"]]:
    """Quantiles in [0, 1] over the observed steps, linear between neighbours; 0 for an empty row."""
    highest = torch.finfo(values.dtype).max
    ordered = values.masked_fill(~mask.unsqueeze(-1), highest).sort(dim=1).values  # B T D, observed steps first
    last = (mask.sum(dim=1) - 1).clamp(min=0)  # B
    found = []
    for quantile in quantiles:
        place = quantile * last.to(values.dtype)  # B
        below = place.floor().long()
        above = torch.minimum(below + 1, last)
        pair = [
            ordered.gather(1, i[:, None, None].expand(-1, 1, values.shape[2])).squeeze(1) for i in (below, above)
        ]  # 2 × B D
        between = torch.lerp(pair[0], pair[1], (place - below).unsqueeze(1))
        found.append(between.masked_fill(~mask.any(dim=1, keepdim=True), 0.0))
    return found


def masked_softmax(scores: Float[Tensor, "*lead K"], mask: Bool[Tensor, "*#lead K"]) -> Float[Tensor, "*lead K"]:
    """Softmax over the last axis, over True entries of `mask` only; all zeros where none is True."""
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, lowest).softmax(dim=-1)
    # Masked entries are 0 already, but for rows that are masked altogether, which are rare and come out even. To see
    # whether there are any, a GPU would have to be waited for.
    some = mask.any(dim=-1, keepdim=True)
    looks = mask.device.type == "cpu" and not exporting()
    return weights if looks and some.all() else weights.masked_fill(~some, 0.0)
