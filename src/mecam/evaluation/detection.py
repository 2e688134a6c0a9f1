"""Does the filter filter: its gate against the known place of injected negative information.

Filter AUROC is the chance that a row with negative information was kept less than a row without: rank the
rows of a whole split by 1 − gate and compare with the injected mask. 0.5 is guessing, 1 is perfect. Rows are
frames, or words for text. Only data whose negative information was injected can be scored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.statistics import summarise
from mecam.evaluation.sums import Array
from mecam.types import Modality, Predictions, Span

__all__ = ["ALL_KINDS", "auroc", "filter_auroc", "filter_table", "resampled_auroc"]

ALL_KINDS = "all"
"""Key under which every kind of negative information is taken together."""

STEPS = 2048
"""Scores are told apart to this many ranks when they are resampled."""


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
    found = {modality: _scores(rows) for modality, rows in _rows(predictions, spans).items()}
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
    groups = Groups.of(seeds[0]).count
    draws = resample_groups(groups, resamples, np.random.default_rng(seed))
    table: dict[Modality, dict[str, dict[str, Any]]] = {}
    of_seeds = [_rows(predictions, spans) for predictions in seeds]
    for modality in of_seeds[0]:
        rows = [found[modality] for found in of_seeds]
        scores = [_scores(one) for one in rows]
        drawn = dict.fromkeys(scores[0], None) if draws is None else _bootstrap(rows, draws)
        entries = {kind: summarise([one[kind] for one in scores], drawn[kind], groups=groups) for kind in scores[0]}
        table |= {modality: entries} if entries else {}
    return table


def auroc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half.

    Args:
        score: N values, higher where positives are expected.
        positive: N.

    Returns: a value in [0, 1]; None unless both sides occur.
    """
    from scipy.stats import rankdata  # takes half a second to import, which a prediction need not wait for

    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return None
    ranks = rankdata(score)[positive].sum() - above * (above + 1) / 2  # Mann and Whitney's U
    return float(ranks / above / below)


@dataclass(frozen=True)
class _Rows:
    """All rows of one modality, utterance after utterance.

    Attributes:
        removed: N, 1 − gate.
        injected: N, True where anything was put in.
        group: N, number of the speaker or recording that the row comes from.
        of_kind: kind → N, True where a span of this kind lies; only kinds that touch a row.
    """

    removed: NDArray[np.float64]
    injected: NDArray[np.bool_]
    group: NDArray[np.int64]
    of_kind: Mapping[str, NDArray[np.bool_]]

    def questions(self) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Kind, its positives among N, and the rows of N that take part; all kinds together come last."""
        for kind, positive in self.of_kind.items():
            yield kind, positive, positive | ~self.injected
        if self.of_kind:
            yield ALL_KINDS, self.injected, np.ones(len(self.injected), bool)


def _scores(rows: _Rows) -> dict[str, float | None]:
    """AUROC of each kind that touches a row of this modality, and of all together."""
    return {kind: auroc(rows.removed[chosen], positive[chosen]) for kind, positive, chosen in rows.questions()}


def _rows(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[Modality, _Rows]:
    """Modality → its rows; only modalities whose gate and mask are known."""
    if not len(predictions.gates) == len(predictions.injected) == len(spans):
        raise DataError(
            f"{len(predictions.gates)} gates, {len(predictions.injected)} masks and {len(spans)} lists of spans",
            fix="predict with details, and give the spans of the same utterances",
        )
    modalities = dict.fromkeys(modality for masks in predictions.injected for modality in masks)
    found = {modality: _rows_of(predictions, spans, modality) for modality in modalities}
    return {modality: rows for modality, rows in found.items() if rows is not None}


def _rows_of(predictions: Predictions, spans: Sequence[Sequence[Span]], modality: Modality) -> _Rows | None:
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
    return _Rows(np.concatenate(removed), np.concatenate(touched), np.concatenate(group), of_kind)


def resampled_auroc(
    score: NDArray[np.floating], positive: NDArray[np.bool_], group: NDArray[np.int64], draws: Array
) -> Array:
    """AUROC in R resamples of G groups, NaN where one side is not drawn.

    Scores are sorted into at most `STEPS` ranks, so that a resample is a weighted sum of per-group histograms.

    Args:
        score: N values, higher where positives are expected.
        positive: N.
        group: N, number of the group that each comes from.
        draws: R × G, how often each group is in each resample.
    """
    from scipy.stats import rankdata

    rank = rankdata(score, "dense") - 1
    if rank.max(initial=0) >= STEPS:
        rank = (rankdata(score, "min") - 1) * STEPS // len(rank)
    shape = (draws.shape[1], STEPS)

    def drawn(mask: NDArray[np.bool_]) -> Array:
        histogram = np.zeros(shape)
        np.add.at(histogram, (group[mask], rank[mask].astype(np.int64)), 1)
        return np.asarray(draws @ histogram)  # R STEPS

    above, below = drawn(positive), drawn(~positive)
    beaten = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    result: Array = np.divide(beaten, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return result


def _bootstrap(seeds: Sequence[_Rows], draws: Array) -> dict[str, Array | None]:
    """Kind → the seed-averaged AUROC of every resample."""
    per_seed = [
        {
            kind: resampled_auroc(rows.removed[chosen], yes[chosen], rows.group[chosen], draws)
            for kind, yes, chosen in rows.questions()
        }
        for rows in seeds
    ]
    return {kind: np.asarray(np.mean([one[kind] for one in per_seed], axis=0)) for kind in per_seed[0]}


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
