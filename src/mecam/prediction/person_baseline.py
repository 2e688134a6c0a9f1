"""How a person usually sounds and looks: what the voice and the face of the built-in model are told relative to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError, MediaError
from mecam.features.extractor import extractor
from mecam.features.media import Media
from mecam.features.vision.face_extractors import CUES
from mecam.prediction.voice_reading import baseline_of, read_voice

__all__ = ["PersonBaseline", "baseline_from_file", "calm_face", "calm_voice"]

STRETCH_S, CALM_PART, FEWEST = 2.0, 1 / 3, 6
"""Seconds that are judged at once; the part of them that counts as calm; fewer tell nothing of what is usual."""
NEUTRAL = CUES.names.index("expression_neutral")


@dataclass(frozen=True)
class PersonBaseline:
    """What is usual for a person; None where it is not known.

    Attributes:
        voice: as `voice_reading.baseline_of` gives it.
        face: rows of `mecam-face`.
    """

    voice: NDArray[np.float64] | None = None
    face: NDArray[np.float32] | None = None


def baseline_from_file(path: Path, extractors: Sequence[str]) -> PersonBaseline:
    """The baseline from a recording of the person who speaks calmly; all of it counts.

    Args:
        path: the recording.
        extractors: of the voice and of the face.

    Raises: DataError if it holds neither a voice nor a face; MediaError if it cannot be read.
    """
    media = Media(path)
    voice, face = (_rows(media, name) for name in extractors)
    usual = baseline_of(voice) if len(voice) else None
    seen = face[np.isfinite(face).any(axis=1)] if len(face) else face
    if usual is None and not len(seen):
        raise DataError(
            "the baseline holds neither a voice nor a face",
            where=str(path),
            fix="give a recording of the same person who speaks some sentences calmly",
        )
    return PersonBaseline(usual, seen if len(seen) else None)


def calm_voice(intervals: NDArray[np.float64], rows: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The baseline from the calm stretches of a recording: the third of its stretches of 2 s that is least activated.

    Returns: None if there are fewer than six stretches with a voice.
    """
    if not len(rows):
        return None
    judged = []
    for start in np.arange(intervals[0, 0], intervals[-1, 1], STRETCH_S):
        voice = read_voice(intervals, rows, start, start + STRETCH_S)
        if voice is not None and voice.activation is not None:
            judged.append((voice.activation, float(start)))
    if len(judged) < FEWEST:
        return None
    middle = intervals.mean(axis=1)
    calm = np.zeros(len(rows), bool)
    for _, start in sorted(judged)[: round(CALM_PART * len(judged))]:
        calm |= (middle >= start) & (middle < start + STRETCH_S)
    return baseline_of(rows[calm])


def calm_face(rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The third of a person's rows in which the face is most probably neutral; None if it is hardly seen."""
    seen = rows[np.isfinite(rows).all(axis=1)] if len(rows) else rows
    count = round(CALM_PART * len(seen))
    return seen[np.argsort(-seen[:, NEUTRAL], kind="stable")[:count]] if count else None


def _rows(media: Media, name: str) -> NDArray[np.float32]:
    made = extractor(name)
    try:
        return made(media).values
    except MediaError:  # it has no sound, or no picture
        return np.zeros((0, made.spec.width), np.float32)
