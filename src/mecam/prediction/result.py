"""What a prediction is: of one utterance, and of a whole recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecam.types import Modality, Utterance

__all__ = ["Prediction", "RecordingPrediction"]


@dataclass(frozen=True)
class Prediction:
    """What a model says about one utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        score: regression; None otherwise. It may lie a little beyond the task's scale.
        low: lower end of the interval around the score, within the scale; None where the model is not calibrated.
        high: upper end.
        label: in words: `positive`, `negative` or, within a twelfth of the range around its middle, `neutral`;
            the most probable class; the labels above one half.
        probabilities: name → probability, for classes and labels.
        shares: modality → its part in the prediction; sums to 1 over those present.
        kept: modality → how much of each row (for text: of each word) was kept, in [0, 1]; None where it is missing.
        start: when it begins in its recording, in seconds; None where there is no recording.
        stop: when it ends.
        alone: modality → the score (or the label) that it would be given alone; of recordings.
        disagrees: modalities that alone would say the opposite.
        doubts: modality → how probable the model finds it that this modality contradicts the others; {} for models that
            do not ask, or where there is one modality.
        contradicts: the modality that does so more probably than not, if any.
        absent: modalities that the model reads and of which this utterance has nothing: no text, a silent sound, no
            face.
    """

    id: str
    text: str | None
    score: float | None
    low: float | None
    high: float | None
    label: str
    probabilities: dict[str, float] = field(default_factory=dict)
    shares: dict[Modality, float] = field(default_factory=dict)
    kept: dict[Modality, list[float | None]] = field(default_factory=dict)
    start: float | None = None
    stop: float | None = None
    alone: Mapping[Modality, float | str] = field(default_factory=dict)
    disagrees: tuple[Modality, ...] = ()
    doubts: dict[Modality, float] = field(default_factory=dict)
    contradicts: tuple[Modality, ...] = ()
    absent: tuple[Modality, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; absent ones are left out."""
        return {key: value for key, value in vars(self).items() if value not in (None, {}, ())}


@dataclass(frozen=True)
class RecordingPrediction:
    """What a model says about a recording.

    Attributes:
        path: the file.
        duration: seconds.
        overall: over the whole recording: the mean over its parts, each weighing as long as it lasts.
        parts: one prediction per utterance, in time; their `start` and `stop` say when.
        utterances: what each prediction was made from; features with times, words with times.
        contributions: per utterance, per word: how much the score (or the probability of the class that is given)
            falls when the word is unknown; empty where not asked for or where there is no text.
        absent: modality that the model reads and the recording lacks, or of which all is missing → why.
        details: modality → per utterance, what the extractor reports (faces found …).
        findings: what was odd, in sentences.
        language: of the transcript, where known.
        notes: what must be said beside every result of this model.
        name: what the recording is called in tables and on pages; tells it from others that it is shown with.
    """

    path: Path
    duration: float
    overall: Prediction
    parts: tuple[Prediction, ...]
    utterances: tuple[Utterance, ...]
    contributions: tuple[tuple[float, ...], ...] = ()
    absent: Mapping[Modality, str] = field(default_factory=dict)
    details: Mapping[Modality, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    language: str = ""
    notes: tuple[str, ...] = ()
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; the file by its name."""
        content = {
            "file": self.name,
            "duration": round(self.duration, 3),
            "overall": self.overall.to_json(),
            "utterances": [part.to_json() for part in self.parts],
            "contributions": [[round(c, 4) for c in row] for row in self.contributions],
            "absent": dict(self.absent),
            "details": {m: [dict(row) for row in rows] for m, rows in self.details.items()},
            "findings": list(self.findings),
            "language": self.language,
            "notes": list(self.notes),
        }
        return {key: value for key, value in content.items() if value not in ([], {}, "")}
