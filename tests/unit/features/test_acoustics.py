"""Voice measures: known pitch, librosa's definitions, silence, and independence of what lies far away."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.fft import dct

from mecam.features.audio.acoustics import HOP, NAMES, RATE_HZ, SEMITONES_ABOVE_HZ, cepstrum, measure, mel_filters

COLUMN = {name: i for i, name in enumerate(NAMES)}


def voice(hertz: NDArray[np.float64], *, noise: float = 0.003, seed: int = 0) -> NDArray[np.float32]:
    """A buzz of 20 harmonics under three formants, whose pitch follows `hertz`, one value per sample."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE_HZ
    sound = np.zeros(len(hertz))
    for k in range(1, 21):
        place = k * hertz
        gain = sum(np.exp(-(((place - f) / 180) ** 2)) for f in (600, 1200, 2500)) + 0.05
        sound += np.where(place < RATE_HZ / 2, gain / k * np.sin(k * phase), 0)
    sound += noise * np.random.default_rng(seed).standard_normal(len(sound))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def speech_like(seconds: float = 2.0, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = voice(140 * 2 ** (0.5 * np.sin(2 * np.pi * 0.8 * t)))
    hiss = 0.02 * rng.standard_normal(len(t)).astype(np.float32)
    return np.where(np.sin(2 * np.pi * 1.5 * t) > -0.4, tone, hiss).astype(np.float32)


@pytest.mark.parametrize(("low", "high"), [(80, 140), (120, 260), (220, 420)])
def test_a_known_contour_is_recovered(low: float, high: float) -> None:
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    hertz = low * (high / low) ** (0.5 - 0.5 * np.cos(2 * np.pi * 0.7 * t))
    rows = measure(voice(hertz))
    pitch = rows[:, COLUMN["f0_semitones"]]
    known = 12 * np.log2(hertz[np.minimum(np.arange(len(rows)) * HOP, len(hertz) - 1)] / SEMITONES_ABOVE_HZ)
    voiced = ~np.isnan(pitch)
    assert voiced.mean() > 0.95
    assert np.median(np.abs(pitch - known)[voiced]) < 0.25
    assert np.mean(np.abs(pitch - known)[voiced] > 1) < 0.03


def test_the_cepstrum_is_the_cosine_transform_of_scipy() -> None:
    power = np.random.default_rng(0).uniform(1e-8, 10, (50, 257))
    decibels = 10 * np.log10(np.maximum(power @ mel_filters().T, 1e-10))
    assert cepstrum(power) == pytest.approx(dct(decibels, axis=1, norm="ortho")[:, :20], abs=1e-10)


def test_noise_has_no_pitch_and_a_level() -> None:
    rows = measure((0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32))[5:-5]
    assert np.isnan(rows[:, COLUMN["f0_semitones"]]).mean() > 0.95
    assert rows[:, COLUMN["rms_db"]] == pytest.approx(-20, abs=1.5)
    assert rows[:, COLUMN["flatness_db"]].mean() > -6


def test_silence_is_missing_and_sound_is_not() -> None:
    sound = speech_like(1.5)
    sound[8000:16000] = 1e-5 * np.random.default_rng(0).standard_normal(8000)
    missing = np.isnan(measure(sound)).all(axis=1)
    assert missing[55:95].all()
    assert not missing[:45].any()
    assert not missing[105:].any()
    assert np.isnan(measure(np.zeros(RATE_HZ, np.float32))).all()


def test_a_row_does_not_know_what_is_far_away() -> None:
    """So a long recording can be measured in pieces, and a loud moment changes nothing elsewhere."""
    sound = speech_like(3)
    whole = measure(sound)
    piece = measure(sound[100 * HOP : 220 * HOP])
    np.testing.assert_allclose(piece[8:-8], whole[108:213], rtol=1e-3, atol=1e-3)
    louder = sound.copy()
    louder[-4000:] *= 3
    np.testing.assert_array_equal(measure(louder)[:250], whole[:250])


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = speech_like(1.3)
    whole = measure(sound)
    monkeypatch.setattr("mecam.features.audio.acoustics.BLOCK", 37)
    np.testing.assert_allclose(measure(sound), whole, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 2**31), st.sampled_from([0.0, 1e-6, 0.1, 1.0]))
def test_any_sound_has_finite_or_missing_rows(count: int, seed: int, gain: float) -> None:
    rows = measure((gain * np.random.default_rng(seed).standard_normal(count).clip(-1, 1)).astype(np.float32))
    assert rows.shape == (1 + count // HOP, len(NAMES))
    assert not np.isinf(rows).any()
    known = ~np.isnan(rows).all(axis=1)
    assert not np.isnan(np.delete(rows, COLUMN["f0_semitones"], axis=1)[known]).any()


@pytest.fixture(scope="module")
def librosa() -> Any:
    return pytest.importorskip("librosa", reason="the definitions are compared with librosa where it is installed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_definitions_are_librosa_s(librosa: Any) -> None:
    sound = speech_like(2)
    rows = {name: measure(sound)[:, i] for name, i in COLUMN.items()}
    np.testing.assert_allclose(mel_filters(), librosa.filters.mel(sr=RATE_HZ, n_fft=512, n_mels=40), atol=1e-6)
    size = {"n_fft": 512, "hop_length": HOP, "win_length": 400, "pad_mode": "constant"}
    spectrum = np.abs(librosa.stft(sound.astype(np.float64), **size))
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=spectrum**2, sr=RATE_HZ, n_mels=40), top_db=None)
    cepstra = librosa.feature.mfcc(S=mel, n_mfcc=20)
    deltas = librosa.feature.delta(cepstra, mode="nearest")
    known = {f"mfcc_{i + 1}": row for i, row in enumerate(cepstra)}
    known |= {f"mfcc_delta_{i + 1}": row for i, row in enumerate(deltas)}
    feature = librosa.feature
    known["rms_db"] = 20 * np.log10(feature.rms(y=sound, frame_length=400, hop_length=HOP)[0])
    known["zero_crossing_rate"] = feature.zero_crossing_rate(sound, frame_length=400, hop_length=HOP)[0]
    known["centroid_hz"] = feature.spectral_centroid(S=spectrum, sr=RATE_HZ)[0]
    known["bandwidth_hz"] = feature.spectral_bandwidth(S=spectrum, sr=RATE_HZ)[0]
    known["rolloff_hz"] = feature.spectral_rolloff(S=spectrum, sr=RATE_HZ)[0]
    known["flatness_db"] = 10 * np.log10(feature.spectral_flatness(S=spectrum)[0])
    contrast = feature.spectral_contrast(S=spectrum, sr=RATE_HZ)
    known |= {f"contrast_{i + 1}_db": row for i, row in enumerate(contrast)}
    assert set(NAMES) - set(known) == {"f0_semitones", "voicing"}
    for name, expected in known.items():
        inside = slice(3, -3) if name == "zero_crossing_rate" else slice(None)  # at the ends librosa pads otherwise
        np.testing.assert_allclose(rows[name][inside], expected[inside], rtol=2e-3, atol=2e-3, err_msg=name)
    pitch = librosa.yin(sound, fmin=60, fmax=500, sr=RATE_HZ, frame_length=1024, hop_length=HOP)
    voiced = ~np.isnan(rows["f0_semitones"])
    away = np.abs(rows["f0_semitones"] - 12 * np.log2(pitch / SEMITONES_ABOVE_HZ))[voiced]
    assert np.median(away) < 0.1
