"""What voice and face of a recording say between any two times, and which of them contradicts the words.

The same for a recording that is read whole (`mecam.prediction.panel`) and for one that still goes on
(`mecam.prediction.live`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mecam.features.extractor import Features
from mecam.features.people import Person, Whose
from mecam.features.recording import Recording
from mecam.prediction import face_reading, voice_reading
from mecam.prediction.person_baseline import PersonBaseline, calm_face, calm_voice
from mecam.prediction.recordings import overall_of
from mecam.prediction.result import Face, Prediction, Voice
from mecam.task import Task
from mecam.types import AUDIO, TEXT, VISION, Modality, Word

__all__ = ["EXTRACTORS", "Reading", "compared", "contradicting", "contradictions", "overall_reading"]

EXTRACTORS = ("mecam-voice", "mecam-face")
"""What the parts for voice and face read."""

UNPLEASANT = ("sad", "angry", "fearful", "disgusted")
"""Expressions against which happiness is weighed."""
CLEAR_FACE = 0.5
"""From -1 to 1: a face that is clearly pleasant or unpleasant."""
SEEN = 0.3
"""Fraction of the frames in which a face must be seen to contradict."""
STRONG_WORDS, FLAT_VOICE = 1.5, 0.1
"""Words this far from 0, said with less activation than this, are said in a flat voice."""


class Reading:
    """What the voice and the faces of a recording say between any two times.

    Args:
        recording: with the rows of `EXTRACTORS`.
        person: whose face is read.
        usual: what it is told relative to, where that is known.
        auto: relative to what is usual in this recording itself.
        encode: gives what Whisper's encoder makes of the sound, where it can; a baseline does without.
    """

    def __init__(
        self,
        recording: Recording,
        person: Whose,
        usual: PersonBaseline,
        *,
        auto: bool = False,
        encode: Callable[[], Features | None],
    ) -> None:
        self.recording, self._asked, self._given, self._auto = recording, person, usual, auto
        self._encode = encode

    @property
    def findings(self) -> tuple[str, ...]:
        """What was odd about the baseline."""
        if self._auto and self._usual_voice is None and len(self._sound[1]):
            return ("there is too little speech for a baseline of the voice: its activation is relative to nobody",)
        return ()

    @cached_property
    def _encoding(self) -> Features | None:
        return self._encode() if self._usual_voice is None else None

    @cached_property
    def _usual_voice(self) -> NDArray[np.float64] | None:
        return calm_voice(*self._sound) if self._auto else self._given.voice

    @cached_property
    def _sound(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Times and rows of the voice, of all utterances."""
        heard = [u for u in self.recording.utterances if AUDIO in u.streams]
        if not heard:
            return np.zeros((0, 2)), np.zeros((0, 0), np.float32)
        return np.concatenate([u.intervals[AUDIO] for u in heard]), np.concatenate([u.streams[AUDIO] for u in heard])

    @cached_property
    def _words(self) -> list[Word]:
        return [word for utterance in self.recording.utterances for word in utterance.words]

    @cached_property
    def _sound_kept(self) -> NDArray[np.float32]:
        """How much of each row of the voice is kept; what is usual is learned from the whole recording."""
        return voice_reading.kept(self._sound[1])

    def kept(self) -> Iterator[dict[Modality, list[float | None]]]:
        """Per utterance, how much of each row of voice and face is kept; None where it is missing."""
        at = 0
        for utterance in self.recording.utterances:
            found = {}
            if (rows := utterance.streams.get(AUDIO)) is not None:
                found[AUDIO] = _of_known(rows, self._sound_kept[at : at + len(rows)])
                at += len(rows)
            if (rows := utterance.streams.get(VISION)) is not None:
                found[VISION] = _of_known(rows, face_reading.kept(rows))
            yield found

    def voice(self, start: float, stop: float) -> Voice | None:
        """How it is said between two times, in seconds."""
        times, rows = self._sound
        if not len(rows):
            return None
        return voice_reading.read_voice(
            times,
            rows,
            start,
            stop,
            gates=self._sound_kept,
            words=self._words,
            baseline=self._usual_voice,
            encoding=self._encoding,
        )

    def speaker(self, start: float, stop: float) -> Person | None:
        """Who speaks most of the time between two times."""
        speaking = [(int(one.speaking[one.between(start, stop)].sum()), one) for one in self.recording.people]
        most, who = max(speaking, key=lambda pair: pair[0], default=(0, None))
        return who if most else None

    def person(self, start: float, stop: float) -> Person | None:
        """Whose face is read between two times."""
        if isinstance(self._asked, int):
            return next((one for one in self.recording.people if one.number == self._asked), None)
        speaker = self.speaker(start, stop)
        if self._asked == "speaker":
            return speaker
        others = [one for one in self.recording.people if one is not speaker]
        return max(others, key=lambda one: int(one.between(start, stop).sum()), default=None)

    def face(self, person: Person | None, start: float, stop: float) -> Face | None:
        """How a face looks between two times; None where it is not seen."""
        if person is None:
            return None
        usual = calm_face(person.values) if self._auto else None
        if person is self.person(start, stop) and not self._auto:
            usual = self._given.face
        return face_reading.read_face(person.intervals, person.values, start, stop, baseline=usual)

    def one(self, start: float, stop: float) -> tuple[Person | None, bool, Face | None]:
        """Whose face is read between two times, whether they speak (also where none is seen), and how it looks."""
        who = self.person(start, stop)
        return who, who is None or who is self.speaker(start, stop), self.face(who, start, stop)

    def part(self, said: Prediction, start: float, stop: float) -> Prediction:
        """What is said between two times, with what voice and face say meanwhile, and which of them contradicts it."""
        who, speaking, face = self.one(start, stop)
        part = replace(
            said,
            start=start,
            stop=stop,
            voice=self.voice(start, stop),
            face=face,
            person=None if who is None else who.number,
            speaking=speaking,
        )
        return compared(part)

    def others(self, start: float, stop: float) -> list[Prediction]:
        """What the faces of everybody else show between two times."""
        mine, speaker = self.person(start, stop), self.speaker(start, stop)
        shown = [(one, self.face(one, start, stop)) for one in self.recording.people if one is not mine]
        nothing = Prediction("", None, None, None, None, "", start=start, stop=stop)
        return [
            replace(nothing, face=face, person=one.number, speaking=one is speaker)
            for one, face in shown
            if face is not None
        ]


def _of_known(rows: NDArray[np.float32], kept: NDArray[np.float32]) -> list[float | None]:
    """How much of each row is kept; None where it is missing."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(rows).any(axis=1))
    return [float(gate) if there else None for gate, there in zip(kept, known, strict=True)]


def overall_reading(
    task: Task, reading: Reading, name: str, parts: Sequence[Prediction], span: tuple[float, float]
) -> Prediction:
    """All of a stretch: the mean of the utterances with words, and what voice and face say over all of it.

    Args:
        task: of the model of the words.
        reading: of voice and face.
        name: of the result.
        parts: of the utterances in it.
        span: its start and stop in seconds.
    """
    said = [part for part in parts if part.text and (part.score is not None or part.emotions)]
    who, speaking, face = reading.one(*span)
    if said:
        whole = overall_of(task, name, said)
        weights = [max((part.stop or 0) - (part.start or 0), 1e-3) for part in said]
        emotions = {
            emotion: float(np.average([part.emotions[emotion] for part in said], weights=weights))
            for emotion in said[0].emotions
        }
    else:
        whole, emotions = Prediction(name, None, None, None, None, ""), {}
    return replace(
        whole,
        start=span[0],
        stop=span[1],
        emotions=emotions,
        voice=reading.voice(*span),
        face=face,
        person=None if who is None else who.number,
        speaking=speaking,
    )


def compared(part: Prediction) -> Prediction:
    """The prediction with what is absent, and with who contradicts the words."""
    told = {TEXT: bool(part.label or part.emotions), AUDIO: part.voice is not None, VISION: part.face is not None}
    absent = tuple(modality for modality, there in told.items() if not there)
    return replace(part, absent=absent, contradicts=contradicting(part))


def contradicting(part: Prediction) -> tuple[Modality, ...]:
    """Who contradicts the words: a face that shows the opposite, or a flat voice under strong words.

    Args:
        part: with a score; without one nothing is contradicted.
    """
    if part.score is None:
        return ()
    found = []
    sign = {"positive": 1, "negative": -1}.get(part.label, 0)
    if part.face is not None and part.face.visible >= SEEN and sign * _pleasant(part.face) <= -CLEAR_FACE:
        found.append(VISION)
    activation = part.voice.activation if part.voice is not None else None
    if abs(part.score) >= STRONG_WORDS and activation is not None and activation <= FLAT_VOICE:
        found.append(AUDIO)
    return tuple(found)


def _pleasant(face: Face) -> float:
    """From -1, an unpleasant expression, to 1, a happy one."""
    return face.expressions.get("happy", 0.0) - sum(face.expressions.get(name, 0.0) for name in UNPLEASANT)


def contradictions(parts: Sequence[Prediction]) -> Iterator[str]:
    """Who contradicts the words, in sentences."""
    for part in parts:
        when = f"{part.start or 0:.1f} to {part.stop or 0:.1f} s"
        if VISION in part.contradicts and part.face is not None:
            shown = max(part.face.expressions, key=lambda name: part.face.expressions[name])  # type: ignore[union-attr]
            yield f"{when}: the words are {part.label}, the face shows the expression {shown!r}"
        if AUDIO in part.contradicts:
            yield f"{when}: the words are {part.label}, the voice is flat"
