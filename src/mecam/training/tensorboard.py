"""The history of a training, epoch by epoch, in TensorBoard's format: `tensorboard --logdir runs`."""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from mecam.errors import MissingExtraError

__all__ = ["Record", "require_tensorboard", "tensorboard"]

Record: TypeAlias = Callable[[Mapping[str, float]], None]
"""Takes one row of the history as soon as its epoch is over."""

GROUPS = ("loss", "valid")
"""A column `loss_task` is shown as `task` in the group `loss`."""


def require_tensorboard() -> None:
    """Raise MissingExtraError if TensorBoard's writer is not installed."""
    if not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise MissingExtraError("tensorboard")


@contextmanager
def tensorboard(folder: Path) -> Iterator[Record]:
    """Write every row that is recorded inside, on the first process only; whole rows are on disk at once.

    Args:
        folder: of the event files. What lies there stays: a training that is gone on with adds a file.

    Yields: a function that takes a row of the history. `epoch` is the step; what is not finite is left out.
    Raises: MissingExtraError if TensorBoard's writer is not installed.
    """
    require_tensorboard()
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    logger = TensorBoardLogger(folder.parent, name="", version=folder.name)

    def record(row: Mapping[str, float]) -> None:
        values = {_tag(key): value for key, value in row.items() if key != "epoch" and math.isfinite(value)}
        logger.log_metrics(values, step=int(row["epoch"]))
        logger.save()

    try:
        yield record
    finally:
        logger.finalize("finished")


def _tag(column: str) -> str:
    group, separator, name = column.partition("_")
    return f"{group}/{name}" if separator and group in GROUPS else column
