"""A conversation that still goes on: its answer is that of the same seconds as a recording, and nothing grows."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import mecam
import tiny
from clips import two_people
from mecam.data.operations.speakers import RELATIVE
from mecam.data.store import Store, StoreWriter
from mecam.errors import ConfigError, ModelError
from mecam.features.audio.voice_extractors import Egemaps
from mecam.features.media import Frame, Media
from mecam.features.recording import Recipe, read_recording
from mecam.models.trained import save_checkpoint
from mecam.prediction import live as live_module
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.live import Live, recipe_for_live
from mecam.prediction.live_answer import LiveAnswer
from mecam.prediction.predictor import Predictor
from mecam.pretrained.cards import DEMO_CLIP
from mecam.task import Regression

RATE = 16_000
WINDOW_S = 20.0
"""Longer than the clip."""
SAID = "I love this film, it is wonderful and very funny."


class Conversation(NamedTuple):
    """The sound and the pictures of a clip, and how long it lasts."""

    start: float
    pcm: NDArray[np.int16]
    frames: list[Frame]

    @property
    def stop(self) -> float:
        return self.start + len(self.pcm) / RATE


@pytest.fixture(scope="module")
def model() -> BuiltIn:
    return BuiltIn()


@pytest.fixture(scope="module")
def clip() -> Conversation:
    return conversation(DEMO_CLIP)


def conversation(path: Path) -> Conversation:
    media = Media(path)
    start, sound = media.waveform()
    pcm = np.round(sound.clip(-1, 1) * 32767).astype(np.int16)
    return Conversation(start, pcm, list(media.frames(rate=5.0, max_side=640)))


def play(live: Live, clip: Conversation, *, block: int = 1600, every: float | None = None) -> LiveAnswer:
    """All of it in order of time, each block when its sound is over; the last answer."""
    sound = [(clip.start + (at + block) / RATE, at) for at in range(0, len(clip.pcm), block)]
    due = every
    events: list[tuple[float, int | Frame]] = [*sound, *((frame.time, frame) for frame in clip.frames)]
    for time, what in sorted(events, key=lambda event: event[0]):
        if isinstance(what, Frame):
            live.see(what.time, what.image)
        else:
            live.hear(clip.start + what / RATE, clip.pcm[what : what + block])
        if due is not None and every is not None and time >= due:
            live.answer()
            due += every
    return live.answer()


def test_the_last_answer_is_that_of_the_recording(model: BuiltIn, clip: Conversation, tmp_path: Path) -> None:
    captions = tmp_path / "said.srt"
    captions.write_text(f"1\n00:00:00,000 --> 00:00:{int(clip.stop)},990\n{SAID}\n")
    recorded = model.predict_file(DEMO_CLIP, transcript=captions)
    live = Live(model, asr=False, window_s=WINDOW_S)
    live.say("1", SAID, 0.0, clip.stop)
    answer = play(live, clip, every=0.5)
    assert (answer.start, answer.stop) == (0.0, pytest.approx(clip.stop, abs=0.02))
    one, other = answer.prediction, recorded.overall
    assert one.score == pytest.approx(other.score)
    assert one.emotions == pytest.approx(other.emotions)
    assert (one.low, one.high, one.label, one.text) == (other.low, other.high, other.label, other.text)
    assert (one.person, one.speaking) == (other.person, other.speaking) == (1, True)
    assert one.voice is not None
    assert other.voice is not None
    assert one.voice.activation == pytest.approx(other.voice.activation, abs=0.1)
    assert one.voice.pitch_hz == pytest.approx(other.voice.pitch_hz, rel=0.05)
    assert one.voice.pauses == pytest.approx(other.voice.pauses, abs=0.05)
    assert one.face is not None
    assert other.face is not None
    assert one.face.visible == pytest.approx(other.face.visible, abs=0.1)
    assert one.face.expressions == pytest.approx(other.face.expressions, abs=0.1)
    assert one.face.movements == pytest.approx(other.face.movements, abs=0.1)
    (part,) = recorded.parts
    (text,) = answer.texts
    assert text.prediction is not None
    assert text.prediction.contradicts == part.contradicts == one.contradicts
    assert one.kept["text"] == part.kept["text"]
    assert [gate.word for gate in answer.gates["text"]] == SAID.split()
    assert answer.absent == {}
    assert [person.person for person in answer.people] == [1]


def test_neither_the_size_of_blocks_nor_how_often_it_is_asked_changes_the_answer(
    model: BuiltIn, clip: Conversation
) -> None:
    answers = [
        play(Live(model, asr=False), clip, block=block, every=every).to_json()
        for block, every in ((1600, None), (1600, 0.5), (333, 1.7), (16_000, None))
    ]
    for answer in answers[1:]:
        assert answer == answers[0]
    json.dumps(answers[0], allow_nan=False)


def test_what_is_missing_is_said(model: BuiltIn, clip: Conversation) -> None:
    nothing = Live(model, asr=False).answer()
    assert nothing.time == 0.0
    assert nothing.absent == {
        "text": "no words were sent",
        "audio": "no sound came in",
        "vision": "no picture came in",
    }
    assert nothing.prediction.score is None
    silent = Live(model, asr=False)
    silent.hear(0.0, np.zeros(RATE * 3, np.int16))
    silent.see(2.5, np.zeros((90, 160, 3), np.uint8))
    answer = silent.answer()
    assert answer.absent["audio"] == "the sound is silent"
    assert answer.absent["vision"] == "no face is visible"
    assert answer.people == ()
    words = Live(model)
    words.say("1", SAID, 0.5, 2.0)
    words.hear(0.0, voices_noise(2.0))
    answer = words.answer()
    assert answer.prediction.label == "positive"
    assert answer.prediction.absent == ("audio", "vision")
    assert answer.absent["audio"] == "nobody speaks"
    assert words.asr is None


def voices_noise(seconds: float) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-300, 300, round(seconds * RATE)).astype(np.int16)


def test_speech_to_text_says_how_it_can_be_had(model: BuiltIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "ready", lambda language: None)
    assert "mecam assets fetch asr" in Live(model).answer().absent["text"]
    assert Live(model, asr=False).answer().absent["text"] == "no words were sent"


def test_texts_replace_leave_and_are_predicted_once(model: BuiltIn, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    predict = BuiltIn.predict_utterances

    def counting(self: BuiltIn, utterances: Any, **options: Any) -> Any:
        asked.extend(utterance.text for utterance in utterances)
        return predict(self, utterances, **options)

    monkeypatch.setattr(BuiltIn, "predict_utterances", counting)
    live = Live(model, window_s=4.0)
    live.hear(0.0, voices_noise(5.0))
    live.say("1", "It was", 1.0, 2.0)
    live.answer()
    live.say("1", "It was awful.", 1.0, 2.0)
    live.say("2", "I love you.", 3.0, 4.0)
    live.say("3", "of the future", 7.0, 8.0)
    answer = [live.answer() for _ in range(3)][-1]
    assert [text.text for text in answer.texts] == ["It was awful.", "I love you."]
    assert asked == ["It was", "It was awful.", "I love you."]
    low, high = (text.prediction for text in answer.texts)
    assert low is not None
    assert high is not None
    assert (low.score or 0) < 0 < (high.score or 0)
    assert answer.prediction.score == pytest.approx(((low.score or 0) + (high.score or 0)) / 2)
    live.say("2", "", 3.0, 4.0)
    live.hear(5.0, voices_noise(1.5))
    assert live.answer().texts == ()  # the first is 4 s old, the second was taken back
    live.hear(6.5, voices_noise(1.5))
    assert [text.id for text in live.answer().texts] == ["3"]


def test_times_that_cannot_be(model: BuiltIn, clip: Conversation) -> None:
    live = Live(model, asr=False, clock=lambda: 2.0)
    frame = clip.frames[0].image
    for time in (np.nan, np.inf, -np.inf, -1.0, 7.1, 1e300):
        live.hear(time, voices_noise(0.1))
        live.see(time, frame)
        live.say("1", SAID, time, time + 1)
    live.say("1", SAID, 2.0, 1.0)
    live.say("1", "a" * 3000, 1.0, 2.0)
    assert live.time == 0.0
    answer = live.answer()
    assert [finding.split()[0] for finding in answer.findings] == ["12", "6"]
    live.hear(0.5, voices_noise(1.0))
    live.hear(0.0, voices_noise(1.0))  # too late
    live.see(1.0, frame)
    live.see(0.4, frame)
    live.see(1.0, frame)
    answer = live.answer()
    assert (answer.late_sound_s, answer.late_pictures) == (1.0, 2)
    assert answer.time == 1.5
    json.dumps(answer.to_json(), allow_nan=False)


@pytest.mark.parametrize("options", [{"window_s": 1.0}, {"window_s": np.nan}, {"person": 0}, {"rate": 4000}])
def test_options_out_of_range(model: BuiltIn, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Live(model, **options)


def test_people_have_the_numbers_that_they_have_in_the_recording(model: BuiltIn, tmp_path: Path) -> None:
    path = two_people(tmp_path / "a.mp4")
    recorded, shown = model.predict_file(path, asr=""), conversation(path)
    answer = play(Live(model, asr=False), shown, every=0.5)
    assert (answer.prediction.person, answer.prediction.speaking) == (1, True)
    assert (recorded.overall.person, recorded.overall.speaking) == (1, True)
    assert {one.person: one.box[0] > 0.5 for one in answer.people} == {1: True, 2: False}  # they have swapped sides
    listener = play(Live(model, asr=False, person="listener"), shown).prediction
    assert (listener.person, listener.speaking) == (2, False)
    (other,) = recorded.listeners
    assert other.face is not None
    assert listener.face is not None
    assert listener.face.expressions == pytest.approx(other.face.expressions, abs=0.1)


def test_a_person_by_number(model: BuiltIn, clip: Conversation) -> None:
    seen, unseen = (play(Live(model, asr=False, person=number), clip) for number in (1, 7))
    assert seen.prediction.person == 1
    assert seen.prediction.face is not None
    assert unseen.prediction.face is None
    assert unseen.absent["vision"] == "the face of person 7 is not visible"


def held(what: Any, seen: set[int]) -> int:
    """How many numbers and things an object holds, with all that it refers to."""
    if id(what) in seen or isinstance(what, Predictor):
        return 0
    seen.add(id(what))
    if isinstance(what, np.ndarray):
        return int(what.size)
    if isinstance(what, dict):
        return sum(1 + held(one, seen) for one in what.values())
    if isinstance(what, list | tuple | set):
        return sum(1 + held(one, seen) for one in what)
    return held(vars(what), seen) if hasattr(what, "__dict__") and not callable(what) else 1


def test_a_long_session_grows_nowhere(model: BuiltIn) -> None:
    """Ten minutes of sound and words; a picture without a face now and then."""
    live = Live(model)
    sound, dark = voices_noise(1.0), np.zeros((45, 80, 3), np.uint8)
    sizes = []
    for second in range(600):
        live.hear(float(second), sound)
        live.say(str(second % 150), "so it goes", float(second), second + 1.0)
        if second % 30 == 29:
            live.see(float(second), dark)
            live.answer()
            sizes.append(held(live, set()))
    assert len(set(sizes[2:])) == 1
    assert len(live.answer().texts) == 10


@pytest.fixture(scope="module")
def trained(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Reads text and our own audio features; untrained, but shaken."""
    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe(("mecam-audio", "mecam-vision"))
    with StoreWriter(folder / "store", name="voices", task=Regression(), specs=recipe.specs()) as writer:
        (utterance,) = read_recording(DEMO_CLIP, recipe, id="a", text="it was good", span=(0.0, 2.0)).utterances
        for number, split in zip(count(), ("train", "train", "train", "valid"), strict=False):
            writer.add(replace(utterance, id=str(number), split=split, label=float(number - 1)))
    made = tiny.build("mecam", Store(folder / "store"), encoder, used=True)
    save_checkpoint(folder / "checkpoint", replace(made, checkpoint=replace(made.checkpoint, calibration={"0.9": 0.8})))
    return mecam.load(folder, device="cpu")


def test_a_trained_model_reads_the_window_as_one_utterance(trained: Predictor, clip: Conversation) -> None:
    live = Live(trained, asr=False, window_s=WINDOW_S)
    assert "5 times a second" in live.notes[-1]
    live.say("1", SAID, 0.0, clip.stop)
    answer = play(live, clip, every=2.0)
    recipe = Recipe(("mecam-audio", "mecam-vision"), people=True)
    (utterance,) = read_recording(DEMO_CLIP, recipe, id="a", text=SAID, whole=True).utterances
    (expected,) = trained.predict_utterances([utterance])
    told = answer.prediction
    assert told.score == pytest.approx(expected.score, abs=0.15)
    assert told.absent == expected.absent == ()
    assert told.kept["audio"][200:1200] == pytest.approx(expected.kept["audio"][200:1200], abs=0.2)
    assert set(told.alone) == {"text", "audio", "vision"}
    assert answer.texts[0].prediction is not None
    assert answer.texts[0].prediction.absent == ("audio", "vision")
    assert len(answer.gates["audio"]) == pytest.approx(10 * clip.stop, abs=2)  # told by tenths of a second
    empty = Live(trained, asr=False).answer()
    assert empty.prediction.score is None
    assert set(empty.absent) == {"text", "audio", "vision"}


def test_an_exported_model_answers_as_its_run_does(clips_model: Path) -> None:
    shown = conversation(clips_model / "clip.mp4")
    answers = []
    for name in ("model", "exported"):
        live = Live(mecam.load(clips_model / name, device="cpu" if name == "model" else None), asr=False)
        live.say("1", "the film was good", 0.0, shown.stop)
        answers.append(play(live, shown).prediction)
    one, other = answers
    assert one.absent == other.absent == ()
    assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"extractor": f"mecam-audio{RELATIVE}"}, "relative to what is usual for the speaker"),
        ({"extractor": "covarep"}, "cannot extract: covarep"),
        (vars(Egemaps().spec), "through egemaps"),
    ],
)
def test_features_that_cannot_be_made_live_are_one_error(trained: Predictor, spec: Any, said: str) -> None:
    checkpoint = trained.backend.checkpoint
    features = {**checkpoint.inputs.features, "audio": replace(checkpoint.inputs.features["audio"], **spec)}
    inputs = replace(checkpoint.inputs, features=features)
    backend = replace(trained.trained, checkpoint=replace(checkpoint, inputs=inputs))
    with pytest.raises(ModelError, match=said):
        recipe_for_live(Predictor(backend))
