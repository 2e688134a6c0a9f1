"""The filter's score against hand-worked cases, scikit-learn, and the loop of its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mecam.errors import DataError
from mecam.evaluation.detection import auroc, filter_auroc, filter_table
from mecam.types import Predictions, Span


def predictions(gates, injected):
    count = len(gates)
    ids = tuple(f"u{i}" for i in range(count))
    return Predictions(
        ids,
        ids,
        np.zeros(count),
        np.zeros(count),
        gates=[{m: np.array(g, np.float32) for m, g in one.items()} for one in gates],
        injected=[{m: np.array(g, bool) for m, g in one.items()} for one in injected],
    )


def test_worked_by_hand_over_utterances_and_kinds():
    gates = [{"audio": [0.9, 0.1, 0.8]}, {"audio": [0.3, 0.7]}]
    injected = [{"audio": [0, 1, 0]}, {"audio": [0, 1]}]
    spans = [[Span("audio", "burst", 1, 2)], [Span("audio", "frozen", 1, 2)]]
    # Untouched rows are kept 0.9, 0.8 and 0.3: the burst (0.1) is below all, the frozen one (0.7) below two.
    got = filter_auroc(predictions(gates, injected), spans)
    assert got == {"audio": {"burst": 1.0, "frozen": pytest.approx(2 / 3), "all": pytest.approx(5 / 6)}}


def test_rows_of_another_kind_are_no_negatives():
    """A filter that removes both kinds is perfect at each; the other kind must not count as clean."""
    gates = [{"audio": [0.1, 0.05, 0.9]}]
    spans = [[Span("audio", "burst", 0, 1), Span("audio", "frozen", 1, 2)]]
    got = filter_auroc(predictions(gates, [{"audio": [1, 1, 0]}]), spans)
    assert got["audio"] == {"burst": 1.0, "frozen": 1.0, "all": 1.0}


def test_clean_utterances_give_negatives_and_modalities_stay_apart():
    gates = [{"text": [0.5], "audio": [0.2]}, {"text": [0.4, 0.6], "audio": [0.1]}]
    injected = [{"text": [1], "audio": [0]}, {"text": [0, 0], "audio": [0]}]
    got = filter_auroc(predictions(gates, injected), [[Span("text", "shuffled", 0, 1)], []])
    assert got == {"text": {"shuffled": 0.5, "all": 0.5}}


def test_spans_beyond_what_the_model_read_are_left_out():
    spans = [[Span("text", "missing", 1, 9), Span("text", "shuffled", 5, 9)]]
    got = filter_auroc(predictions([{"text": [0.9, 0.1]}], [{"text": [0, 1]}]), spans)
    assert got == {"text": {"missing": 1.0, "all": 1.0}}


def test_missing_rows_are_neither_found_nor_spared():
    """Masked before the filter, they are not its merit, and not its mistake; the places of the others stay right."""
    nan = float("nan")
    gates = [{"audio": [nan, 0.9, nan, 0.1, 0.8]}, {"audio": [nan, nan]}]
    injected = [{"audio": [0, 0, 1, 1, 0]}, {"audio": [1, 1]}]
    spans = [[Span("audio", "missing", 2, 3), Span("audio", "burst", 3, 4)], [Span("audio", "missing", 0, 2)]]
    assert filter_auroc(predictions(gates, injected), spans) == {"audio": {"burst": 1.0, "all": 1.0}}


def test_nothing_untouched_is_undefined_and_nothing_injected_is_left_out():
    touched = filter_auroc(predictions([{"text": [0.1]}], [{"text": [1]}]), [[Span("text", "missing", 0, 1)]])
    assert touched == {"text": {"missing": None, "all": None}}
    assert filter_auroc(predictions([{"text": [0.1]}], [{"text": [0]}]), [[]]) == {}
    assert filter_auroc(predictions([{}], [{}]), [[]]) == {}


def test_a_gate_that_knows_nothing_scores_one_half():
    rng = np.random.default_rng(0)
    masks = [{"vision": rng.random(50) < 0.2} for _ in range(60)]
    spans = [[Span("vision", "dropped", int(i), int(i) + 1) for i in np.flatnonzero(one["vision"])] for one in masks]
    guess = filter_auroc(predictions([{"vision": rng.random(50)} for _ in masks], masks), spans)
    constant = filter_auroc(predictions([{"vision": np.ones(50)} for _ in masks], masks), spans)
    assert guess["vision"]["all"] == pytest.approx(0.5, abs=0.04)
    assert constant["vision"]["all"] == 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1))
def test_auroc_equals_scikit_learn_ties_included(rows):
    score, positive = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    if positive.all() or not positive.any():
        assert auroc(score, positive) is None
    else:
        assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(DataError, match="2 rows, the mask 1"):
        filter_auroc(predictions([{"text": [0.1, 0.2]}], [{"text": [1]}]), [[]])
    with pytest.raises(DataError, match="0 lists of spans"):
        filter_auroc(predictions([{"text": [0.1]}], [{"text": [1]}]), [])


def recordings(count, *, rng, quality=1.0, rows=30):
    """One utterance per recording: audio gates that find bursts, the better the higher the quality."""
    gates, injected, spans = [], [], []
    for _ in range(count):
        start = int(rng.integers(0, rows - 8))
        mask = np.zeros(rows, bool)
        mask[start : start + 8] = True
        gates.append({"audio": rng.normal(0, 1, rows) - quality * mask})
        injected.append({"audio": mask})
        spans.append([Span("audio", "burst", start, start + 8)])
    return predictions(gates, injected), spans


def test_the_table_holds_every_seed_and_an_interval_around_the_mean():
    rng = np.random.default_rng(0)
    first, spans = recordings(25, rng=rng)
    gates = [{"audio": gate["audio"] + rng.normal(0, 0.5, len(gate["audio"]))} for gate in first.gates]
    second = predictions(gates, first.injected)
    table = filter_table([first, second], spans)
    alone = [filter_auroc(one, spans)["audio"]["burst"] for one in (first, second)]
    entry = table["audio"]["burst"]
    assert entry["per_seed"] == alone
    assert entry["mean"] == pytest.approx(np.mean(alone))
    assert entry["ci95"][0] < entry["mean"] < entry["ci95"][1]
    assert table["audio"]["all"] == entry


@pytest.mark.slow
def test_the_interval_is_that_of_a_bootstrap_that_draws_the_recordings_one_by_one():
    rng = np.random.default_rng(1)
    given, spans = recordings(12, rng=rng)
    drawn = []
    for _ in range(1500):
        chosen = rng.integers(0, 12, 12)
        gates, injected = [given.gates[i] for i in chosen], [given.injected[i] for i in chosen]
        drawn.append(filter_auroc(predictions(gates, injected), [spans[i] for i in chosen])["audio"]["all"])
    got = filter_table([given], spans, resamples=1500)["audio"]["all"]["ci95"]
    np.testing.assert_allclose(got, np.quantile(drawn, (0.025, 0.975)), atol=0.01)


def test_many_different_scores_are_ranked_finely_enough():
    rng = np.random.default_rng(2)
    given, spans = recordings(20, rng=rng, rows=400)
    entry = filter_table([given], spans)["audio"]["all"]
    assert entry["ci95"][0] < entry["mean"] < entry["ci95"][1]
    assert entry["ci95"][1] - entry["ci95"][0] < 0.12
    perfect, spans = recordings(20, rng=rng, rows=400, quality=50)
    assert filter_table([perfect], spans)["audio"]["all"]["ci95"] == pytest.approx([0.025 ** (1 / 20), 1])


def test_one_recording_has_no_interval():
    given, spans = recordings(1, rng=np.random.default_rng(3))
    entry = filter_table([given], spans)["audio"]["burst"]
    assert entry["mean"] is not None
    assert entry["ci95"] is None
