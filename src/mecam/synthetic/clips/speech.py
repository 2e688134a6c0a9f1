"""A voice for rendered clips with known pitch and strength: espeak-ng where it is installed, else a buzz of our own.

Our own voice is no speech: each letter is a vowel's formants or a hiss, under a pitch that follows the sentiment. It is
there so that a clip has a voice with known words, times and melody anywhere; nobody could understand it.
"""

import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.types import Word

__all__ = ["Spoken", "espeak", "formant_voice", "speak"]

RATE_HZ = 16_000
FORMANTS = {"a": (800, 1200), "e": (500, 1900), "i": (300, 2300), "o": (500, 900), "u": (320, 800), "y": (300, 2100)}
"""First and second resonance of a vowel, in Hz."""
LETTER_S, PAUSE_S, EDGE_S = 0.06, 0.07, 0.2
HARMONICS = 24


@dataclass(frozen=True)
class Spoken:
    """A sentence as it sounds.

    Attributes:
        sound: 16 kHz, in [−1, 1].
        words: with times; of espeak-ng estimated by the length of words.
        hertz: the pitch that was given, one value a sample; NaN where there is none or it is not known.
        voice: what made it.
    """

    sound: NDArray[np.float32]
    words: tuple[Word, ...]
    hertz: NDArray[np.float64]
    voice: str


def speak(text: str, feeling: float, *, base_hz: float, seed: int) -> Spoken:
    """Say a sentence.

    Args:
        text: what to say.
        feeling: −1 to 1; good raises the pitch and its melody and the pace, strong of either kind the loudness.
        base_hz: pitch of a speaker without feeling.
        seed: of all that is random.
    """
    return espeak(text, feeling, base_hz=base_hz) or formant_voice(text, feeling, base_hz=base_hz, seed=seed)


def espeak(text: str, feeling: float, *, base_hz: float) -> Spoken | None:
    """The same by espeak-ng; None where it is not installed or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    pitch, speed = int(np.clip(50 + 25 * feeling + (base_hz - 150) / 4, 0, 99)), int(165 + 25 * feeling)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "voice.wav"
        command = [program, "-w", str(file), "-p", str(pitch), "-s", str(speed), "-a", str(int(90 + 60 * abs(feeling)))]
        done = subprocess.run([*command, "--stdin"], input=text.encode(), capture_output=True, check=False)
        if done.returncode or not file.is_file():
            return None
        with wave.open(str(file), "rb") as source:
            rate = source.getframerate()
            samples = np.frombuffer(source.readframes(source.getnframes()), np.int16) / 32768
    times = np.arange(int(len(samples) * RATE_HZ / rate)) * rate / RATE_HZ
    sound = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    quiet = np.zeros(int(EDGE_S * RATE_HZ), np.float32)
    words = text.split()
    edges = np.cumsum([0, *(len(word) + 1 for word in words)]) / sum(len(word) + 1 for word in words)
    at = EDGE_S + edges * len(sound) / RATE_HZ
    placed = tuple(Word(word, float(at[i]), float(at[i + 1])) for i, word in enumerate(words))
    whole = np.concatenate([quiet, sound, quiet])
    return Spoken(whole, placed, np.full(len(whole), np.nan), "espeak-ng")


def formant_voice(text: str, feeling: float, *, base_hz: float, seed: int) -> Spoken:
    """The same by our own means: letters as formants and hisses."""
    rng = np.random.default_rng(seed)
    letter = int(LETTER_S * RATE_HZ * (1 - 0.15 * feeling))
    pause, edge = int(PAUSE_S * RATE_HZ), int(EDGE_S * RATE_HZ)
    words, kinds, at = [], ["-"] * edge, edge
    for word in text.split():
        start = at
        for sign in (c for c in word.lower() if c.isalpha()):
            kinds += [sign] * letter
            at += letter
        words.append(Word(word, start / RATE_HZ, max(at, start + 1) / RATE_HZ))
        kinds += ["-"] * pause
        at += pause
    kinds += ["-"] * edge
    signs = np.array(kinds)
    t = np.arange(len(signs)) / RATE_HZ
    melody = (1.5 + 2.5 * max(feeling, 0.0)) * np.sin(2 * np.pi * (0.7 + 0.2 * rng.random()) * t + 6 * rng.random())
    hertz = base_hz * 2 ** ((4 * feeling + melody) / 12)
    sound = _voiced(signs, hertz) + np.where(np.isin(signs, list("fhsxzcktp")), 0.06, 0.0) * rng.standard_normal(len(t))
    sound = (0.12 + 0.12 * abs(feeling)) * sound / max(1e-9, float(np.abs(sound).max())) * 2
    sound += 0.001 * rng.standard_normal(len(t))
    vowel = np.isin(signs, list(FORMANTS))
    return Spoken(sound.astype(np.float32), tuple(words), np.where(vowel, hertz, np.nan), "our own formant voice")


def _voiced(signs: NDArray[Any], hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonics of the pitch under the formants of each vowel; other letters hum softly."""
    first, second = np.full(len(signs), 250.0), np.full(len(signs), 1000.0)
    gain = np.where(signs == "-", 0.0, 0.25)
    for sign, (low, high) in FORMANTS.items():
        here = signs == sign
        first[here], second[here], gain[here] = low, high, 1.0
    smooth = np.hanning(320) / np.hanning(320).sum()
    first, second, gain = (np.convolve(curve, smooth, mode="same") for curve in (first, second, gain))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE_HZ
    sound = np.zeros(len(signs))
    for k in range(1, HARMONICS + 1):
        place = k * hertz
        strength = np.exp(-(((place - first) / 150) ** 2)) + 0.6 * np.exp(-(((place - second) / 220) ** 2)) + 0.03
        sound += np.where(place < RATE_HZ / 2, strength, 0.0) * np.sin(k * phase) / np.sqrt(k)
    return np.asarray(gain * sound)
