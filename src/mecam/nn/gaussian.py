"""A Gaussian whose mean and variance are read off another vector."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["GaussianHead"]

LIMIT = 8.0
"""Log variances lie within ± this: e⁻⁸ is narrow enough, and its inverse still a plain number."""


class GaussianHead(nn.Module):
    """q(y|x) = N(μ(x), σ²(x)) with a diagonal σ², both from small networks of their own.

    Args:
        given: D of x.
        width: E of y, and of the hidden layers.
    """

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.mean = _network(given, width)
        self.log_variance = _network(given, width)

    def forward(self, x: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
        """μ and log σ²."""
        return self.mean(x), LIMIT * torch.tanh(self.log_variance(x) / LIMIT)

    def held(self, x: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
        """The same, with the gradient going to x alone: the weights are held as they are.

        For a model that fits its heads (to detached embeddings) and follows them in one and the same step.
        """
        weights = {name: weight.detach() for name, weight in self.named_parameters()}
        result: tuple[Tensor, Tensor] = torch.func.functional_call(self, weights, (x,))
        return result


def _network(given: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(given, width), nn.Tanh(), nn.Linear(width, width))
