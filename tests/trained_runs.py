"""Run folders that hold nothing but checkpoints of untrained models: enough for what only predicts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
from mecam.data.store import Store
from mecam.models.trained import save_checkpoint


def make_run(folder: Path, name: str, store: Store, encoder: str, *, seeds: int = 1, **changes: Any) -> Path:
    """A run folder with the checkpoints of `seeds` seeds, their weights shaken, calibrated where there are scores."""
    for seed in range(1, seeds + 1):
        trained = tiny.build(name, store, encoder, seed=seed, used=True, **changes)
        calibration = {"0.9": 1.0 + seed / 10} if store.task.kind == "regression" else {}
        place = folder / "seeds" / str(seed) / "checkpoint"
        place.parent.mkdir(parents=True)
        save_checkpoint(place, replace(trained, checkpoint=replace(trained.checkpoint, calibration=calibration)))
    return folder
