"""Audio extractors: rows on the recording's grid, whatever the stretch; extras that are missing say so."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import voices
from mecam.errors import DataError, MediaError, MissingExtraError
from mecam.features.audio.acoustics import NAMES as MEASURES
from mecam.features.audio.prosody import Prosody
from mecam.features.audio.speech_network import SpeechNetwork, encode
from mecam.features.audio.voice_extractors import EGEMAPS_NAMES, Acoustics, SpeechEncoder, load_smile
from mecam.features.media import Media
from mecam.features.text import asr


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return Media(voices.write_wav(tmp_path / "a.wav", voices.buzz(2.0, slope=0.4)))


def test_a_stretch_gives_the_rows_of_the_whole(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Acoustics()(media)
    assert whole.values.shape == (200, Acoustics().spec.width)
    np.testing.assert_allclose(whole.intervals.mean(axis=1), (np.arange(200) + 0.5) / 100)
    part = Acoustics()(media, 0.5, 1.2)
    inside = whole.between(0.5, 1.2)
    np.testing.assert_array_equal(part.intervals, inside.intervals)
    np.testing.assert_allclose(part.values, inside.values, rtol=1e-3, atol=1e-2)
    monkeypatch.setattr("mecam.features.audio.voice_extractors.PIECE_S", 0.37)
    np.testing.assert_allclose(Acoustics()(media).values, whole.values, rtol=1e-3, atol=1e-2)
    assert whole.details["voiced"] > 0.9


def test_a_row_is_where_the_sound_is(tmp_path: Path) -> None:
    sound = np.zeros(voices.RATE_HZ, np.float32)
    sound[8000:8160] = 0.5
    features = Acoustics()(Media(voices.write_wav(tmp_path / "click.wav", sound)))
    level = features.values[:, Acoustics().spec.names.index("rms_db")]
    loudest = features.intervals[np.nanargmax(level)]
    assert loudest[0] <= 0.505 <= loudest[1]


def test_other_rates_are_the_same_sound(media: Media, tmp_path: Path) -> None:
    t = np.arange(16_000) / 8000
    slow = Media(voices.write_wav(tmp_path / "8k.wav", (0.3 * np.sin(2 * np.pi * 200 * t)).astype(np.float32), 8000))
    pitch = Acoustics()(slow).values[10:-10, Acoustics().spec.names.index("f0_semitones")]
    assert np.nanmedian(pitch) == pytest.approx(12 * np.log2(200 / 27.5), abs=0.2)


def test_a_picture_has_no_voice(tmp_path: Path) -> None:
    empty = voices.write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    with pytest.raises(MediaError):
        Acoustics()(Media(empty))


def test_extras_that_are_missing_are_named(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    load_smile.cache_clear()
    asr._engine.cache_clear()
    with pytest.raises(MissingExtraError, match="openSMILE") as caught:
        load_smile()
    assert "mecam[opensmile]" in str(caught.value)
    with pytest.raises(MissingExtraError, match="faster-whisper") as caught:
        asr.transcribe(media)
    assert "mecam[asr]" in str(caught.value)
    assert len(set(EGEMAPS_NAMES)) == 25


def test_speech_becomes_words_with_times(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for faster-whisper with its interface; its models are fetched from a hub."""

    class Engine:
        def __init__(self, model: str, **_: Any) -> None:
            if model != "tiny":
                raise OSError("no such model")

        def encode(self, features: Any) -> Any:
            return features

        def transcribe(self, sound: Any, *, language: str | None, **options: Any) -> Any:
            assert len(sound) == 2 * voices.RATE_HZ
            assert options == {"word_timestamps": True, "vad_filter": True}
            words = [SimpleNamespace(word=" Hi", start=0.1, end=0.4), SimpleNamespace(word=" you.", start=0.5, end=0.9)]
            return iter([SimpleNamespace(start=0.1, end=0.9, text=" Hi you.", words=words)]), SimpleNamespace(
                language="en"
            )

    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Engine))
    asr._engine.cache_clear()
    found = asr.transcribe(media, model="tiny")
    assert found is not None
    assert (found.text, found.language, found.estimated) == ("Hi you.", "en", False)
    assert [(w.text, w.start, w.stop) for w in found.words] == [("Hi", 0.1, 0.4), ("you.", 0.5, 0.9)]
    with pytest.raises(DataError, match="cannot be loaded: it could not be fetched") as caught:
        asr.transcribe(media, model="huge")
    assert "folder" in str(caught.value.fix)
    asr._engine.cache_clear()


def test_many_threads_share_one_speech_model_one_after_the_other(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    built, inside, most = [], [], []

    class Engine:
        def __init__(self, model: str, **_: Any) -> None:
            time.sleep(0.02)  # long enough for another thread to ask for it, too
            built.append(model)

        def encode(self, features: Any) -> Any:
            return features

        def transcribe(self, sound: Any, **_: Any) -> Any:
            def segments() -> Iterator[Any]:  # it computes while it is read, as the real one
                inside.append(sound)
                most.append(len(inside))
                time.sleep(0.005)
                inside.pop()
                yield SimpleNamespace(start=0.1, end=0.9, text=" Hi.", words=[])

            return segments(), SimpleNamespace(language="en")

    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Engine))
    asr._engine.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: asr.transcribe(media, model="tiny"), range(16)))
    assert [heard.text for heard in found if heard] == ["Hi."] * 16
    assert built == ["tiny"]
    assert max(most) == 1
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a process that is forked off
    assert asr.transcribe(media, model="tiny")
    assert built == ["tiny", "tiny"]
    asr._engine.cache_clear()


def test_short_sounds_are_padded_by_ten_seconds_only() -> None:
    features = np.zeros((80, 3000), np.float32)
    features[:, :301] = 1
    assert asr._shortened(features).shape == (80, 1302)  # two frames a step
    features[:, 301:2500] = -1
    assert asr._shortened(features).shape == (80, 3000)
    assert asr._shortened(np.zeros((80, 3000), np.float32)).shape == (80, asr.PADDING)


def test_which_model_is_ready_follows_the_language(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asr, "find_spec", lambda _: object())
    fetched: set[str] = set()
    monkeypatch.setattr(asr, "find", lambda model: tmp_path if model.name.removeprefix("whisper-") in fetched else None)

    def chosen() -> list[str | None]:
        return [asr.ready(language) for language in ("en", "en-GB", None, "de")]

    assert chosen() == [None] * 4
    assert asr.default_model("en") == asr.HUB_MODEL
    fetched.add("tiny.en")
    assert chosen() == ["tiny.en", "tiny.en", "tiny.en", None]
    fetched.add("base")
    assert chosen() == ["tiny.en", "tiny.en", "base", "base"]
    fetched.remove("tiny.en")
    assert chosen() == ["base"] * 4
    assert asr.why_not("de") == "there is no speech to text: `mecam assets fetch asr --language any`"
    monkeypatch.setattr(asr, "find_spec", lambda _: None)
    assert chosen() == [None] * 4
    assert asr.why_not() == "there is no speech to text: `pip install 'mecam[asr]'`, then `mecam assets fetch asr`"


@pytest.mark.skipif(asr.ready("en") is None, reason=asr.why_not("en"))
def test_a_voice_without_words_gives_no_transcript_by_the_real_model(media: Media) -> None:
    assert asr.transcribe(media, language="en") is None


def test_a_speech_encoder_from_a_folder(media: Media, tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 3),
        conv_stride=(160, 2),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Wav2Vec2Model(config).save_pretrained(tmp_path / "encoder")
    made = SpeechEncoder(str(tmp_path / "encoder"))
    assert made.spec.width == 16
    features = made(media, 0.0, 1.0)
    assert features.values.shape[1] == 16
    assert 45 <= len(features.values) <= 50
    assert np.isfinite(features.values).all()
    assert (features.intervals[0, 0], features.intervals[-1, 1]) == (0.0, 1.0)
    pieces = np.random.default_rng(0).standard_normal((3, 16_000)).astype(np.float32)
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) / pieces.std(axis=1, keepdims=True)  # as `encode` does it
    (together,) = SpeechNetwork(str(tmp_path / "encoder"))(pieces)
    for piece, rows in zip(pieces, together, strict=True):
        np.testing.assert_allclose(rows, encode(str(tmp_path / "encoder"), piece), atol=1e-4)
    with pytest.raises(DataError, match="cannot be loaded"):
        _ = SpeechEncoder(str(tmp_path)).spec


def test_half_seconds_hold_the_means_and_deviations_of_the_hundredths(tmp_path: Path) -> None:
    sound = np.concatenate([voices.buzz(1.5, slope=0.5), np.zeros(16_000, np.float32), voices.buzz(0.62)])
    media = Media(voices.write_wav(tmp_path / "talk.wav", sound))
    whole, rows = Prosody()(media), Acoustics()(media).values
    assert whole.values.shape == (12, Prosody().spec.width)
    assert whole.intervals[3].tolist() == [0.75, 1.0]
    pitch, width = MEASURES.index("f0_semitones"), len(MEASURES)
    heard = rows[75 - 12 : 100 + 13]
    assert whole.values[3, pitch] == pytest.approx(np.nanmean(heard[:, pitch]), abs=1e-4)
    assert whole.values[3, width + pitch] == pytest.approx(np.nanstd(heard[:, pitch]), abs=1e-4)
    assert np.isnan(whole.values[7:9]).all()  # silence
    assert whole.values[2, -1] == 1.0
    later = Prosody()(media, 0.75, 1.5)
    assert np.array_equal(later.intervals, whole.intervals[3:6])
    assert np.allclose(later.values, whole.values[3:6], atol=1e-4, equal_nan=True)


def test_half_seconds_of_next_to_nothing(tmp_path: Path) -> None:
    media = Media(voices.write_wav(tmp_path / "short.wav", voices.buzz(0.05)))
    assert np.isfinite(Prosody()(media).values[:, 0]).tolist() == [True]
