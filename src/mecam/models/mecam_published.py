"""MECAM as its published code computes it, repaired to run: the row to compare `mecam` with.

    text ─ encoder, [CLS] ──────────────────────────┬─ key and value ─┐
    audio, vision ─ LSTM, last hidden state, linear ┼─ query ─ talking heads ─┴─ concatenate ─ linear, tanh, linear,
                                                    │                                          tanh, linear → prediction
                                                    └─ contrast within, information between the modalities

Each modality is one vector before attention, so a query meets a single key, the softmax over it is 1, and what is
gathered depends on the text alone: audio and vision cannot change a prediction, only, through the losses, what the
text encoder learns. This is the published method, and stays.

Source: Wang R., Wang Y., Cambria E., Fan X., Yu X., Huang Y., E X., Zhu X., Cognitive Computation 17(3):107, 2025, and
its code. Differs, so that it runs and trains: attention is built once, is trained, and drops nothing at evaluation; a
batch of one works; a covariance is shrunk, and one of too few samples is skipped and counted; the heads of the
information term are fitted without a backward pass through the encoders; the last layer starts at the best constant
prediction. So that it goes through the same loop as every model: AdamW, one warm-up and decay, the checkpoint chosen
on validation. So that it reads any store: further modalities are treated like vision, precomputed text features are
read by an LSTM, an absent modality is left out of the losses, and without text the answer is the constant prediction;
"positive" and "negative" samples are the groups of `Task.groups`.

The authors' training: `--set data.max_tokens=50 training.epochs=40 training.patience=10 training.weight_decay=1e-4
training.encoder_learning_rate=5e-5`, each after a `--set` of its own.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Count, Dropout, Positive, Range, Rate, Weight
from mecam.losses.contrastive import equal_labels, published_contrast
from mecam.losses.information import EntropyMemory, GaussianHead, gaussian_log_likelihood
from mecam.models.base import Model, Phase, TextOptions, or_prior, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.attention import Attention
from mecam.nn.encoders import RecurrentEncoder
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "MecamPublished", "MecamPublishedConfig"]


@dataclass(frozen=True)
class MecamPublishedConfig(TextOptions):
    """Options of the published MECAM; the defaults are the authors' for MOSI.

    Text encoder of the paper: `bert-base-uncased`.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.contrast": Between(0.0, 0.5),
        "model.information": Between(0.0, 0.5),
    }

    hidden: Count = 16
    """Size of an LSTM's state and of a modality's vector; text keeps the width of its encoder."""
    hidden_of: dict[Modality, Count] = field(default_factory=dict)
    """Other sizes for single modalities; the authors' for MOSEI is `model.hidden_of.vision=32`."""
    heads: Count = 8
    """Of the attention."""
    head_width: Count = 64
    """Of each of them."""
    fusion: Count = 128
    """Width of the hidden layers of the fusion."""
    dropout: Dropout = 0.1
    """On LSTM states, on what attention gathers and on what is fused."""
    contrast: Weight = 0.2
    """α of the intra-modal contrast; the authors' for MOSEI is 0.1."""
    temperature: Positive = 0.03
    """τ of the contrast."""
    negative: Weight = 0.8
    """w of the contrast."""
    information: Weight = 0.05
    """β of the information term."""
    shrinkage: Rate = 0.1
    """Of the covariances in its entropy; 0 skips those of fewer samples than dimensions."""


class MecamPublished(Model):
    """The published method, for any task and any set of modalities with text among them."""

    def __init__(self, config: MecamPublishedConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=(TEXT, *(m for m in inputs.modalities if m != TEXT)))
        self.config = config
        self.text_encoder = config.encoder if inputs.raw_text else None
        self.others = tuple(m for m in self.reads if m != TEXT)
        self.ignores = self.others  # though it reads them: see above; the contract of a model asks
        self.pairs = tuple(itertools.combinations((TEXT, *reversed(self.others)), 2))
        encoders = {m: self._encoder(m, pretrained) for m in self.reads}
        widths = {m: encoder.width for m, encoder in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.attention = nn.ModuleDict(
            {
                m: Attention(
                    widths[m], config.heads, before=False, key_width=widths[TEXT], head_width=config.head_width
                )
                for m in self.others
            }
        )
        self.dropout = nn.Dropout(config.dropout)
        self.fusion = nn.Sequential(
            nn.Linear(sum(widths.values()), config.fusion),
            nn.Tanh(),
            nn.Linear(config.fusion, config.fusion),
            nn.Tanh(),
        )
        self.head = prediction_head(inputs, config.fusion)
        self.information = nn.ModuleDict({f"{x}_{y}": GaussianHead(widths[x], widths[y]) for x, y in self.pairs})
        self._memory = EntropyMemory(inputs.task, self.others, shrinkage=config.shrinkage)

    def _encoder(self, modality: Modality, pretrained: bool) -> TextEncoder | RecurrentEncoder:
        config = self.config
        if modality == TEXT and self.inputs.raw_text:
            return TextEncoder(
                config.encoder,
                pretrained=pretrained,
                frozen=config.freeze_encoder,
                frozen_layers=config.freeze_layers,
            )
        size = config.hidden_of.get(modality, config.hidden)
        return RecurrentEncoder(self.inputs.features[modality].width, size, size, dropout=config.dropout)

    def train(self, mode: bool = True) -> "MecamPublished":
        """Forget the batch before: an epoch's first has none, whether or not the run was interrupted there."""
        self._memory.forget()
        return super().train(mode)

    def forward(self, batch: Batch) -> Output:
        """One vector per modality; the others query the text; all are fused."""
        vectors = {m: self._vector(m, batch) for m in self.reads}  # each B D_m
        has_text = batch.streams[TEXT].mask.any(dim=1)  # B
        gathered = [self._gathered(m, vectors, has_text) for m in self.others]
        fused = self.fusion(self.dropout(torch.cat([vectors[TEXT], *gathered], dim=1)))  # B fusion
        values = or_prior(self.inputs, self.head(fused), has_text)  # B outputs
        return Output(prediction=self.inputs.task.as_prediction(values), embeddings=vectors)

    def _vector(self, modality: Modality, batch: Batch) -> Float[Tensor, "B D"]:
        stream = batch.streams[modality]
        encoded: Tensor = self.encoders[modality](stream.values, stream.mask)
        return encoded[:, 0] if encoded.ndim == 3 else encoded  # of text, the first token: [CLS]

    def _gathered(
        self, modality: Modality, vectors: Mapping[Modality, Tensor], has_text: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B D"]:
        """What a modality gathers from the text, as sequences of length one."""
        query, key = vectors[modality].unsqueeze(1), vectors[TEXT].unsqueeze(1)  # B 1 D, B 1 E
        gathered: Tensor = self.attention[modality](query, key, has_text.unsqueeze(1)).squeeze(1)
        return self.dropout(gathered)  # type: ignore[no-any-return]

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Task, contrast of each modality, information of each pair, entropy of each modality that is foretold."""
        assert batch.targets is not None
        task, target = self.inputs.task, batch.targets.value
        vectors, present = output.embeddings, {m: batch.streams[m].mask.any(dim=1) for m in self.reads}
        losses = {"task": task.loss(output.prediction, target)}
        same = equal_labels(target)
        for m in self.reads:
            losses[f"contrast_{m}"] = published_contrast(
                vectors[m], same, present[m], temperature=self.config.temperature, negative=self.config.negative
            )
        for x, y in self.pairs:
            mean, log_variance = self.information[f"{x}_{y}"](vectors[x])
            both = present[x] & present[y]
            bound = gaussian_log_likelihood(mean, log_variance, vectors[y], both, normalised=False)
            losses[f"information_{x}_{y}"] = -bound
        return losses | self._memory.losses(vectors, batch)

    def after_step(self, output: Output, batch: Batch) -> None:
        """Remember the batch for the entropy of the next."""
        self._memory.keep(output.embeddings, batch)

    def _foretold(self, modality: Modality) -> int:
        """In how many pairs (x, y) this modality is y."""
        return sum(y == modality for _, y in self.pairs)

    def phases(self) -> tuple[Phase, ...]:
        """Each epoch twice through the data: first the information heads alone, then everything else.

        Stage 0 maximises the bound; stage 1 minimises L1 + α Σ contrast − β Σ (bound + entropy), with an entropy for
        each pair.
        """
        config = self.config
        weights = {"task": 1.0}
        weights |= {f"contrast_{m}": config.contrast for m in self.reads}
        bounds = [f"information_{x}_{y}" for x, y in self.pairs]
        weights |= dict.fromkeys(bounds, config.information)
        weights |= {f"entropy_{m}": config.information * self._foretold(m) for m in self.others}
        weights |= {f"skipped_{m}": 0.0 for m in self.others}  # for the log
        rest = Phase("everything else", weights, ("encoders.", "attention.", "fusion.", "head."))
        heads = Phase("information heads", dict.fromkeys(bounds, 1.0), ("information.",))
        return (heads, rest) if self.pairs else (rest,)


ENTRY = Entry(MecamPublished, MecamPublishedConfig)
