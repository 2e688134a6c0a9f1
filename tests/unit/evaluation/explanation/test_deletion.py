"""The deletion test tells a filter that finds what is spoilt from one that finds the opposite."""

import json

import numpy as np
import pytest

import planted
import tiny
from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.explanation import deletion as costs_module
from mecam.evaluation.explanation.deletion import Deletions
from mecam.evaluation.explanation.deletion import deletion_test as full_test
from mecam.types import Utterance


@pytest.fixture(autouse=True)
def _fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs_module, "PERMUTATIONS", 999)


def deletion_test(*given, **options) -> dict:
    return full_test(*given, **{"shares": (0.2, 0.4), "draws": 3, **options})


def costs(found: dict, group: str = "all") -> list[float]:
    curves = found["modalities"]["audio"][group]["curves"]
    return [curves[arm]["mean"]["cost"] for arm in ("marked", "random", "kept")]


def test_a_perfect_gate_comes_out_in_order_and_an_inverted_one_reversed() -> None:
    data = planted.spoilt()
    right = deletion_test([planted.planted()], data)
    marked, random, kept = costs(right)
    assert marked < 0 < kept, "leaving out what is spoilt helps"
    assert marked < random < kept
    tests = right["modalities"]["audio"]["all"]["tests"]
    assert tests["marked"]["value"] < 0 < tests["kept"]["value"]
    assert max(test["p_holm"] for test in tests.values()) < 0.01
    assert tests["marked"]["ci95"][1] < 0 < tests["kept"]["ci95"][0]
    wrong = deletion_test([planted.planted(inverted=True)], data)
    assert costs(wrong) == pytest.approx([kept, random, marked], abs=1e-9)


def test_a_gate_that_knows_nothing_costs_as_much_as_chance() -> None:
    data = planted.spoilt(60)
    rng = np.random.default_rng(1)
    blind = [
        planted.utterance(
            u.id, np.stack([u.streams["audio"][:, 0], rng.random(12)], axis=1), label=u.label, video=u.video
        )
        for u in data
    ]
    found, seeing = (deletion_test([planted.planted()], given) for given in (blind, data))
    for arm in ("marked", "kept"):
        value, known = (t["modalities"]["audio"]["all"]["tests"][arm]["value"] for t in (found, seeing))
        assert abs(value) < 0.2 * abs(known)


def test_costs_are_what_the_model_answers_without_the_rows() -> None:
    """Four rows, one spoilt: a quarter removed by rank is that row, or one of the others."""
    rows = [[1, 0.9], [1, 0.8], [1, 0.7], [5, 0.1]]
    found = deletion_test([planted.planted()], [planted.utterance("a", rows, label=1.0)], shares=[0.25], draws=400)
    table = found["modalities"]["audio"]["all"]
    assert table["score"] == pytest.approx(1.0)
    assert table["removed"] == [0.25]
    marked, random, kept = (table["curves"][arm]["shares"][0]["cost"] for arm in ("marked", "random", "kept"))
    assert marked == pytest.approx(-1)
    assert kept == pytest.approx(7 / 3 - 1 - 1)
    assert random == pytest.approx((marked + 3 * kept) / 4, abs=0.08), "each row as often as the others"


def test_only_utterances_with_rows_to_rank_take_part_and_shares_are_of_whole_rows() -> None:
    data = [
        planted.utterance("one row", [[1, 0.5]]),
        planted.utterance("one seen", [[1, 0.5], [np.nan, np.nan]]),
        planted.utterance("three", [[1, 0.5], [2, 0.4], [3, 0.3]], video="v"),
    ]
    table = deletion_test([planted.planted()], data, shares=[0.1, 0.2, 0.5])["modalities"]["audio"]["all"]
    assert table["utterances"] == 1
    assert table["removed"] == pytest.approx([0, 1 / 3, 2 / 3])
    assert all(table["curves"][arm]["shares"][0]["cost"] == 0 for arm in table["curves"])
    assert table["tests"]["marked"]["ci95"] is None, "one recording has no interval"


def test_groups_by_what_is_known_to_be_put_in() -> None:
    data = planted.spoilt(20)
    groups = deletion_test([planted.planted()], data, draws=2)["modalities"]["audio"]
    assert groups["all"]["utterances"] == 20
    assert groups["injected"]["utterances"] == 10
    clean = [Utterance(**{**vars(u), "injected": ()}) for u in data]
    assert set(deletion_test([planted.planted()], clean, draws=2)["modalities"]["audio"]) == {"all"}


def test_the_same_seed_removes_the_same_rows_for_every_model() -> None:
    data = planted.spoilt(6)
    first = deletion_test([planted.planted()], data, draws=2)
    assert json.dumps(first, allow_nan=False) == json.dumps(deletion_test([planted.planted()], data, draws=2))
    other = deletion_test([planted.planted()], data, draws=2, seed=1)
    assert costs(first)[1] != costs(other)[1]
    assert costs(first)[0] == pytest.approx(costs(other)[0]), "only ties are broken at random"


def test_seeds_are_averaged() -> None:
    data = planted.spoilt(10)
    right, wrong = planted.planted(), planted.planted(inverted=True)
    both, one, other = (deletion_test(seeds, data, draws=2) for seeds in ([right, wrong], [right], [wrong]))
    assert costs(both) == pytest.approx(np.mean([costs(one), costs(other)], axis=0))
    assert both["seeds"] == 2


def test_every_task_has_a_metric_to_lose(any_store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", any_store, encoder, used=True)
    calls: list[tuple[int, int]] = []
    found = deletion_test(
        [trained], any_store, np.arange(6), shares=[0.3], draws=1, progress=lambda *call: calls.append(call)
    )
    assert found["metric"] == {"regression": "mae", "classes": "uar", "multilabel": "f1_mean"}[any_store.task.kind]
    assert set(found["modalities"]) == set(trained.model.reads)
    assert calls[-1][0] == calls[-1][1]


def test_what_cannot_be_tested_is_said() -> None:
    rows = [[1, 0.5], [2, 0.5]]
    with pytest.raises(ModelError, match="planted has no filter"):
        deletion_test([planted.planted(gated=False)], [planted.utterance("a", rows)])
    with pytest.raises(DataError, match="no labels"):
        deletion_test([planted.planted()], [planted.utterance("a", rows, label=None)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="nothing to rank"):
        deletion_test([planted.planted()], [planted.utterance("a", rows[:1])])


def test_removals_are_nested() -> None:
    """What goes at a larger share holds what went at a smaller one: curves do not jump by chance."""
    from mecam.evaluation.explanation.deletion import _Baseline

    trained, data = planted.planted(), planted.spoilt(1)
    asked = Deletions(trained, _Baseline.of(trained, data, None), "audio", (0.25, 0.5), 1, 0)
    gone: dict = {}
    for _, arm, shares, variant in asked._asks(0):
        gone[arm, shares[0]] = np.isnan(variant.streams["audio"]).any(axis=1)
    for arm in (("marked", 0), ("kept", 0), ("random", 0)):
        assert (gone[arm, 1] | ~gone[arm, 0]).all()
        assert (gone[arm, 0].sum(), gone[arm, 1].sum()) == (3, 6)
