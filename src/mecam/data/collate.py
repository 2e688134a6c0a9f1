"""Utterances to batches: the only place that pads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecam.arrays import BatchArrays, StreamArrays, TargetArrays
from mecam.data.datasets import Dataset
from mecam.data.tokens import Tokenizer
from mecam.task import Task
from mecam.types import TEXT, Modality, Utterance

if TYPE_CHECKING:
    from mecam.batch import Batch
    from mecam.config import AugmentationConfig
    from mecam.data.mixture import Mixture

__all__ = ["Collator", "ViewOptions", "array_batches", "as_read", "batches"]

PAIRED_VIEWS = 0.8
"""Fraction of the views that take the features of a corrupted recording, where there are any."""
BUCKET_BATCHES = 8
"""Batches that are sorted by length together; more pads less but mixes less."""


class Collator:
    """Turn utterances into a batch.

    Args:
        task: kind of label.
        widths: feature streams that the model reads, modality → D.
        tokenizer: set when the model reads text through an encoder.
    """

    def __init__(self, task: Task, widths: Mapping[Modality, int], tokenizer: Tokenizer | None = None) -> None:
        self.task = task
        self.widths = dict(widths)
        self.tokenizer = tokenizer

    def arrays(self, utterances: Sequence[Utterance], *, index: Sequence[int] | None = None) -> BatchArrays:
        """Pad on the right to the longest stream of each modality, at least one row."""
        streams = {modality: _features(utterances, modality, width) for modality, width in self.widths.items()}
        if self.tokenizer is not None:
            streams[TEXT] = _tokens(utterances, self.tokenizer)
        return BatchArrays(
            ids=tuple(u.id for u in utterances),
            index=np.asarray(range(len(utterances)) if index is None else index, np.int64),
            streams=streams,
            targets=self._targets(utterances),
        )

    def __call__(self, utterances: Sequence[Utterance], *, index: Sequence[int] | None = None) -> "Batch":
        """The same as tensors, for training."""
        from mecam.batch import Batch

        return Batch.of(self.arrays(utterances, index=index))

    def with_view(
        self, utterances: Sequence[Utterance], views: Sequence[Utterance], *, index: Sequence[int]
    ) -> "Batch":
        """A batch and its corrupted view, padded to the same lengths so that a model can read them at once."""
        from mecam.batch import Batch

        whole = self.arrays([*utterances, *views], index=[*index, *index])
        half = len(utterances)
        return Batch.of(_rows(whole, slice(0, half)), Batch.of(_rows(whole, slice(half, None))))

    def _targets(self, utterances: Sequence[Utterance]) -> TargetArrays | None:
        if any(u.label is None for u in utterances):
            return None
        encoded = self.task.encode([u.label for u in utterances])
        named = {modality for u in utterances for modality in u.unimodal}
        nan = float("nan")
        unimodal = {m: np.array([u.unimodal.get(m, nan) for u in utterances], np.float32) for m in sorted(named)}
        return TargetArrays(encoded, unimodal)


@dataclass(frozen=True)
class ViewOptions:
    """How the corrupted view of a batch is drawn.

    Attributes:
        rate: each modality is touched with this probability.
        missing: share of the views that lose rows and words at random instead.
    """

    rate: float
    missing: float = 0.0


def batches(
    dataset: "Dataset | Mixture",
    collator: Collator,
    size: int,
    *,
    shuffle_seed: int | None = None,
    views: ViewOptions | None = None,
    augmentation: "AugmentationConfig | None" = None,
    paired_recordings: Sequence[Mapping[str, Utterance]] = (),
    part: tuple[int, int] = (0, 1),
) -> Iterator["Batch"]:
    """Go through a data set once, in batches of utterances of similar length.

    Args:
        dataset: what to go through; of a mixture, one epoch's draw.
        collator: makes the batches.
        size: utterances per batch.
        shuffle_seed: order and corruption follow from this number alone; None keeps batches sorted by length.
        views: give each batch a corrupted view.
        augmentation: corrupt the utterances themselves.
        paired_recordings: id → the utterance as extracted from its corrupted recording, normalised; most views then
            take its streams.
        part: (i, n) takes every n-th batch from the i-th on: one process's share. All processes get the
            same number of batches; the last ones repeat where it does not come out even.
    """
    plan = _plan(dataset, size, shuffle_seed)
    from mecam.config import AugmentationConfig  # not needed by predicting, which need not wait for them
    from mecam.data.corruption import augmented, corrupted_view

    which, count = part
    plan += (plan * count)[: -len(plan) % count]
    if augmentation == AugmentationConfig():
        augmentation = None
    unk = None if collator.tokenizer is None else collator.tokenizer.unk
    partners = dataset.partners() if views is not None or augmentation is not None else []

    def corrupt(
        index: Sequence[int], given: Sequence[Utterance], rng: "np.random.Generator", how: Callable[..., Utterance]
    ) -> list[Utterance]:
        result = [
            how(as_read(one), rng, partner=_partner(dataset, partners[i], rng), unk=unk, fill=dataset.dropped_row(i))
            for i, one in zip(index, given, strict=True)
        ]
        # Corruption met in a store has gone through the normaliser's limit too.
        return result if dataset.clip is None else [_limited(one, dataset.clip) for one in result]

    for number in range(which, len(plan), count):
        index = plan[number]
        seed = (shuffle_seed or 0, number)
        utterances = given = [dataset[i] for i in index]
        if augmentation is not None:  # from a generator of its own: switching it on leaves the views as they are
            rng = np.random.default_rng((*seed, 1))
            utterances = corrupt(index, given, rng, partial(augmented, options=augmentation))
        if views is None:
            yield collator(utterances, index=index)
            continue
        draw = partial(corrupted_view, rate=views.rate, missing=views.missing)
        rng = np.random.default_rng(seed)
        seen = [_paired_view(view, paired_recordings, rng) for view in corrupt(index, given, rng, draw)]
        yield collator.with_view(utterances, seen, index=index)


def array_batches(
    dataset: Dataset, collator: Collator, size: int, *, part: tuple[int, int] = (0, 1)
) -> Iterator[BatchArrays]:
    """Go through a data set once, the longest utterances first, in batches of arrays: what predicting needs.

    Args:
        dataset: what to go through.
        collator: makes the batches.
        size: utterances per batch.
        part: (i, n) takes every n-th batch from the i-th on, which may be none.
    """
    which, count = part
    for index in _plan(dataset, size, None)[which::count]:
        yield collator.arrays([dataset[i] for i in index], index=index)


def _paired_view(
    view: Utterance, paired_recordings: Sequence[Mapping[str, Utterance]], rng: "np.random.Generator"
) -> Utterance:
    """The view, mostly with the streams that its corrupted recording gives in place of its own."""
    if not paired_recordings or rng.random() >= PAIRED_VIEWS:
        return view
    paired = paired_recordings[int(rng.integers(len(paired_recordings)))].get(view.id)
    if paired is None:
        return view
    own = tuple(span for span in view.injected if span.modality not in paired.streams)
    return replace(view, streams={**view.streams, **paired.streams}, injected=(*own, *paired.injected))


def _limited(utterance: Utterance, clip: float) -> Utterance:
    """Features within what the normaliser lets through."""
    return replace(utterance, streams={m: np.clip(values, -clip, clip) for m, values in utterance.streams.items()})


def _plan(dataset: "Dataset | Mixture", size: int, seed: int | None) -> list[list[int]]:
    """Positions of each batch."""
    sizes = dataset.sizes()
    if seed is None:
        order = np.argsort(-sizes, kind="stable")
        return [order[i : i + size].tolist() for i in range(0, len(order), size)]
    rng = np.random.default_rng(seed)
    order = dataset.draw(rng)
    plan: list[list[int]] = []
    for start in range(0, len(order), size * BUCKET_BATCHES):
        bucket = order[start : start + size * BUCKET_BATCHES]
        bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
        plan += [bucket[i : i + size].tolist() for i in range(0, len(bucket), size)]
    return [plan[i] for i in rng.permutation(len(plan))]


def _partner(
    dataset: "Dataset | Mixture", candidates: NDArray[np.int64], rng: "np.random.Generator"
) -> Utterance | None:
    return as_read(dataset[int(rng.choice(candidates))]) if len(candidates) else None


def as_read(utterance: Utterance) -> Utterance:
    """Without the transcript, of which a model reads the tokens only: of a long text, fewer words than it has."""
    return replace(utterance, text=None, words=())


def _features(utterances: Sequence[Utterance], modality: Modality, width: int) -> StreamArrays:
    rows = [u.streams.get(modality) for u in utterances]
    lengths = np.array([0 if r is None else len(r) for r in rows], np.int64)
    values = np.zeros((len(rows), max(1, int(lengths.max(initial=0))), width), np.float32)
    injected = np.zeros(values.shape[:2], np.bool_)
    for i, row in enumerate(rows):
        if row is not None:
            values[i, : len(row)] = row
        for span in utterances[i].injected:
            if span.modality == modality:
                injected[i, span.start : span.stop] = True
    missing = np.isnan(values).any(axis=2)
    mask = (np.arange(values.shape[1]) < lengths[:, None]) & ~missing
    values[missing] = 0.0
    return StreamArrays(values, mask, lengths, injected & mask)


def _tokens(utterances: Sequence[Utterance], tokenizer: Tokenizer) -> StreamArrays:
    rows = [_token_row(u, tokenizer) for u in utterances]
    lengths = np.array([len(ids) for ids, _ in rows], np.int64)
    values = np.full((len(rows), max(1, int(lengths.max(initial=0)))), tokenizer.pad, np.int64)
    words = np.full_like(values, -1)
    injected = np.zeros(values.shape, np.bool_)
    for i, (ids, word) in enumerate(rows):
        values[i, : len(ids)], words[i, : len(ids)] = ids, word
        for span in utterances[i].injected:
            if span.modality == TEXT:
                injected[i] |= (words[i] >= span.start) & (words[i] < span.stop)
    mask = np.arange(values.shape[1]) < lengths[:, None]
    return StreamArrays(values, mask, lengths, injected, words)


def _token_row(utterance: Utterance, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of one text with its special tokens, and the word of each."""
    if not utterance.tokens:
        return [], []
    body = [word for word, tokens in enumerate(utterance.tokens) for _ in tokens]
    return tokenizer.framed(utterance.tokens), [*(-1 for _ in tokenizer.start), *body, *(-1 for _ in tokenizer.end)]


def _rows(batch: BatchArrays, rows: slice) -> BatchArrays:
    """Some utterances of a batch."""

    def cut(stream: StreamArrays) -> StreamArrays:
        parts: dict[str, Any] = {name: None if part is None else part[rows] for name, part in vars(stream).items()}
        return StreamArrays(**parts)

    targets = batch.targets and TargetArrays(
        batch.targets.value[rows], {m: score[rows] for m, score in batch.targets.unimodal.items()}
    )
    streams = {modality: cut(stream) for modality, stream in batch.streams.items()}
    return BatchArrays(batch.ids[rows], batch.index[rows], streams, targets)
