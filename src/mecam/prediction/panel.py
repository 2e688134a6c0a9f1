"""A recording through the built-in model: what words, voice and face say of each utterance, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.whisper_encoder import MODEL, WhisperEncoder
from mecam.features.baseline import AUTO
from mecam.features.extractor import Features
from mecam.features.media import Media, Progress, nobody
from mecam.features.people import Person
from mecam.features.recording import NOTHING, Recipe, Recording, read_recording
from mecam.features.segmentation import Lengths
from mecam.features.text import transcript_beside
from mecam.features.text.asr import ready, why_not
from mecam.prediction import face_reading, voice_reading
from mecam.prediction.inputs import id_of, printable
from mecam.prediction.moments import check_every, moments_of
from mecam.prediction.person_baseline import PersonBaseline, baseline_from_file, calm_face, calm_voice
from mecam.prediction.recordings import contributions_of, overall_of
from mecam.prediction.result import Face, Prediction, RecordingPrediction, Voice
from mecam.types import AUDIO, TEXT, VISION, Modality, Word

if TYPE_CHECKING:
    from mecam.prediction.built_in import BuiltIn

__all__ = ["EXTRACTORS", "Asked", "contradicting", "predict_panel"]

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


@dataclass(frozen=True)
class Asked:
    """How a recording is to be read: `mecam.prediction.recordings.predict_recording` says what each option is.

    Attributes:
        asr: the speech model that writes down what no transcript says; None: the one that was fetched, if any; empty:
            none.
    """

    transcript: str | Path | None = None
    asr: str | None = None
    language: str | None = None
    lengths: Lengths | None = None
    words: bool = False
    name: str | None = None
    every: float | None = None
    person: int | Literal["speaker", "listener"] = "speaker"
    baseline: str | Path | None = None
    progress: Progress = nobody


def predict_panel(model: "BuiltIn", path: str | Path, asked: Asked) -> RecordingPrediction:
    """Predict a recording with the built-in model.

    Raises: MediaError for an unusable file; DataError if it gives nothing at all.
    """
    path = Path(path)
    if asked.every is not None:
        check_every(asked.every)
    given = None if asked.transcript is None else Path(asked.transcript)
    asr = ready(asked.language) if asked.asr is None else asked.asr or None
    recipe = Recipe(
        EXTRACTORS,
        asr=asr,
        language=asked.language,
        lengths=replace(asked.lengths or Lengths(), sentences=True),
        people=True,
        person=asked.person,
    )
    beside = transcript_beside(path) if given is None else ()
    called = path if asked.name is None else Path(asked.name)
    recording = read_recording(path, recipe, id=id_of(called), transcript=given, beside=beside, progress=asked.progress)
    reading = _Reading(path, recording, asked)
    parts = list(_parts(model, reading))
    absent = _absent(recording, parts, could=asked.asr is None and asr is None)
    name = printable(path.name) if asked.name is None else asked.name
    scored = [part for part in parts if part.score is not None]
    moments: Sequence[Prediction] = ()
    if asked.every is not None:
        moments = moments_of(
            parts,
            recording.utterances,
            recording.duration,
            asked.every,
            voice=reading.voice,
            face=reading.one,
            others=reading.others,
        )
    return RecordingPrediction(
        path,
        recording.duration,
        _overall(model, reading, printable(called.stem), parts),
        tuple(parts),
        recording.utterances,
        contributions_of(model.backend, recording.utterances, parts) if asked.words and scored else (),
        absent,
        recording.details,
        (*recording.findings, *reading.findings, *_contradictions(parts)),
        recording.language,
        model.notes,
        name,
        tuple(_listeners(reading, parts)),
        tuple(moments),
        model.about["model"],
        recording.people,
    )


class _Reading:
    """What the voice and the faces of a recording say between any two times.

    Args:
        path: of the recording.
        recording: with the rows of `EXTRACTORS`.
        asked: whose face is read, and relative to what.
    """

    def __init__(self, path: Path, recording: Recording, asked: Asked) -> None:
        self._path = path
        self.recording, self._asked, self._auto = recording, asked.person, asked.baseline == AUTO
        given = None if self._auto or asked.baseline is None else Path(asked.baseline)
        self._given = PersonBaseline() if given is None else baseline_from_file(given, EXTRACTORS)

    @property
    def findings(self) -> tuple[str, ...]:
        """What was odd about the baseline."""
        if self._auto and self._usual_voice is None and len(self._sound[1]):
            return ("there is too little speech for a baseline of the voice: its activation is relative to nobody",)
        return ()

    @cached_property
    def _encoding(self) -> Features | None:
        """What Whisper's encoder makes of the sound, where it is installed and fetched; a baseline does without."""
        if self._usual_voice is not None or ready("en") != MODEL:
            return None
        return WhisperEncoder()(Media(self._path))

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


def _parts(model: "BuiltIn", reading: _Reading) -> Iterator[Prediction]:
    """What is said of each utterance."""
    said = model.predict_utterances(reading.recording.utterances)
    for one, kept, (start, stop) in zip(said, reading.kept(), reading.recording.spans, strict=True):
        who, speaking, face = reading.one(start, stop)
        part = replace(
            one,
            start=start,
            stop=stop,
            voice=reading.voice(start, stop),
            face=face,
            person=None if who is None else who.number,
            speaking=speaking,
            kept={**one.kept, **kept},
        )
        told = {TEXT: bool(part.label or part.emotions), AUDIO: part.voice is not None, VISION: face is not None}
        absent = tuple(modality for modality, there in told.items() if not there)
        yield replace(part, absent=absent, contradicts=contradicting(part))


def _listeners(reading: _Reading, parts: Sequence[Prediction]) -> Iterator[Prediction]:
    """Everybody else who is seen during an utterance."""
    for part in parts:
        for other in reading.others(part.start or 0.0, part.stop or 0.0):
            yield replace(other, id=part.id)


def _of_known(rows: NDArray[np.float32], kept: NDArray[np.float32]) -> list[float | None]:
    """How much of each row is kept; None where it is missing."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(rows).any(axis=1))
    return [float(gate) if there else None for gate, there in zip(kept, known, strict=True)]


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


def _overall(model: "BuiltIn", reading: _Reading, name: str, parts: Sequence[Prediction]) -> Prediction:
    """The whole recording: the mean of the utterances with words, and what voice and face say over all of it."""
    said = [part for part in parts if part.text and (part.score is not None or part.emotions)]
    stop = reading.recording.duration
    who, speaking, face = reading.one(0.0, stop)
    if said:
        whole = overall_of(model.task, name, said)
        weights = [max((part.stop or 0) - (part.start or 0), 1e-3) for part in said]
        emotions = {
            emotion: float(np.average([part.emotions[emotion] for part in said], weights=weights))
            for emotion in said[0].emotions
        }
    else:
        whole, emotions = Prediction(name, None, None, None, None, ""), {}
    return replace(
        whole,
        start=0.0,
        stop=stop,
        emotions=emotions,
        voice=reading.voice(0.0, stop),
        face=face,
        person=None if who is None else who.number,
        speaking=speaking,
    )


def _absent(recording: Recording, parts: Sequence[Prediction], *, could: bool) -> Mapping[Modality, str]:
    """What no utterance has, each with the reason; `could`: speech to text would be used if it were there."""
    reasons = {}
    for modality in (TEXT, AUDIO, VISION):
        if all(modality in part.absent for part in parts):
            reasons[modality] = recording.absent.get(modality) or NOTHING[modality]
    if TEXT in reasons and could and "transcript" in reasons[TEXT]:
        reasons[TEXT] = f"{reasons[TEXT]}; {why_not()}"
    return reasons


def _contradictions(parts: Sequence[Prediction]) -> Iterator[str]:
    """Who contradicts the words, in sentences."""
    for part in parts:
        when = f"{part.start or 0:.1f} to {part.stop or 0:.1f} s"
        if VISION in part.contradicts and part.face is not None:
            shown = max(part.face.expressions, key=lambda name: part.face.expressions[name])  # type: ignore[union-attr]
            yield f"{when}: the words are {part.label}, the face shows the expression {shown!r}"
        if AUDIO in part.contradicts:
            yield f"{when}: the words are {part.label}, the voice is flat"
