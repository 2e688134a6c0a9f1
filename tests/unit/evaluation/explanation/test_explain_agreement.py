"""Agreement of rankings against SciPy, by hand, and over a split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

import planted
from mecam.evaluation.explanation.agreement import Agreement, agreement_table, agreements, between
from mecam.evaluation.explanation.occlusion import explain, measures
from mecam.evaluation.groups import Groups


def test_the_same_ranking_and_the_opposite_one() -> None:
    up = np.arange(8.0)
    found = agreements({"kept": up, "occlusion": up**3, "gradients": -up})
    assert list(found) == ["kept_occlusion", "kept_gradients", "occlusion_gradients"]
    assert found["kept_occlusion"].spearman == pytest.approx(1)
    assert found["kept_gradients"].spearman == pytest.approx(-1)
    assert [found[pair].overlap for pair in ("kept_occlusion", "kept_gradients")] == [1, 0]
    assert (found["kept_occlusion"].chance, found["kept_occlusion"].parts) == (0.25, 8)
    assert between("kept_occlusion") == "gate – occlusion"


def test_a_measure_that_is_the_same_everywhere_ranks_nothing() -> None:
    assert agreements({"kept": np.ones(5), "occlusion": np.arange(5.0)})["kept_occlusion"].spearman is None
    assert agreements({"kept": np.ones(2), "occlusion": np.ones(2)}) == {}
    assert agreements({"occlusion": np.arange(9.0)}) == {}
    assert agreements({}) == {}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=20))
def test_the_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(column, float) for column in zip(*pairs, strict=True))
    found = agreements({"kept": a, "occlusion": b})["kept_occlusion"].spearman
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic)


def test_over_many_utterances_by_recording() -> None:
    rng = np.random.default_rng(0)
    given_ = [{"audio": {"kept_occlusion": Agreement(float(v), 0.5, 0.25, 8)}} for v in rng.normal(0.3, 0.2, 60)]
    given_[0] = {"audio": {"kept_occlusion": Agreement(None, 1.0, 0.25, 8)}}
    given_[1] = {}
    table = agreement_table(given_, Groups.among([f"v{i // 3}" for i in range(60)], ()))["audio"]["kept_occlusion"]
    known = [a["audio"]["kept_occlusion"].spearman for a in given_[2:]]
    assert table["spearman"]["mean"] == pytest.approx(np.mean(known))
    low, high = table["spearman"]["ci95"]
    assert low < table["spearman"]["mean"] < high
    assert high - low < 0.2
    assert table["overlap"]["mean"] == pytest.approx((1 + 58 * 0.5) / 59)
    assert table["utterances"] == 59


def test_measures_are_sizes_of_what_was_seen() -> None:
    rows = [[1, 0.9], [np.nan, np.nan], [3, 0.3], [8, 0.1]]
    (said,) = explain(planted.planted(), [planted.utterance("a", rows)], gradients=True, steps=2)
    found = measures(said.modalities["audio"].parts)
    np.testing.assert_allclose(found["kept"], [0.9, 0.3, 0.1], atol=1e-6)
    np.testing.assert_allclose(found["occlusion"], [1.5, 0.5, 2.0], atol=1e-6)
    np.testing.assert_allclose(found["gradients"], [1 / 3, 1, 8 / 3], atol=1e-6)
    assert said.modalities["audio"].agreement["kept_gradients"].spearman == pytest.approx(-1)
