"""CENET: audio and vision shift the states of the text inside its language model.

    audio, vision rows → "words" of a learned dictionary → what the text's states gather from them → shift
    text: embeddings ─ first layers ─ + shift ─ further layers ─ mean → score

Source: Wang, Liu, Wang, Tian, He and Gao, "Cross-modal Enhancement Network for Multimodal Sentiment Analysis", IEEE
Transactions on Multimedia 25, 2023 (doi 10.1109/TMM.2022.3183830).
Differs: the dictionary is learned with the model, and a row is a soft mixture of its words, where the paper runs
k-means beforehand and takes the nearest word, through which nothing can be learned; any `transformers` encoder; the
mean of the states instead of one token's; where a text is absent the shift alone is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Choice, Count, Dropout, Positive, Range, Weight
from mecam.errors import ConfigError
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.attention import Attention
from mecam.nn.masked import masked_mean
from mecam.nn.text import TextEncoder
from mecam.nn.transformer import Projection, Transformer, sinusoids
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "Cenet", "CenetConfig", "Dictionary", "Enhancement"]


@dataclass(frozen=True)
class CenetConfig(TextOptions):
    """Options of CENET; those without a source are ours. Text encoder of the paper: a sentiment-aware RoBERTa."""

    search: ClassVar[Mapping[str, Range]] = {"model.after": Choice((0, 1, 3)), "model.words": Choice((32, 64, 128))}

    after: Annotated[int, Ge(0)] = 1
    """Layers of the text encoder before the shift; 0 shifts what the embeddings give."""
    words: Count = 64
    """Of the dictionary of each modality."""
    sharpness: Positive = 4.0
    """How strongly a row prefers the nearest word; the paper's k-means is the limit of infinity."""
    heads: Count = 4
    """Of the attention from the text to the others; must divide the width of the text's states."""
    width: Count = 64
    """Of the states, where the text is given as rows of numbers."""
    layers: Count = 2
    """Of a transformer over such rows."""
    dropout: Dropout = 0.1
    """On the shift and before the prediction."""
    quantisation: Weight = 0.1
    """Squared distance of rows to their words, which keeps the dictionary where the rows are."""


class Dictionary(nn.Module):
    """Rows of a modality as mixtures of learned words: p_k ∝ exp(−s‖x − c_k‖²/F), Σ_k p_k e_k.

    Source: CENET, the feature transformation by k-means.

    Args:
        features: F of the rows.
        words: K.
        width: D of a word's embedding.
        sharpness: s.
    """

    def __init__(self, features: int, words: int, width: int, *, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.centres = nn.Parameter(torch.randn(words, features))
        self.words = nn.Parameter(torch.randn(words, width) * 0.02)

    def forward(
        self, rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, " B"]]:
        """Embedded rows, and the mean distance of each utterance's rows to their words."""
        rows = rows.masked_fill(~mask.unsqueeze(-1), 0.0)
        distance = self._distance(rows)  # B T K
        share = (-self.sharpness * distance).softmax(dim=-1)
        gap = masked_mean((share * distance).sum(dim=-1, keepdim=True), mask).squeeze(-1)  # B
        return share @ self.words, gap

    def _distance(self, rows: Float[Tensor, "B T F"]) -> Float[Tensor, "B T K"]:
        """‖x − c‖²/F, without a B × T × K × F tensor."""
        cross = rows @ self.centres.T  # B T K
        sizes = rows.square().sum(dim=-1, keepdim=True) + self.centres.square().sum(dim=-1)
        return (sizes - 2 * cross).clamp(min=0) / rows.shape[-1]


class Enhancement(nn.Module):
    """The shift of the text's states: a linear map of what they gather from each of the other modalities.

    Source: CENET, the cross-modal enhancement module.

    Args:
        width: D of the states.
        heads: of each attention.
        sources: the other modalities.
        dropout: on the shift.
    """

    def __init__(self, width: int, heads: int, sources: tuple[Modality, ...], *, dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({m: Attention(width, heads, talking=False) for m in sources})
        self.shift = nn.Linear(width * len(sources), width)
        self.dropout = nn.Dropout(dropout)
        self.sources = sources

    def forward(
        self,
        states: Float[Tensor, "B T D"],
        rows: dict[Modality, Float[Tensor, "B _ D"]],
        masks: dict[Modality, Bool[Tensor, "B _"]],
    ) -> Float[Tensor, "B T D"]:
        """The states, shifted."""
        gathered = [torch.relu(self.attention[m](states, rows[m], masks[m])) for m in self.sources]
        return states + self.dropout(self.shift(torch.cat(gathered, dim=-1)))  # type: ignore[no-any-return]


class Cenet(RowModel[CenetConfig]):
    """A language model that hears and sees."""

    needs_text = True

    def __init__(self, config: CenetConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        width = self.widths[TEXT] if inputs.raw_text else config.width
        if width % config.heads:
            raise ConfigError(f"model.heads: {config.heads} does not divide the width {width} of the text's states")
        others = self.reads[1:]
        self.dictionaries = nn.ModuleDict(
            {m: Dictionary(self.widths[m], config.words, width, sharpness=config.sharpness) for m in others}
        )
        self.enhance = Enhancement(width, config.heads, others, dropout=config.dropout) if others else None
        if not inputs.raw_text:
            self.enter = Projection(self.widths[TEXT], width)
            self.transformer = Transformer(width, config.heads, config.layers, dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.head = prediction_head(inputs, width)

    def forward(self, batch: Batch) -> Output:
        """Look the others up in their dictionaries, read the text with the shift, predict."""
        rows, masks, extra = {}, {}, {}
        for m in self.reads[1:]:
            stream = batch.streams[m]
            rows[m], extra[f"gap_{m}"] = self.dictionaries[m](self.encoders[m](stream.values, stream.mask), stream.mask)
            rows[m] = rows[m] + sinusoids(rows[m])
            masks[m] = stream.mask

        def enhanced(states: Tensor) -> Tensor:
            return states if self.enhance is None else self.enhance(states, rows, masks)

        stream = batch.streams[TEXT]
        # Where a text is absent its first place takes the shift, and nothing else.
        absent = ~stream.mask.any(dim=1)  # B
        mask = stream.mask | (absent.unsqueeze(1) & (torch.arange(stream.mask.shape[1], device=absent.device) == 0))
        reader = self.encoders[TEXT]
        if isinstance(reader, TextEncoder):
            ids: Int[Tensor, "B T"] = stream.values.masked_fill(absent.unsqueeze(1), 0)
            states = reader.adapted(ids, mask, enhanced, after=self.config.after)  # B T D
        else:
            states, _ = self.enter(reader(stream.values, stream.mask), stream.mask)
            states = self.transformer(enhanced(states + sinusoids(states)), mask)
        pooled = masked_mean(states, mask)  # B D
        prediction = self.predicted(self.head(self.dropout(pooled)), batch)
        return Output(prediction=prediction, embeddings={"joint": pooled}, extra=extra)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and how far rows are from the words of their dictionary."""
        losses = super().losses(output, batch)
        for m in self.reads[1:]:
            present = batch.streams[m].mask.any(dim=1)
            losses[f"quantisation_{m}"] = output.extra[f"gap_{m}"].sum() / present.sum().clamp(min=1)
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        weights = {f"quantisation_{m}": self.config.quantisation for m in self.reads[1:]}
        return (Phase("main", {"task": 1.0, **weights}),)


ENTRY = Entry(Cenet, CenetConfig)
