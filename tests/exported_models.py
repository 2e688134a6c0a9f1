"""Exported models of untrained networks: enough for what only predicts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import tiny
import voices
from clips import talking
from mecam.arrays import BatchArrays
from mecam.data.store import Store, StoreWriter
from mecam.export import export, network
from mecam.export.export import export_model
from mecam.features.recording import Recipe, read_recording
from mecam.models.base import Model
from mecam.models.trained import Trained, save_checkpoint
from mecam.synthetic.clips.render import write_clip
from mecam.task import Regression


@contextmanager
def one_network() -> Iterator[None]:
    """Follow each model once: exporting it again takes the network of the first time, which takes many seconds."""
    known: dict[str, onnx.ModelProto] = {}

    def network_of(model: Model, example: BatchArrays) -> onnx.ModelProto:
        weights = hashlib.sha256()
        for name, values in model.state_dict().items():
            weights.update(name.encode() + values.numpy().tobytes())
        key = weights.hexdigest()
        if key not in known:
            known[key] = network.network_of(model, example)
        return known[key]

    before = export.network_of
    export.network_of = network_of
    try:
        yield
    finally:
        export.network_of = before


def with_interval(trained: Trained) -> Trained:
    """With an interval around its scores, where it gives scores."""
    calibration = {"0.9": 1.25} if trained.checkpoint.inputs.task.is_score else {}
    return replace(trained, checkpoint=replace(trained.checkpoint, calibration=calibration))


def of_clips(folder: Path, encoder: str, name: str = "mecam") -> Path:
    """A folder with the talking face `clip.mp4` and its captions, the `store` of its features, and an untrained `model`
    of text, audio and vision with its export in `exported`.
    """
    recipe = Recipe(("mecam-audio", "mecam-vision"))
    pictures = talking(lambda time: {"yaw": 8 * time, "mouth_open": time / 4}, np.arange(0, 2, 1 / 8))
    clip = write_clip(folder / "clip.mp4", pictures, rate=8.0, sound=voices.buzz(2.0))
    clip.with_suffix(".srt").write_text("1\n00:00:00,100 --> 00:00:01,900\nit was good\n", encoding="utf-8")
    with StoreWriter(folder / "store", name="faces", task=Regression(), specs=recipe.specs()) as writer:
        for number, split in enumerate(("train", "train", "valid")):
            (utterance,) = read_recording(clip, recipe, id=f"clip{number}", text="it was good", whole=True).utterances
            writer.add(replace(utterance, split=split, label=float(number - 1)))
    trained, _ = make_exported(folder / "exported", name, Store(folder / "store"), encoder)
    save_checkpoint(folder / "model", trained)
    return folder


def make_exported(folder: Path, name: str, store: Store, encoder: str, **options: Any) -> tuple[Trained, Path]:
    """A model with shaken weights, and the folder that it was exported to."""
    trained = with_interval(tiny.build(name, store, encoder, used=True))
    export_model(trained, folder, store, **options)
    return trained, folder
