"""Ranks over recordings and overlap of mistakes: worked by hand, and against slow readings of their definitions."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from mecam.evaluation.comparison import RunResult
from mecam.evaluation.comparison.overlap import overlap
from mecam.evaluation.comparison.ranks import _letter, _neighbours, rank
from mecam.evaluation.comparison.run_results import CONSTANT
from mecam.evaluation.groups import MIN_GROUPS
from mecam.evaluation.statistics import holm
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import Predictions

SCORES = Regression()
CLASSES = Classes(("anger", "calm", "joy"))
LABELS = Labels(("happy", "sad"))
VIDEOS = 12
EACH = 5


def run_result(name: str, seeds: Sequence[np.ndarray], truth: np.ndarray, *, shuffled: bool = False) -> RunResult:
    """A run's answers; utterance i belongs to recording i // EACH."""
    count = len(truth)
    order = np.random.default_rng(7).permutation(count) if shuffled else np.arange(count)
    ids, videos = tuple(f"u{i}" for i in order), tuple(f"v{i // EACH}" for i in order)
    given = tuple(Predictions(ids, videos, seed[order], truth[order]) for seed in seeds)
    return RunResult(name, CONSTANT if name == CONSTANT else "mecam", Path(name), given, {}, {})


def field(noises: Sequence[float], seeds: int = 2) -> tuple[np.ndarray, list[RunResult]]:
    rng = np.random.default_rng(3)
    truth = np.round(rng.uniform(-3, 3, VIDEOS * EACH), 1)
    answers = [[truth + rng.normal(0, noise, len(truth)) for _ in range(seeds)] for noise in noises]
    return truth, [run_result(f"m{i}", a, truth, shuffled=i == 1) for i, a in enumerate(answers)]


def test_ranks_are_those_of_the_recordings() -> None:
    truth, run_results = field((0.3, 0.3, 1.5))
    found = rank([*run_results, run_result(CONSTANT, [np.zeros(len(truth))], truth)], SCORES, alpha=0.05)
    assert found is not None
    slow = np.zeros((VIDEOS, 3))
    for m, one in enumerate(run_results):
        for v in range(VIDEOS):
            errors = [
                abs(p.prediction[i] - p.truth[i])
                for p in one.predictions
                for i, video in enumerate(p.videos)
                if video == f"v{v}" and p.truth is not None
            ]
            slow[v, m] = np.mean(errors)
    ranks = [1 + sum(other < own for other in row) for row in slow for own in row]
    means = np.reshape(ranks, (VIDEOS, 3)).mean(axis=0)
    assert {name: found.of(name) for name in found.names} == pytest.approx({f"m{i}": means[i] for i in range(3)})
    assert list(found.means) == sorted(found.means)
    assert found.of(CONSTANT) is None
    assert found.recordings == VIDEOS
    pairs = list(itertools.combinations(range(3), 2))
    expected = holm([float(stats.wilcoxon(slow[:, i] - slow[:, j], zero_method="zsplit").pvalue) for i, j in pairs])
    for (i, j), p in zip(pairs, expected, strict=True):
        a, b = found.names.index(f"m{i}"), found.names.index(f"m{j}")
        assert found.p_holm[a][b] == found.p_holm[b][a] == pytest.approx(p)
    assert found.friedman < 0.001
    assert sorted(found.groups[0]) == ["m0", "m1"]
    assert found.groups[1] == ("m2",)
    assert [found.letters(f"m{i}") for i in range(3)] == ["a", "a", "b"]


def test_demsars_own_example() -> None:
    """Demšar's worked example (2006): his average ranks, and Friedman's χ² of 9.28, before ties are corrected for."""
    table = """.763 .768 .771 .798 .599 .591 .590 .569 .954 .971 .968 .967 .628 .661 .654 .657 .882 .888 .886 .898
    .936 .931 .916 .931 .661 .668 .609 .685 .583 .583 .563 .625 .775 .838 .866 .875 1.000 1.000 1.000 1.000
    .940 .962 .965 .962 .619 .666 .614 .669 .972 .981 .9751 .975 .957 .978 .946 .970"""
    auc = np.array([float(x) for x in table.split()]).reshape(14, 4)
    truth = np.zeros(14 * EACH)
    models = [run_result(f"m{i}", [np.repeat(1 - auc[:, i], EACH)], truth) for i in range(4)]
    found = rank(models, SCORES, alpha=0.05)
    assert found is not None
    assert [found.of(f"m{i}") for i in range(4)] == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    chi = 12 * 14 / (4 * 5) * (sum(mean**2 for mean in found.means) - 4 * 25 / 4)
    assert chi == pytest.approx(9.28, abs=0.02)
    ties = [list(row).count(value) for row in auc for value in set(row)]
    chi /= 1 - sum(t**3 - t for t in ties) / (14 * 4 * 15)
    assert found.friedman == pytest.approx(float(stats.f.sf(13 * chi / (14 * 3 - chi), 3, 39)))


def test_models_that_are_alike_are_one_group_whatever_single_pairs_say() -> None:
    truth, run_results = field((0.5, 0.5, 0.5, 0.5))
    found = rank(run_results, SCORES, alpha=0.05)
    assert found is not None
    assert found.friedman > 0.05
    assert found.groups == (found.names,)
    twins = [run_result(name, [truth + 1], truth) for name in "xyz"]
    same = rank(twins, SCORES, alpha=0.05)
    assert same is not None
    assert (same.friedman, same.means, same.groups) == (1.0, (2.0, 2.0, 2.0), (("x", "y", "z"),))


def test_an_order_that_never_changes_is_no_accident() -> None:
    truth = np.zeros(VIDEOS * EACH)
    steady = [run_result(f"m{i}", [truth + i], truth) for i in range(3)]
    found = rank(steady, SCORES, alpha=0.05)
    assert found is not None
    assert (found.friedman, found.means) == (0.0, (1.0, 2.0, 3.0))
    assert found.groups == (("m0",), ("m1",), ("m2",))


def test_too_little_to_rank() -> None:
    truth, run_results = field((0.3, 0.5))
    assert rank(run_results[:1], SCORES, alpha=0.05) is None
    few = [run_result(name, [truth[: EACH * (MIN_GROUPS - 1)]], truth[: EACH * (MIN_GROUPS - 1)]) for name in "ab"]
    assert rank(few, SCORES, alpha=0.05) is None
    two = rank(run_results, SCORES, alpha=0.05)
    assert two is not None
    assert two.friedman == two.p_holm[0][1]


def test_groups_are_the_largest_sets_of_neighbours_that_are_alike_two_by_two() -> None:
    alike = np.eye(5, dtype=bool)
    for i, j in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3)):  # 0-3 alike, but 1-3 not
        alike[i, j] = alike[j, i] = True
    assert _neighbours(alike) == [(0, 3), (2, 4), (4, 5)]
    assert [_letter(i) for i in (0, 25, 26, 27)] == ["a", "z", "aa", "ab"]


@pytest.mark.parametrize("task", [SCORES, CLASSES, LABELS], ids=["scores", "classes", "labels"])
def test_mistakes_overlap_as_cohens_kappa_says(task: Task) -> None:
    rng = np.random.default_rng(0)
    count = VIDEOS * EACH
    if task.kind == "regression":
        truth = np.round(rng.uniform(-1, 1, count), 0)  # many are neutral
        answers = [[truth + rng.normal(0, 1.5, count) for _ in range(2)] for _ in range(3)]
        side = truth != 0
        wrong = [[((a > 0) != (truth > 0))[side] for a in seeds] for seeds in answers]
    elif task.kind == "classes":
        truth = rng.integers(0, 3, count).astype(float)
        answers = [[rng.random((count, 3)) + np.eye(3)[truth.astype(int)] * 0.4 for _ in range(2)] for _ in range(3)]
        wrong = [[a.argmax(axis=1) != truth for a in seeds] for seeds in answers]
    else:
        truth = rng.integers(0, 2, (count, 2)).astype(float)
        answers = [[np.clip(truth + rng.normal(0, 0.6, truth.shape), 0, 1) for _ in range(2)] for _ in range(3)]
        wrong = [[((a >= 0.5) != (truth > 0)).ravel() for a in seeds] for seeds in answers]
    models = [run_result(f"m{i}", seeds, truth, shuffled=i == 2) for i, seeds in enumerate(answers)]
    found = overlap(models, task)
    assert found is not None
    assert found.decisions == len(wrong[0][0])
    for i, j in itertools.product(range(3), repeat=2):
        met = [(a, b) for s, a in enumerate(wrong[i]) for t, b in enumerate(wrong[j]) if i != j or s != t]
        assert found.consistency[i][j] == pytest.approx(np.mean([cohen_kappa_score(a, b) for a, b in met]))
        assert found.both[i][j] == pytest.approx(np.mean([(a & b).mean() for a, b in met]))
        assert found.expected[i][j] == pytest.approx(np.mean([a.mean() * b.mean() for a, b in met]))
        if task.kind == "regression":
            pairs = [(a, b) for s, a in enumerate(answers[i]) for t, b in enumerate(answers[j]) if i != j or s != t]
            slow = np.mean([np.corrcoef(a - truth, b - truth)[0, 1] for a, b in pairs])
            assert found.residuals[i][j] == pytest.approx(slow)
    assert bool(found.residuals) == (task.kind == "regression")


def test_what_is_undefined_is_none() -> None:
    truth = np.linspace(0.5, 2, VIDEOS * EACH)
    right, wrong = run_result("right", [truth], truth), run_result("wrong", [-truth], truth)
    found = overlap([right, wrong], SCORES)
    assert found is not None
    assert found.consistency[0][0] is None  # one seed has no other to be compared with
    assert found.residuals[0][1] is None  # nothing is left of a perfect prediction
    assert found.rates == (0.0, 1.0)
    assert found.both[0][1] == 0.0
    assert overlap([right], SCORES) is None
    neutral = np.zeros(VIDEOS * EACH)
    assert overlap([run_result(name, [truth], neutral) for name in "ab"], SCORES) is None
