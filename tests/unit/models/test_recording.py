"""The rest of a recording makes up for what an utterance has lost, and for nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.errors import DataError
from mecam.models.calibration import MIN_RECORDINGS, RecordingContext, RecordingPredictions, _least_absolute

WHOLE = RecordingContext(0.2, -3.0, 3.0, 0.0, -0.3, 1.5, {"text": 0.0, "audio": 0.1}, {"text": 0.75, "audio": 0.25})


def said(scores, recordings, text, audio):
    lost = {"text": np.array(text, float), "audio": np.array(audio, float)}
    return RecordingPredictions(np.array(scores, float), recordings, lost)


def test_by_the_formula_in_a_loop():
    rng = np.random.default_rng(0)
    recordings = rng.choice(list("abcd"), 40).tolist()
    context = RecordingContext(0.2, -3.0, 3.0, 0.15, -0.3, 1.5, WHOLE.usual, WHOLE.weight)
    given_ = said(rng.normal(size=40), recordings, rng.random(40), rng.random(40))
    rates = given_.missing_rates
    loss = [0.75 * rates["text"][i] + 0.25 * max(0.0, (rates["audio"][i] - 0.1) / 0.9) for i in range(40)]
    for i, value in enumerate(context(given_)):
        others = [j for j in range(40) if recordings[j] == recordings[i] and j != i]
        weights = [1 - loss[j] for j in others]
        rest = sum(w * (given_.scores[j] - 0.2) for w, j in zip(weights, others, strict=True)) / (1 + sum(weights))
        own = given_.scores[i] - 0.2
        expected = own + 0.15 * (rest - own) + loss[i] * (-0.3 * own + 1.5 * rest) + 0.2
        assert value == pytest.approx(min(max(expected, -3), 3))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_without_pull_whole_utterances_keep_their_score_whatever_the_others_lost(seed):
    rng = np.random.default_rng(seed)
    scores, whole = rng.uniform(-3, 3, 20), rng.random(20) < 0.5
    text, audio = np.where(whole, 0.0, rng.random(20)), np.where(whole, rng.random(20) * 0.1, rng.random(20))
    found = WHOLE(said(scores, rng.choice(list("abc"), 20).tolist(), text, audio))
    np.testing.assert_allclose(found[whole], scores[whole])


def test_alone_in_a_recording_nothing_changes():
    found = WHOLE(said([1.0, -5.0, 0.3], ["a", "b", "c"], [1, 1, 1], [1, 1, 1]))
    assert found.tolist() == [1.0, -5.0, 0.3]


def test_a_recording_that_has_lost_everything_says_nothing():
    """Then nothing but its own score is left, faded as whole losses are."""
    found = WHOLE(said([1.2, -0.8, 2.2], ["a", "a", "a"], [1, 1, 1], [1, 1, 1]))
    np.testing.assert_allclose(found, 0.2 + 0.7 * (np.array([1.2, -0.8, 2.2]) - 0.2))


def test_the_result_stays_in_the_range():
    found = WHOLE(said([3.0, 3.0, 3.0], ["a", "a", "a"], [1, 0, 0], [1, 0, 0]))
    assert found.max() == 3


def test_order_does_not_matter():
    rng = np.random.default_rng(3)
    scores, text, audio = rng.normal(size=30), rng.random(30), rng.random(30)
    names, order = rng.choice(list("abc"), 30), rng.permutation(30)
    one = WHOLE(said(scores, names.tolist(), text, audio))
    other = WHOLE(said(scores[order], names[order].tolist(), text[order], audio[order]))
    np.testing.assert_allclose(other, one[order])


def world(seed=0, recordings=40, each=12):
    """Labels with a mean per recording; a model whose scores fade and blur as text is lost, sound telling nothing."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"r{i}" for i in range(recordings)], each)
    truth = np.repeat(rng.normal(size=recordings), each) + rng.normal(size=len(names))
    nothing = np.zeros(len(names))

    def pass_(text):
        scores = (1 - text) * (truth + rng.normal(0, 0.4 + 1.5 * text))
        return RecordingPredictions(scores, names.tolist(), {"text": text, "audio": rng.random(len(names))})

    whole = RecordingPredictions(
        truth + rng.normal(0, 0.4, len(names)), names.tolist(), {"text": nothing, "audio": nothing}
    )
    return truth, whole, [pass_(np.clip(rng.normal(rate, 0.1, len(names)), 0, 1)) for rate in (0.2, 0.4, 0.6, 0.8)]


def test_learns_to_lean_on_others_by_the_modality_that_matters():
    truth, whole, spoilt = world()
    context = RecordingContext.learn(whole, spoilt, truth, centre=0.0, low=-5.0, high=5.0)
    assert context.weight["text"] > 0.8
    assert context.rest > 0
    later, clean, damaged = world(seed=1)
    for before in damaged:
        assert np.abs(context(before) - later).mean() < np.abs(before.scores - later).mean() - 0.01
    assert np.abs(context(clean) - later).mean() < np.abs(clean.scores - later).mean() + 0.005


def test_recordings_that_share_nothing_teach_next_to_nothing():
    rng = np.random.default_rng(0)
    truth, whole, spoilt = world()
    names = rng.permutation(whole.recordings).tolist()
    context = RecordingContext.learn(
        RecordingPredictions(whole.scores, names, whole.missing_rates),
        [RecordingPredictions(one.scores, names, one.missing_rates) for one in spoilt],
        truth,
        centre=0.0,
        low=-5.0,
        high=5.0,
    )
    assert context.pull < 0.1
    assert abs(context.rest) < 0.5


def test_few_recordings_are_refused():
    names = [f"r{i // 2}" for i in range(2 * (MIN_RECORDINGS - 1))]
    few = RecordingPredictions(np.zeros(len(names)), names, {"text": np.zeros(len(names))})
    with pytest.raises(DataError, match="4 recordings"):
        RecordingContext.learn(few, [few], np.zeros(len(names)), centre=0.0, low=-3.0, high=3.0)


def test_what_is_missing_must_be_known():
    with pytest.raises(DataError, match="audio"):
        WHOLE(RecordingPredictions(np.zeros(2), ["a", "a"], {"text": np.zeros(2)}))


def test_json_round_trip():
    assert RecordingContext.from_json(WHOLE.to_json()) == WHOLE


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_least_absolute_deviations_are_least(seed):
    rng = np.random.default_rng(seed)
    columns, target = rng.normal(size=(30, 3)), rng.standard_cauchy(30)
    found = _least_absolute(columns, target)
    best = np.abs(target - columns @ found).sum()
    for near in found + rng.normal(0, 0.1, (50, 3)):
        assert best <= np.abs(target - columns @ near).sum() + 1e-6
