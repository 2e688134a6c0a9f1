"""Every metric against values worked by hand, and the traps that make published numbers differ."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from mecam.errors import ConfigError, DataError
from mecam.evaluation.metrics import confusion_matrix, leading_metrics, metrics_for, score, score_bins
from mecam.task import Classes, Labels, Regression

MOSI = Regression(-3.0, 3.0)
SIMS = Regression(-1.0, 1.0)
FIVE = Regression(1.0, 5.0)
CLASSES = Classes(("calm", "happy", "angry"))
EMOTIONS = Labels(("happy", "sad"))


def one_hot(indices, classes):
    return np.eye(classes)[list(indices)]


def test_mosi_worked_by_hand():
    truth = [-2.0, -0.4, 0.0, 1.2, 3.0]
    prediction = [-1.0, 0.6, -0.2, 1.0, 2.0]
    got = score(MOSI, prediction, truth)
    assert list(got) == ["mae", "corr", "acc7", "acc5", "acc3", "acc2_nonzero", "f1_nonzero", "acc2_has0", "f1_has0"]
    assert got["mae"] == pytest.approx((1 + 1 + 0.2 + 0.2 + 1) / 5)
    assert got["corr"] == pytest.approx(np.corrcoef(prediction, truth)[0, 1])
    assert got["acc7"] == 2 / 5  # -1≠-2, 1≠0, 0=0, 1=1, 2≠3
    assert got["acc5"] == 3 / 5  # the last: both clip to 2
    assert got["acc3"] == 4 / 5  # the first: both clip to -1
    assert got["acc2_nonzero"] == 3 / 4  # 0 dropped; -0.4 missed
    # negative: tp 1, missed 1 → F1 2/3; positive: tp 2, false 1 → F1 4/5; each occurs twice
    assert got["f1_nonzero"] == pytest.approx((2 * 2 / 3 + 2 * 4 / 5) / 4)
    assert got["acc2_has0"] == 3 / 5  # -0.4 → +, 0 → −
    # negative (2): tp 1 of 2 predicted → 1/2; positive (3): tp 2 of 3 predicted → 2/3
    assert got["f1_has0"] == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5)


def test_halves_round_to_even():
    acc7 = metrics_for(MOSI)["acc7"]
    assert acc7([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], [0, 2, 2, 0, -2, -2]) == 1.0
    assert acc7([0.5, 2.5], [1, 3]) == 0.0


def test_clipping_comes_before_rounding_but_never_touches_mae_and_corr():
    assert score(MOSI, [9.0, -9.0, 0.0], [3.0, -3.0, 0.0])["acc7"] == 1.0
    assert score(MOSI, [9.0, -9.0, 0.0], [3.0, -3.0, 0.0])["mae"] == 4.0
    truth = [-3.0, 1.0, 3.0]
    assert score(MOSI, [-9.0, 1.0, 3.0], truth)["corr"] == pytest.approx(np.corrcoef([-9, 1, 3], truth)[0, 1])


def test_dropping_zeros_concerns_the_two_class_metrics_only():
    got = score(MOSI, [1.0, 1.0], [0.0, 1.0])
    assert got["mae"] == 0.5
    assert got["acc7"] == 0.5
    assert got["acc2_nonzero"] == 1.0
    assert got["acc2_has0"] == 1.0


def test_zero_handling_of_both_conventions():
    # A prediction of exactly 0 is negative for nonzero (p > 0) and positive for has0 (p ≥ 0).
    got = score(MOSI, [0.0, 0.0], [1.0, -1.0])
    assert got["acc2_nonzero"] == 0.5
    assert got["acc2_has0"] == 0.5
    assert score(MOSI, [0.0], [1.0])["acc2_nonzero"] == 0.0
    assert score(MOSI, [0.0], [1.0])["acc2_has0"] == 1.0
    assert score(MOSI, [-0.1], [0.0])["acc2_has0"] == 0.0


def test_a_constant_predictor_is_not_flattered_by_swapped_f1_arguments():
    """MOSEI's 62.85 % positive: weighted F1 of always-positive is 48.5; with swapped arguments 77.2."""
    positive, negative = 6285, 3715
    truth = np.r_[np.ones(positive), -np.ones(negative)]
    prediction = np.ones(positive + negative)
    f1 = metrics_for(MOSI)["f1_nonzero"]
    assert round(100 * f1(prediction, truth), 1) == 48.5
    assert round(100 * f1(truth, prediction), 1) == 77.2


def test_corr_of_a_constant_is_undefined():
    corr = metrics_for(MOSI)["corr"]
    for constant in (0.0, 0.1, -1.7, 1e6 + 0.1, 1 / 3):
        assert corr([constant] * 7, range(7)) is None
        assert corr(range(7), [constant] * 7) is None
    assert corr([1.0], [2.0]) is None
    # clipping can make a varied prediction constant
    assert metrics_for(SIMS)["corr"]([2.0, 3.0, 4.0], [0.1, 0.2, 0.3]) is None
    # a small or far-off spread is no constant
    assert corr([1e4, 1e4 + 1e-3, 1e4 + 2e-3], [0, 1, 2]) == pytest.approx(1.0)


def test_nothing_left_after_dropping_zeros_is_undefined_not_zero():
    got = score(MOSI, [1.0, -1.0], [0.0, 0.0])
    assert got["acc2_nonzero"] is None
    assert got["f1_nonzero"] is None
    assert got["acc2_has0"] == 0.5


@pytest.mark.parametrize("task", [MOSI, SIMS, FIVE])
def test_no_utterances_give_no_values(task):
    assert set(score(task, [], []).values()) == {None}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-4, 4).map(lambda x: round(x, 2)), st.integers(-18, 18).map(lambda x: x / 6)), min_size=3
    )
)
def test_two_class_metrics_equal_scikit_learn(rows):
    prediction, truth = (np.array(column) for column in zip(*rows, strict=True))
    got = score(MOSI, prediction, truth)
    f1 = f1_score(truth >= 0, prediction >= 0, average="weighted")
    assert got["f1_has0"] == pytest.approx(f1)
    assert got["acc2_has0"] == pytest.approx(np.mean((truth >= 0) == (prediction >= 0)))
    kept = truth != 0
    if kept.any():
        f1 = f1_score(truth[kept] > 0, prediction[kept] > 0, average="weighted")
        assert got["f1_nonzero"] == pytest.approx(f1)


def test_sims_bins_and_clipping():
    truth = [-1.0, -0.6, 0.0, 0.2, 0.8]
    prediction = [-1.5, -0.05, 0.05, 0.3, 0.5]
    got = score(SIMS, prediction, truth)
    assert list(got) == ["mae", "corr", "acc5", "acc3", "acc2", "f1"]
    assert got["mae"] == pytest.approx((0 + 0.55 + 0.05 + 0.1 + 0.3) / 5)
    assert got["corr"] == pytest.approx(np.corrcoef(np.clip(prediction, -1, 1), truth)[0, 1])
    assert got["acc2"] == 4 / 5  # 0 is negative, 0.05 positive
    assert got["acc3"] == 4 / 5  # -0.05 is neutral, -0.6 negative
    assert got["acc5"] == 3 / 5  # 0.5 is weakly, 0.8 strongly positive
    # negative (3): tp 2 of 2 predicted → 4/5; positive (2): tp 2 of 3 → 4/5
    assert got["f1"] == pytest.approx(4 / 5)


@pytest.mark.parametrize(("value", "bin_of_5"), [(-0.7, 0), (-0.69, 1), (-0.1, 1), (0.1, 2), (0.7, 3), (0.71, 4)])
def test_sims_bins_are_closed_above(value, bin_of_5):
    assert score_bins(SIMS, [value])[0] == [bin_of_5]


def test_zero_is_negative_in_sims():
    assert score(SIMS, [0.0], [-0.4])["acc2"] == 1.0
    assert score(SIMS, [0.0], [0.4])["acc2"] == 0.0


def test_another_range_uses_its_own_steps_and_middle():
    got = score(FIVE, [2.5, 3.5, 7.0, 3.0], [2.0, 4.0, 5.0, 2.0])
    assert list(got) == ["mae", "corr", "acc5", "acc2_nonzero", "f1_nonzero", "acc2_has0", "f1_has0"]
    assert got["acc5"] == 3 / 4
    assert got["acc2_nonzero"] == 1.0  # 3 is not above the middle, nor is 2
    assert got["acc2_has0"] == 3 / 4  # 3 ≥ 3 counts as positive
    assert list(score(Regression(0.0, 1.5), [1.0], [1.0])) == [n for n in got if n != "acc5"]


def test_the_family_can_be_chosen():
    assert "acc7" in score(FIVE, [1.0], [1.0], family="mosi")
    with pytest.raises(ConfigError, match="mosei"):
        score(FIVE, [1.0], [1.0], family="mosei")


def test_classes_worked_by_hand():
    truth = [0, 0, 0, 1]
    prediction = one_hot([0, 0, 2, 1], 3)
    got = score(CLASSES, prediction, truth)
    assert got["accuracy"] == 3 / 4
    assert got["uar"] == pytest.approx((2 / 3 + 1) / 2)  # class 2 never occurs: no recall
    assert got["macro_f1"] == pytest.approx((4 / 5 + 1 + 0) / 3)  # but it was predicted: F1 0
    assert got["weighted_f1"] == pytest.approx((3 * 4 / 5 + 1) / 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_class_metrics_equal_scikit_learn(rows):
    truth, answer = (list(column) for column in zip(*rows, strict=True))
    got = score(CLASSES, one_hot(answer, 3), truth)
    assert got["uar"] == pytest.approx(recall_score(truth, answer, average="macro", labels=sorted(set(truth))))
    assert got["macro_f1"] == pytest.approx(f1_score(truth, answer, average="macro"))
    assert got["weighted_f1"] == pytest.approx(f1_score(truth, answer, average="weighted"))


def test_emotions_worked_by_hand():
    truth = [[1, 0], [1, 0], [0, 0], [0, 0], [0, 0]]
    prediction = [[0.9, 0.1], [0.2, 0.5], [0.5, 0.0], [0.1, 0.0], [0.1, 0.0]]
    got = score(EMOTIONS, prediction, truth)
    assert got["wa_happy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert got["wa_happy"] == pytest.approx(balanced_accuracy_score([1, 1, 0, 0, 0], [1, 0, 1, 0, 0]))
    assert got["f1_happy"] == pytest.approx(f1_score([1, 1, 0, 0, 0], [1, 0, 1, 0, 0], average="weighted"))
    assert got["wa_sad"] is None  # never present
    assert got["f1_sad"] == pytest.approx(8 / 9)
    assert got["wa_mean"] == pytest.approx(got["wa_happy"])
    assert got["f1_mean"] == pytest.approx((got["f1_happy"] + 8 / 9) / 2)


def test_confusion_matrix_has_the_truth_in_rows():
    assert confusion_matrix([1, 1, 0], [0, 1, 0], 2).tolist() == [[1, 1], [0, 1]]
    with pytest.raises(DataError, match="not one of 0 … 1"):
        confusion_matrix([2], [0], 2)
    with pytest.raises(DataError):
        confusion_matrix([0.5], [0], 2)


def test_score_bins_of_mosi_are_the_classes_of_acc7():
    rng = np.random.default_rng(0)
    prediction, truth = rng.normal(0, 2, 300), rng.uniform(-3, 3, 300)
    (p, names), (t, _) = score_bins(MOSI, prediction), score_bins(MOSI, truth)
    assert names == ["−3", "−2", "−1", "0", "1", "2", "3"]
    matrix = confusion_matrix(p, t, 7)
    assert matrix.trace() / 300 == metrics_for(MOSI)["acc7"](prediction, truth)


def test_score_bins_of_an_uneven_range_cover_it():
    bins, names = score_bins(Regression(0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0])
    assert bins.tolist() == [0, 0, 2, 4, 4]
    assert len(names) == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(DataError, match="1 predictions are not finite"):
        score(MOSI, [bad, 0.0], [0.0, 0.0])
    with pytest.raises(DataError, match="1 true values"):
        score(MOSI, [0.0, 0.0], [bad, 0.0])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="2 predictions for 1 true"):
        score(MOSI, [1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="N × 3"):
        score(CLASSES, np.ones((4, 2)), [0, 1, 0, 1])
    with pytest.raises(DataError, match="not one of 0 … 2"):
        score(CLASSES, np.ones((1, 3)), [3])


@pytest.mark.parametrize("task", [MOSI, SIMS, FIVE, CLASSES, EMOTIONS])
def test_every_metric_says_what_it_is(task):
    for name, metric in metrics_for(task).items():
        assert metric.name == name
        assert len(metric.definition) > 15


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (MOSI, ["mae", "corr", "acc2_nonzero", "acc7", "acc5"]),
        (SIMS, ["mae", "corr", "acc2", "acc5"]),
        (CLASSES, ["uar", "accuracy", "macro_f1"]),
        (EMOTIONS, ["wa_mean", "f1_mean"]),
    ],
)
def test_leading_metrics_come_in_their_declared_order(task, names):
    assert [metric.name for metric in leading_metrics(task)] == names


@pytest.mark.parametrize("task", [MOSI, SIMS, FIVE, CLASSES, EMOTIONS])
def test_every_metric_declares_a_title_of_its_own_and_a_unit_that_holds_for_its_values(task):
    metrics = metrics_for(task).values()
    assert len({metric.title for metric in metrics}) == len(metrics)
    assert all(metric.title and "_" not in metric.title for metric in metrics)
    columns = len(task.names)
    truth = {"classes": [0, 1, 2], "multilabel": [[1, 0], [0, 1], [1, 1]]}.get(task.kind, [-0.8, 0.1, 0.9])
    prediction = one_hot([0, 2, 1], columns) if columns == 3 else one_hot([0, 1, 0], 2) if columns else [0.9, -0.5, 0.9]
    for metric in metrics:
        perfect = one_hot(truth, 3) if task.kind == "classes" else truth
        best, other = metric(perfect, truth), metric(prediction, truth)
        if best is None or other is None or best == other:
            continue
        assert (best > other) == metric.higher_is_better
        assert not metric.fraction or 0 <= other <= 1
