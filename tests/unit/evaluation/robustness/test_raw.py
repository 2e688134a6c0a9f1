"""The protocol `raw`: the recordings are corrupted and extracted again; what was not extracted stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import voices
from mecam.data.corruption import Corruption
from mecam.data.operations.combine import join
from mecam.data.operations.speakers import normalise_by_speaker
from mecam.data.store import Store, StoreWriter
from mecam.errors import ConfigError, DataError
from mecam.evaluation.robustness.conditions import EXTENT
from mecam.evaluation.robustness.evaluation_split import OWN, EvaluationSplit, Recordings
from mecam.evaluation.robustness.protocols import plan
from mecam.features import corrupted_store as corrupting
from mecam.features.corrupted_store import corrupted_store, recipe_of_store
from mecam.features.extract import extract
from mecam.features.recording import Recipe
from mecam.types import FeatureSpec, Utterance

IDS = ("a_1", "a_2", "b_1", "b_2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled clips with a pause in the middle, in the MMSA-FET layout, and their store with faces of its own."""
    place = tmp_path_factory.mktemp("raw")
    rows = ["video_id,clip_id,text,label,mode"]
    for number, name in enumerate(IDS):
        video, clip = name.split("_")
        buzz = voices.buzz(2.0, hertz=120.0 + 30 * number)
        buzz[14_000:24_000] = 0.0
        voices.write_wav(place / "in" / "Raw" / video / f"{clip}.wav", buzz)
        rows.append(f"{video},{clip},some words,{number - 1.5},{'test' if number else 'train'}")
    (place / "in" / "label.csv").write_text("\n".join(rows))
    extract([place / "in"], place / "heard", recipe=Recipe(("mecam-audio",)), jobs=1)
    with StoreWriter(
        place / "seen", name="seen", task=Store(place / "heard").task, specs={"vision": FeatureSpec(3)}
    ) as w:
        for utterance in Store(place / "heard"):
            w.add(Utterance(utterance.id, streams={"vision": np.ones((4, 3), np.float32)}))
    join(Store(place / "heard"), [Store(place / "seen")], place / "store")
    return place


def material(folder: Path, out: Path) -> EvaluationSplit:
    store = Store(folder / "store")
    found = EvaluationSplit(store, "test")
    found.recordings = Recordings(store, [folder / "in"], out, ids=found.ids, jobs=1)
    return found


def test_sound_is_corrupted_and_the_rest_stays(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = material(folder, tmp_path)
    planned = plan("raw", data, ("text", "audio", "vision"), only=["audio.white.5"])
    assert [condition.key for condition in planned.conditions] == ["clean", "audio.white.5"]
    clean, noisy = planned.conditions
    for place, name in enumerate(IDS[1:]):
        before, after = clean.corrupt(data, place, 1), noisy.corrupt(data, place, 1)
        assert before.id == after.id == name
        assert (before.text, before.label) == (after.text, after.label)
        assert np.array_equal(before.streams["vision"], after.streams["vision"])
        touched = np.zeros(len(after.streams["audio"]), bool)
        for span in after.injected:
            if span.kind == "white":
                touched[span.start : span.stop] = True
        assert touched.mean() == pytest.approx(EXTENT, abs=0.05)
        same = np.isclose(before.streams["audio"], after.streams["audio"], atol=1e-4, equal_nan=True).all(axis=1)
        assert not same[touched].any()
        assert same[~(np.convolve(touched, np.ones(25), "same") > 0)].all()
        # Silence is missing: the filter is not asked about it.
        silent = np.isnan(before.streams["audio"]).all(axis=1)
        assert silent.sum() > 40
        assert sum(s.stop - s.start for s in before.injected if s.kind == OWN) == silent.sum()
    # A second model finds the corrupted store; another seed makes another one.
    monkeypatch.setattr(corrupting, "extract", refuse)
    again = noisy.corrupt(material(folder, tmp_path), 0, 1)
    assert np.array_equal(again.streams["audio"], noisy.corrupt(data, 0, 1).streams["audio"], equal_nan=True)
    with pytest.raises(AssertionError):
        noisy.corrupt(data, 0, 2)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("it was extracted before")


def test_the_whole_protocol_corrupts_what_was_extracted(folder: Path, tmp_path: Path) -> None:
    planned = plan("raw", material(folder, tmp_path), ("text", "audio", "vision"))
    assert len(planned.conditions) == 1 + 10 * 5
    assert {condition.modality for condition in planned.conditions[1:]} == {"audio"}  # these faces were not extracted
    for summary in planned.summaries:
        assert sum(summary.weights.values()) == pytest.approx(1)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    store = Store(folder / "store")
    with pytest.raises(ConfigError, match="needs the recordings"):
        plan("raw", EvaluationSplit(store, "test"), ("audio",))
    other = tiny.write_store(tmp_path / "tiny", tiny.TASKS["regression"], tiny.utterances(tiny.TASKS["regression"]))
    with pytest.raises(DataError, match="not extracted by mecam"):
        recipe_of_store(other)
    voices.write_wav(tmp_path / "foreign" / "x.wav", voices.buzz(0.5))
    with pytest.raises(DataError, match="none of the recordings belongs to the store"):
        corrupted_store(store, [tmp_path / "foreign"], [Corruption("white", 5.0)], tmp_path / "d")


def test_features_relative_to_the_speaker_are_refused(tmp_path: Path) -> None:
    store = tiny.write_store(
        tmp_path / "named",
        tiny.TASKS["regression"],
        [Utterance("u", split="train", speaker="s", label=0.0, streams={"audio": np.eye(4, dtype=np.float32)})],
    )
    normalise_by_speaker(store, tmp_path / "relative")
    with pytest.raises(DataError, match="relative to each speaker"):
        recipe_of_store(Store(tmp_path / "relative"))
