"""Integrated gradients: how much each row and word adds to the score on the way from an empty utterance to this one.

The path starts where every feature has its ordinary value (the train median, 0 after normalisation) and every word is
the unknown token, and goes in a straight line through features and word embeddings. What does not go through the
embedding layer stands still: masks, and the word-pair signs of MECAM's gate, which read token ids.

Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017 (arXiv 1703.01365), Eq. 1,
computed by captum. Needs the extra `explain`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mecam.batch import Batch, Stream
from mecam.errors import ModelError
from mecam.evaluation.explanation.explanation import STEPS, Gradients, require_captum
from mecam.evaluation.explanation.perturbation import Target, bare
from mecam.models.backend import Backend
from mecam.models.trained import Trained
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality, Utterance

__all__ = ["integrated_gradients"]

AT_ONCE = 64
"""Points in one pass."""


def integrated_gradients(backend: Backend, utterance: Utterance, target: Target, *, steps: int = STEPS) -> Gradients:
    """Attribute one number to the rows and words of one utterance.

    Args:
        backend: a model of PyTorch; put into evaluation mode.
        utterance: as a `Dataset` hands it out.
        target: what is explained.
        steps: of the path.

    Raises: MissingExtraError without captum; ModelError if another library computes the model.
    """
    require_captum()
    if not isinstance(backend, Trained):
        raise ModelError(
            "integrated gradients need the PyTorch model", fix="explain the run folder that it was exported from"
        )
    trained = backend
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    model = trained.model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch = trained.collator([bare(utterance)]).to(device)
    path = _Path.of(trained, batch)

    def ask(*inputs: Tensor) -> Tensor:
        with path.at(inputs):
            output = model(_repeated(batch, len(inputs[0]), dict(zip(path.names, inputs, strict=True))))
        return target.read(trained.checkpoint.inputs.task.probabilities(output.prediction))

    with torch.no_grad():
        score, baseline = (float(ask(*ends)[0]) if ends else 0.0 for ends in (path.end, path.start))
    rows: dict[Modality, NDArray[np.float64]] = {}
    total = 0.0
    if path.names:
        found = IntegratedGradients(ask).attribute(path.end, path.start, n_steps=steps, internal_batch_size=AT_ONCE)
        for modality, values in zip(path.names, found, strict=True):
            per_row = values[0].double().sum(dim=-1).detach().cpu().numpy()
            total += float(per_row.sum())
            rows[modality] = _per_word(per_row, batch.streams[modality])
    return Gradients(rows, score, baseline, total, total - (score - baseline), path.held, steps)


@dataclass(frozen=True)
class _Path:
    """Where the path begins and ends, per modality that it goes through.

    Attributes:
        names: modalities.
        start: 1 × T × D each.
        end: 1 × T × D each.
        held: modalities that it does not go through.
        encoder: of the text, if that is among the names.
    """

    names: tuple[Modality, ...]
    start: tuple[Tensor, ...]
    end: tuple[Tensor, ...]
    held: tuple[Modality, ...]
    encoder: TextEncoder | None

    @classmethod
    def of(cls, trained: Trained, batch: Batch) -> "_Path":
        names, start, end, held = [], [], [], []
        encoder = None
        for modality in trained.model.reads:
            stream = batch.streams[modality]
            if not stream.mask.any():
                continue
            if stream.words is None:
                ends = (torch.zeros_like(stream.values), stream.values)
            else:
                encoder = _encoder_in_use(trained, batch)
                if encoder is None:
                    held.append(modality)
                    continue
                assert trained.tokenizer is not None
                unknown = stream.values.masked_fill(stream.words >= 0, trained.tokenizer.unk)
                ends = (_embedded(encoder, unknown, stream.mask), _embedded(encoder, stream.values, stream.mask))
            names.append(modality)
            start.append(ends[0])
            end.append(ends[1])
        return cls(tuple(names), tuple(start), tuple(end), tuple(held), encoder)

    @contextmanager
    def at(self, inputs: tuple[Tensor, ...]) -> Iterator[None]:
        """While this lasts, the text encoder reads these embeddings instead of its tokens."""
        if self.encoder is None:
            yield
            return
        encoder, embeddings = self.encoder, inputs[self.names.index(TEXT)]

        def read(_: nn.Module, given: tuple[Tensor, Tensor], __: Tensor) -> Tensor:
            # The encoder has read each distinct text once, here the same one for all points of the path: cheap.
            return encoder.adapted(*given, lambda _: embeddings, after=0)

        handle = encoder.register_forward_hook(read)
        try:
            yield
        finally:
            handle.remove()


def _encoder_in_use(trained: Trained, batch: Batch) -> TextEncoder | None:
    """The text encoder, if the model calls it as a whole and its embeddings can be found."""
    encoders = getattr(trained.model, "encoders", None)
    encoder = encoders[TEXT] if isinstance(encoders, nn.ModuleDict) and TEXT in encoders else None
    if not isinstance(encoder, TextEncoder):
        return None
    called = []
    handle = encoder.register_forward_hook(lambda *_: called.append(True))
    try:
        encoder.layer(0)
        with torch.no_grad():
            trained.model(batch)
    except ModelError:
        return None
    finally:
        handle.remove()
    return encoder if called else None


@torch.no_grad()
def _embedded(encoder: TextEncoder, ids: Tensor, mask: Tensor) -> Tensor:
    """What the embedding layer makes of tokens: 1 × T × D."""
    seen: list[Tensor] = []

    def look(embeddings: Tensor) -> Tensor:
        seen.append(embeddings)
        return embeddings

    encoder.adapted(ids, mask, look, after=0)
    return seen[0]


def _repeated(batch: Batch, count: int, values: dict[Modality, Tensor]) -> Batch:
    """The utterance once for every point of the path, features replaced by those of the point."""
    streams = {}
    for modality, stream in batch.streams.items():
        rows = stream.values.expand(count, *stream.values.shape[1:])
        if modality in values and stream.words is None:
            rows = values[modality]
        words = None if stream.words is None else stream.words.expand(count, -1)
        streams[modality] = Stream(rows, stream.mask.expand(count, -1), stream.lengths.expand(count), words=words)
    index = torch.arange(count, device=batch.index.device)
    return Batch(ids=batch.ids * count, index=index, streams=streams)


def _per_word(per_row: NDArray[np.float64], stream: Stream) -> NDArray[np.float64]:
    """Sum over the tokens of each word; features stay as they are."""
    if stream.words is None:
        return per_row[: int(stream.lengths[0])]
    words = stream.words[0].cpu().numpy()
    real = words >= 0
    return np.bincount(words[real], weights=per_row[real]).astype(np.float64)
