"""Transformers over masked sequences: positions, stacks of `CrossBlock`s, learned summary tokens."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.attention import CrossBlock
from mecam.nn.masked import masked_windows

__all__ = ["Projection", "SummaryTokens", "Transformer", "sinusoids"]


def sinusoids(steps: Float[Tensor, "B T D"]) -> Float[Tensor, "T D"]:
    """Sine and cosine of the position at geometrically spaced rates, for sequences of this shape.

    Source: Vaswani et al., 2017 (arXiv 1706.03762), positional encoding. Differs: the sines fill the first half
    of the columns, the cosines the second.
    """
    _, count, width = steps.shape
    place = torch.arange(count, device=steps.device, dtype=torch.float32).unsqueeze(1)  # T 1
    half = (width + 1) // 2
    rate = torch.exp(torch.arange(half, device=steps.device) * (-math.log(10_000.0) / half))
    angle = place * rate  # T half
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width].to(steps.dtype)


class Projection(nn.Module):
    """Rows of one modality in the width that all share: a convolution over time, then means of windows of rows.

    Args:
        features: F of the rows.
        width: D of the steps.
        kernel: rows that a step of the convolution sees; odd.
        window: rows that become one step; 1 keeps all.

    Source: Tsai et al., MulT, ACL 2019 (arXiv 1906.00295), temporal convolutions. Differs: the window, which
    keeps long streams affordable; masked rows are zero.
    """

    def __init__(self, features: int, width: int, *, kernel: int = 1, window: int = 1) -> None:
        super().__init__()
        assert kernel % 2, kernel
        self.window = window
        self.convolution = nn.Conv1d(features, width, kernel, padding=kernel // 2)

    def forward(
        self, rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B W D"], Bool[Tensor, "B W"]]:
        """Steps and which of them have an observed row."""
        rows = rows.masked_fill(~mask.unsqueeze(-1), 0.0)
        steps = self.convolution(rows.transpose(1, 2)).transpose(1, 2)  # B T D
        return masked_windows(steps, mask, self.window)


class Transformer(nn.Module):
    """Layers of attention: one sequence gathers from another that stays as it is, or from itself.

    Args:
        width: D of both.
        heads: H; must divide `width`.
        layers: how many.
        dropout: on the residual branches.
        hidden: width of the feed-forward part; 2 × `width` unless given.
    """

    def __init__(self, width: int, heads: int, layers: int, *, dropout: float = 0.0, hidden: int | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossBlock(width, heads, talking=False, dropout=dropout, hidden=hidden) for _ in range(layers)
        )

    def forward(
        self,
        steps: Float[Tensor, "B Tq D"],
        mask: Bool[Tensor, "B Tk"],
        keys: Float[Tensor, "B Tk D"] | None = None,
        *,
        only: int | None = None,
    ) -> Float[Tensor, "B _ D"]:
        """Return the steps, each enriched by all that the mask lets it see.

        Args:
            steps: what gathers.
            mask: which keys may be seen.
            keys: what it gathers from; the steps themselves unless given.
            only: return this many first steps; without keys, the last layer then computes no others.
        """
        for i, layer in enumerate(self.layers):
            last = i + 1 == len(self.layers)
            steps = layer(steps[:, :only] if last else steps, steps if keys is None else keys, mask)
        return steps[:, :only]


class SummaryTokens(nn.Module):
    """A few learned tokens read a sequence of any length and come out as its summary.

    They stand before the sequence, and all go through a transformer, of which only the tokens are kept. A sequence
    without observed steps leaves them to themselves.

    Source: Zhang et al., ALMT, EMNLP 2023 (arXiv 2310.05804), and Zhang et al., LNLN, NeurIPS 2024 (arXiv
    2409.20012), the embedding of each modality. Differs: sine and cosine positions instead of learned ones, so that any
    length can be read.

    Args:
        width: D.
        heads: H.
        layers: of the transformer.
        tokens: how many come out.
        dropout: on the residual branches.
        hidden: width of the feed-forward parts.
    """

    def __init__(
        self, width: int, heads: int, layers: int, tokens: int, *, dropout: float = 0.0, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.transformer = Transformer(width, heads, layers, dropout=dropout, hidden=hidden)

    def forward(self, steps: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B S D"]:
        """Summarise; masked steps are not seen."""
        count = len(self.tokens)
        tokens = self.tokens.to(steps.dtype).expand(steps.shape[0], -1, -1)
        steps = (steps + sinusoids(steps)).masked_fill(~mask.unsqueeze(-1), 0.0)
        whole = torch.cat([tokens, steps], dim=1)  # B S+T D
        summary: Tensor = self.transformer(whole, nn.functional.pad(mask, (count, 0), value=True), only=count)
        return summary
