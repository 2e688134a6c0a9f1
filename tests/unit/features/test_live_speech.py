"""Speech to text of sound that still comes in: a word is told once two passes agree on it, and then stays."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mecam.features.audio.heard_sound import HeardSound
from mecam.features.text import live_speech
from mecam.features.text.live_speech import LiveSpeech, agreed
from mecam.types import Word


def words(text: str, start: float = 0.0) -> list[Word]:
    return [Word(one, start + 0.4 * i, start + 0.4 * i + 0.3) for i, one in enumerate(text.split())]


class Engine:
    """Hears what it is told to, pass by pass."""

    def __init__(self, *passes: list[Word], gate: threading.Event | None = None) -> None:
        self.passes, self.gate, self.lengths = list(passes), gate, []

    def transcribe(self, samples: Any, **_: Any) -> tuple[Any, Any]:
        if self.gate is not None:
            self.gate.wait(10)
        self.lengths.append(len(samples) / 16_000)
        heard = [SimpleNamespace(word=" " + w.text, start=w.start, end=w.stop) for w in self.passes.pop(0)]
        return [SimpleNamespace(words=heard)], SimpleNamespace(language="en", language_probability=0.99)


def listening(monkeypatch: pytest.MonkeyPatch, engine: Engine, *, passes: int) -> LiveSpeech:
    """A session of as many passes, two seconds apart."""
    monkeypatch.setattr(live_speech, "engine", lambda model: engine)
    monkeypatch.setattr(live_speech, "REST", 0.0)
    speech, sound = LiveSpeech("tiny.en"), HeardSound(10.0)
    for number in range(passes):
        sound.add(2.0 * number, np.full(32_000, 0.1, np.float32))
        speech.listen(sound)
        speech.wait()
    return speech


def told(speech: LiveSpeech) -> list[str]:
    return [" ".join(word.text for word in words) for words in speech.sentences.values()]


def test_words_on_which_two_passes_agree() -> None:
    assert [w.text for w in agreed(words("The cat sat"), words("the Cat, sits"))] == ["the", "Cat,"]
    assert agreed(words("a b"), words("b a")) == []
    assert agreed([], words("a")) == []


def test_a_word_is_told_when_two_passes_agree_and_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = [words("It was good"), words("It was great. We"), words("It was great. We laughed"), words("")]
    speech = listening(monkeypatch, Engine(*passes[:1]), passes=1)
    assert told(speech) == []
    speech = listening(monkeypatch, Engine(*passes[:2]), passes=2)
    assert told(speech) == ["It was"]
    speech = listening(monkeypatch, Engine(*passes[:3]), passes=3)
    assert told(speech) == ["It was great.", "We"]
    speech = listening(monkeypatch, Engine(*passes), passes=4)
    assert told(speech) == ["It was great.", "We"]
    assert speech.language == "en"


def test_a_word_that_is_heard_again_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, later = words("we had fun"), [Word("fun", 1.05, 1.3), *words("and more", 1.4)]
    speech = listening(monkeypatch, Engine(first, first, later, later), passes=4)
    assert told(speech) == ["we had fun and more"]


def test_a_word_on_which_passes_never_agree_is_told_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = [words("a plan"), words("the plan"), words("a plan"), words("the plan")]
    assert told(listening(monkeypatch, Engine(*passes[:2]), passes=2)) == []
    assert told(listening(monkeypatch, Engine(*passes[:3]), passes=3)) == ["a plan"]  # six seconds later
    assert told(listening(monkeypatch, Engine(*passes, words("the plan")), passes=5)) == ["a plan"]


def test_a_pass_hears_ten_seconds_at_most_and_begins_after_the_last_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    said = words("All is well. And so")
    engine = Engine(*[[] for _ in range(7)])
    listening(monkeypatch, engine, passes=7)
    assert max(engine.lengths) == 10.0
    engine = Engine(said, said, [])
    listening(monkeypatch, engine, passes=3)
    assert engine.lengths == [2.0, 4.0, pytest.approx(6.0 - 1.1)]


def test_one_pass_at_a_time_and_only_for_new_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    engine = Engine([], [], gate=gate)
    monkeypatch.setattr(live_speech, "engine", lambda model: engine)
    speech, sound = LiveSpeech("tiny.en"), HeardSound(10.0)
    sound.add(0.0, np.full(32_000, 0.1, np.float32))
    speech.listen(sound)
    sound.add(2.0, np.full(32_000, 0.1, np.float32))
    speech.listen(sound)  # one goes on
    gate.set()
    speech.wait()
    assert engine.lengths == [2.0]


def test_what_fails_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    speech = listening(monkeypatch, Engine(), passes=3)  # it has nothing to hear
    assert speech.failed == "speech to text has stopped (IndexError)"
    assert told(speech) == []
