"""One time axis for all modalities of an utterance, for models that step through them together.

Where rows belong to words (tokens of a transcript; features that the store marks as aligned) a step is a word.
Everything else is divided evenly over the steps: step n of N covers the rows from ⌊nL/N⌋ to ⌈(n+1)L/N⌉ of L, and is
their mean. So a longer stream is averaged, a shorter one repeated, and no row is lost.
"""

from collections.abc import Collection, Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mecam.batch import Stream
from mecam.nn.exporting import exporting
from mecam.nn.masked import longest
from mecam.types import Modality

__all__ = ["on_one_axis", "resampled", "word_counts"]


def word_counts(streams: Mapping[Modality, Stream], aligned: Collection[Modality]) -> Int[Tensor, " B"]:
    """Words per utterance, from its tokens and its word-aligned features; 0 where there are none of both.

    Args:
        streams: of one batch.
        aligned: modalities whose row t belongs to word t (`FeatureSpec.aligned`).
    """
    known = [s.words.amax(dim=1) + 1 for s in streams.values() if s.words is not None]
    known += [s.lengths for m, s in streams.items() if m in aligned and s.words is None]
    if not known:
        return torch.zeros_like(next(iter(streams.values())).lengths)
    return torch.stack(known).amax(dim=0)


def resampled(
    values: Float[Tensor, "B T D"],
    stream: Stream,
    *,
    words: Int[Tensor, " B"] | None,
    steps: Int[Tensor, " B"],
    size: int | None = None,
) -> tuple[Float[Tensor, "B N D"], Bool[Tensor, "B N"]]:
    """Rows of one modality on a given number of steps per utterance.

    Args:
        values: its rows, encoded or as they are.
        stream: where they come from.
        words: words per utterance, where its rows belong to words; None where they only share the utterance's time.
        steps: steps per utterance.
        size: N; the largest of `steps` unless given.

    Returns: the mean of the observed rows of each step, and which steps have any.
    """
    position = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])  # B T
    if stream.words is not None:
        position = stream.words
    extent = (stream.lengths if words is None else words).unsqueeze(1)  # B 1
    number = torch.arange(longest(steps) if size is None else size, device=values.device)  # N
    count = steps.clamp(min=1).unsqueeze(1)  # B 1
    start = number * extent // count  # B N
    stop = -(-(number + 1) * extent // count)  # B N
    inside = (position.unsqueeze(1) >= start.unsqueeze(2)) & (position.unsqueeze(1) < stop.unsqueeze(2))  # B N T
    inside &= stream.mask.unsqueeze(1) & (number < steps.unsqueeze(1)).unsqueeze(2)
    total = inside.to(values.dtype) @ values.masked_fill(~stream.mask.unsqueeze(-1), 0.0)  # B N D
    rows = inside.sum(dim=2)  # B N
    return total / rows.clamp(min=1).unsqueeze(-1), rows > 0


def on_one_axis(
    hidden: Mapping[Modality, Float[Tensor, "B _ _"]],
    streams: Mapping[Modality, Stream],
    aligned: Collection[Modality],
    *,
    limit: int,
) -> tuple[dict[Modality, Float[Tensor, "B N _"]], dict[Modality, Bool[Tensor, "B N"]]]:
    """Every modality on the words of its utterance, or on even parts of it where there are no words.

    Args:
        hidden: rows of each modality.
        streams: of the same modalities.
        aligned: see `word_counts`.
        limit: steps at most; more words than that share steps, evenly.
    """
    streams = {m: streams[m] for m in hidden}
    words = word_counts(streams, aligned)  # B
    rows = torch.stack([s.lengths for s in streams.values()]).amax(dim=0)
    steps = torch.where(words > 0, words, rows).clamp(max=limit)  # B
    # PyTorch exports a scan of known size only; the steps behind an utterance's last are masked.
    size = limit if exporting() else longest(steps)
    values, masks = {}, {}
    for m, stream in streams.items():
        by_word = stream.words is not None or m in aligned
        values[m], masks[m] = resampled(hidden[m], stream, words=words if by_word else None, steps=steps, size=size)
    return values, masks
