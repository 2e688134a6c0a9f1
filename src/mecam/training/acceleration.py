"""What makes steps faster at a cost elsewhere: on for training steps, off for validation and test."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mecam.config import TrainingConfig
from mecam.models.base import Model
from mecam.nn.text import TextEncoder

__all__ = ["Acceleration"]


class Acceleration:
    """The text encoder compiled (`training.compile`), matrices multiplied in TF32 (`training.precision=tf32`).

    Compiled is only what a step calls, not the module: checkpoints have the same names. What is validated and tested is
    what a saved model computes when it is loaded.
    """

    def __init__(self, model: Model, config: TrainingConfig) -> None:
        networks = [part.network for part in model.modules() if isinstance(part, TextEncoder)]
        # Batches have other lengths each time, for which nothing is compiled again.
        self._compiled = [(n, torch.compile(n.forward, dynamic=True)) for n in networks if config.compile]
        self._tf32 = config.precision == "tf32"

    @contextmanager
    def on(self) -> Iterator[None]:
        """Inside, steps are fast."""
        before = torch.get_float32_matmul_precision()
        if self._tf32:
            torch.set_float32_matmul_precision("high")
        for network, fast in self._compiled:
            network.forward = fast
        try:
            yield
        finally:
            for network, _ in self._compiled:
                del network.forward  # that of the class again
            torch.set_float32_matmul_precision(before)
