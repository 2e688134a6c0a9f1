"""A recording through the built-in model: what words, voice and face say of each utterance, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mecam.features.audio.whisper_encoder import MODEL, WhisperEncoder
from mecam.features.baseline import AUTO
from mecam.features.extractor import Features
from mecam.features.media import Media, Progress, nobody
from mecam.features.recording import NOTHING, Recipe, Recording, read_recording
from mecam.features.segmentation import Lengths
from mecam.features.text import transcript_beside
from mecam.features.text.asr import ready, why_not
from mecam.prediction.inputs import id_of, printable
from mecam.prediction.moments import check_every, moments_of
from mecam.prediction.panel_reading import EXTRACTORS, Reading, contradictions, overall_reading
from mecam.prediction.person_baseline import PersonBaseline, baseline_from_file
from mecam.prediction.recordings import contributions_of
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.types import AUDIO, TEXT, VISION, Modality

if TYPE_CHECKING:
    from mecam.prediction.built_in import BuiltIn

__all__ = ["Asked", "predict_panel"]


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
    auto = asked.baseline == AUTO
    usual = PersonBaseline() if auto or asked.baseline is None else baseline_from_file(Path(asked.baseline), EXTRACTORS)
    reading = Reading(recording, asked.person, usual, auto=auto, encode=lambda: _encoded(path))
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
        overall_reading(model.task, reading, printable(called.stem), parts, (0.0, recording.duration)),
        tuple(parts),
        recording.utterances,
        contributions_of(model.backend, recording.utterances, parts) if asked.words and scored else (),
        absent,
        recording.details,
        (*recording.findings, *reading.findings, *contradictions(parts)),
        recording.language,
        model.notes,
        name,
        tuple(_listeners(reading, parts)),
        tuple(moments),
        model.about["model"],
        recording.people,
    )


def _encoded(path: Path) -> Features | None:
    """What Whisper's encoder makes of the sound, where it is installed and fetched."""
    return WhisperEncoder()(Media(path)) if ready("en") == MODEL else None


def _parts(model: "BuiltIn", reading: Reading) -> Iterator[Prediction]:
    """What is said of each utterance."""
    said = model.predict_utterances(reading.recording.utterances)
    for one, kept, (start, stop) in zip(said, reading.kept(), reading.recording.spans, strict=True):
        yield reading.part(replace(one, kept={**one.kept, **kept}), start, stop)


def _listeners(reading: Reading, parts: Sequence[Prediction]) -> Iterator[Prediction]:
    """Everybody else who is seen during an utterance."""
    for part in parts:
        for other in reading.others(part.start or 0.0, part.stop or 0.0):
            yield replace(other, id=part.id)


def _absent(recording: Recording, parts: Sequence[Prediction], *, could: bool) -> Mapping[Modality, str]:
    """What no utterance has, each with the reason; `could`: speech to text would be used if it were there."""
    reasons = {}
    for modality in (TEXT, AUDIO, VISION):
        if all(modality in part.absent for part in parts):
            reasons[modality] = recording.absent.get(modality) or NOTHING[modality]
    if TEXT in reasons and could and "transcript" in reasons[TEXT]:
        reasons[TEXT] = f"{reasons[TEXT]}; {why_not()}"
    return reasons
