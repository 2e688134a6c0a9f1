"""What is computed once: the encoders' work on modalities that a condition leaves alone, answers to the same input."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from mecam.models.base import Model
from mecam.nn.encoders import Rows
from mecam.nn.text import TextEncoder

__all__ = ["Recent", "remembering_encoders"]

MEMORY_BYTES = 512 * 2**20
"""Encoded rows that are kept of one encoder; what was not asked for longest goes first."""

SIMILAR = 0.8
"""Rows are encoded side by side where the shortest is at least this part of the longest."""

_Value = TypeVar("_Value")


class Recent(Generic[_Value]):
    """A dictionary of limited size that forgets what was not asked for longest.

    Args:
        limit: of the sum of the sizes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[bytes, tuple[_Value, int]] = OrderedDict()

    def get(self, key: bytes) -> _Value | None:
        """What is kept under a key, or None."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: bytes, value: _Value, size: int = 1) -> None:
        """Keep a value, as long as there is room."""
        self.size += size - (self._kept.pop(key)[1] if key in self._kept else 0)
        self._kept[key] = (value, size)
        while self.size > self.limit and len(self._kept) > 1:
            self.size -= self._kept.popitem(last=False)[1][1]


@contextmanager
def remembering_encoders(model: Model, limit: int = MEMORY_BYTES) -> Iterator[None]:
    """Let each encoder of a model in evaluation mode encode the same rows once while the block runs.

    The encoders are those in `model.encoders`. One that is asked for its layers (`TextEncoder.adapted`, where other
    modalities reach into the text) works as ever: what it does depends on more than the text.
    """
    encoders = getattr(model, "encoders", None)
    wrapped = [] if encoders is None else [e for e in encoders.values() if not isinstance(e, Rows)]
    with ExitStack() as stack:
        for encoder in wrapped:
            if isinstance(encoder, TextEncoder):
                stack.enter_context(_fused_attention(encoder))
            encoder.forward = _Remembering(encoder, limit)
            stack.callback(delattr, encoder, "forward")  # the class's own is in force again
        yield


@contextmanager
def _fused_attention(encoder: TextEncoder) -> Iterator[None]:
    """Let a text encoder use PyTorch's fused attention, whose backward pass is slow and is not needed here."""
    network = encoder.network
    before = getattr(network.config, "_attn_implementation", None)
    if before is None or not hasattr(network, "set_attn_implementation"):
        yield  # an older `transformers`, which settles it when the network is built
        return
    with suppress(ValueError, ImportError):  # an architecture that has none
        network.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


class _Remembering:
    """An encoder's forward pass that looks up each utterance first.

    It holds for encoders that treat every utterance by itself and return zeros for masked rows.
    """

    def __init__(self, encoder: nn.Module, limit: int) -> None:
        self._encode = encoder.forward
        self._known: Recent[Tensor] = Recent(limit)

    def __call__(self, values: Shaped[Tensor, "B T *F"], mask: Bool[Tensor, "B T"]) -> Shaped[Tensor, "B *T D"]:
        """B × T × D, or B × D of an encoder that sums a sequence up."""
        places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        lengths = (mask * places).amax(dim=1).clamp(min=1).tolist()
        rows, marks = values.cpu().numpy(), mask.cpu().numpy()
        keys = [rows[i, :n].tobytes() + marks[i, :n].tobytes() for i, n in enumerate(lengths)]
        found = {key: value for key in dict.fromkeys(keys) if (value := self._known.get(key)) is not None}
        new = {key: i for i, key in enumerate(keys) if key not in found}
        for group in _alike(new, lengths):
            chosen = torch.tensor([new[key] for key in group], device=values.device)
            longest = lengths[new[group[0]]]
            encoded = self._encode(values[chosen, :longest], mask[chosen, :longest])
            for row, key in zip(encoded, group, strict=True):
                found[key] = (row[: lengths[new[key]]] if row.ndim > 1 else row).clone()
                self._known.put(key, found[key], found[key].nbytes + len(key))
        parts = [found[key] for key in keys]
        if parts[0].ndim == 1:
            return torch.stack(parts)
        whole = parts[0].new_zeros((len(parts), mask.shape[1], parts[0].shape[-1]))
        for i, part in enumerate(parts):
            whole[i, : len(part)] = part
        return whole


def _alike(new: dict[bytes, int], lengths: list[int]) -> list[list[bytes]]:
    """Keys in groups of similar length, the longest first: a few long texts would fill a whole batch with padding."""
    groups: list[list[bytes]] = []
    for key in sorted(new, key=lambda key: -lengths[new[key]]):
        if groups and lengths[new[key]] >= SIMILAR * lengths[new[groups[-1][0]]]:
            groups[-1].append(key)
        else:
            groups.append([key])
    return groups
