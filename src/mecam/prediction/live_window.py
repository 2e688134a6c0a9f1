"""The last seconds of a conversation through a model: the built-in one, or one that was trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mecam.features.extractor import Features
from mecam.features.people import People, Whose
from mecam.features.recording import Recipe, Recording, aligned_to_words
from mecam.features.text import join_words
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.live_answer import Gate, SaidText, gates_of
from mecam.prediction.panel_reading import Reading, compared, contradictions, overall_reading
from mecam.prediction.person_baseline import PersonBaseline
from mecam.prediction.predictor import Predictor
from mecam.prediction.recordings import alone_of, disagreeing
from mecam.prediction.result import Prediction
from mecam.types import AUDIO, TEXT, VISION, Modality, Utterance

__all__ = ["Told", "Window", "told_by_built_in", "told_by_trained"]

NOW_S = 2.0
"""Seconds that `now` tells of."""
NAME, NOW = "window", "now"


@dataclass(frozen=True)
class Window:
    """What came in of the last seconds; rows a little longer, so that what is usual can be learned from them.

    Attributes:
        start: seconds.
        stop: seconds.
        person: whose face is read.
        sound: rows of the sound; None where none came in, or the model reads none.
        people: who is seen; None where no picture came in, or the model reads none.
        texts: the words, with their predictions.
    """

    start: float
    stop: float
    person: Whose
    sound: Features | None
    people: People | None
    texts: Sequence[SaidText]

    def faces(self) -> Features | None:
        """The rows of the face that is asked for; None where there is nobody with this number."""
        if self.people is None:
            return None
        if isinstance(self.person, int) and all(one.number != self.person for one in self.people.persons):
            return None
        return self.people.features(self.person)

    def utterance(self, start: float, *, with_words: bool = True) -> Utterance:
        """What came in from a time on, as one utterance."""
        rows = {AUDIO: self.sound, VISION: self.faces()}
        found = {m: one.between(start, self.stop) for m, one in rows.items() if one is not None}
        found = {m: one for m, one in found.items() if len(one.values)}
        said = self.texts if with_words else ()
        return Utterance(
            id=NAME if with_words else NOW,
            video=NAME,
            text=join_words([text.text for text in said]) or None,
            words=tuple(word for text in said for word in text.words),
            streams={m: one.values for m, one in found.items()},
            intervals={m: one.intervals for m, one in found.items()},
        )


@dataclass(frozen=True)
class Told:
    """What a model says of a window: see `LiveAnswer`."""

    prediction: Prediction
    now: Prediction
    texts: tuple[SaidText, ...]
    gates: Mapping[Modality, tuple[Gate, ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def told_by_built_in(model: BuiltIn, window: Window, encode: Callable[[], Features | None]) -> Told:
    """What the built-in model says: words, voice and face side by side, as of a recording.

    Args:
        model: the model.
        window: what came in.
        encode: gives what Whisper's encoder makes of the sound, where it can.
    """
    start, stop = window.start, window.stop
    whole = window.utterance(float("-inf"))
    people = () if window.people is None else window.people.persons
    recording = Recording((whole,), ((start, stop),), stop, people=people)
    reading = Reading(recording, window.person, PersonBaseline(), encode=encode)
    texts = [
        replace(text, prediction=reading.part(text.prediction, text.start, min(text.stop, stop)))
        for text in window.texts
        if text.prediction is not None
    ]
    said = [text.prediction for text in texts if text.prediction is not None]
    inside = [replace(one, start=max(one.start or 0.0, start), stop=one.stop) for one in said]
    told = compared(overall_reading(model.task, reading, NAME, inside, (start, stop)))
    kept = replace(told, kept=next(reading.kept()))
    gates = {m: gates_of(kept, whole, m, start, stop) for m in (AUDIO, VISION)}
    gates[TEXT] = tuple(gate for text, one in zip(texts, said, strict=True) for gate in _of_words(text, one, window))
    nothing = Prediction(NOW, None, None, None, None, "")
    return Told(
        _keeping(told, gates),
        reading.part(nothing, max(start, stop - NOW_S), stop),
        tuple(texts),
        gates,
        tuple(contradictions(said)),
    )


def told_by_trained(model: Predictor, recipe: Recipe, window: Window) -> Told:
    """What a trained model says: the window is one utterance to it, and the last two seconds are another.

    Args:
        model: the model.
        recipe: how its features are made.
        window: what came in.
    """
    backend, start, stop = model.backend, window.start, window.stop
    recent = max(start, stop - NOW_S)
    asked = [window.utterance(start), window.utterance(recent, with_words=False)]
    asked = [aligned_to_words(one, recipe.aligned) for one in asked]
    told, now = model.predict_utterances(asked)
    told, now = (one if set(backend.reads) - set(one.absent) else _nothing(one) for one in (told, now))
    alone = alone_of(backend, asked[:1], [told])[0]
    told = replace(told, start=start, stop=stop, alone=alone, disagrees=disagreeing(model.task, told, alone))
    gates = {m: gates_of(told, asked[0], m, start, stop) for m in told.kept}
    return Told(told, replace(now, start=recent, stop=stop), tuple(window.texts), gates)


def _of_words(text: SaidText, part: Prediction, window: Window) -> tuple[Gate, ...]:
    utterance = Utterance(id=text.id, text=text.text, words=text.words)
    return gates_of(part, utterance, TEXT, window.start, window.stop)


def _keeping(part: Prediction, gates: Mapping[Modality, Sequence[Gate]]) -> Prediction:
    """The prediction with the gates of the window, of what there is."""
    return replace(part, kept={m: [gate.kept for gate in found] for m, found in gates.items() if found})


def _nothing(part: Prediction) -> Prediction:
    """Of an utterance of which the model reads nothing, there is nothing to be said."""
    return Prediction(part.id, part.text, None, None, None, "", absent=part.absent)
