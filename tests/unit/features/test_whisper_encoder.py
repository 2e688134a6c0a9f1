"""Whisper's encoder as features: 50 rows a second, silence missing, nothing padded; a stand-in computes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import voices
from mecam.features.audio import whisper_encoder
from mecam.features.audio.whisper_encoder import WIDTH, WhisperEncoder
from mecam.features.extractor import extractor
from mecam.features.media import Media
from mecam.features.text.asr import ready, why_not


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames that are encoded at once; the stand-in tells the mean of the samples of each row."""
    seen: list[int] = []

    def spectrum(sound: Any, *, padding: int) -> Any:
        assert padding == 0
        return np.repeat(sound.reshape(-1, 320).mean(axis=1), 2)[None]

    def encode(features: Any) -> Any:
        seen.append(features.shape[1])
        return np.repeat(features[0, ::2, None], WIDTH, axis=1)[None]

    made = SimpleNamespace(feature_extractor=spectrum, encode=encode)
    monkeypatch.setattr(whisper_encoder, "engine", lambda model: made)
    return seen


def test_a_row_is_twenty_milliseconds_and_silence_is_missing(tmp_path: Path, lengths: list[int]) -> None:
    quiet = np.zeros(voices.RATE_HZ, np.float32)
    sound = np.concatenate([voices.buzz(1.0), quiet, voices.buzz(11.0)])
    media = Media(voices.write_wav(tmp_path / "a.wav", sound))
    found = WhisperEncoder()(media)
    assert found.values.shape == (650, WIDTH)
    assert found.intervals[:2].tolist() == [[0.0, 0.02], [0.02, 0.04]]
    assert np.isnan(found.values[51:99]).all()
    assert np.isfinite(found.values[:49]).all()
    assert lengths == [500, 500, 300]  # pieces of 5 s, two frames a row
    part = WhisperEncoder()(media, 0.5, 0.9)
    np.testing.assert_allclose(part.values, found.values[25:45], atol=1e-6)
    assert part.intervals[0, 0] == 0.5


def test_it_says_which_weights_it_is_made_with() -> None:
    made = extractor("whisper")
    assert made.spec.width == WIDTH
    assert made.version == "1-1a5afae06a4d"


@pytest.mark.skipif(ready("en") != "tiny.en", reason=why_not("en"))
def test_the_real_encoder_does_not_hear_the_level(tmp_path: Path) -> None:
    rows = [
        WhisperEncoder()(
            Media(voices.write_wav(tmp_path / f"{gain}.wav", voices.buzz(2.0, slope=0.2, gain=gain)))
        ).values
        for gain in (0.2, 0.05)
    ]
    assert rows[0].shape == (100, WIDTH)
    assert np.corrcoef(rows[0].ravel(), rows[1].ravel())[0, 1] > 0.95
