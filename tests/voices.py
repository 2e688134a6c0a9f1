"""Small recordings for tests: a buzz like a voice, as WAV files; and a file that kills its reader."""

import os
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording
from mecam.features.recording import Recipe
from mecam.types import Utterance

RATE_HZ = 16_000


def buzz(seconds: float, *, hertz: float = 140.0, slope: float = 0.0, gain: float = 0.2) -> NDArray[np.float32]:
    """Ten harmonics of a pitch that moves by `slope` octaves a second."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(hertz * 2 ** (slope * t)) / RATE_HZ
    sound = sum(np.sin(k * phase) / k for k in range(1, 11))
    return (gain * sound).astype(np.float32)


def write_wav(path: Path, sound: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Path:
    """16 bit, mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes((sound.clip(-1, 1) * 32767).astype(np.int16).tobytes())
    return path


def fatal(clip: Clip, recipe: Recipe) -> ExtractedRecording | str:
    """In the place of `extract_clip`: one file brings its process down, another is refused."""
    if "killer" in clip.id:
        os._exit(11)
    if "bad" in clip.id:
        return "bad"
    return ExtractedRecording((Utterance(clip.id, video=clip.id, text=recipe.extractors[0]),))
