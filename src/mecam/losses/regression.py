"""Losses between a prediction and its label, one per kind of task."""

import torch
from torch import Tensor, nn

from mecam.types import Task

__all__ = ["task_loss"]


def task_loss(task: Task, prediction: Tensor, target: Tensor) -> Tensor:
    """Mean loss of a batch.

    Regression: L1, the field's choice for MOSI-like scores. Classes: cross-entropy. Multilabel: binary
    cross-entropy, averaged over labels.

    Args:
        task: kind of label.
        prediction: B scores, or B × C logits.
        target: `Targets.value`.

    Returns: a scalar; 0 for an empty batch.
    """
    if len(target) == 0:
        return prediction.sum() * 0.0
    if task.kind == "regression":
        return torch.mean(torch.abs(prediction - target))
    if task.kind == "classes":
        return nn.functional.cross_entropy(prediction, target)
    return nn.functional.binary_cross_entropy_with_logits(prediction, target)
