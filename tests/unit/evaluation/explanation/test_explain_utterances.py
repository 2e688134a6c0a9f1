"""What is said about an utterance is what the model answers when it is asked again."""

import json
import math

import numpy as np
import pytest
import torch

import planted
import tiny
from mecam.data.corruption import without_modality
from mecam.data.store import Store
from mecam.evaluation.explanation.explanation import explanation_document, in_short
from mecam.evaluation.explanation.occlusion import explain
from mecam.evaluation.explanation.perturbation import (
    WINDOWS,
    observed,
    parts_of,
    perturbed_predictions,
    read_by,
    unknown_token,
    without,
)
from mecam.types import TEXT, Utterance


def test_worked_by_hand() -> None:
    """Mean of the rows: leaving one out moves it to the mean of the others; a low gate marks a row as removed."""
    one = planted.utterance("a", [[1, 0.9], [2, 0.9], [6, 0.2]], label=1.5)
    (said,) = explain(planted.planted(), [one])
    assert said.score == pytest.approx(3)
    assert (said.low, said.high) == (pytest.approx(2.5), 3.0), "no truth lies beyond the scale"
    assert said.label == "positive"
    of_modality = said.modalities["audio"]
    assert [p.without.score for p in of_modality.parts] == pytest.approx([4, 3.5, 1.5])
    assert [p.without.adds for p in of_modality.parts] == pytest.approx([-1, -0.5, 1.5])
    assert [p.kept for p in of_modality.parts] == pytest.approx([0.9, 0.9, 0.2])
    assert of_modality.removed.tolist() == [False, False, True]
    assert said.without_removed["audio"].count == 1
    assert said.without_removed["audio"].score == pytest.approx(1.5)
    assert said.without_removed["all"].adds == pytest.approx(1.5)
    assert said.without_modality == {}, "there is no other modality to go on"


def test_each_modality_in_turn_and_all_that_is_marked() -> None:
    rows = {
        "audio": np.array([[1, 0.9], [3, 0.1]], np.float32),
        "vision": np.array([[10, 0.1], [20, 0.9], [30, 0.9]], np.float32),
    }
    (said,) = explain(planted.planted("audio", "vision"), [Utterance(id="a", streams=rows)])
    assert said.score == pytest.approx(22)
    assert said.without_modality["audio"].score == pytest.approx(20)
    assert said.without_modality["vision"].adds == pytest.approx(20)
    assert said.without_removed["audio"].score == pytest.approx(21)
    assert said.without_removed["vision"].score == pytest.approx(27)
    assert said.without_removed["all"].score == pytest.approx(26)
    assert said.without_removed["all"].count == 2


def test_without_a_filter_everything_but_the_filter_is_there() -> None:
    (said,) = explain(planted.planted(gated=False), [planted.utterance("a", [[1, 0], [2, 0], [3, 0]])])
    assert said.without_removed == {}
    assert said.modalities["audio"].kept is None
    assert not said.modalities["audio"].removed.any()
    assert [p.without.adds for p in said.modalities["audio"].parts] == pytest.approx([-0.5, 0, 0.5])
    assert said.to_json()["modalities"]["audio"]["kept"] is None


@pytest.mark.parametrize("name", ["mecam", "late_fusion"])
def test_leaving_out_what_is_masked_changes_nothing(name: str, store: Store, encoder: str) -> None:
    trained = tiny.build(name, store, encoder, used=True)
    holed = [u for u in trained.dataset(store) if any(not observed(u, m).all() for m in u.streams)]
    assert len(holed) > 3
    for u in holed[:4]:
        masked = [(m, ~observed(u, m)) for m in u.streams if not observed(u, m).all()]
        variants = [without(u, m, rows, unknown_token(trained)) for m, rows in masked]
        said = perturbed_predictions(trained, [u, *variants]).prediction
        np.testing.assert_allclose(said[1:], said[0], atol=1e-6)


def test_a_window_in_which_nothing_was_observed_does_nothing() -> None:
    rows = [[1, 0.9], [np.nan, np.nan], [3, 0.9]]
    (said,) = explain(planted.planted(), [planted.utterance("a", rows)])
    parts = said.modalities["audio"].parts
    assert [p.without.adds for p in parts] == pytest.approx([-1, 0, 1])
    assert parts[1].kept is None
    assert said.to_json()["modalities"]["audio"]["kept"] == [0.9, None, 0.9]


def test_a_modality_that_is_not_read_changes_nothing(store: Store, encoder: str) -> None:
    """The published model's prediction does not depend on audio and vision, whatever is done to them."""
    trained = tiny.build("mecam_published", store, encoder, used=True)
    whole = [u for u in store if u.text and len(u.streams) == 3][:3]
    for said in explain(trained, whole):
        assert set(said.modalities) > set(trained.model.reads) - set(trained.model.ignores) == {TEXT}
        for m in set(said.modalities) - {TEXT}:
            assert all(p.without.adds == pytest.approx(0, abs=1e-6) for p in said.modalities[m].parts)
        assert any(abs(p.without.adds) > 1e-4 for p in said.modalities[TEXT].parts)
    only_text = tiny.build("text_only", store, encoder, used=True)
    for said in explain(only_text, whole):
        assert set(said.modalities) == {TEXT}
        assert said.without_modality == {}


def test_words_become_unknown_and_nothing_else_moves(store: Store, encoder: str) -> None:
    """Leaving a word out is the same as writing [UNK] in its place."""
    trained = tiny.build("mecam", store, encoder, used=True)
    text = "the goodly film was superb"
    (said,) = explain(trained, [Utterance(id="a", text=text)])
    words = text.split()
    asked = [" ".join([*words[:i], "[UNK]", *words[i + 1 :]]) for i in range(5)]
    variants = list(trained.dataset([Utterance(id=str(i), text=t) for i, t in enumerate(asked)]))
    expected = perturbed_predictions(trained, variants).prediction
    parts = said.modalities[TEXT].parts
    assert [p.part.label for p in parts] == words
    assert [p.without.score for p in parts] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(p.without.adds == pytest.approx(said.score - p.without.score) for p in parts)


def test_many_variants_in_few_passes() -> None:
    trained = planted.planted()
    rng = np.random.default_rng(0)
    long = planted.utterance("a", rng.random((500, 2)))
    (said,) = explain(trained, [long])
    assert len(said.modalities["audio"].parts) == len(parts_of(long, "audio")) <= WINDOWS
    assert trained.model.calls == 2, "the utterance, and all its variants at once"


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (24, [1] * 24), (25, [2] * 12 + [1]), (240, [10] * 24)])
def test_windows_are_of_one_length_and_cover_every_row_once(count: int, sizes: list[int]) -> None:
    parts = parts_of(planted.utterance("a", np.zeros((count, 2))), "audio")
    assert [p.stop - p.start for p in parts] == sizes
    assert [p.start for p in parts] == np.cumsum([0, *sizes[:-1]]).tolist()


def test_times_are_those_of_the_rows() -> None:
    times = np.stack([np.arange(50) / 10, np.arange(1, 51) / 10], axis=1)
    one = planted.utterance("a", np.zeros((50, 2)), intervals={"audio": times})
    parts = parts_of(one, "audio")
    assert parts[0].seconds == (0.0, pytest.approx(0.3))
    assert parts[-1].seconds == (pytest.approx(4.8), pytest.approx(5.0))
    assert parts[-1].name == "frames 49–50"
    unknown = planted.utterance("a", np.zeros((50, 2)), intervals={"audio": np.full((50, 2), np.nan)})
    assert parts_of(unknown, "audio")[0].seconds is None


def test_an_absent_modality_is_not_taken_for_another() -> None:
    one = Utterance(id="a", text="the film", tokens=((5,), (6,)))
    assert without_modality(one, "audio") == one
    assert read_by(("audio", TEXT), one) == (TEXT,)


EXPLANATION = {
    "id", "text", "truth", "quantity", "score", "low", "high", "label", "shares", "doubts", "without_modality",
    "without_removed", "gradients", "modalities", "start", "stop",
}  # fmt: skip
MODALITY = {"rows", "observed", "kept", "removed", "injected", "kinds", "parts", "agreement"}
PART = {"start", "stop", "label", "seconds", "kept", "score", "adds", "gradient"}


@pytest.mark.parametrize("name", ["mecam", "lf_dnn"])
def test_the_document_has_the_same_keys_for_every_task_and_every_hole(
    name: str, any_store: Store, encoder: str
) -> None:
    trained = tiny.build(name, any_store, encoder, used=True)
    explained = explain(trained, any_store, np.arange(4), gradients=name == "mecam", steps=2)
    about = {"run": "r", "model": name, "data": "tiny"}
    document = json.loads(json.dumps(explanation_document(explained, about=about), allow_nan=False))
    assert set(document) == {"format", "version", "kind", "run", "model", "data", "removal", "notes", "utterances"}
    assert (document["format"], document["version"], document["kind"]) == ("mecam-explanation", 2, "explanation")
    read = set(trained.model.reads)
    for one, utterance in zip(document["utterances"], any_store, strict=False):
        assert set(one) == EXPLANATION
        assert one["id"] == utterance.id
        assert set(one["modalities"]) <= read
        assert set(one["without_modality"]) == (set(one["modalities"]) if len(one["modalities"]) > 1 else set())
        for of_modality in one["modalities"].values():
            assert set(of_modality) == MODALITY
            assert all(set(part) == PART for part in of_modality["parts"])
            assert of_modality["parts"][-1]["stop"] == len(of_modality["observed"])
            if name == "mecam":
                assert len(of_modality["kept"]) == len(of_modality["removed"]) == len(of_modality["observed"])
        if any_store.task.kind == "regression":
            assert one["quantity"] == "score"
        else:
            assert one["quantity"].removeprefix("probability of ") in any_store.task.names
            assert 0 < one["score"] < 1
            assert one["low"] is one["high"] is None


def test_a_model_that_has_nothing_to_go_on_is_explained_too(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    (said,) = explain(trained, [Utterance(id="nothing")], gradients=True)
    assert said.modalities == {}
    assert math.isfinite(said.score)
    assert said.gradients is not None
    assert said.gradients.total == 0


def test_training_mode_and_weights_stay_as_they_were(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    before = {key: value.clone() for key, value in trained.model.state_dict().items()}
    explain(trained, store, np.arange(2), gradients=True, steps=3)
    assert not trained.model.training
    assert all(torch.equal(before[key], value) for key, value in trained.model.state_dict().items())
    assert all(p.grad is None for p in trained.model.parameters())


def test_labels_in_short() -> None:
    assert [in_short(label) for label in (-1.5, "joy", {"happy": 1.0, "sad": 0.0}, {"sad": 0.0})] == [
        "−1.50",
        "joy",
        "happy",
        "none",
    ]
