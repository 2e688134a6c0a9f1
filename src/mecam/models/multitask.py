"""MTFN, MLF-DNN and MLMF: TFN, LF-DNN and LMF that learn the label of each modality beside that of the whole.

Source: Yu, Xu, Meng, Zhu, Ma, Wu, Zou and Yang, "CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with
Fine-grained Annotations of Modality", ACL 2020 (2020.acl-main.343): the multi-task framework.
Differs: text is read by a transformers encoder, whose states an LSTM reads; unimodal losses are L1 over the utterances
that have the modality and a label of it; the loop's weight decay stands for the paper's norms; see `tfn`, `lf_dnn` and
`lmf`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.config import Between, Choice, Count, Dropout, Range, Weight
from mecam.errors import ModelError
from mecam.models.base import Phase, RowModel, TextOptions, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.subnets import build_subnets
from mecam.nn.tensors import LowRankFusion, tensor_product
from mecam.types import Modality

__all__ = ["ENTRY", "MultiTask", "MultiTaskConfig"]

MAX_TENSOR_VALUES = 2_000_000
"""Values of MTFN's tensor at most."""


@dataclass(frozen=True)
class MultiTaskConfig(TextOptions):
    """Options of the multi-task family; sizes of the authors' configurations for SIMS unless said otherwise.

    Text encoder of the paper: BERT-base, frozen.
    """

    search: ClassVar[Mapping[str, Range]] = {
        "model.base": Choice(("mlf_dnn", "mlmf", "mtfn")),
        "model.unimodal": Between(0.0, 1.0),
    }

    base: Literal["mtfn", "mlf_dnn", "mlmf"] = "mlf_dnn"
    """Outer product, concatenation, or low-rank factors."""
    text_width: Count = 64
    """Of the text's LSTM and vector (theirs: 64 and 32)."""
    width: Count = 32
    """Of every other modality's layers and vector."""
    own: Count = 16
    """Of the layer before a modality's own score (theirs: 4 to 64)."""
    rank: Count = 3
    """Factors per modality of `mlmf`."""
    hidden: Count = 64
    """Of the fused vector (theirs: 32 to 64)."""
    dropout: Dropout = 0.2
    """In all fully connected layers (theirs: 0.2 to 0.5)."""
    unimodal: Weight = 0.6
    """Loss of each modality's own score, where `unimodal_of` does not say."""
    unimodal_of: dict[Modality, Weight] = field(default_factory=dict)
    """The same for single modalities (theirs for `mlf_dnn`: text 0.2, audio 0.8, vision 0.8, the whole 0.6)."""


class MultiTask(RowModel[MultiTaskConfig]):
    """One task for the whole, one for each labelled modality."""

    def __init__(self, config: MultiTaskConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(config, inputs, pretrained=pretrained)
        self.labelled = tuple(m for m in self.reads if m in inputs.unimodal)
        if not self.labelled:
            raise ModelError(
                "multi-task learning needs labels of single modalities, and this data has none",
                where=f"the data has {', '.join(self.reads)}; labelled: {', '.join(inputs.unimodal) or 'none'}",
                fix="use data that labels its modalities, as CH-SIMS does, or choose `tfn`, `lf_dnn` or `lmf`",
            )
        subnets = build_subnets(
            self.widths,
            text_width=config.text_width,
            width=config.width,
            dropout=config.dropout,
        )
        self.subnets = nn.ModuleDict(subnets)
        widths = {m: subnet.width for m, subnet in subnets.items()}
        self.low_rank = LowRankFusion(widths, rank=config.rank, width=config.hidden) if config.base == "mlmf" else None
        fused = self._fused_width(widths)
        self.fuse = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(fused, config.hidden), nn.ReLU())
        self.head = prediction_head(inputs, config.hidden)
        self.own = nn.ModuleDict(
            {
                m: nn.Sequential(
                    nn.Dropout(config.dropout), nn.Linear(widths[m], config.own), nn.ReLU(), nn.Linear(config.own, 1)
                )
                for m in self.labelled
            }
        )

    def _fused_width(self, widths: dict[Modality, int]) -> int:
        """Values that `_joined` gives.

        Raises: ModelError if the tensor were too large.
        """
        if self.config.base == "mlmf":
            return self.config.hidden
        if self.config.base == "mlf_dnn":
            return sum(widths.values())
        size = math.prod(width + 1 for width in widths.values())
        if size > MAX_TENSOR_VALUES:
            raise ModelError(
                f"the tensor of {', '.join(widths)} would have {size:,} values, more than {MAX_TENSOR_VALUES:,}",
                where="model.width, model.text_width",
                fix="lower them, or set model.base=mlmf, which never builds the tensor",
            )
        return size

    def forward(self, batch: Batch) -> Output:
        """Encode each modality, score it, fuse, predict."""
        rows = self.rows(batch)
        vectors = {m: self.subnets[m](rows[m], batch.streams[m].mask) for m in self.reads}  # each B D
        joint = self.fuse(self._joined(vectors))  # B H
        return Output(
            prediction=self.predicted(self.head(joint), batch),
            embeddings={**vectors, "joint": joint},
            extra={f"own_{m}": self.own[m](vectors[m]).squeeze(1) for m in self.labelled},
        )

    def _joined(self, vectors: dict[Modality, Tensor]) -> Tensor:
        if self.low_rank is not None:
            fused: Tensor = self.low_rank(vectors)
            return fused
        if self.config.base == "mtfn":
            return tensor_product(list(vectors.values()))
        return torch.cat(list(vectors.values()), dim=1)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and L1 of each labelled modality's own score. Source: CH-SIMS, optimisation objectives."""
        assert batch.targets is not None
        losses = super().losses(output, batch)
        for m in self.labelled:
            own = output.extra[f"own_{m}"]  # B
            label = batch.targets.unimodal.get(m, torch.full_like(own, torch.nan))
            known = batch.streams[m].mask.any(dim=1) & ~label.isnan()
            gap = (own - label.nan_to_num()).abs() * known
            losses[f"unimodal_{m}"] = gap.sum() / known.sum().clamp(min=1)
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the weights are those of the configuration."""
        of = self.config.unimodal_of
        return (
            Phase("main", {"task": 1.0} | {f"unimodal_{m}": of.get(m, self.config.unimodal) for m in self.labelled}),
        )


ENTRY = Entry(MultiTask, MultiTaskConfig)
