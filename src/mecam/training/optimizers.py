"""Parameter groups from phases, and the learning-rate schedule."""

import re
from collections.abc import Callable

import torch
from torch import nn

from mecam.config import TrainingConfig
from mecam.errors import ModelError
from mecam.models.base import Model, Phase

__all__ = ["check_phases", "phase_optimizer", "warmup_then_decay"]


def check_phases(model: Model) -> None:
    """Every trainable parameter belongs to a phase, and every phase moves something.

    Raises: ModelError naming the first parameter that would silently stay as it was initialised, or the first
        phase whose prefixes fit no trainable parameter.
    """
    where = type(model).__name__
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for phase in model.phases():
        if not any(name.startswith(phase.parameters) for name in names):
            raise ModelError(f"the phase {phase.name!r} moves no parameter", where=where)
    prefixes = tuple(prefix for phase in model.phases() for prefix in phase.parameters)
    for name in names:
        if not name.startswith(prefixes):
            raise ModelError(f"no training phase moves the parameter {name!r}", where=where)


def phase_optimizer(model: Model, phase: Phase, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over the phase's parameters; the text encoder at its own rates and decay, which is on matrices only."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = _encoder_depth(model)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or not name.startswith(tuple(phase.parameters)):
            continue
        rate, decay = config.learning_rate, config.weight_decay
        if model.text_encoder and name.startswith(model.text_encoder_prefix):
            rate = config.encoder_learning_rate * config.layer_decay ** (depth - _layer(name, depth))
            decay = config.encoder_weight_decay
        groups.setdefault((rate, decay if parameter.ndim >= 2 else 0.0), []).append(parameter)
    # The fused kernel goes through memory once; most of a small encoder's step is its embedding table.
    fused = all(p.device.type in ("cpu", "cuda") for ps in groups.values() for p in ps)
    return torch.optim.AdamW(
        [{"params": ps, "lr": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()], fused=fused
    )


def warmup_then_decay(steps: int, warmup: float) -> Callable[[int], float]:
    """Factor on the learning rate: up linearly over the first `warmup` of `steps`, then down linearly to 0."""
    rise = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return max(0.0, (steps - step) / max(1, steps - rise))

    return factor


def _encoder_depth(model: Model) -> int:
    layers = [_layer(name, 0) for name, _ in model.named_parameters() if name.startswith(model.text_encoder_prefix)]
    return max(layers, default=0)


def _layer(name: str, default: int) -> int:
    """Layer number of an encoder parameter, embeddings 0, layers from 1; `default` outside both."""
    if "embeddings" in name:
        return 0
    found = re.search(r"\.layers?\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else default
