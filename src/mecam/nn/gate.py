"""The filter: how much of every step of a modality is kept; words out of place and contradictions close it too."""

import math
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.nn.encoders import row_sizes
from mecam.nn.exporting import exporting
from mecam.nn.masked import masked_mean, weighted_mean

__all__ = [
    "CORRUPTION_CUES",
    "LAYER_GAIN",
    "ConflictNetwork",
    "Filtered",
    "Gate",
    "WordOrder",
    "corruption_cues",
]

OPEN_LOGIT = 3.0
"""Logit at the start: 0.95 of everything is kept."""

LAYER_GAIN = 5.0
"""Steps of an adaptive optimiser are of one size for all weights. A gate starts from nothing and has to learn within
the few hundred steps that a pretrained text encoder is fine-tuned for, so its layers count this many times."""

CORRUPTION_CUES = 12
"""Figures per row that `corruption_cues` returns."""


class Filtered:
    """What a gate made of one modality.

    Attributes:
        gate: B × T × G in (0, 1).
        kept: B × T × D, gate ∘ hidden.
        kept_mean: B × D, the hidden steps averaged by how much of them was kept.
        removed_mean: B × D, the same by how much was removed.
        mask: B × T observed steps.
    """

    def __init__(self, hidden: Float[Tensor, "B T D"], gate: Float[Tensor, "B T G"], mask: Bool[Tensor, "B T"]) -> None:
        full = gate.repeat_interleave(hidden.shape[-1] // gate.shape[-1], dim=-1)  # B T D
        self.gate = gate
        self.mask = mask
        self.kept = full * hidden
        self.kept_mean = weighted_mean(hidden, full, mask)
        self.removed_mean = weighted_mean(hidden, 1 - full, mask)

    @property
    def share_kept(self) -> Float[Tensor, "B T"]:
        """Mean gate over the channel groups."""
        return self.gate.mean(dim=-1)


class Gate(nn.Module):
    """σ(f(hidden step, whole utterance, the other modalities) + linear in the signs), per step and channel group.

    It starts open: about 0.95 of everything is kept before training.

    Args:
        width: D of the hidden steps; channels are split into equal groups.
        groups: G, must divide `width`.
        context: let the gate see the other modalities.
        signs: figures per step by which it is judged too.
        dropout: inside f.
    """

    def __init__(self, width: int, *, groups: int, context: bool, signs: int, dropout: float) -> None:
        super().__init__()
        self.context = context
        self.local = nn.Linear(2 * width, width)
        self.whole = nn.Linear(4 * width if context else width, width)
        self.leave = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, groups))
        last = self.leave[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            for layer in (self.local, self.whole):
                layer.weight.div_(LAYER_GAIN)
                layer.bias.div_(LAYER_GAIN)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        self.signs = nn.Linear(signs, groups, bias=False) if signs else None
        if self.signs is not None:
            nn.init.zeros_(self.signs.weight)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B T"],
        others: Float[Tensor, "B D"],
        signs: Float[Tensor, "B T S"] | None = None,
    ) -> Float[Tensor, "B T G"]:
        """Gate values; whatever they are at masked steps, nothing reads them there.

        Args:
            hidden: encoded steps.
            mask: observed steps.
            others: summary of the other modalities, zeros where there are none.
            signs: what marks a corrupted step before anything is learned; needed if the gate judges by signs.
        """
        own = masked_mean(hidden, mask)  # B D
        parts = [own]
        if self.context:
            parts += [others, own * others, (own - others).abs()]
        whole = self.whole(torch.cat(parts, dim=-1))  # B D
        # The distance from the utterance's mean is what makes a step stand out, in either direction.
        away = (hidden - own.unsqueeze(1)).abs()  # B T D
        local = self.local(torch.cat([hidden, away], dim=-1))  # B T D
        logits = OPEN_LOGIT + LAYER_GAIN * self.leave(LAYER_GAIN * (local + whole.unsqueeze(1)))  # B T G
        if self.signs is not None:
            assert signs is not None
            logits = logits + LAYER_GAIN**2 * self.signs(signs)
        return torch.sigmoid(logits)


def corruption_cues(rows: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T S"]:
    """What marks a corrupted time step before anything is learned; 0 at masked rows.

    Four sizes on a logarithmic scale (of the row, of its change, of its distance from the utterance's mean, of
    its largest value), each as it is, relative to the utterance's mean, and as the distance from that mean.
    """
    keep = mask.unsqueeze(-1)  # B T 1
    rows = rows.masked_fill(~keep, 0.0)
    away = (rows - masked_mean(rows, mask).unsqueeze(1)).abs().mean(dim=-1, keepdim=True)  # B T 1
    largest = rows.abs().amax(dim=-1, keepdim=True)  # B T 1
    sizes = torch.cat([row_sizes(rows, mask), torch.log(torch.cat([away, largest], dim=-1) + 1e-2)], dim=-1)  # B T 4
    sizes = sizes.masked_fill(~keep, 0.0)
    relative = (sizes - masked_mean(sizes, mask).unsqueeze(1)).masked_fill(~keep, 0.0)
    return torch.cat([sizes, relative, relative.abs()], dim=-1)


DISTANCES = (1, 2)
"""How far apart the two tokens of a pair are."""


class WordOrder(nn.Module):
    """Scores pairs of tokens by whether one is likely to follow the other.

    The score of a pair is bilinear in the two embeddings, s(a, b) = ⟨A a, B b⟩ / √width + c, one pair of matrices
    per distance, and learns to tell real pairs from pairs whose second token is another one of the same text.
    At the optimum it is how much more often b follows a than chance would have it, so that words in a wrong
    order stand out without a parallel corpus of corrupted texts.

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
        count = mask.shape[1]
        if exporting():  # a single token would have less than no pairs
            tokens, mask = (
                nn.functional.pad(tokens, (0, 0, 0, max(DISTANCES))),
                nn.functional.pad(mask, (0, max(DISTANCES))),
            )
        signs = []
        for i, distance in enumerate(DISTANCES):
            left, right, real = _pairs(tokens, mask, distance)
            seen = nn.functional.logsigmoid(self._score(i, left, right)).masked_fill(~real, 0.0)  # B T-distance
            signs += [nn.functional.pad(seen, (0, distance)), nn.functional.pad(seen, (distance, 0))]
        return torch.stack([part[:, :count] for part in signs], dim=-1)

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


class ConflictNetwork(nn.Module):
    """Compares what each modality alone would predict, and names the one that contradicts the rest, if any.

    It learns from made contradictions, half of its examples, and is read with the share of them that is to be
    expected: by Bayes' rule the logits of the two sides shift by the logarithm of the ratio.

    Args:
        modalities: how many, M.
        outputs: values of an opinion, O.
        rate: share of utterances that are expected to hold a contradiction, in (0, 1).
        width: of the hidden layer.
    """

    def __init__(self, modalities: int, outputs: int, *, rate: float, width: int = 32) -> None:
        super().__init__()
        self.pairs = tuple(combinations(range(modalities), 2))
        figures = modalities * (2 * outputs + 1) + 2 * len(self.pairs)
        self.linear = nn.Linear(figures, modalities + 1)
        self.curved = nn.Sequential(nn.Linear(figures, width), nn.GELU(), nn.Linear(width, modalities + 1))
        with torch.no_grad():
            for layer in (self.linear, self.curved[2]):
                assert isinstance(layer, nn.Linear)
                layer.weight.zero_()
                layer.bias.zero_()
            self.linear.bias[1:] = (
                -math.log(modalities) / LAYER_GAIN**2
            )  # in training one of them contradicts in half of the cases
        shift = torch.full((modalities + 1,), math.log(rate / 0.5))
        shift[0] = math.log((1 - rate) / 0.5)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, opinions: Float[Tensor, "B M O"], present: Bool[Tensor, "B M"]) -> Float[Tensor, "B M"]:
        """Probability that each modality is the contradicting one; what is left to 1 is that none is."""
        return (self._logits(opinions, present) + self.shift).softmax(dim=-1)[:, 1:]  # type: ignore[operator]

    def loss(
        self, opinions: Float[Tensor, "B M O"], present: Bool[Tensor, "B M"], partner: Int[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of finding no contradiction as things are, and the one that is made.

        Args:
            opinions: of a batch.
            present: modalities that have an opinion.
            partner: for each utterance another of the batch that feels otherwise, itself where there is none.
        """
        both = present & present[partner]  # B M
        able = (partner != torch.arange(len(partner), device=partner.device)) & (present.sum(1) > 1) & both.any(1)
        as_is = nn.functional.cross_entropy(
            self._logits(opinions, present), torch.zeros_like(partner), reduction="sum"
        ) / max(1, len(partner))
        changed = torch.multinomial(both.float() + 1e-9, 1).squeeze(1)  # B, the modality that comes from the partner
        here = nn.functional.one_hot(changed, present.shape[1]).bool()  # B M
        mixed = torch.where(here.unsqueeze(-1), opinions[partner], opinions)
        found = nn.functional.cross_entropy(self._logits(mixed, present), changed + 1, reduction="none")
        made = found.masked_fill(~able, 0.0).sum() / able.sum().clamp(min=1)
        return (as_is + made) / 2

    def _logits(self, opinions: Tensor, present: Tensor) -> Tensor:
        keep = present.unsqueeze(-1)  # B M 1
        opinions = opinions.masked_fill(~keep, 0.0)
        figures = [opinions, opinions.square(), keep.to(opinions.dtype)]
        parts = [part.flatten(1) for part in figures]
        for i, j in self.pairs:
            known = (present[:, i] & present[:, j]).unsqueeze(1)  # B 1
            apart = (opinions[:, i] - opinions[:, j]).abs().mean(dim=1, keepdim=True)
            alike = (opinions[:, i] * opinions[:, j]).mean(dim=1, keepdim=True)
            parts += [apart.masked_fill(~known, 0.0), alike.masked_fill(~known, 0.0)]
        read = torch.cat(parts, dim=1)
        logits = LAYER_GAIN**2 * self.linear(read) + LAYER_GAIN * self.curved(LAYER_GAIN * read)  # B M+1
        # One voice alone contradicts nobody.
        barred = ~present | (present.sum(dim=1, keepdim=True) < 2)  # B M
        lowest = torch.finfo(logits.dtype).min / 2
        return torch.cat([logits[:, :1], logits[:, 1:].masked_fill(barred, lowest)], dim=1)
