"""Do two measures of the same parts agree: by rank, and on which parts count most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.groups import Groups, resample_groups
from mecam.evaluation.ranking import mean_ranks
from mecam.evaluation.statistics import summarise
from mecam.types import Modality

__all__ = ["TOP_SHARE", "Agreement", "agreement_table", "agreements", "between"]

MEASURES = {"kept": "gate", "occlusion": "occlusion", "gradients": "gradients"}
"""What a person reads for the name of a measure; in the order of pairs."""

TOP_SHARE = 0.25
"""Share of the parts that counts as the top, at least one."""

MIN_PARTS = 3
"""With fewer parts a ranking says nothing."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Of two measures.

    Attributes:
        spearman: rank correlation, −1 to 1; None where one of them is the same for all parts.
        overlap: share of the top parts of the one that are top parts of the other; ties are broken by place.
        chance: the overlap that two unrelated rankings have on average.
        parts: how many were ranked.
    """

    spearman: float | None
    overlap: float
    chance: float
    parts: int


def agreements(measures: Mapping[str, Array]) -> dict[str, Agreement]:
    """`first_second` → agreement, for every two measures; nothing for fewer than three parts.

    Args:
        measures: name → P values, larger where a part counts for more.
    """
    names = sorted(measures, key=list(MEASURES).index)
    pairs = combinations(names, 2) if names and len(measures[names[0]]) >= MIN_PARTS else ()
    return {f"{a}_{b}": _agreement(measures[a], measures[b]) for a, b in pairs}


def between(pair: str) -> str:
    """A key of `agreements` in words."""
    return " – ".join(MEASURES[name] for name in pair.split("_"))


def _agreement(first: Array, second: Array) -> Agreement:
    count = len(first)
    top = max(1, round(TOP_SHARE * count))
    best = [set(np.argsort(-values, kind="stable")[:top].tolist()) for values in (first, second)]
    return Agreement(_spearman(first, second), len(best[0] & best[1]) / top, top / count, count)


def _spearman(first: Array, second: Array) -> float | None:
    """Pearson's correlation of ranks, ties sharing theirs."""
    a, b = (ranks - ranks.mean() for ranks in (mean_ranks(first), mean_ranks(second)))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else None


def agreement_table(
    found: Sequence[Mapping[Modality, Mapping[str, Agreement]]],
    groups: Groups,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[Modality, dict[str, dict[str, Any]]]:
    """Agreement over many utterances, with intervals.

    Args:
        found: per utterance, modality → pair → agreement.
        groups: who each is of; whole groups are resampled.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns: modality → pair → `spearman` and `overlap` (entries as `statistics.summarise` describes them: the mean over
        utterances in which it is defined), `chance` (of the overlap), `utterances`.
    """
    place = groups.numbers
    draws = resample_groups(groups.count, resamples, np.random.default_rng(seed))
    keys = dict.fromkeys((modality, pair) for one in found for modality, pairs in one.items() for pair in pairs)
    table: dict[Modality, dict[str, dict[str, Any]]] = {}
    for modality, pair in keys:
        given = [one.get(modality, {}).get(pair) for one in found]
        table.setdefault(modality, {})[pair] = {
            "spearman": _entry([None if a is None else a.spearman for a in given], place, draws),
            "overlap": _entry([None if a is None else a.overlap for a in given], place, draws),
            "chance": float(np.mean([a.chance for a in given if a is not None])),
            "utterances": sum(a is not None for a in given),
        }
    return table


def _entry(values: Sequence[float | None], groups: NDArray[np.int64], draws: Array | None) -> dict[str, Any]:
    """Mean of the known values, its interval from resampled groups."""
    known = np.array([value is not None for value in values])
    if not known.any():
        return summarise([None])
    given, where = np.array([value for value in values if value is not None]), groups[known]
    count = int(groups.max()) + 1
    total = np.bincount(where, weights=given, minlength=count)
    size = np.bincount(where, minlength=count).astype(np.float64)
    drawn = None
    if draws is not None:
        sizes = draws @ size
        drawn = np.divide(draws @ total, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
    return summarise([float(given.mean())], drawn)
