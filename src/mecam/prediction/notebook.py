"""Predictions as a notebook shows them: a headline and a table."""

from typing import TYPE_CHECKING

from mecam.notebook import MAX_ROWS, notebook_html
from mecam.prediction.in_words import activation_of, emotions_of, face_of, sentiment_of
from mecam.prediction.rows import in_time

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["html_of", "html_of_recording"]

COLUMNS = ("time", "person", "text", "sentiment", "emotions", "activation", "face", "contradicts", "absent")


def html_of(part: "Prediction") -> str:
    """One prediction: a headline and a row."""
    return notebook_html(part.text or part.id, COLUMNS, [_row(part)])


def html_of_recording(recording: "RecordingPrediction") -> str:
    """A recording: what is said of the whole, then a row a moment or an utterance, and what is absent or odd."""
    parts = in_time(recording)
    told = [f"{modality} is absent: {why}" for modality, why in recording.absent.items()]
    told += [*recording.findings, *recording.notes]
    if len(parts) > MAX_ROWS:
        told.insert(0, f"and {len(parts) - MAX_ROWS} more rows; to_frame() has all")
    heading = f"{recording.name}, {recording.duration:.1f} s"
    return notebook_html(
        heading, COLUMNS, [_row(part) for part in parts[:MAX_ROWS]], says=_whole(recording.overall), remarks=told
    )


def _whole(part: "Prediction") -> str:
    """The sentiment with its interval."""
    ends = "" if part.low is None or part.high is None else f" ({part.low:+.1f} to {part.high:+.1f})"
    return f"{sentiment_of(part)}{ends}"


def _row(part: "Prediction") -> list[str]:
    """The cells of `COLUMNS`."""
    time = "" if part.start is None or part.stop is None else f"{part.start:.1f}–{part.stop:.1f} s"
    who = "" if part.person is None else f"{part.person}{'' if part.speaking else ', listening'}"
    told = [time, who, part.text or "", _whole(part), emotions_of(part), activation_of(part), face_of(part)]
    return [*told, ", ".join(part.contradicts), ", ".join(part.absent)]
