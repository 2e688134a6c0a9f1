"""A place in a network where what flows through it can be watched, or replaced."""

from torch import Tensor, nn

__all__ = ["Tap"]


class Tap(nn.Module):
    """Gives back what it is given. A forward hook on it sees a gate or a weight, and may put another in its place.

    So whether a filter matters can be measured on a trained model (`mecam robustness --protocol permutation`), and the
    model itself knows nothing of it.
    """

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The values as they are.

        Args:
            values: B × … gates, probabilities or weights.
            mask: B × … where they mean something.
        """
        return values
