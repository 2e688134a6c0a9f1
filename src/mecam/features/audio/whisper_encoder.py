"""What Whisper's encoder makes of a voice: the extractor `whisper`.

The last layer of Whisper tiny.en (extra `asr`, `mecam assets fetch asr`), 50 rows a second. It learned to write down
what is said, and keeps much of how. It hears the sound at one level, without the padding to 30 s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.acoustics import SILENCE_DB
from mecam.features.extractor import ExtractorEntry, Features
from mecam.features.media import SoundSource
from mecam.features.text.asr import ENGINE_LOCK, engine
from mecam.features.text.speech_models import MODELS
from mecam.types import AUDIO, FeatureSpec, Modality

__all__ = ["EXTRACTORS", "MODEL", "WIDTH", "WhisperEncoder"]

MODEL, WIDTH = "tiny.en", 384
RATE_HZ, ROW = 16_000, 320
"""Samples a second, and those of a row: 20 ms."""
PIECE_S = 5
"""Seconds that are read at once; a row hears all of its piece."""


@dataclass(frozen=True)
class WhisperEncoder:
    """The last layer of the encoder of Whisper tiny.en."""

    name = "whisper"
    modality: Modality = AUDIO

    @property
    def version(self) -> str:
        """Ours, and the beginning of the SHA-256 of the weights."""
        return f"1-{MODELS[MODEL].sources[0].files['model.bin'].sha256[:12]}"

    @property
    def spec(self) -> FeatureSpec:
        """Width."""
        return FeatureSpec(WIDTH, self.name, self.version)

    def __call__(self, media: SoundSource, start: float = 0.0, stop: float | None = None) -> Features:
        """Rows of 20 ms; silence is missing.

        Raises: MediaError if the recording has no sound; MissingExtraError without faster-whisper; DataError if the
            model was not fetched.
        """
        gain = np.float32(media.gain())
        first = round(max(start, 0.0) * RATE_HZ / ROW)
        end = media.duration if stop is None else min(stop, media.duration)
        last = max(first, round(end * RATE_HZ / ROW))
        values = [np.empty((0, WIDTH), np.float32)]
        for begin, until in _pieces(first, last):
            at, found = media.waveform(begin * ROW / RATE_HZ, until * ROW / RATE_HZ, rate=RATE_HZ)
            sound = np.zeros((until - begin) * ROW, np.float32)
            offset = max(round(at * RATE_HZ) - begin * ROW, 0)
            sound[offset : offset + len(found)] = found[: len(sound) - offset]
            values.append(_encoded(sound * gain))
        edges = np.arange(first, last + 1) * ROW / RATE_HZ
        return Features(np.concatenate(values), np.column_stack([edges[:-1], edges[1:]]))


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    size = PIECE_S * RATE_HZ // ROW
    return ((begin, min(begin + size, last)) for begin in range(first, last, size))


def _encoded(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """A row for each 20 ms; NaN where it is silent."""
    level = np.square(sound.reshape(-1, ROW), dtype=np.float64).mean(axis=1)
    made: Any = engine(MODEL)
    spectrum = made.feature_extractor(sound, padding=0)[:, : 2 * len(level)]
    with ENGINE_LOCK:
        rows = np.array(made.encode(spectrum), np.float32)[0, : len(level)]
    rows[level < 10 ** (SILENCE_DB / 10)] = np.nan
    return rows


EXTRACTORS = {WhisperEncoder.name: ExtractorEntry(lambda _: WhisperEncoder(), prepare=lambda: engine(MODEL))}
