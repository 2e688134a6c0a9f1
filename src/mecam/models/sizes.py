"""A model that is built for a checkpoint may not be larger than the weights that are to fill it.

Sizes stand in a checkpoint's configuration as plain numbers, and a stranger can write 10⁹ there. The header of the
weights says how many numbers there are to fill in, and no more parameters than that are made: a first try without
memory (PyTorch's meta device) meets what is too large before anything is allocated.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from mecam.errors import MecamError, ModelError

__all__ = ["build_within"]

SLACK_ELEMENTS, SLACK_TENSORS = 1_000_000, 64
"""What a model may make beside its weights: positions, constants."""

MODULES_PER_TENSOR = 20
"""Layers without weights (dropout, activations, containers) that a model may have for each tensor of weights."""


def build_within(weights: Path, build: Callable[[], nn.Module]) -> Any:
    """Build a model, unless it takes more than the weights can fill.

    Args:
        weights: a safetensors file, whose header is read.
        build: makes the model.

    Raises: ModelError if the model is larger than its weights; whatever `build` raises.
    """
    with safe_open(weights, framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
    elements = sum(torch.Size(shape).numel() for shape in shapes)
    try:
        with torch.device("meta"), _bounded(len(shapes), elements):
            build()
    except MecamError:
        raise
    except Exception:  # a model that looks at its numbers while it is built: watched in the second try all the same
        pass
    with _bounded(len(shapes), elements):
        return build()


@contextmanager
def _bounded(tensors: int, elements: int) -> Iterator[None]:
    """Inside, this thread makes no more parameters, buffers and layers than weights of this size can fill."""
    # Tied weights are made twice before they become one.
    most = {"elements": 2 * elements + SLACK_ELEMENTS, "tensors": 2 * tensors + SLACK_TENSORS}
    most["layers"] = MODULES_PER_TENSOR * most["tensors"]
    mine = threading.get_ident()

    def spend(what: str, amount: int) -> None:
        most[what] -= amount
        if most[what] < 0:
            raise ModelError(
                f"its configuration describes a model that is larger than its weights, which have {elements:,} numbers "
                f"in {tensors:,} tensors",
                fix="do not use it: the configuration was changed, or belongs to another checkpoint",
            )

    def made(_: nn.Module, __: str, value: Tensor | None) -> None:
        if value is not None and threading.get_ident() == mine:
            spend("tensors", 1)
            spend("elements", value.numel())

    def layered(_: nn.Module, __: str, ___: nn.Module | None) -> None:
        if threading.get_ident() == mine:
            spend("layers", 1)

    handles = [
        hooks.register_module_parameter_registration_hook(made),
        hooks.register_module_buffer_registration_hook(made),
        hooks.register_module_module_registration_hook(layered),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
