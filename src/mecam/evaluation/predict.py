"""Network × batches → Predictions. Imports no PyTorch: any `mecam.arrays.Network` may give the answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.arrays import BatchArrays, Network, OutputArrays
from mecam.data.collate import Collator, array_batches
from mecam.data.datasets import Dataset
from mecam.errors import MecamError, ModelError
from mecam.models.calibration import RecordingPredictions
from mecam.task import Task
from mecam.types import TEXT, Modality, Predictions

if TYPE_CHECKING:
    from mecam.models.base import Model
    from mecam.models.checkpoint import Checkpoint

__all__ = [
    "ProcessGroup",
    "ask",
    "calibrated",
    "constant_predictions",
    "contradicting",
    "in_recordings",
    "known_only",
    "predict",
    "with_interval_scales",
]

MIN_CONFLICT = 0.5
"""A modality that contradicts the others more probably than this is said to."""


@runtime_checkable
class ProcessGroup(Protocol):
    """Processes that predict one data set together: each takes its share of the batches, and all know all answers."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def gather(self, mine: Any) -> list[Any]:
        """What every process gives, in their order; all must call."""


def predict(
    model: "Model",
    dataset: Dataset,
    collator: Collator,
    *,
    size: int = 64,
    details: bool = False,
    progress: Callable[[int, int], None] | None = None,
    processes: ProcessGroup | None = None,
) -> Predictions:
    """Predict a data set with a model of PyTorch, on the device that it is on; the rest is as in `ask`."""
    from mecam.models.torch_network import TorchNetwork

    network = TorchNetwork(model, collator.task)
    return ask(network, dataset, collator, size=size, details=details, progress=progress, processes=processes)


def ask(
    network: Network,
    dataset: Dataset,
    collator: Collator,
    *,
    size: int = 64,
    details: bool = False,
    progress: Callable[[int, int], None] | None = None,
    processes: ProcessGroup | None = None,
) -> Predictions:
    """Predict a data set, in its order, in full precision.

    Args:
        network: gives the answers.
        dataset: what to predict.
        collator: makes the batches that the network reads.
        size: utterances per batch; the result does not depend on it.
        details: also return gates, the known place of negative information, and embeddings.
        progress: called with (utterances done, all).
        processes: share the batches, which are those of one process, so that the answers are the same to the last bit.

    Raises: ModelError if an answer is not finite, in every process.
    """
    part = (0, 1) if processes is None else (processes.rank, processes.count)
    rows: Rows = {}
    problem: MecamError | None = None
    try:
        for batch in array_batches(dataset, collator, size, part=part):
            rows |= _answers(network, collator, batch, total=len(dataset), details=details)
            if progress:
                progress(len(rows), len(dataset))
    except MecamError as error:
        problem = error
    rows = _of_all(processes, rows, problem)
    return _in_order(dataset, network.reads, [rows[position] for position in range(len(dataset))])


Rows: TypeAlias = dict[int, dict[str, object]]
"""Position in the data set → what a network says of the utterance."""


def _of_all(processes: ProcessGroup | None, rows: Rows, problem: MecamError | None) -> Rows:
    """The rows of all processes; an error of one is an error of all, as the others would wait for it for ever."""
    if processes is None or processes.count == 1:
        if problem is not None:
            raise problem
        return rows
    everywhere = processes.gather((rows, problem))
    for _, problem in everywhere:
        if problem is not None:
            problem.everywhere = True
            raise problem
    return {position: row for part, _ in everywhere for position, row in part.items()}


def _answers(network: Network, collator: Collator, batch: BatchArrays, *, total: int, details: bool) -> Rows:
    """What a network says of a batch."""
    output = network.run(batch, total=total, details=details)
    _require_finite(network, output.prediction, batch)
    conflict = _conflict_probabilities(network, output, batch)
    missing = _missing_rates(network, collator, batch)
    maps = _maps(output, batch) if details else [({}, {})] * len(batch)
    return {
        position: {
            "prediction": output.prediction[i],
            "shares": {m: share[i] for m, share in output.shares.items()},
            "conflict_probabilities": {m: probability[i] for m, probability in conflict.items()},
            "missing_rates": {m: share[i] for m, share in missing.items()},
            "embeddings": {k: e[i] for k, e in output.embeddings.items()},
            "maps": maps[i],
        }
        for i, position in enumerate(batch.index.tolist())
    }


def _require_finite(network: Network, values: NDArray[np.float64], batch: BatchArrays) -> None:
    """Refuse answers that are none; every answer of a trained network passes here."""
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not wrong.any():
        return
    weights = network.weights_fault()
    what = f"its weights hold {weights}" if weights else "a feature or a weight is too large"
    raise ModelError(
        f"the prediction is not a finite number for {int(wrong.sum())} of {len(values)} utterances: {what}",
        where=f"utterance {batch.ids[int(wrong.argmax())]}",
        fix="use another checkpoint, or train again; `mecam data check` checks the features",
    )


@runtime_checkable
class _Trained(Protocol):
    """A trained network, of which the checkpoint is read."""

    @property
    def checkpoint(self) -> "Checkpoint": ...


def calibrated(trained: _Trained, predictions: Predictions, *, together: bool = True) -> Predictions:
    """The predictions with all that a checkpoint adds: recording context and interval scales.

    Args:
        trained: has the checkpoint of the model.
        predictions: its own.
        together: the utterances are those of whole recordings, as far as these are known (`in_recordings`).
    """
    return with_interval_scales(trained, in_recordings(trained, predictions) if together else predictions)


def with_interval_scales(trained: _Trained, predictions: Predictions) -> Predictions:
    """The predictions, with the scale of the interval around each, from what its utterance lacks."""
    widening = trained.checkpoint.widening
    return (
        predictions if widening is None else replace(predictions, interval_scales=widening(predictions.missing_rates))
    )


def in_recordings(trained: _Trained, predictions: Predictions) -> Predictions:
    """The predictions with recording context, where the model has learned it.

    Args:
        trained: has the checkpoint of the model.
        predictions: its own, of whole recordings as far as they are known.
    """
    context = trained.checkpoint.recording
    return (
        predictions
        if context is None
        else replace(predictions, prediction=context(RecordingPredictions.of(predictions)))
    )


def constant_predictions(task: Task, like: Predictions, prior: Sequence[float]) -> Predictions:
    """The predictions of the constant predictor for the utterances of `like`.

    Args:
        task: kind of label.
        like: predictions of a model.
        prior: `Inputs.prior`, learned on the train split.
    """
    import torch

    output = torch.tensor(prior).expand(len(like), -1)
    values = task.probabilities(task.as_prediction(output))
    return Predictions(like.ids, like.videos, values.numpy(), like.truth, speakers=like.speakers)


def _in_order(dataset: Dataset, reads: Sequence[Modality], rows: list[dict[str, object]]) -> Predictions:
    def columns(name: str) -> dict[str, NDArray[Any]]:
        first = rows[0][name] if rows else {}
        return {key: np.stack([row[name][key] for row in rows]) for key in first}  # type: ignore[attr-defined, index]

    conflict = columns("conflict_probabilities")
    # A model that estimates them never gives exactly 0.
    estimated = any((probability > 0).any() for probability in conflict.values())
    labels = dataset.labels
    known = bool(rows) and all(label is not None for label in labels)
    return Predictions(
        ids=dataset.ids,
        videos=dataset.videos,
        prediction=np.array([row["prediction"] for row in rows], np.float64).reshape(len(rows), *dataset.task.shape),
        truth=dataset.task.encode(labels).astype(np.float64) if known else None,
        gates=[row["maps"][0] for row in rows],  # type: ignore[index]
        injected=[row["maps"][1] for row in rows],  # type: ignore[index]
        shares=columns("shares"),
        embeddings=columns("embeddings"),
        conflict_probabilities=conflict if estimated else {},
        missing_rates=columns("missing_rates") if rows else {modality: np.zeros(0) for modality in reads},
        speakers=dataset.speakers,
    )


def known_only(kept: NDArray[Any]) -> list[float | None]:
    """What was kept of rows, rounded; None where a row is missing, which no filter has seen."""
    return [None if np.isnan(value) else round(value, 4) for value in kept.astype(float).tolist()]


def _conflict_probabilities(
    network: Network, output: OutputArrays, batch: BatchArrays
) -> dict[Modality, NDArray[np.float32]]:
    """Modality → B, NaN where it is absent; empty for a network that does not estimate conflict."""
    if output.conflict is None:
        return {}
    present = {m: batch.streams[m].mask.any(axis=1) for m in network.reads}
    return {m: np.where(present[m], output.conflict[:, i], np.float32("nan")) for i, m in enumerate(network.reads)}


def _missing_rates(network: Network, collator: Collator, batch: BatchArrays) -> dict[Modality, NDArray[np.float64]]:
    """Modality → B, the share of rows that are masked; of tokens, those that are unknown words."""
    shares = {}
    for modality in network.reads:
        if (stream := batch.streams.get(modality)) is None:
            shares[modality] = np.ones(len(batch))
            continue
        seen, rows = stream.mask, stream.lengths
        if modality == TEXT and collator.tokenizer is not None:
            assert stream.words is not None
            real = stream.words >= 0  # special tokens belong to no word
            seen, rows = real & (stream.values != collator.tokenizer.unk), real.sum(axis=1)
        shares[modality] = 1 - seen.sum(axis=1) / np.maximum(rows, 1)
    return shares


Maps = tuple[Mapping[Modality, NDArray[np.float32]], Mapping[Modality, NDArray[np.bool_]]]


def _maps(output: OutputArrays, batch: BatchArrays) -> list[Maps]:
    """Per utterance: what was kept of each row (for text, of each word), and where negative information is known."""
    result: list[Maps] = []
    for i in range(len(batch)):
        kept, known = {}, {}
        for modality, gate in output.gates.items():
            stream = batch.streams[modality]
            length = int(stream.lengths[i])
            if not length:
                continue
            # No filter saw what is missing.
            row = np.where(stream.mask[i, :length], gate[i, :length], np.float32("nan"))
            marked = stream.injected[i, :length]
            if modality == TEXT and stream.words is not None:
                row, marked = _per_word(row, marked, stream.words[i, :length])
            kept[modality], known[modality] = row, marked
        result.append((kept, known))
    return result


def _per_word(
    gate: NDArray[np.float32], marked: NDArray[np.bool_], words: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean gate of each word's tokens; special tokens belong to no word."""
    real = words >= 0
    count = np.bincount(words[real])
    total = np.bincount(words[real], weights=gate[real])
    touched = np.bincount(words[real], weights=marked[real]) > 0
    return (total / np.maximum(count, 1)).astype(np.float32), touched


def contradicting(doubts: Mapping[Modality, float]) -> tuple[Modality, ...]:
    """The modality of an utterance that contradicts the others: at most one, as the probabilities sum to at most 1."""
    return tuple(modality for modality, doubt in doubts.items() if doubt > MIN_CONFLICT)
