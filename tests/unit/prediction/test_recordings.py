"""Recordings through a model: the features it learned from, in its times, with reasons for what it says."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mecam
import tiny
import voices
from mecam.cli import main
from mecam.data.operations.speakers import RELATIVE
from mecam.data.store import Store, StoreWriter
from mecam.errors import ConfigError, DataError, ModelError
from mecam.features.baseline import AUTO
from mecam.features.extractor import extractor, extractor_of
from mecam.features.recording import Recipe, read_recording
from mecam.features.segmentation import Lengths
from mecam.models.trained import Trained, load_checkpoint, save_checkpoint
from mecam.prediction.formats import as_csv
from mecam.prediction.predictor import Predictor
from mecam.prediction.recordings import contributions_of, overall_of, recipe_of
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.task import Classes, Regression
from mecam.types import FeatureSpec, Utterance

TASK = Regression()


def spoken(folder: Path) -> Path:
    """Six seconds with two sentences, and their captions."""
    quiet = np.zeros(voices.RATE_HZ // 2, np.float32)
    sound = np.concatenate([quiet, voices.buzz(2.0, slope=0.3), quiet, quiet, voices.buzz(1.5, slope=-0.3), quiet])
    wav = voices.write_wav(folder / "mein café.wav", sound)
    first = "1\n00:00:00,500 --> 00:00:02,500\nThe film was superb.\n\n"
    second = "2\n00:00:03,500 --> 00:00:05,000\nthe food was awful\n"
    wav.with_suffix(".srt").write_text(first + second, encoding="utf-8")
    return wav


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def run(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model reads our own audio features and text; untrained, but shaken."""
    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe(("mecam-audio",))
    with StoreWriter(folder / "store", name="voices", task=TASK, specs=recipe.specs()) as writer:
        for i, split in enumerate(("train", "train", "train", "valid")):
            wav = voices.write_wav(folder / f"{i}.wav", voices.buzz(0.6, hertz=100 + 40 * i, slope=i / 4))
            (utterance,) = read_recording(wav, recipe, id=str(i), text="the film was good").utterances
            writer.add(replace(utterance, split=split, label=float(i - 1)))
    trained = tiny.build("mecam", Store(folder / "store"), encoder, used=True)
    checkpoint = replace(trained.checkpoint, calibration={"0.9": 0.8}, data_name="voices")
    save_checkpoint(folder / "checkpoint", replace(trained, checkpoint=checkpoint))
    return folder


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return mecam.load(run, device="cpu")


@pytest.fixture(scope="module")
def recording(predictor: Predictor, clip: Path) -> RecordingPrediction:
    return predictor.predict(clip, lengths=Lengths(0.5, 4.0), words=True)


def test_a_checkpoint_knows_how_its_features_are_made(run: Path, predictor: Predictor) -> None:
    spec = load_checkpoint(run).checkpoint.inputs.features["audio"]
    assert spec == extractor("mecam-audio").spec
    assert recipe_of(predictor.backend).extractors == ("mecam-audio",)


def test_each_sentence_is_predicted_as_if_alone(
    recording: RecordingPrediction, predictor: Predictor, clip: Path
) -> None:
    assert [part.text for part in recording.parts] == ["The film was superb.", "the food was awful"]
    assert [(part.start, part.stop) for part in recording.parts] == [(0.5, 2.5), (3.5, 5.0)]
    recipe = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0))
    utterances = read_recording(clip, recipe, id="x", transcript=clip.with_suffix(".srt")).utterances
    alone = [predictor.predict_utterances([utterance])[0].score for utterance in utterances]
    assert [part.score for part in recording.parts] == pytest.approx(alone, abs=1e-4)
    assert recording.overall.score == pytest.approx(np.average(alone, weights=[2.0, 1.5]), abs=1e-4)
    assert recording.overall.text == "The film was superb. the food was awful"
    for part in recording.parts:
        assert part.low is not None
        assert part.low < (part.score or 0) < (part.high or 0)
        assert len(part.kept["audio"]) == pytest.approx(100 * ((part.stop or 0) - (part.start or 0)), abs=1)


def test_a_model_of_relative_features_reads_a_recording_with_a_baseline(
    clip: Path, encoder: str, tmp_path: Path
) -> None:
    plain = Recipe(("mecam-audio",))
    spec = plain.specs()["audio"]
    specs = {"audio": replace(spec, extractor=spec.extractor + RELATIVE)}
    with StoreWriter(tmp_path / "store", name="voices", task=TASK, specs=specs) as writer:
        for i, split in enumerate(("train", "train", "train", "valid")):
            wav = voices.write_wav(tmp_path / f"{i}.wav", voices.buzz(0.6, hertz=100 + 40 * i, slope=i / 4))
            recipe = replace(plain, relative=("audio",), baseline=AUTO)
            (utterance,) = read_recording(wav, recipe, id=str(i), text="the film was good").utterances
            writer.add(replace(utterance, split=split, label=float(i - 1)))
    trained = tiny.build("mecam", Store(tmp_path / "store"), encoder, used=True)
    save_checkpoint(tmp_path / "checkpoint", trained)
    predictor = mecam.load(tmp_path, device="cpu")
    with pytest.raises(ModelError, match="normalised for each speaker"):
        predictor.predict_file(clip)
    with pytest.raises(ModelError, match="--baseline"):
        predictor.check_reads_recordings()
    predictor.check_reads_recordings(baseline=AUTO)
    calm = tmp_path / "1.wav"
    for baseline in (AUTO, calm):
        found = predictor.predict_file(clip, baseline=baseline)
        expected = read_recording(
            clip, replace(plain, relative=("audio",), baseline=baseline), id="x", transcript=clip.with_suffix(".srt")
        )
        assert found.parts[0].score is not None
        np.testing.assert_array_equal(found.utterances[0].streams["audio"], expected.utterances[0].streams["audio"])


def test_modalities_are_asked_alone_and_words_left_out(recording: RecordingPrediction, predictor: Predictor) -> None:
    (by_text,) = predictor.predict(["The film was superb."])
    first = recording.parts[0]
    assert first.alone["text"] == pytest.approx(by_text.score, abs=1e-4)
    assert set(first.alone) == {"text", "audio"}
    utterance = replace(recording.utterances[0], text="The film was [UNK]")
    (without,) = predictor.predict_utterances([utterance])
    assert recording.contributions[0][3] == pytest.approx((first.score or 0) - (without.score or 0), abs=1e-4)
    assert [len(row) for row in recording.contributions] == [4, 4]
    assert any(abs(c) > 1e-4 for row in recording.contributions for c in row)


def test_who_disagrees(predictor: Predictor) -> None:
    from mecam.prediction.recordings import disagreeing

    whole = Prediction("x", None, 1.0, None, None, "positive")
    assert disagreeing(TASK, whole, {"text": -1.0, "audio": 0.9, "vision": -0.2}) == ("text",)
    classes = Classes(("calm", "joy"))
    said = Prediction("x", None, None, None, None, "joy", {"calm": 0.2, "joy": 0.8})
    assert disagreeing(classes, said, {"text": "calm", "audio": "joy"}) == ("text",)
    parts = [
        replace(said, start=0.0, stop=3.0),
        replace(said, probabilities={"calm": 1.0, "joy": 0.0}, start=3.0, stop=4.0),
    ]
    overall = overall_of(classes, "whole", parts)
    assert overall.probabilities == pytest.approx({"calm": 0.4, "joy": 0.6})
    assert overall.label == "joy"


def test_what_is_absent_is_said(predictor: Predictor, tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.6))
    recording = predictor.predict(str(wav))
    assert recording.absent == {"text": "no transcript was given"}
    assert recording.parts[0].shares["audio"] == pytest.approx(1)
    assert recording.parts[0].alone == {}
    (tmp_path / "late.srt").write_text("1\n00:01:00,000 --> 00:01:03,000\nHi\n")
    with pytest.raises(DataError, match="overruns the recording"):
        predictor.predict(wav, transcript=tmp_path / "late.srt")


def test_features_that_we_cannot_make_are_named(store: Store, encoder: str, clip: Path) -> None:
    foreign = Predictor(tiny.build("mecam", store, encoder))
    with pytest.raises(ModelError, match="features that mecam cannot extract: test of width") as caught:
        foreign.predict(clip)
    assert "mecam data import" in str(caught.value.fix)
    spec = extractor("mecam-audio").spec
    with pytest.raises(ModelError, match=r"version 0\.1 .* makes version"):
        extractor_of("audio", replace(spec, version="0.1"))
    assert extractor_of("audio", FeatureSpec(spec.width, spec.extractor, spec.version)).name == "mecam-audio"


def test_a_model_of_texts_needs_words(encoder: str, store: Store, tmp_path: Path) -> None:
    trained: Trained = tiny.build("text_only", store, encoder)
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.6))
    with pytest.raises(ModelError, match="no input for this model"):
        Predictor(trained).predict(wav)
    (tmp_path / "a.txt").write_text("the film was superb")
    said = Predictor(trained).predict(wav)
    (typed,) = Predictor(trained).predict(["the film was superb"])
    assert said.parts[0].score == pytest.approx(typed.score, abs=1e-5)


def test_the_command(run: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["predict", *map(str, arguments), "--model", str(run), "--max-seconds", "4"])
        return (code, *capsys.readouterr())

    code, out, _ = call(clip, "--html", tmp_path / "page.html")
    assert code == 0
    assert "mein café.wav" in out
    assert "0:03.5–0:05.0" in out
    assert out.strip().splitlines()[-1] == f"page: {tmp_path / 'page.html'}"
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    code, out, err = call(clip, bad, "--format", "jsonl")
    assert code == 3
    assert "bad.wav" in err
    (line,) = (json.loads(line) for line in out.splitlines())
    assert [part["start"] for part in line["utterances"]] == [0.5, 3.5]
    code, out, _ = call(clip, "a superb film", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert [row["file"] for row in rows] == ["mein café.wav", "mein café.wav", ""]
    code, out, err = call(bad)
    assert (code, out) == (1, "")
    assert err.count("error:") == 1
    (tmp_path / "binary.srt").write_bytes(bytes(range(256)))
    code, _, err = call(clip, "--transcript", tmp_path / "binary.srt")
    assert code == 1
    assert "binary data" in err
    assert "Traceback" not in err
    code, _, err = call("a superb film", "--html", tmp_path / "x.html")
    assert code == 1
    assert "--html needs a recording" in err
    code, out, _ = call(clip.parent, "--output", tmp_path / "p.csv")
    assert code == 0
    assert out.strip().splitlines()[-1] == f"2 predictions: {tmp_path / 'p.csv'}"


def test_rendered_models_say_so(run: Path, clip: Path) -> None:
    trained = load_checkpoint(run)
    rendered = replace(trained, checkpoint=replace(trained.checkpoint, synthetic=True, data_name="rendered"))
    recording: Any = Predictor(rendered).predict(clip)
    assert "rendered clips" in recording.notes[0]
    assert recording.to_json()["notes"] == list(recording.notes)


def test_a_recording_explained(run: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--json", str(tmp_path / "why.json"), "--html", str(tmp_path / "why.html"))
    assert main(["explain", "recording", str(run), str(clip), "--max-seconds", "4", "--steps", "2", *files]) == 0
    assert "superb." in capsys.readouterr().out
    document = json.loads((tmp_path / "why.json").read_text("utf-8"))
    assert [(u["start"], u["stop"]) for u in document["utterances"]] == [(0.5, 2.5), (3.5, 5.0)]
    first = document["utterances"][0]["modalities"]
    assert [part["label"] for part in first["text"]["parts"]] == ["The", "film", "was", "superb."]
    assert first["audio"]["parts"][0]["seconds"][0] == pytest.approx(0.5, abs=0.02)
    page = (tmp_path / "why.html").read_text("utf-8")
    assert "data:audio/wav;base64," in page
    assert page.count('class="part bare"') == 2
    assert page.count("<h3>The prediction without each part</h3>") == 2


def test_who_contradicts_is_in_the_files(recording: RecordingPrediction) -> None:
    assert set(recording.parts[0].doubts) == {"text", "audio"}
    assert recording.to_json()["utterances"][0]["doubts"] == recording.parts[0].doubts
    part = replace(recording.parts[0], doubts={"text": 0.1, "audio": 0.8}, contradicts=("audio",))
    (row, *_) = csv.DictReader(as_csv([replace(recording, parts=(part, *recording.parts[1:]))]).splitlines())
    assert (row["doubt_audio"], row["contradicts"]) == ("0.8", "audio")


def test_words_carry_something_where_there_are_several_labels(encoder: str, tmp_path: Path) -> None:
    """No label may reach one half: then the most probable one is what the words speak for."""
    task = tiny.TASKS["multilabel"]
    store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task))
    several = Predictor(tiny.build("text_only", store, encoder, used=True))
    said = several.predict(["the film was superb"])
    for labels in ("none", "happy, sad"):
        (row,) = contributions_of(
            several.backend, [Utterance(id="a", text="the film was superb")], [replace(said[0], label=labels)]
        )
        assert len(row) == 4
        assert np.isfinite(row).all()
        assert max(map(abs, row)) > 1e-4


def test_a_person_can_be_asked_for_only_where_faces_are_read(
    run: Path, clip: Path, predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="nothing looks at faces"):
        predictor.predict_file(clip, person=2)
    for options, said in (
        (["--listener"], "person 'listener' is asked for, but nothing looks at faces"),
        (["--person", "1", "--listener"], "two answers to one question"),
    ):
        assert main(["predict", str(clip), "--model", str(run), *options]) != 0
        assert said in " ".join(capsys.readouterr().err.split())
