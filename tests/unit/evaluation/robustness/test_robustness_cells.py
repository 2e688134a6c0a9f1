"""What is measured once and kept: the same figures with and without the memory, nothing made twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.detection import auroc
from mecam.evaluation.robustness import measure as measuring
from mecam.evaluation.robustness.cells import checkpoint_identity, read_cell
from mecam.evaluation.robustness.conditions import CLEAN, FeatureCorruption, RandomMissing, Remaining
from mecam.evaluation.robustness.evaluation_split import OWN, EvaluationSplit
from mecam.evaluation.robustness.measure import (
    Job,
    Recent,
    jobs_of,
    measure,
    measure_all,
    remembering_encoders,
)
from mecam.evaluation.robustness.scores import calibration_metrics, conflict_scores, gate_scores
from mecam.models.trained import load_checkpoint
from mecam.types import Predictions, Span
from trained_runs import make_run

CONDITIONS = (
    CLEAN,
    RandomMissing.at(0.5),
    Remaining.of(("audio",)),
    FeatureCorruption.at("text", "deleted", 3, words=True),
    FeatureCorruption.at("text", "truncated", 5, words=True),
    FeatureCorruption.at("audio", "noise", 5, words=False),
    FeatureCorruption.at("vision", "contradiction", 4, words=False),
)


@pytest.fixture(scope="module")
def material(store: Store) -> EvaluationSplit:
    return EvaluationSplit(store, "test")


@pytest.mark.parametrize("name", ["mecam", "mecam_published", "text_only", "late_fusion", "mag", "cenet", "tfn"])
def test_what_is_remembered_changes_no_answer(name, store, material, encoder, tmp_path):
    run = make_run(tmp_path / "run", name, store, encoder)
    checkpoint = run / "seeds" / "1" / "checkpoint"
    trained = load_checkpoint(checkpoint)
    found = []
    for reuse in (True, False):
        place = tmp_path / str(reuse)
        place.mkdir()
        jobs = jobs_of(checkpoint, material, CONDITIONS, (1, 2), place)
        measure(trained, material, jobs, reuse=reuse)
        found.append([read_cell(job.path, material) for job in jobs])
    changed = 0
    for (fast, spans), (plain, others), job in zip(*found, jobs, strict=True):
        np.testing.assert_allclose(fast.prediction, plain.prediction, atol=2e-5, err_msg=job.condition.key)
        assert spans == others
        assert fast.conflict_probabilities.keys() == plain.conflict_probabilities.keys()
        for modality, doubt in fast.conflict_probabilities.items():
            np.testing.assert_allclose(doubt, plain.conflict_probabilities[modality], atol=2e-5)
        for one, other in zip(fast.gates, plain.gates, strict=True):
            assert one.keys() == other.keys()
            for modality, gate in one.items():
                np.testing.assert_allclose(gate, other[modality], atol=2e-5)
        changed += not np.allclose(plain.prediction, found[1][0][0].prediction)
    assert changed >= 3
    assert "forward" not in vars(next(iter(trained.model.encoders.values())))  # as it was before


def test_an_untouched_text_is_encoded_once(store, material, encoder, tmp_path):
    trained = tiny.build("mecam", store, encoder, used=True)
    seen = []
    network = trained.model.encoders["text"].network
    network.register_forward_hook(lambda *given: seen.append(len(given[2]["input_ids"])), with_kwargs=True)
    jobs = [
        Job(c, 1, tmp_path / f"{i}.npz")
        for i, c in enumerate(
            [
                CLEAN,
                *(
                    FeatureCorruption.at(m, kind, s, words=False)
                    for m in ("audio", "vision")
                    for kind in ("noise", "burst")
                    for s in (1, 5)
                ),
            ]
        )
    ]
    measure(trained, material, jobs)
    texts = {" ".join(u.text.split()) for u in material.utterances if u.text}
    assert 0 < sum(seen) <= len(texts) + 1  # one more for texts that are absent


def test_a_second_call_makes_nothing_and_loads_nothing(store, material, encoder, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", "text_only", store, encoder)
    checkpoint = run / "seeds" / "1" / "checkpoint"
    jobs = jobs_of(checkpoint, material, CONDITIONS, (1, 2), tmp_path / "cells")
    assert len(jobs) == 2 + 2 * 5  # clean and what is left of the modalities need no second seed
    done = []

    def stop() -> None:
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_all(checkpoint, material, jobs, progress=stop)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    assert len(kept) == 4  # all that was done
    assert measure_all(checkpoint, material, jobs) == len(jobs) - 4
    assert all((tmp_path / "cells" / name).read_bytes() == content for name, content in kept.items())
    monkeypatch.setattr(measuring, "load_checkpoint", lambda _: pytest.fail("nothing is left to measure"))
    assert measure_all(checkpoint, material, jobs) == 0


def test_other_weights_data_seeds_and_severities_are_other_cells(store, material, encoder, tmp_path):
    one, two = (
        make_run(tmp_path / name, "text_only", store, encoder, dropout=rate) / "seeds" / "1" / "checkpoint"
        for name, rate in (("a", 0.1), ("b", 0.2))
    )
    assert checkpoint_identity(one) != checkpoint_identity(two)
    valid = EvaluationSplit(store, "valid")
    weaker = replace(CONDITIONS[5], corruption=replace(CONDITIONS[5].corruption, severity=0.1))
    conditions = (RandomMissing.at(0.1), RandomMissing.at(0.2), weaker, CONDITIONS[5])
    names = [
        job.path.name
        for checkpoint in (one, two)
        for what in (material, valid)
        for job in jobs_of(checkpoint, what, conditions, (1, 2), Path())
    ]
    assert len(set(names)) == len(names) == 2 * 2 * 4 * 2


def test_a_damaged_cell_is_named(material, tmp_path):
    (tmp_path / "cell.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="result cannot be read"):
        read_cell(tmp_path / "cell.npz", material)
    with pytest.raises(DataError, match="no checkpoint"):
        checkpoint_identity(tmp_path / "nowhere")


def test_recent_forgets_what_was_not_asked_for_longest():
    recent: Recent[str] = Recent(10)
    for key in b"abc":
        recent.put(bytes([key]), chr(key), 4)
    assert recent.get(b"a") is None
    assert recent.get(b"b") == "b"
    recent.put(b"d", "d", 4)
    assert recent.get(b"c") is None
    assert (recent.get(b"b"), recent.get(b"d")) == ("b", "d")
    recent.put(b"e", "e", 99)
    assert recent.get(b"e") == "e"
    assert recent.get(b"d") is None


def test_remembering_ends_with_its_block_even_after_an_error(store, encoder):
    model = tiny.build("mecam", store, encoder).model
    before = model.encoders["text"].network.config._attn_implementation
    with remembering_encoders(model):
        assert all("forward" in vars(one) for one in model.encoders.values())
    with pytest.raises(ZeroDivisionError), remembering_encoders(model):
        raise ZeroDivisionError
    assert model.encoders["text"].network.config._attn_implementation == before
    assert all("forward" not in vars(one) for one in model.encoders.values())


def predictions(gates, conflict_probabilities=None) -> Predictions:
    count = len(gates)
    return Predictions(
        ids=tuple(f"u{i}" for i in range(count)),
        videos=("a", "a", "b")[:count],
        prediction=np.zeros(count),
        truth=np.zeros(count),
        gates=[{"audio": np.array(gate, np.float32)} for gate in gates],
        conflict_probabilities={}
        if conflict_probabilities is None
        else {"audio": np.array(conflict_probabilities, np.float32)},
    )


def test_the_filters_rows_by_hand():
    clean = predictions([[0.9, 0.9], [0.8, 0.8], [0.7]])
    spoilt = predictions([[0.2, 0.9], [0.8, 0.1], [0.7]])
    own = [[], [Span("audio", OWN, 1, 2)], []]
    put = [[Span("audio", "noise", 0, 1), Span("text", "missing", 1, 2)], [Span("audio", OWN, 1, 2)], []]
    removed, touched, video = gate_scores(clean, own, spoilt, put, "audio", np.array([0, 0, 1]))
    np.testing.assert_allclose(removed, [0.1, 0.1, 0.2, 0.3, 0.8, 0.1, 0.2, 0.3], atol=1e-6)
    assert touched.tolist() == [False] * 4 + [True] + [False] * 3
    assert video.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert auroc(removed, touched) == 1.0
    assert gate_scores(clean, own, spoilt, put, "vision", np.array([0, 0, 1])) is None


def test_the_doubts_by_hand():
    clean, spoilt = predictions([[1], [1], [1]], [0.1, 0.2, 0.3]), predictions([[1], [1], [1]], [0.9, 0.2, 0.25])
    put = [[Span("audio", "contradiction", 0, 1)], [], [Span("audio", "contradiction", 0, 1)]]
    doubt, positive, video = conflict_scores(clean, [[], [], []], spoilt, put, "audio", np.array([0, 0, 1]))
    np.testing.assert_allclose(doubt, [0.1, 0.3, 0.9, 0.25], atol=1e-6)
    assert positive.tolist() == [False, False, True, True]
    assert video.tolist() == [0, 1, 0, 1]
    assert auroc(doubt, positive) == 0.75
    own = [[Span("audio", OWN, 0, 1)], [], []]
    doubt, positive, _ = conflict_scores(clean, own, spoilt, put, "audio", np.array([0, 0, 1]))
    assert positive.tolist() == [False, True]
    assert conflict_scores(predictions([[1]]), [[]], spoilt, put, "audio", np.array([0])) is None


def test_calibration_by_hand():
    coverage, width = calibration_metrics(tiny.TASKS["regression"], 0.5)
    # Scores and factors: [-0.5, 0.5], [1.75, 3], [-3, -2.5], and the end of the scale alone.
    assert width([0.0, 2.5, -3.0, 9.0], [1.0, 1.5, 1.0, 1.0]) == pytest.approx((1.0 + 1.25 + 0.5) / 4)
    assert coverage([0.0, 1.0, 2.0, 3.0], [0.5, 1.6, 2.0, 9.0]) == 0.5
    assert calibration_metrics(tiny.TASKS["regression"], None) == []
    (classes,) = calibration_metrics(tiny.TASKS["classes"], None)
    said = [[0.8, 0.1, 0.1], [0.1, 0.85, 0.05], [0.3, 0.3, 0.4]]
    # Two answers around 0.8, one of them right: |1.65 − 1|; one at 0.4, right: |0.4 − 1|.
    assert classes(said, [0, 0, 2]) == pytest.approx((0.65 + 0.6) / 3)
    (labels,) = calibration_metrics(tiny.TASKS["multilabel"], None)
    assert labels([[0.95, 0.05], [0.95, 0.95]], [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx((0.85 + 0.05) / 4)
