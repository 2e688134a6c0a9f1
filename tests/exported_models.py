"""Exported models of untrained networks: enough for what only predicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping

import tiny
from mecam.data.store import Store
from mecam.export.export import export_model
from mecam.models.trained import Trained


@contextmanager
def sizes_unchecked() -> Iterator[None]:
    """Without the tests' own checks of shapes, which compare sizes that an exported network must leave open."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def with_interval(trained: Trained) -> Trained:
    """With an interval around its scores, where it gives scores."""
    calibration = {"0.9": 1.25} if trained.checkpoint.inputs.task.is_score else {}
    return replace(trained, checkpoint=replace(trained.checkpoint, calibration=calibration))


def make_exported(folder: Path, name: str, store: Store, encoder: str, **options: Any) -> tuple[Trained, Path]:
    """A model with shaken weights, and the folder that it was exported to."""
    trained = with_interval(tiny.build(name, store, encoder, used=True))
    with sizes_unchecked():
        export_model(trained, folder, store, **options)
    return trained, folder
