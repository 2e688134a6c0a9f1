"""Voice and face of the built-in corpus: feature rows that follow a sentiment the way prosody and expression do.

A speaker has habits (offsets) and an expressiveness (gains). An utterance has an expression that rises and
decays, phrases, pauses, and slow noise. From them come a few hidden channels over time (pitch, energy, smile,
brow …), and each named feature is a mixture of channels in its own unit plus noise of its own.
Only arithmetic that every machine does alike is used, and the result is rounded to multiples of 1/1024, so
that the bytes are the same everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AUDIO", "AUDIO_HZ", "VISION", "VISION_HZ", "FeatureTable", "Speaker", "face", "rounded", "voice"]

AUDIO_HZ = 10
"""Audio rows per second."""
VISION_HZ = 8
"""Vision rows per second."""

Array = NDArray[np.float64]

AUDIO_CHANNELS = ("pitch", "melody", "energy", "tempo", "tension", "voiced")
VISION_CHANNELS = ("smile", "brow", "eyes", "nod", "shake", "talk", "pose")


@dataclass(frozen=True)
class FeatureTable:
    """A table of named features over hidden channels.

    Attributes:
        channels: names of the hidden channels, C.
        rows: feature → centre and unit (in the feature's own unit), share of own noise, channel → loading.
    """

    channels: tuple[str, ...]
    rows: dict[str, tuple[float, float, float, dict[str, float]]]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in column order."""
        return tuple(self.rows)

    def render(self, hidden: Array, rng: np.random.Generator) -> NDArray[np.float32]:
        """Turn T × C channels into T × D features."""
        centre, unit, share = (np.array([row[i] for row in self.rows.values()]) for i in range(3))
        loadings = np.array([[row[3].get(name, 0.0) for row in self.rows.values()] for name in self.channels])
        noise = slow_noise(rng, len(hidden), len(self.rows), memory=0.5)
        return rounded(centre + unit * (hidden @ loadings + share * noise))


AUDIO = FeatureTable(
    AUDIO_CHANNELS,
    {
        "pitch_semitones": (36.0, 4.0, 0.3, {"pitch": 1.0, "melody": 0.9}),
        "pitch_slope": (0.0, 6.0, 0.6, {"melody": 0.8, "pitch": 0.1}),
        "pitch_jitter": (0.02, 0.02, 0.8, {"tension": 0.5, "voiced": -0.2}),
        "energy_db": (-28.0, 7.0, 0.3, {"energy": 1.0, "voiced": 1.0, "melody": 0.3}),
        "energy_slope": (0.0, 9.0, 0.8, {"melody": 0.5, "voiced": 0.2}),
        "shimmer_db": (0.9, 0.5, 0.8, {"tension": 0.5, "energy": -0.2}),
        "voicing": (0.6, 0.25, 0.4, {"voiced": 1.0, "tempo": 0.1}),
        "harmonicity_db": (9.0, 5.0, 0.6, {"voiced": 0.7, "tension": -0.5}),
        "syllable_rate_hz": (4.2, 1.4, 0.4, {"tempo": 1.0, "voiced": 0.4}),
        "zero_crossings": (0.12, 0.06, 0.7, {"voiced": -0.4, "tension": 0.4}),
        "spectral_centroid_hz": (1500.0, 450.0, 0.5, {"tension": 0.6, "energy": 0.5}),
        "spectral_spread_hz": (1300.0, 300.0, 0.7, {"tension": 0.4, "voiced": -0.3}),
        "spectral_rolloff_hz": (3000.0, 900.0, 0.6, {"tension": 0.5, "energy": 0.4}),
        "spectral_flux": (0.4, 0.25, 0.6, {"tempo": 0.6, "energy": 0.4}),
        "spectral_tilt_db": (-12.0, 4.0, 0.5, {"tension": 0.8, "energy": 0.4}),
        "mfcc_1": (-180.0, 60.0, 0.4, {"energy": 0.9, "voiced": 0.7}),
        "mfcc_2": (90.0, 35.0, 0.6, {"tension": -0.7, "voiced": 0.3}),
        "mfcc_3": (8.0, 22.0, 0.8, {"pitch": 0.4, "tension": 0.2}),
        "mfcc_4": (20.0, 18.0, 0.9, {"voiced": 0.3, "tempo": 0.2}),
        "mfcc_5": (-6.0, 15.0, 0.9, {"melody": 0.3, "energy": -0.2}),
        "mfcc_6": (-2.0, 13.0, 1.0, {"pitch": -0.3}),
        "mfcc_7": (-4.0, 11.0, 1.0, {"tension": 0.2}),
        "formant_1_hz": (520.0, 90.0, 0.7, {"energy": 0.4, "voiced": 0.2}),
        "formant_2_hz": (1550.0, 180.0, 0.8, {"pitch": 0.3, "tension": -0.2}),
        "formant_3_hz": (2600.0, 200.0, 0.9, {"pitch": 0.2}),
    },
)
"""What a voice is measured by; 25 columns."""

VISION = FeatureTable(
    VISION_CHANNELS,
    {
        "mouth_corner_left": (0.1, 0.3, 0.4, {"smile": 1.0, "talk": 0.2}),
        "mouth_corner_right": (0.1, 0.3, 0.4, {"smile": 0.95, "talk": 0.2}),
        "mouth_open": (0.25, 0.2, 0.4, {"talk": 1.0, "smile": 0.2}),
        "mouth_width": (1.0, 0.15, 0.6, {"smile": 0.7, "talk": 0.3}),
        "lip_press": (0.2, 0.15, 0.7, {"brow": -0.5, "talk": -0.4}),
        "cheek_raise": (0.3, 0.25, 0.5, {"smile": 0.8, "eyes": -0.2}),
        "nose_wrinkle": (0.1, 0.15, 0.8, {"brow": -0.5}),
        "brow_inner": (0.3, 0.2, 0.5, {"brow": 0.9}),
        "brow_outer": (0.4, 0.2, 0.5, {"brow": 0.6, "eyes": 0.4}),
        "brow_distance": (0.9, 0.1, 0.6, {"brow": 0.8}),
        "eye_open_left": (0.3, 0.08, 0.5, {"eyes": 0.9, "smile": -0.2}),
        "eye_open_right": (0.3, 0.08, 0.5, {"eyes": 0.9, "smile": -0.2}),
        "gaze_x": (0.0, 0.2, 1.0, {"pose": 0.3}),
        "gaze_y": (0.0, 0.2, 1.0, {"nod": -0.2}),
        "head_pitch_deg": (0.0, 7.0, 0.4, {"nod": 1.0, "pose": 0.3}),
        "head_yaw_deg": (0.0, 9.0, 0.4, {"shake": 1.0, "pose": 0.5}),
        "head_roll_deg": (0.0, 5.0, 0.6, {"pose": 0.8, "shake": 0.2}),
        "head_x": (0.5, 0.06, 0.5, {"pose": 0.7, "shake": 0.4}),
        "head_y": (0.45, 0.06, 0.5, {"pose": 0.4, "nod": 0.5}),
        "head_size": (0.35, 0.05, 0.5, {"pose": 0.6}),
    },
)
"""What a face is measured by; 20 columns."""


@dataclass(frozen=True)
class Speaker:
    """Habits of one speaker.

    Attributes:
        voice: offset of each audio channel.
        face: offset of each vision channel.
        voice_gain: how much the voice shows, about 1.
        face_gain: how much the face shows, about 1.
        tempo: how fast the speech is, about 1.
    """

    voice: Array
    face: Array
    voice_gain: float
    face_gain: float
    tempo: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Speaker":
        """Draw a speaker."""
        voice_gain, face_gain, tempo = 0.7 + 0.6 * rng.random(3)
        return Speaker(
            0.5 * normal(rng, len(AUDIO_CHANNELS)),
            0.5 * normal(rng, len(VISION_CHANNELS)),
            float(voice_gain),
            float(face_gain),
            float(0.85 + 0.3 * (tempo - 0.7) / 0.6),
        )


def voice(
    sentiment: float, speaker: Speaker, speaking: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Voice of an utterance: T × 25, one row per entry of `speaking` (False in a pause).

    Good feelings raise pitch, melody, tempo and, like strong feelings of either sign, energy; bad ones make the
    voice tense.
    """
    rows = len(speaking)
    shown = speaker.voice_gain * sentiment / 3
    swell = shown * (0.5 + 0.5 * expression(rng, rows))
    hidden = speaker.voice + 0.6 * slow_noise(rng, rows, len(AUDIO_CHANNELS), memory=0.8)
    strength = abs(shown)
    for name, change in {
        "pitch": 0.9 * swell,
        "melody": max(0.2, 0.8 + 0.6 * shown) * phrases(rng, rows, float(AUDIO_HZ)),
        "energy": 0.4 * swell + 0.7 * strength,
        "tempo": 0.7 * swell + 0.3 * strength,
        "tension": 0.5 * strength - 0.7 * swell,
        "voiced": np.where(speaking, 0.4, -2.0),
    }.items():
        hidden[:, AUDIO_CHANNELS.index(name)] += change
    return AUDIO.render(hidden, rng)


def face(
    sentiment: float, speaker: Speaker, speaking: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Face of an utterance: T × 20, one row per entry of `speaking` (False in a pause).

    Good feelings raise the mouth corners and make the head nod; bad ones lower the brow and make it shake;
    strong ones of either sign open the eyes.
    """
    rows = len(speaking)
    shown = speaker.face_gain * sentiment / 3
    swell = shown * (0.3 + 0.7 * expression(rng, rows))
    hidden = speaker.face + 0.6 * slow_noise(rng, rows, len(VISION_CHANNELS), memory=0.85)
    for name, change in {
        "smile": swell,
        "brow": 0.8 * swell,
        "eyes": 0.3 * swell + 0.6 * abs(shown),
        "nod": max(0.1, 0.5 + 0.7 * shown) * phrases(rng, rows, VISION_HZ / 2),
        "shake": max(0.1, 0.5 - 0.7 * shown) * phrases(rng, rows, VISION_HZ / 2),
        "talk": np.where(speaking, 2.0 * rng.random(rows), -0.8),
    }.items():
        hidden[:, VISION_CHANNELS.index(name)] += change
    return VISION.render(hidden, rng)


def expression(rng: np.random.Generator, rows: int) -> Array:
    """Course of an expression in [0, 1]: quick rise to a peak somewhere in the utterance, slow decay."""
    peak = (0.15 + 0.7 * rng.random()) * rows
    attack, decay = (0.1 + 0.2 * rng.random()) * rows, (0.4 + 0.8 * rng.random()) * rows
    since = np.arange(rows) - peak
    return np.asarray(np.clip(1 - np.where(since < 0, -since / attack, since / decay), 0.0, 1.0))


def phrases(rng: np.random.Generator, rows: int, hz: float) -> Array:
    """A zigzag in [−1.5, 1.5] with turns every 0.8 to 2 seconds at `hz` rows a second, falling at the end."""
    period = (0.8 + 1.2 * rng.random()) * hz
    phase = (np.arange(rows) / period + rng.random()) % 1.0
    fall = np.arange(rows) / max(rows - 1, 1) - 0.5
    return np.asarray(2.0 * np.abs(2 * phase - 1) - 1 - fall)


def slow_noise(rng: np.random.Generator, rows: int, columns: int, *, memory: float) -> Array:
    """First-order autoregressive noise of unit variance, rows × columns."""
    white = normal(rng, (rows, columns))
    white[1:] *= np.sqrt(1 - memory * memory)
    for row in range(1, rows):
        white[row] += memory * white[row - 1]
    return white


def normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
    """Nearly normal noise in [−3, 3] of unit variance, from sums alone: no logarithm to round differently."""
    one, two, three = (rng.random(shape) for _ in range(3))
    return np.asarray(2.0 * (one + two + three) - 3.0)


def rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round to multiples of 1/1024, which single precision holds exactly below 16 384."""
    return np.asarray(np.rint(np.asarray(values, np.float64) * 1024) / 1024, np.float32)
