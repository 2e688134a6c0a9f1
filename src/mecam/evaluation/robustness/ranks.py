"""Mean ranks: in every corruption the runs are ranked, and the ranks averaged over the corruptions.

A mean of errors is ruled by the corruptions that hurt most; a mean rank asks who is ahead in most of them. The ranks
are those of one data set under corruptions that we chose, so the interval is over other recordings, seeds and masks,
not over other corruptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mecam.evaluation.metrics import Metric
from mecam.evaluation.robustness.protocols import Plan
from mecam.evaluation.robustness.scores import Scored, Value
from mecam.evaluation.statistics import central
from mecam.evaluation.sums import Array

__all__ = ["ALL", "MeanRank", "mean_ranks"]

ALL = "all"
"""The group of every corruption."""


@dataclass(frozen=True)
class MeanRank:
    """Of a run among others.

    Attributes:
        mean: 1 is first in every corruption; equals share their ranks.
        ci95: over other recordings, seeds and masks (bootstrap); None with too few recordings or speakers.
    """

    mean: float
    ci95: tuple[float, float] | None


def mean_ranks(runs: Sequence[Scored], plan: Plan, metric: Metric) -> dict[str, dict[str, MeanRank]]:
    """Rank runs by their mean over the severities of each corruption.

    Args:
        runs: scored.
        plan: the protocol.
        metric: by which.

    Returns: `ALL` and every modality that is spoilt → name of a run → its mean rank; nothing for a single run, or for
        a protocol without kinds of corruption. A corruption under which a run is undefined ranks nobody.
    """
    kinds = [summary.name for summary in plan.summaries if "." in summary.name]
    if len(runs) < 2 or not kinds:
        return {}
    groups = {ALL: kinds}
    for kind in kinds:
        groups.setdefault(kind.partition(".")[0], []).append(kind)
    found = {kind: [run.summaries[kind][metric.name] for run in runs] for kind in kinds}
    sign = -1.0 if metric.higher_is_better else 1.0
    ranks = {kind: _ranked(values, sign) for kind, values in found.items() if all(v.mean is not None for v in values)}
    known = {group: [ranks[kind] for kind in members if kind in ranks] for group, members in groups.items()}
    return {group: _means(members, runs) for group, members in known.items() if members}


def _ranked(values: Sequence[Value], sign: float) -> tuple[Array, Array | None]:
    """Ranks of M runs under one corruption, and in each of R resamples: NaN where a run is undefined in it."""
    plain = stats.rankdata([sign * value.per_seed.mean() for value in values])
    draws = [value.drawn for value in values if value.drawn is not None]
    if len(draws) < len(values):
        return plain, None
    return plain, stats.rankdata(sign * np.stack(draws, axis=1), axis=1)


def _means(ranks: Sequence[tuple[Array, Array | None]], runs: Sequence[Scored]) -> dict[str, MeanRank]:
    plain = np.mean([one for one, _ in ranks], axis=0)
    draws = [drawn for _, drawn in ranks if drawn is not None]
    drawn = np.mean(draws, axis=0) if len(draws) == len(ranks) else None  # R M
    return {
        run.name: MeanRank(float(plain[i]), None if drawn is None else central(drawn[:, i]))
        for i, run in enumerate(runs)
    }
