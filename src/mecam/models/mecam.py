"""MECAM: filter the negative information out of each modality, then fuse with talking heads.

    stream ─encoder→ hidden ─gate→ kept ─┬─ talking heads over sequences ─ pool ─┐
                               └ removed  └─ unimodal score ─ × share ───────────┴→ prediction
                                                └─ who contradicts? ─→ its gate closes

Source: Wang R., Wang Y., Cambria E., Fan X., Yu X., Huang Y., E X., Zhu X., Cognitive Computation 17(3):107,
2025. Differs: the gate, the corrupted views and the graded contrast make explicit what the paper describes as
filtering; attention runs over sequences (the published code pools first, so that each query sees a single key).
`mecam_published` follows the published code.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.batch import Batch, Output, Stream
from mecam.config import Between, Count, Dropout, Positive, Range, Weight
from mecam.errors import ConfigError
from mecam.hub import EMBEDDED
from mecam.losses.contrastive import instance_contrast, label_contrast
from mecam.losses.information import GaussianHead, gaussian_log_likelihood, group_entropy
from mecam.models.base import Model, Phase, build_encoder, or_prior, prediction_head
from mecam.models.inputs import Inputs
from mecam.models.registry import Entry
from mecam.nn.fusion import Fusion
from mecam.nn.gate import CORRUPTION_CUES, ConflictNetwork, Filtered, Gate, WordOrder, corruption_cues
from mecam.nn.masked import masked_mean
from mecam.nn.statistics import stream_statistics
from mecam.nn.tap import Tap
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality

SHRINKAGE = 0.1
"""Of the covariances in the entropy of the information term."""

MAX_PARTNER_AFFINITY = 0.1
"""Label affinity below which two utterances count as feeling otherwise."""

Steps: TypeAlias = Mapping[Modality, Float[Tensor, "B T D"]]
Masks: TypeAlias = Mapping[Modality, Bool[Tensor, "B T"]]

__all__ = ["ENTRY", "FilterConfig", "FusionConfig", "Mecam", "MecamConfig"]


@dataclass(frozen=True)
class FilterConfig:
    """The filter and the losses that teach it; a weight of 0 switches a loss off."""

    enabled: bool = True
    """False keeps everything."""
    groups: Count = 8
    """Channel groups with a gate of their own; must divide the width."""
    context: bool = True
    """Let a modality's gate see the other modalities, to notice contradiction."""
    contrast: Weight = 0.0
    """Intra-modal contrast of kept embeddings by label, as in the published method: with it the
    filter finds fewer contradictions of voice and face, and the error is no smaller (docs/decisions.md)."""
    temperature: Positive = 0.1
    """Of both contrasts."""
    spread: Positive = 0.5
    """σ_y: labels this far apart (in units of the score) count as partners to 1/e."""
    removed: Weight = 0.5
    """w: how much removed embeddings count as negatives of the contrast."""
    gate: Weight = 0.5
    """Gate against the known place of the corruption in the view."""
    conflict: Weight = 0.5
    """Finding the modality that was taken from an utterance with an unlike label; what is found is removed."""
    conflict_rate: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Share of utterances in which a modality is expected to contradict the others."""
    order: Weight = 0.5
    """Telling neighbouring words from words that are not; the gate of a text is told how well each one fits."""
    instance: Weight = 0.05
    """Kept embedding of the corrupted view should match the clean one."""


@dataclass(frozen=True)
class FusionConfig:
    """Attention between the modalities."""

    heads: Count = 4
    """Must divide the width."""
    window: Count = 4
    """Rows of features (not words) that attention sees as one: neighbouring frames say nearly the same."""
    talking: bool = True
    """Mix the heads before and after the softmax; False is plain multi-head attention."""
    layers: Annotated[int, Ge(0)] = 1
    """Rounds of attention; 0 leaves fusion to the last layers."""


@dataclass(frozen=True)
class MecamConfig:
    """Options of MECAM."""

    search: ClassVar[Mapping[str, Range]] = {
        "model.filter.contrast": Between(0.0, 0.5),
        "model.unimodal": Between(0.0, 2.0),
    }

    encoder: str = EMBEDDED
    """Text encoder: `minilm`, `mpnet`, a hub name, or a folder."""
    freeze_encoder: bool = False
    """Leave the text encoder as it is."""
    freeze_layers: Annotated[int, Ge(0)] = 0
    """Leave its embeddings and this many of its first layers as they are: faster, and less to overfit."""
    lora: Annotated[int, Ge(0)] = 0
    """Rank of low-rank updates (LoRA) learned in place of the text encoder's own weights; 0 is off."""
    width: Count = 64
    """Size of the space that all modalities share."""
    layers: Count = 2
    """Convolution blocks of an audio or vision encoder."""
    dropout: Dropout = 0.1
    """Everywhere outside the text encoder."""
    views: bool = True
    """Train on a corrupted view of every batch beside the clean one."""
    view: Weight = 0.5
    """Task loss on the corrupted view."""
    unimodal: Weight = 1.0
    """Task loss of each modality's own score."""
    information: Weight = 0.0
    """Mutual information between what is kept of each two modalities, as in the published method; 0 is off."""
    filter: FilterConfig = field(default_factory=FilterConfig)
    """Negative information."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """Talking heads."""

    def __post_init__(self) -> None:
        for key, parts in (("fusion.heads", self.fusion.heads), ("filter.groups", self.filter.groups)):
            if self.width % parts:
                raise ConfigError(f"model.{key}: {parts} does not divide the width {self.width}")


class Mecam(Model):
    """The method, for any task and any set of modalities."""

    def __init__(self, config: MecamConfig, inputs: Inputs, *, pretrained: bool = True) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.config = config
        self.views = config.views
        self.text_encoder = config.encoder if inputs.raw_text else None
        width, dropout = config.width, config.dropout
        encoders = {
            modality: build_encoder(
                inputs,
                modality,
                text_encoder=config.encoder,
                freeze=config.freeze_encoder,
                freeze_layers=config.freeze_layers,
                lora=config.lora,
                pretrained=pretrained,
                width=width,
                layers=config.layers,
                dropout=dropout,
            )
            for modality in self.reads
        }
        for encoder in encoders.values():
            if isinstance(encoder, TextEncoder):
                encoder.repeats = config.views
        self.encoders = nn.ModuleDict(encoders)
        self.enter = nn.ModuleDict({m: nn.Linear(encoders[m].width, width) for m in self.reads})
        self.gates = nn.ModuleDict()
        self.order = self.conflict = None
        if config.filter.enabled:
            several = len(self.reads) > 1
            if config.filter.order > 0 and inputs.raw_text:
                self.order = WordOrder(encoders[TEXT].network.get_input_embeddings().embedding_dim)  # type: ignore[union-attr, operator]
            if config.filter.conflict > 0 and several:
                self.conflict = ConflictNetwork(len(self.reads), inputs.task.outputs, rate=config.filter.conflict_rate)
            for modality in self.reads:
                self.gates[modality] = Gate(
                    width,
                    groups=config.filter.groups,
                    context=config.filter.context and several,
                    signs=CORRUPTION_CUES if not self._has_tokens(modality) else WordOrder.signs if self.order else 0,
                    dropout=dropout,
                )
        self.gate_taps = nn.ModuleDict({m: Tap() for m in self.gates})
        self.conflict_tap, self.weight_tap = Tap(), Tap()
        self.fusion = Fusion(self.reads, width, **vars(config.fusion), dropout=dropout)
        self.whole = nn.ModuleDict(
            {m: nn.Linear(2 * inputs.features[m].width, width) for m in self.reads if not self._has_tokens(m)}
        )
        # Read by one layer, a modality's own score would learn too slowly for the conflict network to go by it.
        self.scores = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(width, width), nn.GELU(), prediction_head(inputs, width)) for m in self.reads}
        )
        self.pairs = tuple(itertools.combinations(self.reads, 2)) if config.information > 0 else ()
        self.information = nn.ModuleList(GaussianHead(width, width) for _ in self.pairs)
        self.joint = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width * len(self.reads), width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, inputs.task.outputs),
        )

    def forward(self, batch: Batch) -> Output:
        """Predict; while a view is given, on the batch and on its view in one pass."""
        streams = batch.streams if batch.view is None else _stacked(batch.streams, batch.view.streams)
        masks = {m: streams[m].mask for m in self.reads}
        hidden = {m: self.enter[m](self.encoders[m](streams[m].values, masks[m])) for m in self.reads}
        tokens = self._token_embeddings(streams[TEXT].values) if self.order else None
        cues = {m: self._cues(m, streams[m], tokens) for m in self.gates}
        whole = self._predict(streams, hidden, cues)
        if self.order is not None and tokens is not None and self.training:
            count = len(batch)  # in the corrupted view the order is wrong on purpose
            loss = self.order.loss(tokens[:count], masks[TEXT][:count])
            whole = replace(whole, extra={**whole.extra, "order": loss.expand(len(whole.prediction))})
        if batch.view is None:
            return whole
        count = len(batch)
        clean, view = _part(whole, slice(0, count)), _part(whole, slice(count, None))
        return replace(clean, view=view)

    def _token_embeddings(self, ids: Tensor) -> Tensor:
        """Of single tokens, without context; what is learned on them does not reach back."""
        encoder = self.encoders[TEXT]
        assert isinstance(encoder, TextEncoder)
        return nn.functional.embedding(ids, encoder.network.get_input_embeddings().weight.detach())

    def _cues(self, modality: Modality, stream: Stream, tokens: Tensor | None) -> Tensor | None:
        """What marks a corrupted time step of features, or a word out of place."""
        if not self._has_tokens(modality):
            return corruption_cues(stream.values, stream.mask)
        return None if self.order is None or tokens is None else self.order(tokens, stream.mask)

    def _has_tokens(self, modality: Modality) -> bool:
        return modality == TEXT and self.inputs.raw_text

    def _predict(
        self, streams: Mapping[Modality, Stream], hidden: Steps, cues: Mapping[Modality, Tensor | None]
    ) -> Output:
        masks = {m: streams[m].mask for m in self.reads}
        present = torch.stack([masks[m].any(dim=1) for m in self.reads], dim=1)  # B M
        filtered = self._filtered(hidden, masks, cues, present)
        own = torch.stack([self._own(m, streams[m].values, filtered[m]) for m in self.reads], dim=1)  # B M outputs
        # What contradicts is found from the opinions, which do not learn from it; an explanation follows both ways.
        opinions = self.inputs.task.comparable(own.detach() if self.training else own)
        conflict_probability = torch.zeros_like(present, dtype=own.dtype)  # B M
        if self.conflict is not None:
            conflict_probability = self.conflict_tap(self.conflict(opinions, present), present)
            for i, m in enumerate(self.reads):
                believed = (1 - conflict_probability[:, i, None, None]).to(filtered[m].gate.dtype)  # B 1 1
                filtered[m] = Filtered(hidden[m], filtered[m].gate * believed, masks[m])
        pooled, shares = self.fusion(filtered, present)
        shares = self.weight_tap(shares, present)
        late = (shares.unsqueeze(-1) * own).sum(dim=1)  # B outputs
        joint = self.joint((shares.unsqueeze(-1) * pooled).flatten(1))  # B outputs
        # With nothing at all to go by there is no share, and the bias of the training data is the answer.
        prediction = or_prior(self.inputs, late + joint, present.any(dim=1))
        task = self.inputs.task
        embeddings = {f"before_{m}": masked_mean(hidden[m], masks[m]) for m in self.reads}
        embeddings |= {f"after_{m}": filtered[m].kept_mean for m in self.reads}
        extra = {f"removed_{m}": filtered[m].removed_mean for m in self.reads}
        extra |= {f"own_{m}": task.as_prediction(own[:, i]) for i, m in enumerate(self.reads)}
        extra |= {"opinions": opinions, "doubt": conflict_probability}
        return Output(
            prediction=task.as_prediction(prediction).float(),
            gates={m: filtered[m].share_kept for m in self.gates},
            shares={m: shares[:, i] for i, m in enumerate(self.reads)},
            embeddings=embeddings,
            extra=extra,
        )

    def _own(self, modality: Modality, values: Tensor, filtered: Filtered) -> Float[Tensor, "B O"]:
        """What a modality alone would predict, from what is kept of it."""
        kept = filtered.kept_mean
        if modality in self.whole:
            kept = kept + self.whole[modality](stream_statistics(values, filtered.share_kept, filtered.mask))
        own: Tensor = self.scores[modality](kept)
        return own

    def _filtered(
        self, hidden: Steps, masks: Masks, cues: Mapping[Modality, Tensor | None], present: Bool[Tensor, "B M"]
    ) -> dict[Modality, Filtered]:
        """Each modality through its gate; nothing is removed where there is no filter."""
        means = torch.stack([masked_mean(hidden[m], masks[m]) for m in self.reads], dim=1)  # B M D
        filtered = {}
        for i, m in enumerate(self.reads):
            gate = torch.ones_like(hidden[m][..., :1])
            if m in self.gates:
                rest = [j for j in range(len(self.reads)) if j != i]
                others = masked_mean(means[:, rest], present[:, rest])
                gate = self.gate_taps[m](self.gates[m](hidden[m], masks[m], others, cues[m]), masks[m])
            filtered[m] = Filtered(hidden[m], gate, masks[m])
        return filtered

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Task and unimodal on the clean batch, contrast where it is on; gate, instance and task on its view."""
        assert batch.targets is not None
        task, target = self.inputs.task, batch.targets.value
        options = self.config.filter
        losses = {"task": task.loss(output.prediction, target)}
        affinity = task.affinity(target, spread=options.spread)
        for m in self.reads:
            mask = batch.streams[m].mask
            present = mask.any(dim=1)
            losses[f"unimodal_{m}"] = task.loss(output.extra[f"own_{m}"][present], target[present])
            if not options.enabled:
                continue
            if options.contrast:
                losses[f"contrast_{m}"] = label_contrast(
                    output.embeddings[f"after_{m}"],
                    affinity,
                    present,
                    temperature=options.temperature,
                    removed=output.extra[f"removed_{m}"],
                    removed_weight=options.removed,
                )
        if self.pairs:
            losses |= self._information_losses(output, batch)
        if "order" in output.extra:
            losses["order"] = output.extra["order"].mean()
        if self.conflict is not None:
            present = torch.stack([batch.streams[m].mask.any(dim=1) for m in self.reads], dim=1)
            partner = _partner(affinity)
            losses["conflict"] = self.conflict.loss(output.extra["opinions"], present, partner)
        if output.view is not None and batch.view is not None:
            losses |= self._view_losses(output, output.view, batch.view, target)
        return losses

    def _information_losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The heads' fit, for which the embeddings stand still, and what the embeddings follow, for which the heads do.

        Differs: both in one pass, where the published code goes through the data twice; the likelihood is normalised.
        """
        assert batch.targets is not None
        groups = self.inputs.task.groups(batch.targets.value)
        present = {m: batch.streams[m].mask.any(dim=1) for m in self.reads}
        kept = {m: output.embeddings[f"after_{m}"] for m in self.reads}
        fits, bounds = [], []
        for (x, y), head in zip(self.pairs, self.information, strict=True):
            assert isinstance(head, GaussianHead)
            both = present[x] & present[y]
            mean, log_variance = head(kept[x].detach())
            fits.append(gaussian_log_likelihood(mean, log_variance, kept[y].detach(), both))
            entropy, _ = group_entropy(kept[y][both], groups[both], shrinkage=SHRINKAGE)
            mean, log_variance = head.held(kept[x])
            bounds.append(gaussian_log_likelihood(mean, log_variance, kept[y], both) + entropy)
        # Both are sums over channels; per channel they do not grow with the width.
        return {
            "information_heads": -torch.stack(fits).mean() / self.config.width,
            "information": -torch.stack(bounds).mean() / self.config.width,
        }

    def _view_losses(self, output: Output, seen: Output, view: Batch, target: Tensor) -> dict[str, Tensor]:
        losses = {"view": self.inputs.task.loss(seen.prediction, target)}
        for m in self.gates:
            stream = view.streams[m]
            assert stream.injected is not None
            # What is corrupted altogether stands out from nothing: it is for the conflict network to find.
            partly = stream.mask & (stream.mask & ~stream.injected).any(dim=1, keepdim=True)  # B T
            kept = seen.gates[m][partly].float()  # rows of all utterances
            clean = (~stream.injected[partly]).float()
            gap = nn.functional.binary_cross_entropy(kept, clean, reduction="sum")
            losses[f"gate_{m}"] = gap / partly.sum().clamp(min=1)
            losses[f"instance_{m}"] = instance_contrast(
                seen.embeddings[f"after_{m}"],
                output.embeddings[f"after_{m}"],
                stream.mask.any(dim=1),
                temperature=self.config.filter.temperature,
            )
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the weights are those of the configuration."""
        options = self.config.filter
        per_modality = {
            "unimodal": self.config.unimodal,
            "gate": options.gate,
            "instance": options.instance,
        }
        weights = {"task": 1.0, "view": self.config.view, "conflict": options.conflict, "order": options.order}
        if self.pairs:
            weights |= {"information_heads": 1.0, "information": self.config.information}
        weights |= {f"{name}_{m}": weight for name, weight in per_modality.items() for m in self.reads}
        if options.contrast:
            weights |= {f"contrast_{m}": options.contrast for m in self.reads}
        return (Phase("main", weights),)


def _partner(affinity: Float[Tensor, "B B"]) -> Tensor:
    """For each utterance a random one that feels otherwise, or itself where there is none."""
    unlike = (affinity < MAX_PARTNER_AFFINITY).fill_diagonal_(False)
    drawn = torch.multinomial(unlike.float() + 1e-9, 1).squeeze(1)  # B
    return torch.where(unlike.any(dim=1), drawn, torch.arange(len(drawn), device=drawn.device))


def _stacked(first: Mapping[Modality, Stream], second: Mapping[Modality, Stream]) -> dict[Modality, Stream]:
    """Streams of two batches of equal padding, one below the other."""
    return {
        m: Stream(
            values=torch.cat([first[m].values, second[m].values]),
            mask=torch.cat([first[m].mask, second[m].mask]),
            lengths=torch.cat([first[m].lengths, second[m].lengths]),
        )
        for m in first
    }


def _part(output: Output, rows: slice) -> Output:
    """Some utterances of an output."""
    named: dict[str, Any] = {
        name: {key: value[rows] for key, value in getattr(output, name).items()}
        for name in ("gates", "shares", "embeddings", "extra")
    }
    return Output(prediction=output.prediction[rows], **named)


ENTRY = Entry(Mecam, MecamConfig)
