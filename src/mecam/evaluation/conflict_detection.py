"""Is it noticed when a modality contradicts the others: the doubt in it against known contradictions.

Conflict AUROC of a modality is the chance that an utterance in which this modality was made to contradict is doubted
more in it than another utterance that has the modality, whatever else may be wrong with that one. `any` asks about
utterances: the probability that some modality contradicts, against a contradiction in any. 0.5 is guessing, 1 is
perfect.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.evaluation.detection import auroc, resampled_auroc
from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.statistics import summarise
from mecam.types import Modality, Predictions, Span

__all__ = ["ANY", "CONTRADICTION", "conflict_auroc", "conflict_table", "contradicting"]

ANY = "any"
"""Key of the question whether anything contradicts at all."""

CONTRADICTION = "contradiction"
"""Kind of a span that makes a modality contradict the others."""

LIKELY = 0.5
"""A modality that contradicts the others more probably than not is said to."""


def contradicting(doubts: Mapping[Modality, float]) -> tuple[Modality, ...]:
    """The modality of an utterance that is said to contradict the others: at most one, for doubts sum to at most 1."""
    return tuple(modality for modality, doubt in doubts.items() if doubt > LIKELY)


def conflict_auroc(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[str, float | None]:
    """Return how well contradictions are found.

    Args:
        predictions: with `doubts`.
        spans: per utterance, in the order of `predictions.ids`: what was injected.

    Returns: modality, and `any` → AUROC; only modalities that contradict somewhere, nothing without doubts. None where
        there is nothing to compare with.
    Raises: DataError if there are as many lists of spans as utterances not.
    """
    return {name: auroc(doubt, positive) for name, doubt, positive, _ in _questions(predictions, spans)}


def conflict_table(
    seeds: Sequence[Predictions], spans: Sequence[Sequence[Span]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return the conflict AUROC of several seeds with its uncertainty: what `metrics.json` holds under `conflict`.

    Args:
        seeds: as in `conflict_auroc`, one per seed, over the same utterances.
        spans: as in `conflict_auroc`.
        resamples: bootstrap resamples of whole speakers or recordings, the same for every seed.
        seed: of the resampling.

    Returns: modality, and `any` → {mean, std, ci95, per_seed}, as `statistics.summarise` describes them.
    """
    groups = Groups.of(seeds[0])
    draws = resample_groups(groups.count, resamples, np.random.default_rng(seed))
    scores: dict[str, list[float | None]] = {}
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    for predictions in seeds:
        for name, doubt, positive, chosen in _questions(predictions, spans):
            scores.setdefault(name, []).append(auroc(doubt, positive))
            if draws is not None:
                drawn.setdefault(name, []).append(resampled_auroc(doubt, positive, groups.numbers[chosen], draws))
    return {
        name: summarise(values, np.mean(drawn[name], axis=0) if name in drawn else None, groups=groups.count)
        for name, values in scores.items()
    }


def _questions(
    predictions: Predictions, spans: Sequence[Sequence[Span]]
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Name, doubt and truth of the utterances that take part, and which they are among N."""
    if len(spans) != len(predictions):
        raise DataError(
            f"{len(predictions)} predictions and {len(spans)} lists of spans", fix="give those of the same utterances"
        )
    some = np.zeros(len(predictions), bool)
    for modality, values in predictions.doubts.items():
        doubt = values.astype(np.float64)
        present = ~np.isnan(doubt)
        known = [any(s.kind == CONTRADICTION and s.modality == modality for s in row) for row in spans]
        positive = np.array(known, bool) & present
        some |= positive
        if positive.any():
            yield modality, doubt[present], positive[present], present
    if some.any():
        total = np.nansum(np.stack([d.astype(np.float64) for d in predictions.doubts.values()]), axis=0)
        yield ANY, total, some, np.ones(len(some), bool)
