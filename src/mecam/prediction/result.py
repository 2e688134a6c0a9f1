"""What a prediction is: of one utterance, and of a whole recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.errors import DataError
from mecam.types import Modality, Utterance

if TYPE_CHECKING:
    from pandas import DataFrame

    from mecam.data_table import DataTable

__all__ = ["Face", "Prediction", "RecordingPrediction", "Voice"]


@dataclass(frozen=True)
class Voice:
    """How something is said, for a time with speech; what could not be measured is None.

    Attributes:
        activation: from 0, calm, to 1, activated.
        low: lower end of the interval around it.
        high: upper end.
        words_per_s: words, of which a time is known, per second of speech.
        pitch_hz: median of the voice's pitch.
        pitch_range: semitones between its 10th and its 90th percentile.
        pauses: fraction of the time without voice, 0 to 1.
    """

    activation: float | None = None
    low: float | None = None
    high: float | None = None
    words_per_s: float | None = None
    pitch_hz: float | None = None
    pitch_range: float | None = None
    pauses: float | None = None


@dataclass(frozen=True)
class Face:
    """How a face looks over a time; what it shows, which is not what anybody feels.

    Attributes:
        visible: fraction of the frames in which it is seen, 0 to 1.
        expressions: name → probability, summing to 1: `neutral`, `happy` …; as a photograph of it would be called.
        movements: name → 0 (none) to 1: `smile`, `frown`, `brows_raised`, `brows_lowered`, `eyes_closed`,
            `mouth_open`; relative to the person's baseline, where there is one, from -1 to 1.
    """

    visible: float
    expressions: dict[str, float] = field(default_factory=dict)
    movements: dict[str, float] = field(default_factory=dict)


_TOLD = ("id", "text", "label", "score", "low", "high", "probabilities", "start", "stop", "emotions", "person")
"""Fields of a prediction that its `repr` tells; the others are lists, or belong to a table."""


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for one utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        score: regression; None otherwise, and where there is nothing to go by. It may lie a little beyond the task's
            scale.
        low: lower end of the interval around the score, within the scale; None where the model is not calibrated.
        high: upper end.
        label: in words: `positive`, `negative` or, within a twelfth of the range around its middle, `neutral`;
            the most probable class; the labels above one half; empty where there is nothing to go by.
        probabilities: name → probability, for classes and labels.
        shares: modality → its part in the prediction; sums to 1 over those present.
        kept: modality → how much of each row (for text: of each word) was kept, in [0, 1]; None where it is missing.
        start: when it begins in its recording, in seconds; None where there is no recording.
        stop: when it ends.
        alone: modality → the score (or the label) that it would be given alone; of recordings.
        disagrees: modalities that alone predict the opposite.
        doubts: modality → the estimated probability that this modality contradicts the others; {} for models that
            do not ask, or where there is one modality.
        contradicts: the modality that does so more probably than not, if any.
        absent: modalities that the model reads and of which this utterance has nothing: no text, a silent sound, no
            face.
        emotions: name → probability that the words express it, each on its own; of the built-in model.
        voice: how it is said; of the built-in model.
        face: how the face of `person` looks; of the built-in model.
        person: number of the person in the recording, from 1; None where people are not told apart.
        speaking: whether that person is the speaker.
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
    emotions: dict[str, float] = field(default_factory=dict)
    voice: Voice | None = None
    face: Face | None = None
    person: int | None = None
    speaking: bool = True

    @property
    def listens(self) -> bool:
        """Whether only a face is told, of somebody who does not speak: no words, and nothing that follows from them."""
        return not self.speaking and not (self.text or self.label or self.emotions or self.voice)

    def to_json(self) -> dict[str, Any]:
        """Plain values; absent ones are left out."""
        values = {**vars(self), "speaking": self.speaking if self.person is not None else None}
        for name in ("voice", "face"):
            if values[name] is not None:
                values[name] = _known(vars(values[name]))
        return _known(values)

    @classmethod
    def from_json(cls, values: Any) -> "Prediction":
        """Inverse of `to_json`: what is left out there is absent here. Fields that are not known are passed over.

        Raises: DataError if it is no prediction.
        """
        known = _fields_of(cls, values, what="a prediction", required=("id", "label"))
        for name in ("disagrees", "contradicts", "absent"):
            known[name] = tuple(known.get(name, ()))
        for name, kind in (("voice", Voice), ("face", Face)):
            if known.get(name) is not None:
                required = ("visible",) if kind is Face else ()
                known[name] = kind(**_fields_of(kind, known[name], what=f"a {name}", required=required))
        return cls(**{"text": None, "score": None, "low": None, "high": None, **known})

    def __repr__(self) -> str:
        told = {name: value for name, value in vars(self).items() if name in _TOLD and value not in (None, "", {})}
        return f"Prediction({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    def to_table(self) -> "DataTable":
        """The prediction as a table of one row."""
        from mecam.prediction.rows import table_of

        return table_of([self])

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from mecam.prediction.notebook import html_of

        return html_of(self)


@dataclass(frozen=True)
class RecordingPrediction:
    """The predictions of a model for a recording.

    Attributes:
        path: the file.
        duration: seconds.
        overall: over the whole recording: the mean over its parts, each weighing as long as it lasts.
        parts: one prediction per utterance, in time; their `start` and `stop` say when.
        utterances: what each prediction was made from; features with times, words with times.
        contributions: per utterance, per word: how much the score (or the probability of the class that is given)
            falls when the word is unknown; empty if not requested or where there is no text.
        absent: modality that the model reads and the recording lacks, or of which all is missing → why.
        details: modality → per utterance, what the extractor reports (faces found …).
        findings: what was odd, in sentences.
        language: of the transcript, where known.
        notes: notes that belong to every result of this model.
        listeners: like `parts`, for every other person who is seen during one: only what their face shows.
        moments: the same for stretches of equal length, of the speaker and of every other person; empty unless asked.
        name: what the recording is called in tables and on pages; tells it from others that it is shown with.
        model: what predicted it, in words; empty where it is not known.
        people: everybody whose face is seen, by number, each a `mecam.features.people.Person` with the places of
            the face; empty where people are not told apart. Not part of `to_json`.
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
    listeners: tuple[Prediction, ...] = ()
    moments: tuple[Prediction, ...] = ()
    model: str = ""
    people: tuple[Any, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; the file by its name."""
        content = {
            "file": self.name,
            "duration": round(self.duration, 3),
            "overall": self.overall.to_json(),
            "utterances": [part.to_json() for part in self.parts],
            "listeners": [part.to_json() for part in self.listeners],
            "moments": [moment.to_json() for moment in self.moments],
            "contributions": [[round(c, 4) for c in row] for row in self.contributions],
            "absent": dict(self.absent),
            "details": {m: [dict(row) for row in rows] for m, rows in self.details.items()},
            "findings": list(self.findings),
            "language": self.language,
            "model": self.model,
            "notes": list(self.notes),
        }
        return {key: value for key, value in content.items() if value not in ([], {}, "")}

    @classmethod
    def from_json(cls, values: Any) -> "RecordingPrediction":
        """Inverse of `to_json`, as far as JSON keeps it: the utterances, with their features, are not in it.

        Raises: DataError if it is no prediction of a recording.
        """
        known = _fields_of(cls, values, what="a prediction of a recording", required=("duration", "overall"))
        known["parts"], known["name"] = known.get("utterances", ()), values.get("file", "")
        for name in ("parts", "listeners", "moments"):
            known[name] = tuple(Prediction.from_json(one) for one in known.get(name, ()))
        for name in ("findings", "notes"):
            known[name] = tuple(known.get(name, ()))
        known["contributions"] = tuple(tuple(row) for row in known.get("contributions", ()))
        known["details"] = {modality: tuple(rows) for modality, rows in known.get("details", {}).items()}
        known["overall"] = Prediction.from_json(known["overall"])
        return cls(**{**known, "path": Path(known["name"]), "utterances": ()})

    def __repr__(self) -> str:
        from mecam.prediction.in_words import sentiment_of

        told = [f"{self.duration:.1f} s", sentiment_of(self.overall), f"{len(self.parts)} utterances"]
        told += [f"{len(self.moments)} moments"] if self.moments else []
        return f"RecordingPrediction({self.name!r}, {', '.join(filter(None, told))})"

    def to_table(self) -> "DataTable":
        """The predictions as a table: of moments, where they were asked for, otherwise of utterances."""
        from mecam.prediction.rows import table_of

        return table_of([self])

    def to_frame(self) -> "DataFrame":
        """`to_table` as a pandas DataFrame.

        Raises: MissingExtraError if pandas is not installed.
        """
        return self.to_table().to_pandas()

    def save(self, path: str | Path) -> Path:
        """Write a file in the format of its ending: .json, .jsonl, .csv, .parquet, .vtt or .eaf.

        Raises: ConfigError for another ending; DataError if it cannot be written; MissingExtraError if pyarrow is
            needed and not installed.
        """
        from mecam.prediction.formats import write_predictions

        return write_predictions(Path(path), [self])

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from mecam.prediction.notebook import html_of_recording

        return html_of_recording(self)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither None nor an empty dictionary or tuple."""
    empty = {key for key, value in values.items() if value is None or (isinstance(value, dict | tuple) and not value)}
    return {key: value for key, value in values.items() if key not in empty}


def _fields_of(kind: type[Any], values: Any, *, what: str, required: tuple[str, ...]) -> dict[str, Any]:
    """Those values that are fields of a dataclass.

    Raises: DataError if it is no dictionary, or lacks what is required.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"this is not {what}: it is a {type(values).__name__}, not an object of JSON")
    if lacking := [name for name in required if values.get(name) is None]:
        raise DataError(f"this is not {what}: it has no {lacking[0]!r}")
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
