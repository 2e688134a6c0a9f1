"""The model that comes with mecam: what its words say, in whatever company; tiers; what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import mecam
import voices
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.features.audio.whisper_encoder import MODEL, WIDTH, WhisperEncoder
from mecam.features.extractor import Features
from mecam.features.media import Media
from mecam.prediction import built_in
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.emotions import GROUPS
from mecam.prediction.panel_reading import contradicting
from mecam.prediction.result import Face, Prediction, Voice
from mecam.pretrained.cards import DEMO_CLIP
from mecam.types import Utterance

GOOD = "I love this film, it is wonderful and very funny."
BAD = "This was awful, I hated every boring minute of it."


def run_python(code: str) -> "subprocess.CompletedProcess[str]":
    """A program without the tests' checks of types."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model() -> BuiltIn:
    return BuiltIn()


def test_words_decide_the_score(model: BuiltIn) -> None:
    good, plain, bad = model.predict_text([GOOD, "The train leaves at nine from platform two.", BAD])
    assert good.score > 1 > 0.6 > plain.score > -0.6 > -1 > bad.score
    assert [one.label for one in (good, plain, bad)] == ["positive", "neutral", "negative"]
    for one in (good, plain, bad):
        assert -3 <= one.low < one.score < one.high <= 3
        assert list(one.emotions) == list(GROUPS)
        assert len(one.kept["text"]) == len(one.text.split())
    assert max(good.emotions, key=good.emotions.get) == "joy"
    assert max(plain.emotions, key=plain.emotions.get) == "neutral"


def test_negation_and_emotions(model: BuiltIn) -> None:
    fine, not_fine = model.predict_text(["It is good.", "It is not good at all."])
    assert fine.score > 0 > not_fine.score
    thanks, afraid = model.predict_text(["Thank you so much, I am so happy!", "I am terrified, please help me."])
    assert thanks.emotions["joy"] >= model.thresholds["joy"]
    assert afraid.emotions["fear"] >= model.thresholds["fear"]


def test_all_emotions_are_named_on_request() -> None:
    (one,) = BuiltIn(all_emotions=True).predict_text(["Thank you so much!"])
    assert len(one.emotions) == 28
    assert max(one.emotions, key=one.emotions.get) == "gratitude"


def test_the_permissive_tier_has_no_score() -> None:
    model = BuiltIn("permissive")
    one = model.predict_text(GOOD)
    assert one.score is None
    assert one.emotions["joy"] > 0.5
    assert "no score" in model.notes[0]
    assert all(card.tier == "permissive" for card in model.cards)


def test_an_unknown_tier_is_one_error() -> None:
    done = run_python("from mecam.prediction.built_in import BuiltIn; BuiltIn('commercial')")
    assert "there is no tier 'commercial'" in done.stderr


def test_company_changes_no_answer(model: BuiltIn) -> None:
    texts = [GOOD, BAD, "ok", GOOD + " " + BAD]
    alone = [model.predict_text(text) for text in texts]
    assert [replace(one, id="1") for one in model.predict_text(texts)] == alone


def test_threads_share_it(model: BuiltIn) -> None:
    texts = [f"{GOOD} {number}" for number in range(12)]
    expected = [model.predict_text(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.predict_text, texts)) == expected


def test_an_utterance_without_words_says_nothing(model: BuiltIn) -> None:
    said = model.predict_utterances(
        [Utterance("a", text=GOOD), Utterance("b"), Utterance("c", text=" "), Utterance("a", text=BAD)]
    )
    assert [one.id for one in said] == ["a", "b", "c", "a"]
    assert said[0].score > 0 > said[3].score
    for one in said[1:3]:
        assert one.score is None
        assert one.emotions == {}
        assert one.absent == ("text",)


def test_a_store_is_predicted_by_its_words(model: BuiltIn, store: Store) -> None:
    told: list[Sequence[int]] = []
    answers = model.predict_store(store, split="test", progress=lambda *now: told.append(now))
    assert len(answers) == len(store.split("test")) == told[-1][0]
    assert {one.id for one in answers} == {store[int(i)].id for i in store.split("test")}


def part(score: float | None, happy: float, activation: float | None, visible: float = 1.0) -> Prediction:
    label = "" if score is None else "positive" if score > 0.5 else "negative" if score < -0.5 else "neutral"
    face = Face(visible, {"happy": happy, "angry": 1 - happy})
    return Prediction("x", "", score, None, None, label, face=face, voice=Voice(activation=activation))


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (part(2.0, 0.1, 0.5), ("vision",)),
        (part(2.0, 0.9, 0.5), ()),
        (part(2.0, 0.9, 0.05), ("audio",)),
        (part(-2.0, 0.9, 0.05), ("vision", "audio")),
        (part(-2.0, 0.9, 0.5, visible=0.1), ()),
        (part(0.1, 0.0, 0.0), ()),
        (part(None, 0.0, 0.0), ()),
        (part(2.0, 0.4, None), ()),
    ],
)
def test_who_contradicts_the_words(one: Prediction, expected: tuple[str, ...]) -> None:
    assert contradicting(one) == expected


def test_the_clip_that_ships() -> None:
    """Three sentences: liked, plain under a burst of noise, and disliked with a smile."""
    clip = mecam.predict(DEMO_CLIP, every=1.0)
    scores = [one.score for one in clip.parts]
    assert len(scores) == 3
    assert scores[0] > 0.5
    assert scores[2] < -0.5
    assert [one.contradicts for one in clip.parts] == [(), (), ("vision",)]
    assert all(one.person == 1 and one.speaking for one in clip.parts)
    assert [moment.start for moment in clip.moments] == list(range(len(clip.moments)))
    assert clip.absent == {}
    (person,) = clip.people
    assert person.number == 1
    assert ((person.box > 0) & (person.box < 1)).all()
    noisy, clean = (clip.parts[i].kept["audio"] for i in (1, 0))
    assert min(k for k in noisy if k is not None) < 0.5 < min(k for k in clean if k is not None)
    written = [json.loads(json.dumps(clip.to_json()))]
    assert written[0]["utterances"][0]["face"]["visible"] > 0.9
    schema = Path(mecam.__file__).parent / "prediction" / "predictions.schema.json"
    jsonschema.validate(written, json.loads(schema.read_text(encoding="utf-8")))


def test_without_a_transcript_there_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mecam.prediction.panel.ready", lambda language: None)
    alone = tmp_path / "clip.mp4"
    alone.write_bytes(DEMO_CLIP.read_bytes())
    clip = mecam.predict(alone)
    assert clip.overall.score is None
    assert clip.overall.label == ""
    assert clip.overall.face is not None
    assert "mecam assets fetch asr" in clip.absent["text"]
    assert "fetch" not in mecam.predict(alone, asr="").absent["text"]  # who asks for none need not be told


def test_a_long_recording(model: BuiltIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is near a moment is read, of whatever length the recording is."""
    monkeypatch.setattr("mecam.prediction.panel.ready", lambda language: None)
    monkeypatch.setattr("mecam.features.segmentation.has_silero", lambda: False)
    sound = np.tile(np.concatenate([voices.buzz(3.0, hertz=160), np.zeros(voices.RATE_HZ, np.float32)]), 16)
    clip = model.predict_file(voices.write_wav(tmp_path / "long.wav", sound), every=1.0)
    assert clip.duration == pytest.approx(64.0)
    assert len(clip.moments) == 64
    pitches = [moment.voice.pitch_hz for moment in clip.moments if moment.voice is not None]
    assert len(pitches) >= 48
    assert pitches == pytest.approx([160.0] * len(pitches), rel=0.1)


def test_a_sound_has_captions_and_so_has_a_listener(tmp_path: Path) -> None:
    """Words belong to whoever says them, whether a face is seen, and whosever face is told."""
    wav = voices.write_wav(tmp_path / "said.wav", voices.buzz(2.0))
    wav.with_suffix(".vtt").write_text("WEBVTT\n\n00:00.100 --> 00:01.900\nI love it.\n", encoding="utf-8")
    sound, listener = mecam.predict(wav), mecam.predict(DEMO_CLIP, person="listener")
    for clip in (sound, listener):
        for place in (tmp_path / "clip.vtt", tmp_path / "clip.eaf"):
            clip.save(place)
            assert all(part.text in place.read_text(encoding="utf-8") for part in clip.parts)
    assert sound.parts[0].score > 1
    assert sound.parts[0].absent == ("vision",)
    assert sound.absent["vision"]


def test_whispers_encoder_is_read_where_it_is_there(model: BuiltIn, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def encoded(self: object, media: Media) -> Features:
        count = round(media.duration * 50)
        edges = np.arange(count + 1) / 50
        rows = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
        return Features(rows, np.column_stack([edges[:-1], edges[1:]]))

    monkeypatch.setattr("mecam.prediction.panel.ready", lambda language: asked.append(language))
    without = model.predict_file(DEMO_CLIP).overall.voice
    monkeypatch.setattr("mecam.prediction.panel.ready", lambda language: MODEL)
    monkeypatch.setattr(WhisperEncoder, "__call__", encoded)
    beside = model.predict_file(DEMO_CLIP).overall.voice
    assert "en" in asked
    assert beside.activation != without.activation
    assert beside.pitch_hz == without.pitch_hz


def test_a_sentence_brings_no_training_library() -> None:
    code = (
        "import sys, mecam; mecam.predict_text('good'); "
        "print([name for name in ('torch', 'scipy', 'sklearn', 'pandas', 'av') if name in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_a_damaged_package_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(built_in.FOLDER / "text", tmp_path / "text")
    with (tmp_path / "text" / "encoder.data").open("r+b") as file:
        file.write(b"damaged")
    monkeypatch.setattr(built_in, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match="differs from the SHA-256") as error:
        BuiltIn()
    assert "install mecam again" in str(error.value)
