"""Products of one vector per modality: the whole tensor, and the low-rank way around it."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mecam.types import Modality

__all__ = ["LowRankFusion", "tensor_product"]


def tensor_product(vectors: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, "B P"]:
    """Outer product of [z; 1] over all vectors, flattened with the first vector's axis first.

    Source: Zadeh et al., EMNLP 2017 (arXiv 1707.07250), "Tensor Fusion Layer".
    """
    product = _with_one(vectors[0])  # B P
    for vector in vectors[1:]:
        product = (product.unsqueeze(2) * _with_one(vector).unsqueeze(1)).flatten(1)
    return product


class LowRankFusion(nn.Module):
    """h = Σ_r a_r ∏_m W_m⁽ʳ⁾ [z_m; 1] + b: the tensor's linear map in factors, without the tensor.

    Source: Liu et al., ACL 2018 (arXiv 1806.00064), "Low-rank Multimodal Fusion with Modality-Specific Factors".
    Differs: a weight a_r per rank and a bias, both as in the authors' code, and trained like every other parameter.
    The product starts near the sum of what the modalities say, ∏(1 + x_m) − 1, and not as a product of small numbers,
    from which little is learned for long.

    Args:
        widths: modality → D of its vector.
        rank: R.
        width: D of h.
    """

    def __init__(self, widths: Mapping[Modality, int], *, rank: int, width: int) -> None:
        super().__init__()
        self.factors = nn.ParameterDict({m: nn.Parameter(torch.empty(rank, d + 1, width)) for m, d in widths.items()})
        for factor in self.factors.values():
            for part in factor:
                nn.init.xavier_normal_(part)
            nn.init.ones_(factor[:, -1])
        self.weights = nn.Parameter(torch.full((rank,), 1 / rank))
        self.bias = nn.Parameter(torch.full((width,), -1.0))

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B D"]:
        """Fuse; every modality must be given, an absent one as zeros."""
        product: Tensor | None = None
        for m, factor in self.factors.items():
            projected = torch.einsum("bi,rid->brd", _with_one(vectors[m]), factor)  # B R D
            product = projected if product is None else product * projected
        assert product is not None
        return torch.einsum("brd,r->bd", product, self.weights) + self.bias


def _with_one(vector: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
    return torch.nn.functional.pad(vector, (0, 1), value=1.0)
