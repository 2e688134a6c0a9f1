"""The people of a recording in tables: who speaks how long and how, who is seen, and what their faces show."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mecam.prediction.in_words import leading, strong_movements
from mecam.prediction.result import Face
from mecam.report.format import duration, percent, plain
from mecam.report.panel_strips import people_of
from mecam.report.recording_table import span_of
from mecam.report.table import Cell, Table

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["people_table", "voice_table"]

NOTE = (
    "Means over the utterances, each weighing as long as it lasts. Speaks: of the utterances whose speaker this person "
    "is taken for."
)

VOICE_NOTE = (
    "Activation: from 0, calm, to 1, activated. Pitch: its median; range: semitones (st) between its 10th and its 90th "
    "percentile. Pauses: the time without voice."
)


def people_table(recording: "RecordingPrediction") -> Table | None:
    """A row a person; None where people are not told apart."""
    rows = []
    for number in people_of(recording):
        parts = [part for part in (*recording.parts, *recording.listeners) if part.person == number]
        spoken = sum(_seconds(part) for part in parts if part.speaking)
        seen = [part for part in parts if part.face is not None]
        face = _mean_face(seen)
        shown = [f"{name} {percent(share, 0)}" for name, share in leading(face.expressions, 1)]
        moved = [f"{name.replace('_', ' ')} {plain(amount, 2)}" for name, amount in strong_movements(face)]
        rows.append(
            [
                str(number),
                duration(spoken) if spoken else Cell("listens", tone="muted"),
                percent(face.visible, 0),
                ", ".join(shown),
                ", ".join(moved),
            ]
        )
    head = ("person", "speaks", "seen", "expression", "movements")
    return Table(head, rows, note=NOTE, words=frozenset({0, 3, 4})).compact() if rows else None


def voice_table(recording: "RecordingPrediction") -> Table | None:
    """A row an utterance: how it is said; None where no voice is told of."""
    rows = []
    for part in recording.parts:
        voice = part.voice
        if voice is not None:
            ends = "" if voice.low is None or voice.high is None else f"{plain(voice.low, 2)} to {plain(voice.high, 2)}"
            numbers = (
                plain(voice.activation, 2),
                ends,
                plain(voice.words_per_s, 1),
                plain(voice.pitch_hz, 0),
                plain(voice.pitch_range, 1),
                percent(voice.pauses, 0),
            )
            rows.append((span_of(part), *numbers))
    head = ("utterance", "activation", "interval", "words / s", "pitch, Hz", "range, st", "pauses")
    return Table(head, rows, note=VOICE_NOTE).compact() if rows else None


def _mean_face(parts: Sequence["Prediction"]) -> Face:
    """The mean of faces over time; of nobody, one that is not seen."""
    faces = [(part.face, _seconds(part)) for part in parts if part.face is not None]
    visible = _mean([({"visible": face.visible}, weight) for face, weight in faces])
    expressions = _mean([(face.expressions, weight) for face, weight in faces])
    return Face(visible.get("visible", 0.0), expressions, _mean([(face.movements, weight) for face, weight in faces]))


def _mean(given: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """The mean of values by name, each with its weight; where a name is missing, it is 0."""
    total = sum(weight for _, weight in given)
    names = dict.fromkeys(name for values, _ in given for name in values)
    return {name: sum(weight * values.get(name, 0.0) for values, weight in given) / total for name in names}


def _seconds(part: "Prediction") -> float:
    return max((part.stop or 0.0) - (part.start or 0.0), 1e-3)
