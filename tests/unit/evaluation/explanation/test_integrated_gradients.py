"""Integrated gradients: complete, exact where the model is linear, and honest about what stood still."""

import numpy as np
import pytest

import planted
import tiny
from mecam.data.store import Store
from mecam.errors import MissingExtraError
from mecam.evaluation.explanation import explanation
from mecam.evaluation.explanation.gradients import integrated_gradients
from mecam.evaluation.explanation.occlusion import explain
from mecam.evaluation.explanation.perturbation import Target, perturbed_predictions
from mecam.types import TEXT, Utterance


def test_a_mean_attributes_to_each_row_its_share() -> None:
    rows = [[1, 0.5], [np.nan, np.nan], [4, 0.5], [7, 0.5]]
    trained = planted.planted()
    (one,) = trained.dataset([planted.utterance("a", rows)])
    found = integrated_gradients(trained, one, Target("score"), steps=2)
    np.testing.assert_allclose(found.rows["audio"], [1 / 3, 0, 4 / 3, 7 / 3], atol=1e-6)
    assert (found.score, found.baseline) == (pytest.approx(4), 0)
    assert found.error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["mecam", "late_fusion"])
def test_attributions_sum_to_the_difference_and_more_steps_come_closer(
    name: str, any_store: Store, encoder: str
) -> None:
    """Completeness, for scores and probabilities alike; the end of the path is the prediction itself."""
    trained = tiny.build(name, any_store, encoder, used=True)
    errors = []
    for one in [u for u in trained.dataset(any_store) if u.tokens and len(u.streams) == 3][:3]:
        prediction = perturbed_predictions(trained, [one]).prediction
        target = Target.of(any_store.task, prediction[0])
        coarse, fine = (integrated_gradients(trained, one, target, steps=n) for n in (2, 100))
        assert fine.held == ()
        assert fine.score == pytest.approx(float(target.read(prediction)[0]), abs=1e-5)
        assert set(fine.rows) == {TEXT, *one.streams}
        assert len(fine.rows[TEXT]) == len(one.tokens or ())
        assert abs(fine.error) <= max(0.02 * abs(fine.score - fine.baseline), 1e-2)
        errors.append((coarse.error, fine.error))
    # Of a single one, two steps may be right by chance.
    few, many = np.abs(errors).sum(axis=0)
    assert many <= few + 1e-4


def test_a_text_read_in_a_way_of_its_own_is_held_still(store: Store, encoder: str) -> None:
    """MAG changes hidden states inside the encoder, which is never called as a whole."""
    trained = tiny.build("mag", store, encoder, used=True)
    one = next(u for u in trained.dataset(store) if u.tokens and len(u.streams) == 3)
    found = integrated_gradients(trained, one, Target("score"), steps=100)
    assert found.held == (TEXT,)
    assert TEXT not in found.rows
    assert abs(found.error) <= max(0.05 * abs(found.score - found.baseline), 5e-3)


def test_words_that_are_unknown_already_add_nothing(store: Store, encoder: str) -> None:
    trained = tiny.build("text_only", store, encoder, used=True)
    (said,) = explain(trained, [Utterance(id="a", text="superb [UNK] film [UNK]")], gradients=True, steps=8)
    values = [part.gradient or 0.0 for part in said.modalities[TEXT].parts]
    assert values[1] == values[3] == 0
    assert min(abs(values[0]), abs(values[2])) > 1e-5


def test_without_captum_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, store: Store, encoder: str) -> None:
    monkeypatch.setattr(explanation, "has_captum", lambda: False)
    with pytest.raises(MissingExtraError, match=r"mecam\[explain\]"):
        explain(tiny.build("mecam", store, encoder), store, np.arange(1), gradients=True)
