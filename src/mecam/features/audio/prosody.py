"""How a voice sounds over half a second: the extractors `mecam-prosody` and `mecam-voice`.

Emotion in a voice lies less in single hundredths of a second than in how pitch, level and timbre lie and move over
some syllables. A row holds the mean and the standard deviation of every measure of `mecam-audio` over half a second,
four rows a second: a twenty-fifth of the rows, which a small data set is easier to learn from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.acoustics import NAMES as MEASURES
from mecam.features.audio.acoustics import ROWS_PER_S
from mecam.features.audio.voice_extractors import acoustic_rows
from mecam.features.extractor import ExtractorEntry, Features
from mecam.features.media import Media, SoundSource
from mecam.types import AUDIO, FeatureSpec, Modality

__all__ = ["EXTRACTORS", "NAMES", "LevelledProsody", "Prosody", "half_seconds"]

STEP = ROWS_PER_S // 4
"""Rows of `mecam-audio` from one window to the next."""
REACH = STEP // 2
"""Rows that a window hears before and after its own quarter of a second."""
MIN_SOUNDING = 0.25
"""Part of a window that must sound; less is silence, and missing."""

NAMES = (
    *(f"{name}_mean" for name in MEASURES),
    *(f"{name}_std" for name in MEASURES),
    "voiced_share",
    "sounding_share",
)


@dataclass(frozen=True)
class Prosody:
    """Means and deviations of `mecam-audio` over half a second, every quarter of a second."""

    name = "mecam-prosody"
    version = "2"  # as `mecam-audio`
    modality: Modality = AUDIO

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(NAMES), self.name, self.version, NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Rows on the recording's own grid of quarters of a second; silence is missing.

        Raises: MediaError if the recording has no sound.
        """
        return half_seconds(media, start, stop)


@dataclass(frozen=True)
class LevelledProsody:
    """The same of the sound at one level, however loud it was recorded.

    A microphone that stands twice as far away makes every voice 6 dB softer, and what is softer than -60 dB counts as
    silence. So the sound is first brought to the level that speech has in a good recording; the whole recording
    decides by how much.
    """

    name = "mecam-voice"
    version = "1"
    modality: Modality = AUDIO

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(NAMES), self.name, self.version, NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """As `Prosody`.

        Raises: MediaError if the recording has no sound.
        """
        return half_seconds(media, start, stop, gain=media.gain())


def half_seconds(media: SoundSource, start: float, stop: float | None, *, gain: float = 1.0) -> Features:
    """The rows of both, of the samples times `gain`."""
    end = media.duration if stop is None else min(stop, media.duration)
    first = round(max(start, 0.0) * ROWS_PER_S / STEP)
    last = max(first + 1, round(end * ROWS_PER_S / STEP))  # the shortest clip has a row
    begin = max(first * STEP - REACH, 0)
    heard = acoustic_rows(media, begin / ROWS_PER_S, (last * STEP + REACH + 1) / ROWS_PER_S, gain=gain)
    edges = np.arange(first, last + 1) * STEP / ROWS_PER_S
    windows = [
        summary(heard.values[max(k * STEP - REACH - begin, 0) : (k + 1) * STEP + REACH + 1 - begin])
        for k in range(first, last)
    ]
    values = np.stack(windows) if windows else np.empty((0, len(NAMES)), np.float32)
    return Features(values, np.column_stack([edges[:-1], edges[1:]]), heard.details)


def summary(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and deviation of each column over what is known of it, and the voiced and sounding parts.

    Args:
        rows: T × 55 of `mecam.features.audio.acoustics`.

    Returns: 112 values; NaN throughout where too little sounds, and for the pitch where nothing is voiced.
    """
    known = np.isfinite(rows)
    sounding = float(known[:, MEASURES.index("rms_db")].mean()) if len(rows) else 0.0
    if sounding < MIN_SOUNDING:
        return np.full(len(NAMES), np.nan, np.float32)
    count = known.sum(axis=0)
    values = np.where(known, rows, 0.0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(axis=0) / count
        spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    voiced = float(known[:, MEASURES.index("f0_semitones")].mean())
    return np.concatenate([mean, spread, [voiced, sounding]]).astype(np.float32)


EXTRACTORS = {
    Prosody.name: ExtractorEntry(lambda _: Prosody()),
    LevelledProsody.name: ExtractorEntry(lambda _: LevelledProsody()),
}
