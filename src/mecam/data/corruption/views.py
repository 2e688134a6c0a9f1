"""What training and the robustness protocol do to whole utterances: views, random missing data, augmentation."""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.config import AugmentationConfig
from mecam.data.corruption.corruption import Corruption, CorruptionContext
from mecam.data.corruption.streams import changed_rows
from mecam.data.corruption.utterances import OPERATORS, present, with_rows, without_modality
from mecam.data.corruption.words import no_unk, with_choice, word_count
from mecam.errors import ConfigError
from mecam.types import Modality, Utterance

__all__ = ["augmented", "corrupted_view", "random_missing"]

Fill: TypeAlias = Mapping[Modality, NDArray[np.floating]]

# What a corrupted view draws from, with weights. `shift` is left out: it is seen only between modalities,
# and a gate that is told to find it inside one learns noise.
_STREAM_MIX = {"burst": 5, "frozen": 4, "dropped": 4, "scattered": 2, "impulse": 2, "contradiction": 4, "absent": 1}
_TEXT_MIX = {"missing": 10, "shuffled": 7, "contradiction": 4, "absent": 1}


def corrupted_view(
    utterance: Utterance,
    rng: np.random.Generator,
    *,
    partner: Utterance | None,
    rate: float,
    unk: int | None,
    fill: Fill | None = None,
    missing: float = 0.0,
) -> Utterance:
    """Draw a training view: each modality is corrupted with probability `rate`, in one random way.

    Contradictions come from `partner` when it is given and has the modality; now and then a modality goes
    altogether, but never the last. Spans that the utterance brought along are not in the result: its
    `injected` holds what this call put in and nothing else, so training cannot read a corpus's own record.

    Args:
        utterance: with features normalised to unit standard deviation; left as it is.
        rng: a generator of this utterance and epoch.
        partner: another utterance, best of opposite sentiment; None for no contradictions.
        rate: probability in [0, 1] per modality.
        unk: id of the unknown token; needed where `tokens` are set.
        fill: modality → D values of a dropped row, where the features' zero was shifted.
        missing: probability of a view that loses rows and words at random instead (`random_missing`), at a rate
            drawn from [0, 1].

    Raises: DataError if `tokens` are set and `unk` is not given.
    """
    if utterance.tokens is not None and unk is None:
        raise no_unk(utterance)
    view = replace(utterance, injected=()) if utterance.injected else utterance
    if missing and rng.random() < missing:
        return random_missing(view, rng, rng.random(), unk, fill=fill)
    for modality in present(utterance):
        if rng.random() >= rate:
            continue
        extent, severity = 0.1 + 0.5 * rng.random(), 1.0 + 4.0 * rng.random()
        zero = fill[modality] if fill and modality in fill else 0.0
        context = CorruptionContext(rng, fill=zero, partner=partner, unk=unk)
        kind = _draw_kind(view, modality, context, last=len(present(view)) == 1)
        view = OPERATORS[kind](view, Corruption(kind, severity, extent, modality=modality), context)
    return view


def augmented(
    utterance: Utterance,
    rng: np.random.Generator,
    options: AugmentationConfig,
    *,
    partner: Utterance | None,
    unk: int | None,
    fill: Fill | None = None,
) -> Utterance:
    """Corrupt an utterance that a model learns from, as the options say: data missing at random, corruption, absence.

    Args:
        utterance: with features normalised to unit standard deviation; left as it is.
        rng: a generator of this utterance and epoch.
        options: rates; where all are 0 the utterance comes back as it is.
        partner: where contradictions come from, as in `corrupted_view`.
        unk: id of the unknown token; needed where `tokens` are set.
        fill: modality → D values of a dropped row, where the features' zero was shifted.

    Source: missing data, Zhang et al., LNLN, NeurIPS 2024: half of the samples at a rate uniform in [0, 1].
    Raises: DataError if `tokens` are set and `unk` is not given.
    """
    if options.missing and rng.random() < options.missing:
        utterance = random_missing(utterance, rng, rng.random(), unk, fill=fill)
    if options.corrupted:
        utterance = corrupted_view(utterance, rng, partner=partner, rate=options.corrupted, unk=unk, fill=fill)
    for modality in present(utterance):
        if rng.random() < options.absent and len(present(utterance)) > 1:
            utterance = without_modality(utterance, modality)
    return utterance


def random_missing(
    utterance: Utterance,
    rng: np.random.Generator,
    rate: float,
    unk: int | None,
    *,
    fill: Fill | None = None,
    only: Collection[Modality] | None = None,
) -> Utterance:
    """Lose every row and every word independently with probability `rate`; the places join `injected`.

    Args:
        utterance: left as it is.
        rng: a generator of this utterance, seed and rate; the modalities draw one after the other, so
            their masks are independent.
        rate: probability in [0, 1]; 1 leaves nothing but zero rows and missing words.
        unk: id of the unknown token; needed where `tokens` are set.
        fill: modality → D values of a lost row, where the features' zero was shifted.
        only: modalities that lose anything; None takes all.

    Source: Zhang et al., LNLN, NeurIPS 2024, random missing data. Differs: whole words are lost, not
        sub-word tokens, so that text and tokens agree and no word is guessed from what is left of it.
    Raises: DataError if `tokens` are set and `unk` is not given.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"a missing rate is in [0, 1], got {rate}")
    for modality in present(utterance):
        if only is not None and modality not in only:
            continue
        if modality not in utterance.streams:
            lost = rng.random(word_count(utterance)) < rate
            choice = [-1 if gone else place for place, gone in enumerate(lost.tolist())]
            utterance = with_choice(utterance, "missing", choice, unk)
            continue
        before = utterance.streams[modality]
        after = before.copy()
        after[rng.random(len(before)) < rate] = fill[modality] if fill and modality in fill else 0.0
        utterance = with_rows(utterance, modality, after, "scattered", changed_rows(before, after))
    return utterance


def _draw_kind(utterance: Utterance, modality: Modality, context: CorruptionContext, *, last: bool) -> str:
    """Draw from the modality's mix what is possible here."""
    mix = _STREAM_MIX if modality in utterance.streams else _TEXT_MIX
    barred = {"absent"} if last else set()
    if context.partner is None or modality not in present(context.partner):
        barred.add("contradiction")
    bounds = list(accumulate(0 if kind in barred else weight for kind, weight in mix.items()))
    return list(mix)[bisect_right(bounds, context.rng.random() * bounds[-1])]
