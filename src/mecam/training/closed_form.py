"""Models that are computed from the whole train split at once (`ClosedFormModel`)."""

import time

import numpy as np
import torch
from lightning_fabric import Fabric

from mecam.errors import TrainingError
from mecam.models.base import ClosedFormModel
from mecam.training.fit import Fit, TrainingData
from mecam.training.world import World

__all__ = ["solved"]


def solved(model: ClosedFormModel, data: TrainingData, fabric: Fabric) -> Fit:
    """Read the train split once, solve with every strength of regularisation, and keep the best on validation.

    The history has a row for each strength, in place of an epoch.

    Raises: TrainingError if no strength gave a defined validation score.
    """
    fabric.to_device(model)
    model.eval()
    figures, targets = [], []
    with torch.inference_mode():
        for batch in data.batches(0):
            assert batch.targets is not None
            figures.append(model(batch.to(fabric.device)).extra["figures"].cpu().numpy())
            targets.append(batch.targets.value.cpu().numpy())
    world = World(fabric)
    everything = np.concatenate(world.gather(np.concatenate(figures))).astype(np.float64)
    labels = np.concatenate(world.gather(np.concatenate(targets)))
    result = Fit()
    for number, strength in enumerate(model.strengths, start=1):
        started = time.monotonic()
        model.solve(everything, labels, strength)
        scores = fabric.broadcast(data.validate(model))
        if (select := scores["select"]) is not None and select > result.best_score:
            result.best_epoch, result.best_score = number, select
            result.best = {key: value.detach().clone() for key, value in model.state_dict().items()}
        row = {"epoch": float(number), "seconds": time.monotonic() - started, "learning_rate": 0.0}
        row |= {"strength": strength, "best": 0.0}
        row |= {f"valid_{name}": float("nan") if v is None else v for name, v in scores.items() if name != "select"}
        result.history.append(row)
    if not result.best:
        raise TrainingError("no solution gave a defined validation score", fix="check the labels of the valid split")
    result.history[result.best_epoch - 1]["best"] = 1.0
    model.load_state_dict(result.best)
    return result
