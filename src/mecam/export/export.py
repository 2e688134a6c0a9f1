"""`mecam export`: a trained model as a folder that needs no PyTorch, checked before it is handed over."""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mecam.arrays import BatchArrays, OutputArrays
from mecam.data.collate import array_batches
from mecam.data.corruption import without_modality
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.data.tokens import PretrainedTokenizer
from mecam.errors import DataError, ModelError
from mecam.evaluation.metrics import leading_metrics
from mecam.evaluation.predict import ask
from mecam.export.network import network_of
from mecam.export.quantize import quantized, smoothing_of
from mecam.files import set_alike, usual_mode, whole_folder
from mecam.hashes import sha256_of
from mecam.models.backend import Backend
from mecam.models.checkpoint import sealed, without_encoder_place
from mecam.models.trained import Trained
from mecam.prediction.exported import FORMAT, NETWORK, STANDARD, TOKENIZER, VERSION, WEIGHTS, Files, inputs_of
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.types import Modality, Utterance
from mecam.version import __version__

__all__ = ["MAX_DIFFERENCE", "MAX_LOSS", "Quantisation", "calibration", "describe", "example", "export_model"]

MAX_DIFFERENCE = 1e-4
"""How far an answer of the exported network may be from PyTorch's; of numbers above 1, as a part of them."""

MAX_LOSS = 0.01
"""What int8 may cost in the leading metric on validation: one percentage point, or 0.01 on a scale from -3 to 3."""

CHECKED = 48
"""Utterances of the validation split on which the exported network is compared with PyTorch."""

CALIBRATED = 128
"""Utterances of the training split that tell how large the numbers are which 8-bit integers round."""

WORDS = ("the", "film", "was", "not", "very", "good", "but", "I", "would", "see", "it", "again", "they", "laughed")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Quantisation:
    """What 8-bit integers cost.

    Attributes:
        metric: the leading one of the task.
        before: its value on the validation split, in full precision.
        after: with 8-bit integers.
        loss: how much worse it is.
        mean_change: of a score or a probability, over the utterances of the split.
        largest_change: of a score or a probability.
    """

    metric: str
    before: float
    after: float
    loss: float
    mean_change: float
    largest_change: float


def export_model(
    trained: Trained,
    folder: Path,
    store: Store | None,
    *,
    int8: bool = False,
    max_loss: float = MAX_LOSS,
    progress: Progress | None = None,
) -> Mapping[str, Any]:
    """Write a trained model as a folder for ONNX Runtime, whole or not at all.

    Args:
        trained: the model of PyTorch.
        folder: where to; what lies there is replaced.
        store: its validation split is what the export is checked on; None checks on made-up utterances.
        int8: the text encoder's matrices as 8-bit integers.
        max_loss: see `MAX_LOSS`.
        progress: called with what is being done.

    Returns: the card: how the export was checked, and what came out.
    Raises: ModelError if the model cannot be exported, its answers differ from PyTorch's, or int8 costs more than
        `max_loss`; DataError if int8 has no labelled validation split to be measured on.
    """
    tell = progress or (lambda _: None)
    trained.model.eval().cpu()
    store = None if store is None else _store_of(trained, store)
    chosen = None if store is None else trained.dataset(store, store.split("valid"))
    if int8:
        _require_labels(store, chosen)
    tell("following the network")
    network = network_of(trained.model, example(trained))
    tested = [chosen[i] for i in range(min(CHECKED, len(chosen)))] if chosen else _made_up(trained)
    with whole_folder(folder) as partial:
        _write(partial, trained, network)
        card = _card(trained, store.name if store is not None and chosen else None, len(tested))
        tell("comparing with PyTorch")
        # What is opened is let go of at once: Windows moves no folder in which a file is open.
        card["differences"] = _differences(trained, _opened(partial, trained, {**card, "int8": False}), tested)
        if int8 and store is not None and chosen is not None:
            tell("making 8-bit integers")
            smoothing = smoothing_of(network, calibration(trained, store))
            _write(partial, trained, quantized(network, smoothing), mapped=False)
            tell("measuring what 8-bit integers cost")
            measured = _measured(trained, _opened(partial, trained, {**card, "int8": True}), chosen, max_loss)
            card["quantisation"] = vars(measured)
        card["bytes"] = {name: (partial / name).stat().st_size for name in STANDARD.beside_description(partial)}
        describe(partial, trained, {**card, "int8": int8})
    return {**card, "int8": int8}


def _store_of(trained: Trained, store: Store) -> Store:
    """The store with the target of the model.

    Raises: ModelError if its features or its labels are others than the model's.
    """
    trained.preprocessor.check_features(store)
    task = trained.checkpoint.inputs.task
    store = store.for_task(task, trained.checkpoint.data.target)
    if store.task != task:
        raise ModelError(
            f"the model predicts {task.answers}, the store has other labels",
            where=str(store.path),
            fix="give the store that the model was trained on with --data",
        )
    return store


def _require_labels(store: Store | None, chosen: Dataset | None) -> None:
    """Refuse int8 where its cost cannot be measured.

    Raises: DataError.
    """
    if store is None or chosen is None:
        raise DataError("int8 is measured on labelled utterances, and there are none", fix="give a store with --data")
    chosen.require_labels("valid")


def calibration(trained: Trained, store: Store) -> list[dict[str, NDArray[Any]]]:
    """What the network reads of some utterances of the training split, or of all where there is none."""
    indices = store.split("train")
    indices = indices if len(indices) else np.arange(len(store))
    drawn = np.random.default_rng(0).permutation(indices)[:CALIBRATED]
    batches = array_batches(trained.dataset(store, np.sort(drawn)), trained.collator, 1)
    return [inputs_of(batch, trained.reads) for batch in batches]


def example(trained: Trained) -> BatchArrays:
    """A batch to follow the network on: every modality with several rows."""
    return next(array_batches(trained.dataset(_random(trained, 3)), trained.collator, 3))


def _random(trained: Trained, count: int) -> list[Utterance]:
    """Utterances of random numbers and common words."""
    rng = np.random.default_rng(0)
    specs = {m: spec for m, spec in trained.checkpoint.inputs.features.items() if m in trained.model.reads}
    made = []
    for number in range(count):
        streams = {
            m: rng.normal(size=(5 + 3 * number + 2 * place, spec.width)).astype(np.float32)
            for place, (m, spec) in enumerate(sorted(specs.items()))
        }
        text = " ".join(rng.choice(WORDS, 6 + number)) if trained.tokenizer is not None else None
        made.append(Utterance(id=f"random {number}", text=text, streams=streams))
    return made


def _made_up(trained: Trained) -> list[Utterance]:
    return list(trained.dataset(_random(trained, 12)))


def _write(folder: Path, trained: Trained, network: onnx.ModelProto, *, mapped: bool = True) -> None:
    """Write the network, its weights in a file of their own where they are to be mapped, and the tokenizer."""
    (folder / WEIGHTS).unlink(missing_ok=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(network)  # the library moves the weights of what it writes
    options: dict[str, Any] = {"save_as_external_data": True, "location": WEIGHTS} if mapped else {}
    onnx.save_model(copy, str(folder / NETWORK), **options)
    for path in folder.iterdir():
        path.chmod(usual_mode(folder))  # the library makes a file of weights the owner's alone
    if trained.tokenizer is not None:
        trained.tokenizer.write_json(folder / TOKENIZER)


def describe(folder: Path, trained: Trained, card: Mapping[str, Any], files: Files = STANDARD) -> None:
    """Write the description of what lies in the folder."""
    network = onnx.load(folder / files.network, load_external_data=False)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "mecam": __version__,
        **without_encoder_place(trained.checkpoint.to_json()),
        "reads": list(trained.reads),
        "inputs_of_network": [value.name for value in network.graph.input],
        "outputs": [value.name for value in network.graph.output],
        "tokenizer": _tokenizer_facts(trained.tokenizer),
        "card": dict(card),
    }
    names = files.beside_description(folder)
    whole = sealed(content, {name: sha256_of(folder / name) for name in names})
    (folder / files.description).write_text(json.dumps(whole, indent=1), encoding="utf-8")
    set_alike(folder / name for name in (files.description, *names))


def _tokenizer_facts(tokenizer: PretrainedTokenizer | None) -> dict[str, Any] | None:
    if tokenizer is None:
        return None
    special = tokenizer.special
    ids = {"start": list(special.start), "end": list(special.end), "unk": special.unk, "pad": special.pad}
    return {**ids, "max_tokens": tokenizer.max_tokens, "vocabulary": len(tokenizer)}


def _opened(folder: Path, trained: Trained, card: Mapping[str, Any]) -> OnnxBackend:
    """The exported model, as its users will read it."""
    describe(folder, trained, card)
    return OnnxBackend(folder)


def _card(trained: Trained, data: str | None, count: int) -> dict[str, Any]:
    packages = ("torch", "onnx", "onnxruntime")
    return {
        "model": trained.checkpoint.name,
        "trained_on": trained.checkpoint.data_name,
        "checked_on": f"{count} utterances of the validation split of {data}" if data else "made-up utterances",
        "made_with": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _differences(trained: Trained, exported: Backend, utterances: Sequence[Utterance]) -> dict[str, float]:
    """Kind of answer → the largest difference from PyTorch's.

    Raises: ModelError if one is larger than `MAX_DIFFERENCE`.
    """
    found: dict[str, float] = {}
    dataset = Dataset(list(_variants(trained, utterances)), task=trained.checkpoint.inputs.task)
    for batch in array_batches(dataset, trained.collator, 16):
        expected, given = (one.run(batch, total=16, details=True) for one in (trained, exported))
        for kind, difference in _compared(batch, expected, given):
            found[kind] = max(found.get(kind, 0.0), difference)
    if (largest := max(found.values())) > MAX_DIFFERENCE:
        kind = max(found, key=lambda name: found[name])
        raise ModelError(
            f"the exported network differs from PyTorch's by {largest:.1e} ({kind}), more than {MAX_DIFFERENCE:g}",
            fix="use the run folder itself",
        )
    return found


def _variants(trained: Trained, utterances: Sequence[Utterance]) -> Iterator[Utterance]:
    """The utterances, also without each modality, and with a third of their rows and words missing."""
    rng = np.random.default_rng(0)
    for one in utterances:
        yield one
        for modality in trained.reads:
            yield without_modality(one, modality)
        yield _holed(trained, one, rng)
    yield Utterance(id="nothing")


def _holed(trained: Trained, utterance: Utterance, rng: np.random.Generator) -> Utterance:
    streams: dict[Modality, NDArray[np.float32]] = {}
    for modality, rows in utterance.streams.items():
        lost = rng.random(len(rows)) < 1 / 3
        streams[modality] = np.where(lost[:, None], np.float32("nan"), rows)
    tokens = utterance.tokens
    if tokens and trained.tokenizer is not None:
        tokens = tuple(word if rng.random() > 1 / 3 else (trained.tokenizer.unk,) for word in tokens)
    return replace(utterance, streams=streams, tokens=tokens)


def _compared(batch: BatchArrays, expected: OutputArrays, given: OutputArrays) -> Iterator[tuple[str, float]]:
    """Kind of answer and its largest difference; of gates, where a row is observed."""
    yield "prediction", _difference(expected.prediction, given.prediction)
    for kind in ("gates", "shares", "embeddings"):
        before, after = getattr(expected, kind), getattr(given, kind)
        if set(before) != set(after):
            raise ModelError(
                f"the exported network gives other {kind} than PyTorch: {sorted(set(before) ^ set(after))}"
            )
        for name, values in before.items():
            seen = batch.streams[name].mask if kind == "gates" else ...
            yield kind, _difference(values[seen], after[name][seen])
    if (expected.conflict is None) != (given.conflict is None):
        raise ModelError("the exported network and PyTorch do not both give a conflict probability")
    if expected.conflict is not None and given.conflict is not None:
        yield "conflict", _difference(expected.conflict, given.conflict)


def _difference(expected: NDArray[Any], given: NDArray[Any]) -> float:
    """The largest difference, of numbers above 1 as a part of them; infinite where one of them is no number."""
    differences = np.abs(expected - given) / np.maximum(1.0, np.abs(expected))
    return float(np.nan_to_num(differences, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _measured(trained: Trained, exported: Backend, dataset: Dataset, max_loss: float) -> Quantisation:
    """What 8-bit integers cost on the validation split.

    Raises: ModelError if that is more than `max_loss`.
    """
    task = trained.checkpoint.inputs.task
    metric = leading_metrics(task)[0]
    before, after = (ask(one, dataset, trained.collator) for one in (trained, exported))
    truth = before.truth
    assert truth is not None  # chosen for its labels
    full, rounded = (metric(p.prediction, truth) for p in (before, after))
    if full is None or rounded is None:
        raise DataError(f"{metric.title} is undefined on the validation split", fix="give another store with --data")
    loss = (full - rounded) if metric.higher_is_better else (rounded - full)
    changes = np.abs(before.prediction - after.prediction)
    found = Quantisation(metric.name, full, rounded, loss, float(changes.mean()), float(changes.max()))
    cost = loss / ((task.high - task.low) / 6 if task.is_score else 1.0)
    if cost > max_loss:
        raise ModelError(
            f"8-bit integers cost too much: {metric.title} on the validation split goes from {full:.4f} to "
            f"{rounded:.4f}",
            fix=f"export without --int8, or accept it with --max-loss {cost:.4f}",
        )
    return found
