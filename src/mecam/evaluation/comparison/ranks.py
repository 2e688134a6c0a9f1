"""Average ranks of the models over recordings, and which of them the recordings can tell apart.

Demšar's critical-difference diagram ranks models on many data sets. Here there is one, and what is independent in it
are its recordings: utterances of one recording resemble each other, and seeds answer the same utterances. So every
recording is a block: the models are ranked by their error on it, averaged over utterances and seeds. What comes out
speaks of other recordings of this data set, not of other data sets.

Pairs are tested by Wilcoxon's signed ranks with Holm's correction over all pairs, after Friedman's test, and not by
Nemenyi's critical difference: that one lets the verdict on two models depend on which others take part.

Source: Demšar (JMLR 7, 2006, Statistical comparisons of classifiers over multiple data sets); Benavoli, Corani and
Mangili (JMLR 17(5), 2016, Should we really use post-hoc tests based on mean-ranks?).
Differs: blocks are recordings of one data set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mecam.evaluation.comparison.run_results import CONSTANT, RunResult
from mecam.evaluation.groups import MIN_GROUPS, Groups
from mecam.evaluation.statistics import holm
from mecam.evaluation.sums import Array
from mecam.task import Task
from mecam.types import Predictions

__all__ = ["Ranks", "rank"]

DIGITS = 12
"""Errors that agree to so many digits are equal."""


@dataclass(frozen=True)
class Ranks:
    """The models from the best to the worst average rank.

    Attributes:
        error: by which they are ranked, in words.
        recordings: over how many, or over how many speakers.
        unit: `recordings` or `speakers`.
        names: of the models.
        means: average ranks, from 1.
        friedman: p-value of the hypothesis that all are alike (Friedman's test in the form of Iman and Davenport);
            for two models, Wilcoxon's.
        p_holm: p-value of every pair, adjusted for all of them; 1 on the diagonal.
        groups: the largest sets of neighbours of which no two can be told apart; a model may be in several.
    """

    error: str
    recordings: int
    unit: str
    names: tuple[str, ...]
    means: tuple[float, ...]
    friedman: float
    p_holm: tuple[tuple[float, ...], ...]
    groups: tuple[tuple[str, ...], ...]

    def of(self, name: str) -> float | None:
        """A model's average rank; None for one that is not ranked."""
        return dict(zip(self.names, self.means, strict=True)).get(name)

    def letters(self, name: str) -> str:
        """One letter per group that a model is in: those who share a letter cannot be told apart."""
        return "".join(_letter(place) for place, group in enumerate(self.groups) if name in group)


def rank(run_results: Sequence[RunResult], task: Task, *, alpha: float) -> Ranks | None:
    """Rank all but the constant predictor; None for fewer than two models or `MIN_GROUPS` recordings.

    Args:
        run_results: that answered the same utterances, in whatever order.
        task: of the data set.
        alpha: level of significance after Holm's adjustment.
    """
    models = [run_result for run_result in run_results if run_result.model != CONSTANT]
    if len(models) < 2:
        return None
    errors = np.stack([_by_group(task, model.predictions) for model in models], axis=1)  # G M
    if len(errors) < MIN_GROUPS:  # no pair could be told apart: Wilcoxon's smallest p-value of five is 0.06
        return None
    errors = errors.round(DIGITS)
    means = stats.rankdata(errors, axis=1).mean(axis=0)
    order = np.argsort(means, kind="stable")
    errors, means = errors[:, order], means[order]
    adjusted = _pairs(errors)
    whole = float(adjusted[0, 1]) if len(models) == 2 else _friedman(errors)
    alike = np.ones_like(adjusted, np.bool_) if whole >= alpha else adjusted >= alpha
    names = tuple(models[i].name for i in order)
    return Ranks(
        error=task.error_name,
        recordings=len(errors),
        unit=Groups.of(models[0].predictions[0]).unit,
        names=names,
        means=tuple(float(mean) for mean in means),
        friedman=whole,
        p_holm=tuple(tuple(float(p) for p in row) for row in adjusted),
        groups=tuple(names[first:last] for first, last in _neighbours(alike)),
    )


def _by_group(task: Task, seeds: Sequence[Predictions]) -> Array:
    """Mean error of each group, over its utterances and all seeds; groups in the order of their names."""
    names = sorted(set(Groups.of(seeds[0]).names))
    place = {name: i for i, name in enumerate(names)}
    total = np.zeros(len(names))
    for one in seeds:
        assert one.truth is not None
        where = np.array([place[name] for name in Groups.of(one).names])
        counts = np.bincount(where, minlength=len(names))
        total += np.bincount(where, weights=task.error(one.prediction, one.truth), minlength=len(names)) / counts
    mean: Array = total / len(seeds)
    return mean


def _friedman(errors: Array) -> float:
    """Iman and Davenport's p-value; Demšar finds Friedman's own statistic too careful."""
    blocks, count = errors.shape
    with np.errstate(invalid="ignore", divide="ignore"):
        chi = float(stats.friedmanchisquare(*errors.T).statistic)
        if not np.isfinite(chi):  # all models agree on every recording
            return 1.0
        most = blocks * (count - 1)
        if chi >= most - 1e-9:  # the same order on every recording
            return 0.0
        f = (blocks - 1) * chi / (most - chi)
    return float(stats.f.sf(f, count - 1, (count - 1) * (blocks - 1)))


def _pairs(errors: Array) -> Array:
    """Wilcoxon's p-value of every pair of columns, adjusted by Holm over all pairs: M × M, 1 on the diagonal."""
    count = errors.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    found = holm([_wilcoxon(errors[:, i] - errors[:, j]) for i, j in pairs])
    adjusted = np.ones((count, count))
    for (i, j), p in zip(pairs, found, strict=True):
        adjusted[i, j] = adjusted[j, i] = p
    return adjusted


def _wilcoxon(differences: Array) -> float:
    """Two-sided; a tie counts half for each."""
    differences = differences.round(DIGITS)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="zsplit").pvalue)


def _neighbours(alike: np.ndarray) -> list[tuple[int, int]]:
    """The largest runs [first, last) of neighbours of which every two are alike; together they cover all."""
    count, runs, reached = len(alike), [], 0
    for first in range(count):
        last = first + 1
        while last < count and alike[first : last + 1, first : last + 1].all():
            last += 1
        if last > reached:
            runs.append((first, last))
            reached = last
    return runs


def _letter(place: int) -> str:
    """From a to z, then aa, ab … for the many groups that nobody should have."""
    return chr(ord("a") + place) if place < 26 else _letter(place // 26 - 1) + _letter(place % 26)
