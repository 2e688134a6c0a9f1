"""Exported models of untrained networks: enough for what only predicts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

import tiny
from mecam.arrays import BatchArrays
from mecam.data.store import Store
from mecam.export import export, network
from mecam.export.export import export_model
from mecam.models.base import Model
from mecam.models.trained import Trained


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


def make_exported(folder: Path, name: str, store: Store, encoder: str, **options: Any) -> tuple[Trained, Path]:
    """A model with shaken weights, and the folder that it was exported to."""
    trained = with_interval(tiny.build(name, store, encoder, used=True))
    export_model(trained, folder, store, **options)
    return trained, folder
