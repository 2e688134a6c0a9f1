"""Is negative information found: by the filter, row by row, and as a contradiction between the modalities.

**Filter AUROC** is the chance that a row with negative information was kept less than a row without: rank the rows of a
whole split by 1 − gate and compare with the injected mask. Rows are frames, or words for text.

**Conflict AUROC** of a modality is the chance that an utterance in which this modality was made to contradict has a
higher conflict probability in it than another utterance that has the modality, whatever else may be wrong with that
one. `any` asks about utterances: the probability that some modality contradicts, against a contradiction in any.

0.5 is guessing, 1 is perfect. Only data whose negative information was injected can be scored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.ranking import mean_ranks, ordered
from mecam.evaluation.statistics import summarise
from mecam.evaluation.sums import Array
from mecam.types import Modality, Predictions, Span

__all__ = [
    "ALL_KINDS",
    "ANY",
    "CONTRADICTION",
    "Ranking",
    "auroc",
    "conflict_auroc",
    "conflict_table",
    "filter_auroc",
    "filter_table",
    "resampled_auroc",
]

ALL_KINDS = "all"
"""Key under which every kind of negative information is taken together."""

ANY = "any"
"""Key of the question whether anything contradicts at all."""

CONTRADICTION = "contradiction"
"""Kind of a span that makes a modality contradict the others."""

MAX_RANKS = 2048
"""Scores are told apart to this many ranks when they are resampled."""

Ranking: TypeAlias = tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.int64]]
"""N scores, whether each is a positive, and the number of the speaker or recording that each comes from."""


def filter_auroc(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[Modality, dict[str, float | None]]:
    """Return how well the gate finds each kind of negative information in each modality.

    For a kind, the positives are the rows that its spans touch. The negatives are always the same: every row
    of the split that nothing was injected into, in corrupted and in clean utterances alike. A row that is missing,
    because the data has none there or because `data.zero_rows_missing` takes it so, never reaches the filter: it is
    neither.

    Args:
        predictions: with `gates` and `injected`, predicted with details.
        spans: per utterance, in the order of `predictions.ids`: what was injected. Rows of a span that the
            model did not read (text beyond its longest) are left out.

    Returns: modality → kind, and "all" → AUROC; only modalities and kinds that occur. None where no row is
        untouched.
    Raises: DataError if spans, gates and masks do not belong together.
    """
    found = {m: _scores(rows.rankings()) for m, rows in _rows(predictions, spans).items()}
    return {modality: kinds for modality, kinds in found.items() if kinds}


def filter_table(
    seeds: Sequence[Predictions], spans: Sequence[Sequence[Span]], *, resamples: int = 1000, seed: int = 0
) -> dict[Modality, dict[str, dict[str, Any]]]:
    """Return the filter AUROC of several seeds with its uncertainty: what `metrics.json` holds under `filter`.

    Args:
        seeds: as in `filter_auroc`, one per seed, over the same utterances.
        spans: as in `filter_auroc`.
        resamples: bootstrap resamples of whole speakers or recordings, the same for every seed.
        seed: of the resampling.

    Returns: modality → kind, and "all" → {mean, std, ci95, per_seed}, as `statistics.summarise` describes them.
    Raises: DataError if spans, gates and masks do not belong together.
    """
    of_seeds = [_rows(predictions, spans) for predictions in seeds]
    bootstrap = _Bootstrap(Groups.of(seeds[0]).count, resamples, seed)
    tables = {m: bootstrap.table([rows[m].rankings() for rows in of_seeds]) for m in of_seeds[0]}
    return {modality: table for modality, table in tables.items() if table}


def conflict_auroc(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[str, float | None]:
    """Return how well contradictions are found.

    Args:
        predictions: with `conflict_probabilities`.
        spans: per utterance, in the order of `predictions.ids`: what was injected.

    Returns: modality, and `any` → AUROC; only modalities that contradict; empty without probabilities. None where
        there is nothing to compare with.
    Raises: DataError if there are not as many lists of spans as utterances.
    """
    return _scores(_conflict_rankings(predictions, spans))


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
    bootstrap = _Bootstrap(Groups.of(seeds[0]).count, resamples, seed)
    return bootstrap.table([_conflict_rankings(predictions, spans) for predictions in seeds])


def auroc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half.

    Args:
        score: N values, higher where positives are expected.
        positive: N.

    Returns: a value in [0, 1]; None unless both sides occur.
    """
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return None
    ranks = mean_ranks(score)[positive].sum() - above * (above + 1) / 2  # Mann and Whitney's U
    return float(ranks / above / below)


def resampled_auroc(
    score: NDArray[np.floating], positive: NDArray[np.bool_], group: NDArray[np.int64], draws: Array
) -> Array:
    """AUROC in R resamples of G groups, NaN where one side is not drawn.

    Scores are sorted into at most `MAX_RANKS` ranks, so that a resample is a weighted sum of per-group histograms.

    Args:
        score: N values, higher where positives are expected.
        positive: N.
        group: N, number of the group that each comes from.
        draws: R × G, how often each group is in each resample.
    """
    rank, lower, _ = ordered(score)
    if rank.max(initial=0) >= MAX_RANKS:
        rank = lower[rank] * MAX_RANKS // len(rank)
    shape = (draws.shape[1], MAX_RANKS)

    def drawn(mask: NDArray[np.bool_]) -> Array:
        histogram = np.zeros(shape)
        np.add.at(histogram, (group[mask], rank[mask]), 1)
        return np.asarray(draws @ histogram)  # R MAX_RANKS

    above, below = drawn(positive), drawn(~positive)
    beaten = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    result: Array = np.divide(beaten, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return result


def _scores(rankings: Iterable[tuple[str, Ranking]]) -> dict[str, float | None]:
    return {name: auroc(score, positive) for name, (score, positive, _) in rankings}


class _Bootstrap:
    """Draws whole speakers or recordings, the same for every seed and every ranking."""

    def __init__(self, groups: int, resamples: int, seed: int) -> None:
        self._groups = groups
        self._draws = resample_groups(groups, resamples, np.random.default_rng(seed))

    def table(self, seeds: Sequence[Iterable[tuple[str, Ranking]]]) -> dict[str, dict[str, Any]]:
        """Name of a ranking → its entry over the seeds."""
        scores: dict[str, list[float | None]] = {}
        drawn: dict[str, list[Array]] = {}
        for rankings in seeds:
            for name, (score, positive, group) in rankings:
                scores.setdefault(name, []).append(auroc(score, positive))
                if self._draws is not None:
                    drawn.setdefault(name, []).append(resampled_auroc(score, positive, group, self._draws))
        return {
            name: summarise(values, np.mean(drawn[name], axis=0) if name in drawn else None, groups=self._groups)
            for name, values in scores.items()
        }


@dataclass(frozen=True)
class _GateRows:
    """All rows of one modality, utterance after utterance.

    Attributes:
        removed: N, 1 − gate.
        injected: N, True where corruption was inserted.
        group: N, number of the speaker or recording that the row comes from.
        of_kind: kind → N, True where a span of this kind lies; only kinds that touch a row.
    """

    removed: NDArray[np.float64]
    injected: NDArray[np.bool_]
    group: NDArray[np.int64]
    of_kind: Mapping[str, NDArray[np.bool_]]

    def rankings(self) -> Iterator[tuple[str, Ranking]]:
        """Kind, and the ranking of its rows and of those that are not corrupted; all kinds together come last."""
        for kind, positive in self.of_kind.items():
            chosen = positive | ~self.injected
            yield kind, (self.removed[chosen], positive[chosen], self.group[chosen])
        if self.of_kind:
            yield ALL_KINDS, (self.removed, self.injected, self.group)


def _rows(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[Modality, _GateRows]:
    """Modality → its rows; only modalities whose gate and mask are known."""
    if not len(predictions.gates) == len(predictions.injected) == len(spans):
        raise DataError(
            f"{len(predictions.gates)} gates, {len(predictions.injected)} masks and {len(spans)} lists of spans",
            fix="predict with details, and give the spans of the same utterances",
        )
    modalities = dict.fromkeys(modality for masks in predictions.injected for modality in masks)
    found = {modality: _rows_of(predictions, spans, modality) for modality in modalities}
    return {modality: rows for modality, rows in found.items() if rows is not None}


def _rows_of(predictions: Predictions, spans: Sequence[Sequence[Span]], modality: Modality) -> _GateRows | None:
    numbers = Groups.of(predictions).numbers
    removed, touched, group = [], [], []
    places: dict[str, list[NDArray[np.int64]]] = {}
    offset = 0
    for i, (gates, masks) in enumerate(zip(predictions.gates, predictions.injected, strict=True)):
        if modality not in gates or modality not in masks:
            continue
        _require_equal_length(predictions.ids[i], modality, gates, masks)
        seen = ~np.isnan(gates[modality])
        removed.append(1 - gates[modality][seen].astype(np.float64))
        touched.append(masks[modality][seen])
        group.append(np.full(len(removed[-1]), numbers[i]))
        place = seen.cumsum() - 1 + offset  # of each seen row among all
        for span in spans[i]:
            if span.modality == modality:
                inside = slice(span.start, span.stop)
                places.setdefault(span.kind, []).append(place[inside][seen[inside]])
        offset += len(removed[-1])
    if not removed:
        return None
    of_kind = {}
    for kind in sorted(places):
        positive = np.zeros(offset, bool)
        positive[np.concatenate(places[kind])] = True
        if positive.any():
            of_kind[kind] = positive
    return _GateRows(np.concatenate(removed), np.concatenate(touched), np.concatenate(group), of_kind)


def _conflict_rankings(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> Iterator[tuple[str, Ranking]]:
    """Modality, and `any`, with the ranking of the utterances that have it."""
    if len(spans) != len(predictions):
        raise DataError(
            f"{len(predictions)} predictions and {len(spans)} lists of spans", fix="give those of the same utterances"
        )
    numbers = Groups.of(predictions).numbers
    some = np.zeros(len(predictions), bool)
    for modality, values in predictions.conflict_probabilities.items():
        doubt = values.astype(np.float64)
        present = ~np.isnan(doubt)
        known = [any(s.kind == CONTRADICTION and s.modality == modality for s in row) for row in spans]
        positive = np.array(known, bool) & present
        some |= positive
        if positive.any():
            yield modality, (doubt[present], positive[present], numbers[present])
    if some.any():
        total = np.nansum(np.stack([d.astype(np.float64) for d in predictions.conflict_probabilities.values()]), axis=0)
        yield ANY, (total, some, numbers)


def _require_equal_length(
    name: str,
    modality: Modality,
    gates: Mapping[Modality, NDArray[np.float32]],
    masks: Mapping[Modality, NDArray[np.bool_]],
) -> None:
    if len(gates[modality]) != len(masks[modality]):
        raise DataError(
            f"the gate covers {len(gates[modality])} rows, the mask {len(masks[modality])}",
            where=f"{modality} of {name}",
        )
