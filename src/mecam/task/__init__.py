"""What a data set asks for: how labels become numbers and predictions words, and what counts as a mistake.

    labels ─encode→ targets ─loss→ training
    outputs ─probabilities→ predictions ─decide→ labels, compared with targets by `error`, `mistakes`, `surprise`

Every kind of task is one class: `Regression`, `Classes`, `Labels`. A new kind is a subclass with a `kind` of its own;
models, metrics, reports and files then follow from its methods. Other code never asks for the kind. Where it must tell
a score from probabilities it asks `is_score`, and where several names may be true at once `several`.

PyTorch is imported only by the methods that are given tensors: predictions are made without it too.
"""

from mecam.task.base import KINDS, Targets, Task
from mecam.task.kinds import EMOTIONS, Classes, Labels, Regression

__all__ = ["EMOTIONS", "KINDS", "Classes", "Labels", "Regression", "Targets", "Task"]
