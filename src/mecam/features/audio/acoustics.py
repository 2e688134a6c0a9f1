"""Voice measures from samples: cepstrum, pitch, level and spectral shape, one row every 10 ms.

Pure NumPy. The definitions are those of librosa, against which the tests hold them; its import costs
2.6 s each time and, where numba has nothing cached yet, close to a minute.

A row depends on the 64 ms (with deltas 144 ms) of sound around it and on nothing else: a cut-out gives the same rows
as the whole recording, so long recordings are worked through in pieces.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "RATE_HZ", "ROWS_PER_S", "measure"]

Rows = NDArray[np.float64]
Sound = NDArray[np.float32]

RATE_HZ = 16_000
ROWS_PER_S = 100
HOP = RATE_HZ // ROWS_PER_S
WINDOW = 400
"""Samples (25 ms) that a spectrum, a level and a zero-crossing rate are taken from."""
FFT = 512
MELS, CEPSTRA = 40, 20
DELTA_REACH = 4
"""Rows on either side that a slope is fitted through."""
CONTRAST_EDGES_HZ = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
CONTRAST_SHARE = 0.02
ROLLOFF = 0.85
PITCH_FRAME = 1024
MIN_PITCH_HZ, MAX_PITCH_HZ = 60.0, 500.0
TROUGH = 0.15
"""Absolute threshold of yin: the first dip below it is the period."""
VOICED = 0.7
"""Periodicity from which a row counts as voiced, and has a pitch."""
SEMITONES_ABOVE_HZ = 27.5
SILENCE_DB = -60.0
"""Level below which there is nothing to measure, relative to a full-scale square wave; its rows are missing."""
TINY = 1e-10
BLOCK = 128
"""Rows that are measured at once, so few that they stay in a processor's cache: with 500, it takes twice as long."""

NAMES = (
    *(f"mfcc_{i + 1}" for i in range(CEPSTRA)),
    *(f"mfcc_delta_{i + 1}" for i in range(CEPSTRA)),
    *("f0_semitones", "voicing", "rms_db", "zero_crossing_rate"),
    *("centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness_db"),
    *(f"contrast_{i + 1}_db" for i in range(len(CONTRAST_EDGES_HZ))),
)


def measure(sound: Sound) -> NDArray[np.float32]:
    """Measure a sound.

    Args:
        sound: N samples in [−1, 1], 16 kHz, mono.

    Returns:
        T × 55 with T = 1 + N // 160, columns as in `NAMES`; row t is centred at t / 100 s. Rows of silence are NaN
        throughout; `f0_semitones` (above 27.5 Hz) is NaN where the voice has no pitch.
    """
    count = 1 + len(sound) // HOP
    reach = PITCH_FRAME // 2
    padded = np.pad(sound.astype(np.float64), (reach, reach + HOP))
    parts = []
    for first in range(0, count, BLOCK):
        rows = min(BLOCK, count - first)
        parts.append(_block(padded[first * HOP : (first + rows - 1) * HOP + PITCH_FRAME]))
    own = np.concatenate(parts)
    values = np.concatenate([own[:, :CEPSTRA], _slopes(own[:, :CEPSTRA]), own[:, CEPSTRA:]], axis=1)
    values[values[:, NAMES.index("rms_db")] < SILENCE_DB] = np.nan
    return values.astype(np.float32)


def _block(padded: Rows) -> Rows:
    """All columns but the deltas, of rows whose sound lies in `padded`."""
    frames = np.lib.stride_tricks.sliding_window_view(padded, PITCH_FRAME)[::HOP]  # T 1024
    middle = frames[:, (PITCH_FRAME - FFT) // 2 : (PITCH_FRAME + FFT) // 2]  # T 512
    narrow = middle[:, (FFT - WINDOW) // 2 : (FFT + WINDOW) // 2]  # T 400
    magnitude = np.abs(np.fft.rfft(middle * _window(), axis=1))  # T F
    pitch, periodicity = yin(frames)
    level = _decibels(np.square(narrow).mean(axis=1))
    return np.column_stack(
        [
            cepstrum(magnitude**2),
            pitch,
            periodicity,
            level,
            (np.diff(np.signbit(narrow), axis=1)).sum(axis=1) / WINDOW,
            spectral_shape(magnitude),
            spectral_contrast(magnitude),
        ]
    )


def cepstrum(power: Rows) -> Rows:
    """Mel cepstrum, T × 20, of a power spectrum, T × F."""
    return np.asarray(_decibels(power @ mel_filters().T) @ _cosines())


def spectral_shape(magnitude: Rows) -> Rows:
    """Centroid, bandwidth and roll-off in Hz and flatness in dB, T × 4, of a magnitude spectrum, T × F."""
    hertz = _hertz()
    share = magnitude / np.maximum(magnitude.sum(axis=1, keepdims=True), TINY)  # T F
    centroid = share @ hertz  # T
    bandwidth = np.sqrt((share * np.square(hertz - centroid[:, None])).sum(axis=1))
    reached = share.cumsum(axis=1) >= ROLLOFF
    rolloff = np.where(reached.any(axis=1), hertz[reached.argmax(axis=1)], 0.0)
    power = np.maximum(magnitude**2, TINY)
    flatness = 10 / np.log(10) * np.log(power).mean(axis=1) - 10 * np.log10(power.mean(axis=1))
    return np.column_stack([centroid, bandwidth, rolloff, flatness])


def spectral_contrast(magnitude: Rows) -> Rows:
    """Difference in dB of the strongest and the weakest 2 % of each octave, T × 7.

    Source: Jiang et al., Music type classification by spectral contrast feature, 2002.
    """
    edges = [int(hertz / _hertz()[1]) for hertz in CONTRAST_EDGES_HZ] + [magnitude.shape[1]]
    columns = []
    for low, high in pairwise(edges):
        band = np.sort(magnitude[:, low:high], axis=1)
        count = max(1, round(CONTRAST_SHARE * (high - low + 1)))
        columns.append(_decibels(band[:, -count:].mean(axis=1)) - _decibels(band[:, :count].mean(axis=1)))
    return np.column_stack(columns)


def yin(frames: Rows) -> tuple[Rows, Rows]:
    """Pitch and periodicity of each frame.

    Args:
        frames: T × 1024 samples.

    Returns:
        Pitch in semitones above 27.5 Hz, NaN where there is none; periodicity in [0, 1].

    Source: de Cheveigné & Kawahara, YIN, JASA 111(4), 2002, Eq. 6 and 8, steps 4 and 5. Differs: the window in which
    samples are compared ends where the longest period still fits into the frame.
    """
    shortest, longest = int(RATE_HZ / MAX_PITCH_HZ), int(np.ceil(RATE_HZ / MIN_PITCH_HZ)) + 1
    width = PITCH_FRAME - longest
    difference = _differences(frames, width, longest)  # T longest+1
    lags = np.arange(1, longest + 1)
    mean = difference[:, 1:].cumsum(axis=1) / lags
    normal = np.ones_like(difference)
    np.divide(difference[:, 1:], mean, out=normal[:, 1:], where=mean > TINY)
    area = normal[:, shortest : longest + 1]  # T L
    inner = area[:, 1:-1]
    dips = (inner < TROUGH) & (inner <= area[:, :-2]) & (inner < area[:, 2:])
    best = np.where(dips.any(axis=1), dips.argmax(axis=1), inner.argmin(axis=1)) + 1  # T, into area
    rows = np.arange(len(frames))
    before, here, after = area[rows, best - 1], area[rows, best], area[rows, best + 1]
    bend = before + after - 2 * here
    shift = np.where(np.abs(bend) > TINY, (before - after) / np.where(bend == 0, 1, 2 * bend), 0.0).clip(-1, 1)
    periodicity = np.clip(1 - here, 0, 1)
    semitones = 12 * np.log2(RATE_HZ / (shortest + best + shift) / SEMITONES_ABOVE_HZ)
    return np.where(periodicity >= VOICED, semitones, np.nan), periodicity


def _differences(frames: Rows, width: int, longest: int) -> Rows:
    """Sum over `width` samples of the squared difference to the sample `lag` later: T × (longest + 1)."""
    head = np.zeros_like(frames)
    head[:, :width] = frames[:, :width]
    spectrum = np.conj(np.fft.rfft(head, axis=1)) * np.fft.rfft(frames, axis=1)
    # Circular, and still exact: head reaches `width` samples, and width + longest is the length of a frame.
    product = np.fft.irfft(spectrum, n=PITCH_FRAME, axis=1)[:, : longest + 1]
    energy = np.pad(np.square(frames).cumsum(axis=1), ((0, 0), (1, 0)))
    moving = energy[:, width : width + longest + 1] - energy[:, : longest + 1]
    return np.asarray(np.maximum(moving[:, :1] + moving - 2 * product, 0.0))


def _slopes(values: Rows) -> Rows:
    """Slope per row of a line fitted through each row and its neighbours; the ends are repeated."""
    padded = np.pad(values, ((DELTA_REACH, DELTA_REACH), (0, 0)), mode="edge")
    steps = np.arange(1, DELTA_REACH + 1)
    count = len(values)
    total = np.zeros_like(values)
    for step in steps:
        ahead, behind = padded[DELTA_REACH + step :][:count], padded[DELTA_REACH - step :][:count]
        total += step * (ahead - behind)
    return np.asarray(total / (2 * np.square(steps).sum()))


@cache
def mel_filters() -> Rows:
    """Triangles on Slaney's mel scale, each of unit area: 40 × F."""
    linear_step, log_from, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = log_from / linear_step + np.log(RATE_HZ / 2 / log_from) / log_step
    mel = np.linspace(0, top, MELS + 2)
    bent = log_from * np.exp(log_step * (mel - log_from / linear_step))
    corners = np.where(mel < log_from / linear_step, linear_step * mel, bent)  # MELS + 2
    left, middle, right = (corners[i : i + MELS, None] for i in range(3))
    rising, falling = (_hertz() - left) / (middle - left), (right - _hertz()) / (right - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left))


@cache
def _cosines() -> Rows:
    """The first columns of the orthonormal discrete cosine transform: 40 × 20."""
    waves = np.cos(np.pi / MELS * np.outer(np.arange(MELS) + 0.5, np.arange(CEPSTRA))) * np.sqrt(2 / MELS)
    waves[:, 0] /= np.sqrt(2)
    return np.asarray(waves)


@cache
def _hertz() -> Rows:
    return np.arange(FFT // 2 + 1, dtype=np.float64) * (RATE_HZ / FFT)


@cache
def _window() -> Rows:
    """A Hann window of 25 ms in the middle of the transform's frame."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.pad(hann, (FFT - WINDOW) // 2)


def _decibels(power: Rows) -> Rows:
    return np.asarray(10 * np.log10(np.maximum(power, TINY)))
