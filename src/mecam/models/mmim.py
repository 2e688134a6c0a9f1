"""MMIM: keep what the modalities have in common, between each other and into what is fused of them.

    text ─encoder─ mean ─┬─ q(audio | text), q(vision | text): lower bounds of their information
    streams ─LSTM─ last ─┴─ concatenate ─ layers ─ fused ─┬─ score
                                                           └─ foretells each modality's vector (CPC)

Each epoch goes through the data twice: first the bounds are fitted, then everything else is trained.

Source: Han, Chen and Poria, "Improving Multimodal Fusion with Hierarchical Mutual Information Maximization for
Multimodal Sentiment Analysis", EMNLP 2021 (arXiv 2109.00412).
Differs: the likelihood keeps its −½ log 2πσ², which the published code leaves out; a covariance is shrunk, and one of
too few samples is skipped and counted; the text vector is the mean of the tokens instead of [CLS]; any further modality
is treated like audio and vision; samples are grouped by sign of the score, by class or by label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Count, Dropout, Range, Rate, Weight
from mecam.losses.information import EntropyMemory, GaussianHead, gaussian_log_likelihood, predictive_bound
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.encoders import RecurrentEncoder, Rows
from mecam.nn.masked import masked_mean
from mecam.types import TEXT, Modality

__all__ = ["ENTRY", "Mmim", "MmimConfig"]


@dataclass(frozen=True)
class MmimConfig(TextOptions):
    """Options of MMIM; values of the authors' configuration for MOSI unless said otherwise.

    Text encoder of the paper: BERT-base.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.prediction": Between(0.0, 0.5),
        "model.information": Between(0.0, 0.5),
    }

    recurrent: Count = 16
    """State and output of the LSTM of a feature stream."""
    joint: Count = 128
    """Width of the fused representation."""
    dropout: Dropout = 0.1
    """On LSTM states, the text vector and what is fused."""
    prediction: Weight = 0.1
    """α: each modality's vector should be foretold by the fused one."""
    information: Weight = 0.1
    """β: lower bounds of the information between text and the others."""
    shrinkage: Rate = 0.1
    """Of the covariances in the entropy (ours); 0 skips those of fewer samples than dimensions."""


class Mmim(RowModel[MmimConfig]):
    """Mutual information, maximised at the input and at the fusion."""

    needs_text = True

    def __init__(self, config: MmimConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        size, dropout = config.recurrent, config.dropout
        streams = [m for m in self.reads if isinstance(self.encoders[m], Rows)]
        self.recurrent = nn.ModuleDict(
            {m: RecurrentEncoder(self.widths[m], size, size, dropout=dropout) for m in streams}
        )
        widths = {m: size if m in streams else self.widths[m] for m in self.reads}
        self.dropout = nn.Dropout(dropout)
        self.fuse = nn.Sequential(
            nn.Linear(sum(widths.values()), config.joint), nn.Tanh(), nn.Linear(config.joint, config.joint), nn.Tanh()
        )
        self.head = prediction_head(inputs, config.joint)
        self.foretell = nn.ModuleDict({m: nn.Linear(config.joint, width) for m, width in widths.items()})
        self.others = self.reads[1:]
        self.bounds = nn.ModuleDict({m: GaussianHead(widths[TEXT], widths[m]) for m in self.others})
        self._memory = EntropyMemory(inputs.task, self.others, shrinkage=config.shrinkage)

    def train(self, mode: bool = True) -> "Mmim":
        """Forget the batch before: an epoch's first has none, whether or not the run was interrupted there."""
        self._memory.forget()
        return super().train(mode)

    def forward(self, batch: Batch) -> Output:
        """One vector per modality, fused."""
        vectors = {m: self._vector(m, batch) for m in self.reads}  # each B D_m
        joint = self.fuse(self.dropout(torch.cat(list(vectors.values()), dim=1)))  # B J
        return Output(prediction=self.predicted(self.head(joint), batch), embeddings={**vectors, "joint": joint})

    def _vector(self, modality: Modality, batch: Batch) -> Float[Tensor, "B D"]:
        stream = batch.streams[modality]
        rows = self.encoders[modality](stream.values, stream.mask)  # B T F
        if modality not in self.recurrent:
            return masked_mean(rows, stream.mask)
        vector: Tensor = self.recurrent[modality](rows, stream.mask)
        return vector

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Task, bound and entropy of each modality that the text foretells, CPC of each modality.

        Source: MMIM, information at the level of the inputs (bound, entropy) and of the fusion (CPC).
        """
        losses = super().losses(output, batch)
        present = {m: batch.streams[m].mask.any(dim=1) for m in self.reads}
        vectors = output.embeddings
        for m in self.others:
            mean, log_variance = self.bounds[m](vectors[TEXT])
            bound = gaussian_log_likelihood(mean, log_variance, vectors[m], present[TEXT] & present[m])
            losses[f"likelihood_{m}"] = -bound
        for m in self.reads:
            losses[f"prediction_{m}"] = predictive_bound(self.foretell[m](vectors["joint"]), vectors[m], present[m])
        return losses | self._memory.losses(vectors, batch)

    def after_step(self, output: Output, batch: Batch) -> None:
        """Remember the batch for the entropy of the next."""
        self._memory.keep(output.embeddings, batch)

    def phases(self) -> tuple[Phase, ...]:
        """First the bounds alone are made tight, then everything else follows them. Source: MMIM, two stages."""
        config = self.config
        bounds = dict.fromkeys((f"likelihood_{m}" for m in self.others), config.information)
        weights = {"task": 1.0, **bounds}
        weights |= {f"entropy_{m}": config.information for m in self.others}
        weights |= {f"skipped_{m}": 0.0 for m in self.others}  # for the log
        weights |= {f"prediction_{m}": config.prediction for m in self.reads}
        rest = Phase("everything else", weights, ("encoders.", "recurrent.", "fuse.", "head.", "foretell."))
        return (Phase("bounds", dict.fromkeys(bounds, 1.0), ("bounds.",)), rest) if bounds else (rest,)


ENTRY = Entry(Mmim, MmimConfig)
