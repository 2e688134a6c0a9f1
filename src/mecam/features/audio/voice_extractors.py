"""What a voice sounds like, as rows with times: three extractors.

`mecam-audio`     our own measures, 100 rows a second; the default
`egemaps`         openSMILE's eGeMAPS low-level descriptors, 100 rows a second; extra `opensmile`. Its licence,
                  audEERING's, allows research and private use only, not commercial products
`speech:MODEL`    the last layer of a speech encoder that reads samples (wav2vec 2.0, HuBERT, WavLM, data2vec …), by hub
                  name or folder, through `transformers`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MissingExtraError
from mecam.features.audio.acoustics import HOP, NAMES, RATE_HZ, ROWS_PER_S, measure
from mecam.features.audio.speech_network import encode, width
from mecam.features.extractor import ExtractorEntry, Features
from mecam.features.media import Media, SoundSource
from mecam.threads import ProcessLock
from mecam.types import AUDIO, FeatureSpec, Modality

__all__ = ["EGEMAPS_NAMES", "EXTRACTORS", "Acoustics", "Egemaps", "SpeechEncoder", "acoustic_rows", "load_smile"]

CONTEXT_ROWS = 10
"""Rows of sound before and after a stretch that its first and last rows hear."""
PIECE_S = 60.0
"""Seconds that are decoded and measured at once, so that memory stays flat."""
ENCODER_PIECE_S = 20.0
_SMILE_LOCK = ProcessLock()
"""OpenSMILE keeps what it works on in itself."""

_FORMANTS = [f"F{i}{what}" for i in (1, 2, 3) for what in ("frequency", "bandwidth", "amplitudeLogRelF0")]
EGEMAPS_NAMES = (
    *("Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3", "slope500-1500_sma3"),
    *("spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3", "mfcc4_sma3", "F0semitoneFrom27.5Hz_sma3nz"),
    *("jitterLocal_sma3nz", "shimmerLocaldB_sma3nz", "HNRdBACF_sma3nz"),
    *("logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz"),
    *(f"{name}_sma3nz" for name in _FORMANTS),
)
"""openSMILE's names, in its order."""


@dataclass(frozen=True)
class Acoustics:
    """Cepstrum, pitch, voicing, level and spectral shape: see `mecam.features.audio.acoustics`."""

    name = "mecam-audio"
    version = "2"  # 1 mixed stereo 3 dB louder than mono
    modality: Modality = AUDIO

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(NAMES), self.name, self.version, NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Rows on the recording's own grid: row k lies between k and k + 1 hundredths of a second.

        Raises: MediaError if the recording has no sound.
        """
        return acoustic_rows(media, start, stop)


def acoustic_rows(media: SoundSource, start: float = 0.0, stop: float | None = None, *, gain: float = 1.0) -> Features:
    """As `Acoustics`, of the samples times `gain`."""
    first, last = _grid(media, start, stop)
    values = np.empty((last - first, len(NAMES)), np.float32)  # an hour takes 80 MB: never twice
    for begin, end in _pieces(first, last, round(PIECE_S * ROWS_PER_S)):
        # Samples are asked for so that the middle of a row is the middle of its hundredth of a second.
        at = (begin - CONTEXT_ROWS + 0.5) / ROWS_PER_S
        sound = _exact(media, at, (end - begin + 2 * CONTEXT_ROWS) * HOP)
        rows = measure(sound * np.float32(gain))[CONTEXT_ROWS : CONTEXT_ROWS + end - begin]
        values[begin - first : end - first] = rows
    voiced = ~np.isnan(values[:, NAMES.index("f0_semitones")])
    sounding = ~np.isnan(values[:, NAMES.index("rms_db")])
    details = {"sounding": _share(sounding), "voiced": _share(voiced)}
    return Features(values, _hundredths(first, last), details)


@dataclass(frozen=True)
class Egemaps:
    """openSMILE's eGeMAPS v02 low-level descriptors. Not for commercial use: audEERING's licence."""

    name = "egemaps"
    version = "v02-2"  # openSMILE's, and ours: 1 mixed stereo 3 dB louder than mono
    modality: Modality = AUDIO

    @property
    def spec(self) -> FeatureSpec:
        """Width and names."""
        return FeatureSpec(len(EGEMAPS_NAMES), self.name, self.version, EGEMAPS_NAMES)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Rows of 10 ms; silence is missing.

        Raises: MediaError if the recording has no sound; MissingExtraError without openSMILE.
        """
        smile = load_smile()
        first, last = _grid(media, start, stop)
        sound = _exact(media, first / ROWS_PER_S, (last - first) * HOP)
        values = np.full((last - first, len(EGEMAPS_NAMES)), np.nan, np.float32)
        if len(sound) >= RATE_HZ // 10:  # openSMILE needs 60 ms
            with _SMILE_LOCK:
                found = smile.process_signal(sound, RATE_HZ).to_numpy(np.float32)[: len(values)]
            values[: len(found)] = found
            values[~np.isfinite(values)] = np.nan
        silent = np.isnan(_rows_heard(sound, len(values)))
        values[silent] = np.nan
        return Features(values, _hundredths(first, last), {"sounding": _share(~silent)})


@dataclass(frozen=True)
class SpeechEncoder:
    """The last layer of a pretrained speech encoder.

    Attributes:
        model: a name on the hub, or a folder.
    """

    model: str
    modality: Modality = AUDIO

    @property
    def name(self) -> str:
        """`speech:` and the model; of a folder, its path as given."""
        return f"speech:{self.model}"

    @property
    def version(self) -> str:
        """Constant: the weights are the model's."""
        return "1"

    @property
    def spec(self) -> FeatureSpec:
        """Width as the model's configuration says.

        Raises: DataError if there is no such model.
        """
        return FeatureSpec(width(self.model), self.name, self.version)

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Rows as dense as the model makes them, about 50 a second; silence is not masked.

        Raises: MediaError if the recording has no sound; DataError if the model cannot be loaded.
        """
        first, last = _grid(media, start, stop)
        values, intervals = [np.empty((0, self.spec.width), np.float32)], [np.empty((0, 2))]
        for begin, end in _pieces(first, last, round(ENCODER_PIECE_S * ROWS_PER_S)):
            sound = _exact(media, begin / ROWS_PER_S, (end - begin) * HOP)
            rows = encode(self.model, sound)
            edges = np.linspace(begin, end, len(rows) + 1) / ROWS_PER_S
            values.append(rows)
            intervals.append(np.column_stack([edges[:-1], edges[1:]]))
        return Features(np.concatenate(values), np.concatenate(intervals))


def _grid(media: SoundSource, start: float, stop: float | None) -> tuple[int, int]:
    """First row and one past the last, in hundredths of a second."""
    first = round(max(0.0, start) * ROWS_PER_S)
    return first, max(first, round((media.duration if stop is None else min(stop, media.duration)) * ROWS_PER_S))


def _pieces(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + size, last)) for begin in range(first, last, size))


def _exact(media: SoundSource, start: float, count: int) -> NDArray[np.float32]:
    """Exactly `count` samples from `start` on, which may lie before the beginning; silence where there is no sound."""
    sound = np.zeros(count, np.float32)
    at, found = media.waveform(max(0.0, start), start + count / RATE_HZ, rate=RATE_HZ)
    offset = round((at - start) * RATE_HZ)
    if 0 <= offset < count:
        found = found[: count - offset]
        sound[offset : offset + len(found)] = found
    return sound


def _hundredths(first: int, last: int) -> NDArray[np.float64]:
    edges = np.arange(first, last + 1) / ROWS_PER_S
    return np.column_stack([edges[:-1], edges[1:]])


def _rows_heard(sound: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Level of each row, NaN where it is silent."""
    level = measure(sound)[:count, NAMES.index("rms_db")]
    return np.pad(level, (0, count - len(level)), constant_values=np.nan)


def _share(chosen: NDArray[np.bool_]) -> float:
    return round(float(chosen.mean()), 4) if len(chosen) else 0.0


@cache
def load_smile() -> Any:
    """OpenSMILE with the eGeMAPS set.

    Raises: MissingExtraError where it is not installed.
    """
    try:
        import opensmile  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("opensmile") from error
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)


EXTRACTORS = {
    Acoustics.name: ExtractorEntry(lambda _: Acoustics()),
    Egemaps.name: ExtractorEntry(lambda _: Egemaps(), prepare=load_smile),
    "speech": ExtractorEntry(SpeechEncoder, argument="MODEL"),
}
