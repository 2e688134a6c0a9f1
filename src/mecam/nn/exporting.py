"""Whether a network is being written down for another library (`mecam export`), and so runs on one example only.

What depends on the numbers of a batch (its distinct rows, its longest row) would be written down as it is for that
example. A network asks here, and takes the way that is right for every batch.
"""

import torch

__all__ = ["exporting"]


def exporting() -> bool:
    """True while PyTorch follows a network on an example (`torch.export`)."""
    return torch.compiler.is_compiling()
