"""Words in their order: how well each token goes with those beside it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

DISTANCES = (1, 2)
"""How far apart the two tokens of a pair are."""

__all__ = ["WordOrder"]


class WordOrder(nn.Module):
    """Scores pairs of tokens by whether one is likely to follow the other.

    The score of a pair is bilinear in the two embeddings, s(a, b) = ⟨A a, B b⟩ / √width + c, one pair of matrices
    per distance, and learns to tell real pairs from pairs whose second token is another one of the same text.
    At the optimum it is how much more often b follows a than chance would have it, so that words in a wrong
    order stand out without a parallel corpus of spoilt texts.

    Source: noise-contrastive estimation, Gutmann and Hyvärinen, AISTATS 2010; that its optimum is the pointwise
    mutual information, Levy and Goldberg, NeurIPS 2014.

    Args:
        embedding: D of a token embedding.
        width: of the space in which pairs are compared.
    """

    signs = 2 * len(DISTANCES)
    """Figures per token that `forward` returns."""

    def __init__(self, embedding: int, width: int = 64) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embedding, elementwise_affine=False)
        self.first = nn.ModuleList(nn.Linear(embedding, width) for _ in DISTANCES)
        self.second = nn.ModuleList(nn.Linear(embedding, width) for _ in DISTANCES)
        self.offset = nn.Parameter(torch.zeros(len(DISTANCES)))

    def forward(self, tokens: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T S"]:
        """Log-probability that each pair is a real one, given to both of its tokens; 0 where there is no neighbour."""
        tokens = self.norm(tokens)
        signs = []
        for i, distance in enumerate(DISTANCES):
            left, right, real = _pairs(tokens, mask, distance)
            seen = nn.functional.logsigmoid(self._score(i, left, right)).masked_fill(~real, 0.0)  # B T-distance
            signs += [nn.functional.pad(seen, (0, distance)), nn.functional.pad(seen, (distance, 0))]
        return torch.stack([part[:, : mask.shape[1]] for part in signs], dim=-1)

    def loss(self, tokens: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
        """Cross-entropy of telling real pairs from made ones, mean over distances; 0 where there is no pair."""
        tokens = self.norm(tokens)
        picked = torch.multinomial(mask.float() + 1e-9, mask.shape[1], replacement=True)  # B T
        others = tokens.gather(1, picked.unsqueeze(-1).expand_as(tokens))
        total = tokens.new_zeros(())
        for i, distance in enumerate(DISTANCES):
            left, right, real = _pairs(tokens, mask, distance)
            made = others[:, : right.shape[1]]
            cost = nn.functional.softplus(-self._score(i, left, right)) + nn.functional.softplus(
                self._score(i, left, made)
            )
            total = total + (cost * real).sum() / real.sum().clamp(min=1)
        return total / (2 * len(DISTANCES))

    def _score(self, i: int, left: Tensor, right: Tensor) -> Tensor:
        product = (self.first[i](left) * self.second[i](right)).sum(dim=-1)  # B P
        return product / self.first[i].out_features ** 0.5 + self.offset[i]  # type: ignore[no-any-return, operator]


def _pairs(tokens: Tensor, mask: Tensor, distance: int) -> tuple[Tensor, Tensor, Tensor]:
    """First tokens, second tokens, and which pairs are real; none where the text is shorter."""
    return tokens[:, :-distance], tokens[:, distance:], mask[:, :-distance] & mask[:, distance:]
