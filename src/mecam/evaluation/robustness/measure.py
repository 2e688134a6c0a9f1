"""A model under every condition of a plan, one cell for each condition and seed of the masks.

What can be reused is computed once: the encoders' work on modalities that a condition leaves alone, predictions for the
same input, and what is in a file already (`cells`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from mecam.batch import Device
from mecam.evaluation.predict import calibrated, predict
from mecam.evaluation.robustness.cells import cell_name, checkpoint_identity, write_cell
from mecam.evaluation.robustness.conditions import Condition
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.interventions import Intervention, Untouched
from mecam.files import writing
from mecam.models.base import Model
from mecam.models.trained import Trained, load_checkpoint
from mecam.nn.encoders import Rows
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality, Predictions, Utterance

__all__ = [
    "Answer",
    "Job",
    "Measured",
    "Recent",
    "jobs_of",
    "measure",
    "measure_all",
    "remembering_encoders",
]

MEMORY_BYTES = 512 * 2**20
"""Encoded rows that are kept of one encoder; what was not asked for longest goes first."""

SIMILAR = 0.8
"""Rows are encoded side by side where the shortest is at least this part of the longest."""

KNOWN_ANSWERS = 30_000
"""Answers that are kept, to be given again when the same utterance comes back corrupted in the same way."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Answer:
    """The prediction of a model for one utterance.

    Attributes:
        prediction: a score, or C probabilities.
        conflict_probabilities: modality → probability that it contradicts the others; empty for
            models that do not estimate it.
        gates: modality → T in [0, 1].
        missing_rates: modality → the fraction of its time steps that are missing.
    """

    prediction: NDArray[np.float64]
    conflict_probabilities: Mapping[Modality, float]
    gates: Mapping[Modality, NDArray[np.float32]]
    missing_rates: Mapping[Modality, float]


@dataclass(frozen=True)
class Job:
    """One cell to make.

    Attributes:
        condition: what is done to the split.
        seed: of the masks.
        path: where the cell goes.
    """

    condition: Condition
    seed: int
    path: Path


def jobs_of(
    checkpoint: Path, data: EvaluationSplit, conditions: Sequence[Condition], seeds: Sequence[int], place: Path
) -> list[Job]:
    """All cells of one trained model: conditions, and of each that is random one cell per seed.

    Args:
        checkpoint: its folder.
        data: the split that is corrupted.
        conditions: of the plan.
        seeds: of the masks.
        place: the folder of the cells.
    """
    identity = checkpoint_identity(checkpoint)
    jobs = []
    for condition in conditions:
        for seed in seeds if condition.random else seeds[:1]:
            name = cell_name(identity, data.identity, condition.to_json(), seed if condition.random else None)
            jobs.append(Job(condition, seed, place / name))
    return jobs


class Measured:
    """A trained model that answers about corrupted utterances.

    Args:
        trained: the model, on the device where it computes.
        data: the split that is corrupted.
        reuse: give known answers again and encode what is known already once; False computes all of it anew.
    """

    def __init__(self, trained: Trained, data: EvaluationSplit, *, reuse: bool = True) -> None:
        self._trained, self._data, self._reuse = trained, data, reuse
        self._known: Recent[Answer] = Recent(KNOWN_ANSWERS)

    def answers(self, utterances: Sequence[Utterance]) -> list[Answer]:
        """One per utterance, in their order."""
        if not self._reuse:
            return self._predict(utterances)
        keys = [_content(utterance, self._trained.model.reads) for utterance in utterances]
        found = {key: known for key in dict.fromkeys(keys) if (known := self._known.get(key)) is not None}
        new = {key: utterance for key, utterance in zip(keys, utterances, strict=True) if key not in found}
        if new:
            for key, answer in zip(new, self._predict(list(new.values())), strict=True):
                found[key] = answer
                self._known.put(key, answer)
        return [found[key] for key in keys]

    def _predict(self, utterances: Sequence[Utterance]) -> list[Answer]:
        dataset = self._trained.dataset(utterances)
        predictions = predict(self._trained.model, dataset, self._trained.collator, details=True)
        return [
            Answer(
                np.asarray(predictions.prediction[i]),
                {m: float(d[i]) for m, d in predictions.conflict_probabilities.items()},
                predictions.gates[i],
                {m: float(rates[i]) for m, rates in predictions.missing_rates.items()},
            )
            for i in range(len(predictions))
        ]


def _together(trained: Trained, data: EvaluationSplit, answers: Sequence[Answer]) -> Predictions:
    """The answers with what the checkpoint adds: the rest of their recordings, as corrupted, and how sure it is."""
    asked = sorted({m for answer in answers for m in answer.conflict_probabilities})
    own = Predictions(
        data.ids,
        data.videos,
        np.array([answer.prediction for answer in answers]),
        None,
        gates=[answer.gates for answer in answers],
        conflict_probabilities={
            m: np.array([answer.conflict_probabilities.get(m, np.nan) for answer in answers], np.float32) for m in asked
        },
        missing_rates={m: np.array([answer.missing_rates[m] for answer in answers]) for m in trained.model.reads},
    )
    return calibrated(trained, own)


def measure(
    trained: Trained,
    data: EvaluationSplit,
    jobs: Sequence[Job],
    *,
    reuse: bool = True,
    progress: Callable[[], None] | None = None,
) -> None:
    """Make the cells of one trained model.

    Args:
        trained: the model.
        data: the split that is corrupted.
        jobs: cells to make.
        reuse: as in `Measured`.
        progress: called after each cell.
    """
    measured = Measured(trained, data, reuse=reuse)
    if reuse:
        trained.remember_texts([trained.dataset(data.utterances)])
    watched: Recent[Untouched] = Recent(MEMORY_BYTES)
    with remembering_encoders(trained.model) if reuse else nullcontext():
        for job in jobs:
            if isinstance(job.condition, Intervention):
                _intervene(trained, data, job, job.condition, watched)
                if progress:
                    progress()
                continue
            corrupted = [job.condition.corrupt(data, place, job.seed) for place in range(len(data))]
            kept: Sequence[Modality] = (job.condition.modality,) if job.condition.modality else data.modalities
            predictions = _together(trained, data, measured.answers(corrupted))
            write_cell(job.path, predictions, [utterance.injected for utterance in corrupted], kept)
            if progress:
                progress()


def _intervene(
    trained: Trained, data: EvaluationSplit, job: Job, condition: Intervention, watched: "Recent[Untouched]"
) -> None:
    """Make the cell of an intervention; it holds the predictions without it too, of the same batches."""
    name = f"{condition.corruption.key} {job.seed if condition.corruption.random else ''}".encode()
    before = watched.get(name)
    if before is None:
        utterances = [condition.corrupt(data, place, job.seed) for place in range(len(data))]
        before = Untouched(trained, data, utterances)
        watched.put(name, before, before.size)
    after = replace(before.changed(condition, job.seed), gates=[{}] * len(data))
    write_cell(job.path, after, before.spans, data.modalities, before=before.predictions.prediction)


def measure_all(
    checkpoint: Path,
    data: EvaluationSplit,
    jobs: Sequence[Job],
    *,
    device: Device = "cpu",
    progress: Callable[[], None] | None = None,
) -> int:
    """Make the cells that are not there yet; the model is loaded only if there are any.

    Returns: how many were made.
    Raises: ModelError if the checkpoint cannot be read or does not fit the store.
    """
    missing = [job for job in jobs if not job.path.exists()]
    for _ in range(len(jobs) - len(missing)):
        if progress:
            progress()
    if missing:
        trained = load_checkpoint(checkpoint)
        trained.preprocessor.check_features(data.store)
        trained.model.to(device)
        place = missing[0].path.parent
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
        measure(trained, data, missing, progress=progress)
    return len(missing)


def _content(utterance: Utterance, reads: Sequence[Modality]) -> bytes:
    """A hash of all that a model reads of an utterance."""
    digest = hashlib.blake2b(digest_size=16)
    for modality in reads:
        rows = utterance.streams.get(modality)
        if rows is not None:
            digest.update(f"\0{modality} {rows.shape}\0".encode())
            digest.update(np.ascontiguousarray(rows).data)
        elif modality == TEXT:
            digest.update(f"\0text {utterance.text!r}".encode())
    return digest.digest()


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
