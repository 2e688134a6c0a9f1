"""Attention between sequences, with and without talking heads, masked throughout."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.masked import masked_softmax

__all__ = ["Attention", "CrossBlock"]


class Attention(nn.Module):
    """Multi-head attention whose heads may talk to each other.

    Per head J = Q Kᵀ/√d; the H maps of J are mixed by a learned H × H matrix before the softmax, and the
    H maps of weights by another after it.

    Source: Vaswani et al., 2017; Shazeer, Lan, Cheng, Ding and Hou, 2020 (arXiv 2003.02436), talking-heads attention.
    Differs: both mixing matrices start as the identity, so that training starts from plain multi-head
    attention; queries without any key receive zeros.

    Args:
        width: D, of queries and the result.
        heads: H; must divide `width` unless `head_width` is given.
        talking: mix the heads.
        before: mix them before the softmax too.
        key_width: E, of the keys; D unless given.
        head_width: d, of each head; D / H unless given.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        talking: bool = True,
        before: bool = True,
        key_width: int | None = None,
        head_width: int | None = None,
    ) -> None:
        super().__init__()
        assert head_width is not None or width % heads == 0, (width, heads)
        self.heads = heads
        inner = heads * (head_width or width // heads)
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(key_width or width, inner)
        self.value = nn.Linear(key_width or width, inner)
        self.out = nn.Linear(inner, width)
        self.before = nn.Parameter(torch.eye(heads)) if talking and before else None
        self.after = nn.Parameter(torch.eye(heads)) if talking else None

    def forward(
        self,
        queries: Float[Tensor, "B Tq D"],
        keys: Float[Tensor, "B Tk E"],
        key_mask: Bool[Tensor, "B Tk"],
    ) -> Float[Tensor, "B Tq D"]:
        """Let every query gather from the unmasked keys."""
        q, k, v = (self._split(part) for part in (self.query(queries), self.key(keys), self.value(keys)))
        empty = ~key_mask.any(dim=1)[:, None, None]  # B 1 1
        if self.after is None:
            # Heads that do not mix need no map in memory; a row without keys sees all of them and is blanked below.
            seen = (key_mask[:, None, :] | empty).unsqueeze(1)  # B 1 1 Tk
            gathered = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)  # B H Tq d
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # B H Tq Tk
            if self.before is not None:
                scores = _mixed(scores, self.before)
            weights = masked_softmax(scores, key_mask[:, None, None, :])  # B H Tq Tk
            gathered = _mixed(weights, self.after) @ v
        result: Tensor = self.out(gathered.transpose(1, 2).flatten(2))  # B Tq D
        return result.masked_fill(empty, 0.0)

    def _split(self, values: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T d"]:
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


def _mixed(maps: Float[Tensor, "B H Tq Tk"], matrix: Float[Tensor, "H H"]) -> Float[Tensor, "B H Tq Tk"]:
    """Σ_h maps[:, h] · matrix[h, g]; as one product per row of the batch, which moves no map in memory."""
    return (matrix.T @ maps.flatten(2)).view_as(maps)


class CrossBlock(nn.Module):
    """One sequence gathers from another: attention and a feed-forward part, each on a residual path.

    A batch row without keys keeps its queries, changed by the feed-forward part alone.

    Args:
        width: D.
        heads: H.
        talking: see `Attention`.
        dropout: on both residual branches.
        hidden: width of the feed-forward part; 2 × `width` unless given.
    """

    def __init__(
        self, width: int, heads: int, *, talking: bool = True, dropout: float = 0.0, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, talking=talking)
        self.norm_queries = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(width)
        hidden = hidden or 2 * width
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "B Tq D"],
        keys: Float[Tensor, "B Tk D"],
        key_mask: Bool[Tensor, "B Tk"],
    ) -> Float[Tensor, "B Tq D"]:
        """Return the queries, enriched."""
        gathered = self.attention(self.norm_queries(queries), self.norm_keys(keys), key_mask)
        queries = queries + self.dropout(gathered)
        return queries + self.dropout(self.feed_forward(queries))  # type: ignore[no-any-return]
