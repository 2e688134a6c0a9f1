"""Two text models that share their encoder: emotions (GoEmotions) and sentiment (MOSEI).

The encoder is fine-tuned on GoEmotions alone, so that both it and the emotions may be used freely. Sentiment is learned
beside it, in low-rank updates of its layers. As 8-bit integers both networks hold the same matrices, which lie in one
file.

Example: python pretraining/text_models.py --data data --work work
"""

import argparse
import csv
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import word_stores
from numpy.typing import NDArray
from onnx import external_data_helper as external

from mecam.cli import main as mecam
from mecam.data.store import Store
from mecam.evaluation.statistics import conformal_quantile
from mecam.export.export import calibration, describe, example
from mecam.export.network import network_of
from mecam.export.quantize import LOW_RANK, quantized, smoothing_of
from mecam.models.trained import Trained, load_checkpoint
from mecam.prediction.answers import predict_utterances
from mecam.prediction.built_in import TOKENIZER, WEIGHTS, files_of, logits, text_model
from mecam.prediction.emotions import GROUPS
from mecam.prediction.heads import CLIP, Head
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.pretrained.cards import FOLDER
from mecam.types import Utterance

EMOTIONS = {"training.epochs": 4, "training.patience": 4, "data.max_tokens": 64}
SENTIMENT = {"model.lora": 16, "training.epochs": 3, "training.encoder_learning_rate": 5e-4}
"""Departures from the defaults."""

SHARED_BYTES = 10_000
"""Weights from this size on lie in the file that both networks read."""


def train(store: Path, run: Path, model: str, options: Mapping[str, Any]) -> Trained:
    """Train on a store, or continue; the checkpoint is chosen on its held-out part."""
    settings = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    if mecam(["train", "--data", str(store), "--out", str(run), "--model", model, *settings]):
        raise SystemExit(f"{run} could not be trained")
    return load_checkpoint(run)


def save_encoder(trained: Trained, folder: Path) -> Path:
    """The fine-tuned encoder as a folder of `transformers`, with its tokenizer."""
    encoder = trained.model.encoders["text"]
    encoder.network.save_pretrained(folder)
    trained.tokenizer.save(folder)
    return folder


def networks(models: Mapping[str, tuple[Trained, Store]]) -> dict[str, onnx.ModelProto]:
    """The models as networks with 8-bit integers; the first tells how the encoder of all is smoothed."""
    made, smoothing = {}, None
    for name, (trained, store) in models.items():
        trained.model.eval().cpu()
        examples = calibration(trained, store)
        network = network_of(trained.model, example(trained))
        smoothing = smoothing or smoothing_of(network, examples)
        made[name] = halve_low_rank(quantized(network, smoothing))
    return made


def halve_low_rank(network: onnx.ModelProto) -> onnx.ModelProto:
    """Keep the low-rank updates in half precision, which is turned into single precision when the network is loaded."""
    graph = network.graph
    readers = [node for node in graph.node if LOW_RANK in node.name and node.op_type == "MatMul"]
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(readers):
        tensor = weights[node.input[1]]
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
        cast = onnx.helper.make_node("Cast", [tensor.name], [f"{tensor.name}_single"], to=onnx.TensorProto.FLOAT)
        node.input[1] = cast.output[0]
        graph.node.insert(number, cast)
    return network


def share(made: Mapping[str, onnx.ModelProto], weights: Path) -> int:
    """Move large weights into one file, equal ones once; return how many bytes two networks share."""
    places: dict[bytes, tuple[int, int]] = {}
    shared = 0
    with weights.open("wb") as file:
        for network in made.values():
            for tensor in network.graph.initializer:
                raw = onnx.numpy_helper.to_array(tensor).tobytes()
                if len(raw) < SHARED_BYTES:
                    continue
                if raw in places:
                    shared += len(raw)
                else:
                    file.write(bytes(-file.tell() % 64))  # so that the library can map them
                    places[raw] = (file.tell(), len(raw))
                    file.write(raw)
                offset, length = places[raw]
                tensor.raw_data = raw
                external.set_external_data(tensor, weights.name, offset, length)
                tensor.ClearField("raw_data")
    return shared


def interval_elsewhere(sentiment: Trained, backend: OnnxBackend, folder: Path) -> Trained:
    """With an interval for recordings of another collection: errors are larger there than on held-out MOSEI videos.

    Args:
        sentiment: the model, with the interval of held-out MOSEI videos.
        backend: the same, as it ships.
        folder: of MOSI, whose train and valid splits are read; nothing else is learned from them.
    """
    with (folder / "label.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] != "test"]
    answers = predict_utterances(backend, [Utterance(str(i), text=row["text"]) for i, row in enumerate(rows)])
    errors = [abs(one.score - float(row["label"])) for one, row in zip(answers, rows, strict=True)]
    (level, known), elsewhere = *sentiment.checkpoint.calibration.items(), conformal_quantile(errors)
    print(f"half width of the interval: {known:.2f} on MOSEI, {elsewhere:.2f} on MOSI")
    width = {level: max(known, elsewhere)}
    return replace(sentiment, checkpoint=replace(sentiment.checkpoint, calibration=width))


def fit_groups(model: OnnxBackend, store: Store, place: Path) -> None:
    """How the seven groups follow from the 28 labels, and from where on one is given: from the held-out part."""
    from sklearn.linear_model import LogisticRegression

    held = [store[int(i)] for i in store.split("valid")]
    odds = np.array([list(one.probabilities.values()) for one in predict_utterances(model, held)])
    names = list(store.task.names)
    truth = np.array([[name in one.label for name in names] for one in held])
    rows = logits(odds)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    inputs = ((rows - mean) / scale).clip(-CLIP, CLIP)
    weights, biases, thresholds = [], [], {}
    for group, members in GROUPS.items():
        target = truth[:, [names.index(name) for name in members]].any(axis=1)
        fitted = LogisticRegression(C=0.1, max_iter=2000).fit(inputs, target)
        weights.append(fitted.coef_[0])
        biases.append(fitted.intercept_[0])
        thresholds[group] = best_threshold(fitted.predict_proba(inputs)[:, 1], target)
    labels = {name: best_threshold(odds[:, i], truth[:, i]) for i, name in enumerate(names)}
    layer = (np.stack(weights, axis=1).astype(np.float32), np.array(biases, np.float32))
    about = {"inputs": names, "outputs": list(GROUPS), "thresholds": thresholds, "label_thresholds": labels}
    Head(mean.astype(np.float32), scale.astype(np.float32), (layer,), about).write(place)


def best_threshold(odds: NDArray[Any], truth: NDArray[Any]) -> float:
    """Where F1 is highest."""
    grid = np.linspace(0.05, 0.9, 86)
    f1 = [2 * (truth & (odds >= at)).sum() / max((odds >= at).sum() + truth.sum(), 1) for at in grid]
    return round(float(grid[int(np.argmax(f1))]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with goemotions/, mosei/ and mosi/")
    parser.add_argument("--work", type=Path, required=True, help="folder for stores and runs; what is there is kept")
    options = parser.parse_args()
    work = options.work
    for name, write in (("goemotions", word_stores.goemotions), ("mosei", word_stores.mosei)):
        if not (work / name).exists():
            write(options.data / name, work / name)
    stores = {"emotions": Store(work / "goemotions"), "sentiment": Store(work / "mosei")}
    emotions = train(stores["emotions"].path, work / "emotions", "text_only", EMOTIONS)
    encoder = save_encoder(emotions, work / "encoder")
    settings = {**SENTIMENT, "model.encoder": encoder}
    sentiment = train(stores["sentiment"].path, work / "sentiment", "mecam", settings)
    models = {"emotions": emotions, "sentiment": sentiment}
    folder = FOLDER / "text"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    made = networks({name: (trained, stores[name]) for name, trained in models.items()})
    shared = share(made, folder / WEIGHTS)
    emotions.tokenizer.write_json(folder / TOKENIZER)
    for name, network in made.items():
        (folder / f"{name}.onnx").write_bytes(network.SerializeToString(deterministic=True))
        describe(folder, models[name], {"int8": True, "trained_on": stores[name].name}, files_of(name))
    wider = interval_elsewhere(sentiment, text_model("sentiment"), options.data / "mosi")
    describe(folder, wider, {"int8": True, "trained_on": stores["sentiment"].name}, files_of("sentiment"))
    fit_groups(text_model("emotions"), stores["emotions"], folder / "groups.safetensors")
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{total / 1e6:.1f} MB, of which {shared / 1e6:.1f} MB would be there twice")


if __name__ == "__main__":
    main()
