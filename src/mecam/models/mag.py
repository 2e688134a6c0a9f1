"""MAG-BERT: audio and vision shift the hidden states of a text encoder, inside it.

Source: Rahman, Hasan, Lee, Zadeh, Mao, Morency and Hoque, "Integrating Multimodal Information in Large Pretrained
Transformers", ACL 2020 (arXiv 1908.05787).
Differs: any transformers encoder; the vector that predicts is the mean of the tokens, which suits encoders that are not
BERT; any number of other modalities. The gate needs a row per word: where rows do not belong to words, they are divided
evenly over the words (`mecam.nn.axis`); tokens outside of words and words without rows stay as they are but for the
norm. An utterance without text is one blank token, which all its other rows shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Choice, Dropout, Positive, Range
from mecam.errors import ModelError
from mecam.models.base import Model, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.axis import resampled, word_counts
from mecam.nn.masked import masked_mean
from mecam.nn.tap import Tap
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "AdaptationGate", "Mag", "MagConfig"]


class AdaptationGate(nn.Module):
    """Z̄ = LayerNorm(Z + αH), H = Σ_m g_m ⊙ (W_m A_m) + b, g_m = ReLU(W_gm [Z; A_m] + b_gm), α = min(β‖Z‖/‖H‖, 1).

    Source: Rahman et al., ACL 2020 (arXiv 1908.05787), "Multimodal Adaptation Gate". Differs: a token without a
    row of any modality is not shifted, not even by b.

    Args:
        width: D of the hidden states.
        widths: modality → F of its rows.
        shift: β.
        dropout: on the result.
    """

    def __init__(self, width: int, widths: Mapping[Modality, int], *, shift: float, dropout: float) -> None:
        super().__init__()
        self.shift = shift
        self.gates = nn.ModuleDict({m: nn.Linear(width + size, width) for m, size in widths.items()})
        self.taps = nn.ModuleDict({m: Tap() for m in widths})
        self.values = nn.ModuleDict({m: nn.Linear(size, width, bias=False) for m, size in widths.items()})
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "B T D"],
        rows: Mapping[Modality, Float[Tensor, "B T _"]],
        there: Mapping[Modality, Bool[Tensor, "B T"]],
    ) -> Float[Tensor, "B T D"]:
        """Shift the states.

        Args:
            states: Z.
            rows: A_m, one per token.
            there: whether a token has a row of the modality.
        """
        total = self.bias.expand_as(states)
        some = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        for m, gate in self.gates.items():
            opened = self.taps[m](gate(torch.cat([states, rows[m].to(states.dtype)], dim=2)).relu(), there[m])  # B T D
            total = total + (opened * self.values[m](rows[m])).masked_fill(~there[m].unsqueeze(2), 0.0)
            some = some | there[m]
        total = total.masked_fill(~some.unsqueeze(2), 0.0)  # B T D
        length = states.norm(dim=2, keepdim=True)
        # The square root of 0 has no slope: a shift of nothing is kept away from it.
        alpha = (self.shift * length / total.square().sum(dim=2, keepdim=True).add(1e-12).sqrt()).clamp(max=1.0)
        result: Tensor = self.dropout(self.norm(states + alpha * total))
        return result


@dataclass(frozen=True)
class MagConfig(TextOptions):
    """Options of MAG-BERT; values of the authors' code unless said otherwise.

    Text encoder of the paper: BERT-base and XLNet.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.shift": Between(0.1, 3.0, log=True),
        "model.layer": Choice((0, 1, 3)),
    }

    layer: Annotated[int, Ge(0)] = 0
    """Where the gate sits: 0 behind the embeddings, n behind the n-th layer."""
    shift: Positive = 1.0
    """β: the shift is at most this many times as long as the hidden state."""
    dropout: Dropout = 0.5
    """On the shifted hidden states."""
    output_dropout: Dropout = 0.1
    """Before the last layer (that of BERT)."""


class Mag(Model):
    """A multimodal adaptation gate inside a text encoder."""

    def __init__(self, config: MagConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        others = tuple(m for m in inputs.modalities if m != TEXT)
        super().__init__(inputs, reads=(TEXT, *others))
        if not inputs.raw_text:
            raise ModelError(
                "MAG needs transcripts: its gate sits inside a text encoder, and the store has text features alone",
                fix="choose another model, or a store with transcripts",
            )
        self.config = config
        self.text_encoder = config.encoder
        self.aligned = {m for m, spec in inputs.features.items() if spec.aligned}
        encoder = TextEncoder(
            config.encoder, pretrained=pretrained, frozen=config.freeze_encoder, frozen_layers=config.freeze_layers
        )
        encoder.layer(config.layer)  # is there such a place?
        self.encoders = nn.ModuleDict({TEXT: encoder})
        widths = {m: inputs.features[m].width for m in others}
        self.gate: AdaptationGate | None = None
        self.gate_taps = nn.ModuleDict()
        if others:
            self.gate = AdaptationGate(encoder.width, widths, shift=config.shift, dropout=config.dropout)
            self.gate_taps = self.gate.taps
        self.dropout = nn.Dropout(config.output_dropout)
        self.head = prediction_head(inputs, encoder.width)

    def forward(self, batch: Batch) -> Output:
        """Encode with the gate inside, average, predict."""
        stream = batch.streams[TEXT]
        encoder = self.encoders[TEXT]
        assert isinstance(encoder, TextEncoder)
        mask = stream.mask.clone()
        if self.gate is None:
            hidden = encoder(stream.values, mask)
        else:
            mask[:, 0] |= ~mask.any(dim=1)  # the blank token of an utterance without text
            ids = stream.values.masked_fill(~stream.mask, encoder.network.config.pad_token_id or 0)
            gate, rows = self.gate, self._rows_of_tokens(batch)
            hidden = encoder.adapted(ids, mask, lambda states: gate(states, *rows), after=self.config.layer)
        pooled = masked_mean(hidden, mask)  # B D
        return Output(prediction=self.predicted(self.head(self.dropout(pooled)), batch), embeddings={"joint": pooled})

    def _rows_of_tokens(self, batch: Batch) -> tuple[dict[Modality, Tensor], dict[Modality, Tensor]]:
        """For every token the mean row of each other modality during its word, and whether there is one."""
        text = batch.streams[TEXT]
        assert text.words is not None
        absent = ~text.mask.any(dim=1)  # B
        counts = word_counts(batch.streams, self.aligned)
        steps = torch.where(absent, 1, counts)
        index = text.words.clamp(min=0)  # B T
        inside = text.words >= 0
        inside[:, 0] |= absent
        rows, there = {}, {}
        for m in self.reads[1:]:
            words = counts if m in self.aligned else None
            values, known = resampled(batch.streams[m].values, batch.streams[m], words=words, steps=steps)  # B W F
            rows[m] = values.gather(1, index.unsqueeze(2).expand(-1, -1, values.shape[2]))  # B T F
            there[m] = known.gather(1, index) & inside
        return rows, there


ENTRY = Entry(Mag, MagConfig)
