"""Intervals and tests against slow loops, known answers, and the promises they make."""

import json
import math

import numpy as np
import pytest

from mecam.errors import ConfigError, DataError
from mecam.evaluation.metrics import metrics_for, score
from mecam.evaluation.statistics import (
    conformal_quantile,
    coverage,
    holm,
    metrics_table,
    paired_permutation_test,
    summarise,
)
from mecam.task import Classes, Regression
from mecam.types import Predictions

MOSI = Regression(-3.0, 3.0)
CLASSES = Classes(("a", "b", "c"))


def predictions(seed, *, error=0.8, count=90, videos=12, task=MOSI):
    """A model of a given error; the truth and the videos are the same for every seed."""
    data, noise = np.random.default_rng(7), np.random.default_rng(seed)
    video = tuple(f"v{index}" for index in data.integers(0, videos, count))
    ids = tuple(f"u{index}" for index in range(count))
    if task.kind == "classes":
        truth = data.integers(0, 3, count)
        return Predictions(ids, video, np.eye(3)[truth] + noise.uniform(0, 2 * error, (count, 3)), truth.astype(float))
    truth = np.round(data.uniform(-3, 3, count) * 3) / 3
    return Predictions(ids, video, truth + noise.normal(0, error, count), truth)


def slow_bootstrap(task, seeds, resamples, seed):
    """Draw videos, glue their utterances together, score every seed, average: by plain loops."""
    names = list(dict.fromkeys(seeds[0].videos))
    rows = {name: [i for i, video in enumerate(seeds[0].videos) if video == name] for name in names}
    rng = np.random.default_rng(seed)
    drawn = []
    for counts in rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples):
        index = [row for name, count in zip(names, counts, strict=True) for _ in range(count) for row in rows[name]]
        drawn.append([score(task, one.prediction[index], one.truth[index]) for one in seeds])
    return drawn


@pytest.mark.parametrize("task", [MOSI, CLASSES], ids=["scores", "classes"])
def test_bootstrap_equals_slow_loops(task):
    seeds = [predictions(seed, task=task) for seed in range(3)]
    table = metrics_table(task, seeds, resamples=30, seed=5)
    drawn = slow_bootstrap(task, seeds, resamples=30, seed=5)
    for name, entry in table.items():
        means = [np.mean([one[name] for one in resample]) for resample in drawn]
        assert entry["ci95"] == pytest.approx(np.quantile(means, (0.025, 0.975)).tolist(), abs=1e-12)
        per_seed = [score(task, one.prediction, one.truth)[name] for one in seeds]
        assert entry["per_seed"] == pytest.approx(per_seed)
        assert entry["mean"] == pytest.approx(np.mean(per_seed))
        assert entry["std"] == pytest.approx(np.std(per_seed, ddof=1))
        assert entry["ci95"][0] <= entry["mean"] <= entry["ci95"][1]


def test_metrics_table_is_json_and_repeats_itself():
    seeds = [predictions(seed) for seed in range(2)]
    table = metrics_table(MOSI, seeds)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert metrics_table(MOSI, seeds) == table
    assert metrics_table(MOSI, seeds, seed=1)["mae"]["ci95"] != table["mae"]["ci95"]


def test_intervals_respect_that_utterances_of_a_video_resemble_each_other():
    """Ten copies of every utterance are ten times the rows and not one bit more knowledge."""
    one = predictions(0, count=30, videos=30)
    ids = tuple(f"{name}-{copy}" for copy in range(10) for name in one.ids)
    copied = Predictions(ids, one.videos * 10, np.tile(one.prediction, 10), np.tile(one.truth, 10))
    assert metrics_table(MOSI, [copied])["mae"]["ci95"] == pytest.approx(metrics_table(MOSI, [one])["mae"]["ci95"])


@pytest.mark.slow
def test_interval_covers_the_true_value():
    """Over many data sets with video effects, the 95 % interval of MAE holds the true MAE about that often."""
    inside = 0
    for trial in range(120):
        rng = np.random.default_rng(trial)
        video = np.repeat(np.arange(40), 5)
        error = rng.normal(0, 1, 40)[video] + rng.normal(0, 1, 200)  # N(0, √2): E|e| = √(2/π)·√2
        sample = Predictions(tuple(map(str, range(200))), tuple(map(str, video)), error, np.zeros(200))
        low, high = metrics_table(MOSI, [sample], resamples=300)["mae"]["ci95"]
        inside += low <= math.sqrt(4 / math.pi) <= high
    assert 0.88 <= inside / 120 <= 1.0 - 1 / 120


def test_a_constant_predictor_has_no_corr_and_says_so():
    base = predictions(0)
    constant = Predictions(base.ids, base.videos, np.full(len(base), 0.3), base.truth)
    table = metrics_table(MOSI, [constant])
    assert table["corr"] == {"mean": None, "std": None, "ci95": None, "per_seed": [None]}
    assert table["mae"]["mean"] == pytest.approx(np.abs(base.truth - 0.3).mean())


def test_one_seed_has_no_spread_and_one_video_no_interval():
    one = predictions(0, videos=1)
    entry = metrics_table(MOSI, [one])["mae"]
    assert entry["std"] is None
    assert entry["ci95"] is None


def test_a_seed_that_is_undefined_is_not_left_out_of_the_mean():
    assert summarise([0.8, None])["mean"] is None
    assert summarise([0.8, None])["per_seed"] == [0.8, None]
    assert summarise([1.0, 3.0]) == {"mean": 2.0, "std": math.sqrt(2), "ci95": None, "per_seed": [1.0, 3.0]}


def test_an_empty_split_has_entries_without_values():
    empty = Predictions((), (), np.zeros(0), np.zeros(0))
    assert metrics_table(MOSI, [empty])["mae"]["mean"] is None


def test_seeds_must_answer_the_same_utterances():
    one = predictions(0)
    other = Predictions(one.ids[::-1], one.videos, one.prediction, one.truth)
    with pytest.raises(DataError, match="different utterances"):
        metrics_table(MOSI, [one, other])
    with pytest.raises(DataError, match="no labels"):
        metrics_table(MOSI, [Predictions(one.ids, one.videos, one.prediction, None)])
    with pytest.raises(DataError, match="no predictions"):
        metrics_table(MOSI, [])


def test_permutation_test_equals_slow_loops():
    first, second = [predictions(s, error=0.7) for s in (0, 1)], [predictions(s, error=0.8) for s in (2, 3)]
    got = paired_permutation_test(MOSI, first, second, "f1_has0", permutations=200, seed=3)
    names = list(dict.fromkeys(first[0].videos))
    f1 = metrics_for(MOSI)["f1_has0"]

    def difference(swapped):
        take = np.array([video in swapped for video in first[0].videos])
        parts = []
        for a, b in zip(first, second, strict=True):
            p, q = np.where(take, b.prediction, a.prediction), np.where(take, a.prediction, b.prediction)
            parts.append(f1(p, a.truth) - f1(q, b.truth))
        return np.mean(parts)

    observed = difference(set())
    swaps = np.random.default_rng(3).integers(0, 2, (200, len(names)))
    permuted = [difference({n for n, s in zip(names, row, strict=True) if s}) for row in swaps]
    assert got.value == pytest.approx(observed)
    assert got.p_value == (1 + sum(abs(d) >= abs(observed) - 1e-12 for d in permuted)) / 201


def test_permutation_test_finds_a_real_difference_and_its_sign():
    better, worse = [predictions(0, error=0.4)], [predictions(1, error=1.2)]
    got = paired_permutation_test(MOSI, better, worse, "mae")
    assert got.value < 0
    assert got.p_value < 0.01
    assert got.ci95[1] < 0
    back = paired_permutation_test(MOSI, worse, better, "mae")
    assert back.value == pytest.approx(-got.value)


@pytest.mark.slow
def test_permutation_p_values_are_uniform_under_no_difference():
    values = []
    for trial in range(120):
        a, b = predictions(1000 + trial), predictions(5000 + trial)
        values.append(paired_permutation_test(MOSI, [a], [b], "mae", permutations=99).p_value)
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.08)
    assert np.mean(np.array(values) <= 0.5) == pytest.approx(0.5, abs=0.13)


def test_the_same_predictions_differ_by_nothing():
    one = [predictions(0)]
    got = paired_permutation_test(MOSI, one, one, "corr", permutations=50)
    assert got.value == 0
    assert got.p_value == 1.0


def test_order_of_the_second_model_does_not_matter():
    a, b = predictions(0), predictions(1)
    order = np.random.default_rng(0).permutation(len(b))
    shuffled = Predictions(
        tuple(b.ids[i] for i in order), tuple(b.videos[i] for i in order), b.prediction[order], b.truth[order]
    )
    assert paired_permutation_test(MOSI, [a], [shuffled], "mae") == paired_permutation_test(MOSI, [a], [b], "mae")


def test_comparisons_that_make_no_sense_are_refused():
    a = predictions(0)
    with pytest.raises(DataError, match="2 seeds against 1"):
        paired_permutation_test(MOSI, [a, a], [a], "mae")
    with pytest.raises(ConfigError, match="uar"):
        paired_permutation_test(MOSI, [a], [a], "uar")
    with pytest.raises(DataError, match="different utterances"):
        paired_permutation_test(MOSI, [a], [predictions(0, count=80)], "mae")
    constant = Predictions(a.ids, a.videos, np.zeros(len(a)), a.truth)
    assert paired_permutation_test(MOSI, [a], [constant], "corr").p_value is None


def test_holm_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_conformal_rank_is_the_finite_sample_one():
    assert conformal_quantile(range(1, 10), 0.9) == 9  # ⌈10 · 0.9⌉ = 9th of 9
    assert conformal_quantile(range(1, 9), 0.9) is None  # would need the 9th of 8
    assert conformal_quantile(range(1, 20), 0.9) == 18
    assert conformal_quantile(range(1, 100), 0.55) == 55  # 0.55 × 100 is not 55 in binary
    assert conformal_quantile([-3, 1, 2], 0.5) == 2
    assert conformal_quantile([], 0.5) is None
    with pytest.raises(ConfigError, match="level"):
        conformal_quantile([1.0], 1.0)
    with pytest.raises(DataError, match="finite"):
        conformal_quantile([math.nan], 0.5)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_conformal_intervals_keep_their_promise(level):
    rng = np.random.default_rng(0)
    inside = [
        coverage(rng.standard_t(3, 20), [-half] * 20, [half] * 20)
        for _ in range(3000)
        if (half := conformal_quantile(rng.standard_t(3, 19), level)) is not None
    ]
    assert len(inside) == 3000
    assert np.mean(inside) == pytest.approx(level, abs=0.01)


def test_coverage_includes_the_ends():
    assert coverage([0, 1, 2, 3], [0, 0, 0, 0], [1, 1, 1, 1]) == 0.5
    assert coverage([], [], []) is None
