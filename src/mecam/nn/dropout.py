"""Dropout whose random numbers cost less on a CPU."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "with_cheap_dropout"]

LEVELS = 1 << 16
"""Rates are multiples of one part in so many."""


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, drawn sixteen bits per number instead of a Bernoulli variable each.

    Elsewhere than on a CPU it is `torch.nn.Dropout`. It draws from PyTorch's generator, so that a seed makes a run
    repeatable as before.

    Source: Srivastava et al., JMLR 15, 2014. Differs: the rate is rounded to 1/65536, and what is kept is scaled by the
    rounded rate, so that means stay right.
    """

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Dropout's
        """Any shape of floating-point numbers → the same shape."""
        dropped = round(self.p * LEVELS)
        if not self.training or not dropped or dropped == LEVELS or input.device.type != "cpu":
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64, device=input.device)
        drawn = words.random_(-(2**63), None).view(torch.int16)[: input.numel()].view(input.shape)
        kept = (drawn >= dropped - LEVELS // 2).to(input.dtype).mul_(LEVELS / (LEVELS - dropped))
        return input * kept


def with_cheap_dropout(network: nn.Module) -> None:
    """Put `Dropout` in the place of every `torch.nn.Dropout` inside a network that others wrote."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
