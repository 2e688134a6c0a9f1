"""Stores with several targets: kept by everything that makes stores, chosen by name, found again by a run."""

import csv
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from import_layouts import make_clips, mmsa, segments
from mecam.data.importing.importer import import_data
from mecam.data.operations.check import check
from mecam.data.operations.combine import join, merge
from mecam.data.operations.describe import describe
from mecam.data.operations.export import export_csv
from mecam.data.operations.speakers import normalise_by_speaker
from mecam.data.operations.split import random_splits, write_splits
from mecam.data.store import Store, StoreWriter
from mecam.errors import DataError
from mecam.evaluation.evaluate_run import evaluate_run
from mecam.prediction.predictor import load
from mecam.runs.config import RunConfig
from mecam.runs.run import RunFolder
from mecam.task import EMOTIONS, Classes, Labels, Regression, Task
from mecam.training.run import train
from mecam.types import FeatureSpec, Utterance

MOOD = Classes(("anger", "calm", "joy"))


def write(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def several(path: Path, count: int = 30, **changes: Any) -> Store:
    """Scores, with a mood beside them that the third of every ten utterances lacks, and scores of modalities."""
    content = tiny.utterances(Regression(), count, modalities=("audio", "vision"))
    specs = {m: FeatureSpec(tiny.WIDTHS[m], extractor="test") for m in ("audio", "vision")}
    targets: dict[str, Task] = {"mood": MOOD, "audio": Regression()}
    with StoreWriter(
        path, name=path.name, task=Regression(), specs=specs, target="sentiment", targets=targets
    ) as writer:
        for i, utterance in enumerate(content):
            mood = {} if i % 10 == 2 else {"mood": tiny.label_of(MOOD, float(str(utterance.label)) / 3)}
            writer.add(replace(utterance, speaker=f"s{i % 4}", targets=mood, **changes))
    return Store(path)


def test_the_first_target_is_the_default_and_others_are_chosen_by_name(tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    assert (store.target, store.task) == ("sentiment", Regression())
    assert store.targets == {"sentiment": Regression(), "mood": MOOD, "audio": Regression()}
    mood, audio = store.choosing("mood"), store.choosing("audio")
    assert (mood.target, mood.task, store.target) == ("mood", MOOD, "sentiment")
    for first, one, single in zip(store, mood, audio, strict=True):
        assert one.label == first.targets.get("mood")
        assert one.targets == {"sentiment": first.label}
        assert single.label == first.unimodal.get("audio")
        assert single.targets == {"sentiment": first.label, **first.targets}
    assert mood.column("label") == [u.label for u in mood]
    assert store.column("label") == [u.label for u in store]
    assert store.choosing("") is not None
    with pytest.raises(DataError, match="no target 'weather'"):
        store.choosing("weather")


def test_utterances_without_the_chosen_label_are_in_no_split(tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    mood = store.choosing("mood")
    labelled = [i for i, label in enumerate(mood.column("label")) if label is not None]
    assert len(labelled) == 27
    for split in ("train", "valid", "test"):
        assert set(mood.split(split)) == set(store.split(split)) & set(labelled)


def test_a_store_of_before_has_one_target(tmp_path: Path) -> None:
    store = tiny.write_store(tmp_path / "s", MOOD, tiny.utterances(MOOD, 10))
    manifest = json.loads((store.path / "manifest.json").read_text(encoding="utf-8"))
    assert not {"target", "targets"} & set(manifest)
    assert "targets" not in (store.path / "utterances.jsonl").read_text(encoding="utf-8")
    assert store.targets == {"label": MOOD}


@pytest.mark.parametrize("targets", [{"weather": "fine"}, {"mood": "sleepy"}])
def test_labels_that_fit_no_target_are_refused(targets: dict[str, str], tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="s", task=Regression(), specs={}, targets={"mood": MOOD}) as writer:
        with pytest.raises(DataError, match=r"weather|sleepy"):
            writer.add(Utterance("a", targets=targets))
        writer.add(Utterance("a", targets={"mood": "joy"}))


def test_what_is_made_of_a_store_keeps_its_targets(tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    write_splits(
        store, tmp_path / "split", random_splits(store, unit="video", shares=(60.0, 20.0, 20.0), seed=1), step={}
    )
    normalise_by_speaker(store, tmp_path / "normal")
    merge([store, several(tmp_path / "t")], tmp_path / "merged", prefix=True)
    bare = tiny.write_store(
        tmp_path / "bare",
        Regression(),
        [replace(u, targets={}, unimodal={}, streams={"physio": np.ones((1, 2), np.float32)}) for u in store],
    )
    join(bare, [store], tmp_path / "joined")
    for name in ("split", "normal", "merged", "joined"):
        made = Store(tmp_path / name)
        assert {"mood": MOOD, "audio": Regression()}.items() <= made.targets.items(), name
        assert made.labels("mood")[: len(store)] == store.labels("mood"), name
        assert made.labels("audio")[: len(store)] == store.labels("audio"), name


def test_stores_that_ask_differently_under_one_name_are_not_merged(tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    targets: dict[str, Task] = {"mood": Classes(("up", "down"))}
    with StoreWriter(tmp_path / "t", name="t", task=Regression(), specs={}, targets=targets) as writer:
        writer.add(Utterance("x", label=1.0))
    with pytest.raises(DataError, match="'mood' differs"):
        merge([store, Store(tmp_path / "t")], tmp_path / "merged")


def test_info_and_check_look_at_every_target(tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    found = describe(store)
    assert list(found.targets) == ["sentiment", "mood", "audio"]
    assert sum(sum(split.others["mood"].values()) for split in found.splits.values()) == 27
    assert found.to_json()["targets"]["mood"]["kind"] == "classes"
    unlabelled = [problem for problem in check(store).problems if problem.kind == "unlabelled"]
    assert [(p.count, p.message.partition(":")[0]) for p in unlabelled if "mood" in p.message] == [(3, "mood")]


def test_an_export_has_a_column_for_every_target_and_is_read_again(tmp_path: Path) -> None:
    clips = make_clips({"audio": 74, "vision": 35}, {"audio": 9, "vision": 9}, same_length=True)
    import_data([write(tmp_path / "mosei.pkl", segments(clips, "mag"))], tmp_path / "mosei")
    store = Store(tmp_path / "mosei")
    export_csv(store, tmp_path / "out")
    import_data([tmp_path / "out"], tmp_path / "again")
    again = Store(tmp_path / "again")
    assert again.targets == store.targets
    assert again.labels("emotions") == store.labels("emotions")


def test_mosei_has_a_sentiment_and_six_emotions(tmp_path: Path) -> None:
    clips = make_clips({"audio": 74, "vision": 35}, {"audio": 9, "vision": 9}, same_length=True)
    file = write(tmp_path / "mosei.pkl", segments(clips, "mag"))
    import_data([file], tmp_path / "mosei")
    store = Store(tmp_path / "mosei")
    assert store.targets == {"sentiment": Regression(), "emotions": Labels(EMOTIONS)}
    assert [tuple(label.values()) for label in store.labels("emotions")] == [clip.emotions for clip in clips]
    import_data([file], tmp_path / "emotions", task=Labels(EMOTIONS))
    other = Store(tmp_path / "emotions")
    assert list(other.targets) == ["emotions", "sentiment"]
    assert other.labels("sentiment") == store.labels("sentiment")


def test_sims_labels_of_single_modalities_are_targets(tmp_path: Path) -> None:
    widths, longest = {"audio": 33, "vision": 709}, {"audio": 40, "vision": 55}
    clips = make_clips(widths, longest, scale=1.0)
    for clip in clips:
        clip.unimodal = {"text": 0.2, "audio": -0.4, "vision": 1.0}
    import_data([write(tmp_path / "file", mmsa(clips, longest, widths, unimodal=True))], tmp_path / "sims")
    store = Store(tmp_path / "sims")
    assert store.targets == dict.fromkeys(("sentiment", "audio", "text", "vision"), Regression(-1.0, 1.0))
    assert set(store.labels("audio")) == {-0.4}
    assert store[0].unimodal == clips[0].unimodal


def test_meld_has_an_emotion_and_a_sentiment(tmp_path: Path) -> None:
    rows = [("joy", "positive"), ("neutral", "neutral"), ("anger", "negative")]
    with (tmp_path / "train_sent_emo.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"])
        table.writerows([i, "What?", "Joey", *labels, 0, i] for i, labels in enumerate(rows))
    import_data([tmp_path / "train_sent_emo.csv"], tmp_path / "meld")
    store = Store(tmp_path / "meld")
    assert list(store.targets) == ["emotion", "sentiment"]
    assert list(zip(store.column("label"), store.labels("sentiment"), strict=True)) == rows
    assert store.targets["sentiment"].names == ("negative", "neutral", "positive")


def test_a_run_knows_its_target(encoder: str, tmp_path: Path) -> None:
    store = several(tmp_path / "s")
    options = tiny.small_options("late_fusion", encoder)
    config = RunConfig("late_fusion", options, training=tiny.training(epochs=1), accelerator="cpu")
    by_name = replace(config, data=replace(config.data, target="mood"))
    folder = train(by_name, store, tmp_path / "mood")
    run = RunFolder.open(folder)
    assert run.task == MOOD
    assert run.store().target == run.store(store.path).target == "mood"
    metrics, _ = evaluate_run(folder, store, split="test")
    assert metrics["test"]["accuracy"]["mean"] == pytest.approx(run.metrics["test"]["accuracy"]["mean"])
    answers = load(folder, device="cpu").predict_store(store, split="test")
    assert {answer.label for answer in answers} <= set(MOOD.names)
    # A store in which another target is chosen is learned from as it is, and the run says so.
    assert train(config, store.choosing("mood"), tmp_path / "same")
    same = RunFolder.open(tmp_path / "same")
    assert same.config_text == run.config_text
    assert same.metrics == run.metrics
