"""A voice between two times: what is measured is right, what is heard does not depend on the level."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import clips
import voices
from mecam.data.corruption import Corruption
from mecam.features.audio.prosody import NAMES, LevelledProsody, Prosody
from mecam.features.audio.whisper_encoder import WIDTH
from mecam.features.corruption import KINDS, CorruptedMedia
from mecam.features.extractor import Features
from mecam.features.media import Media
from mecam.prediction import voice_reading
from mecam.prediction.heads import Head
from mecam.prediction.voice_reading import (
    ENCODED,
    INPUTS,
    baseline_of,
    kept,
    pooled,
    pooled_encoding,
    read_voice,
    relative,
    sounding,
)
from mecam.types import Word

HERTZ = 220.0


def rows_of(path: Path, sound: NDArray[np.float32]) -> Features:
    return LevelledProsody()(Media(voices.write_wav(path, sound)))


def speech(gain: float = 0.2) -> NDArray[np.float32]:
    """Two seconds of a voice, two of silence, two of the voice one octave higher, in a room with a little noise."""
    quiet = np.zeros(2 * voices.RATE_HZ, np.float32)
    sound = np.concatenate([voices.buzz(2.0, hertz=HERTZ, gain=gain), quiet, voices.buzz(2.0, hertz=440.0, gain=gain)])
    return sound + (np.random.default_rng(0).normal(0, gain / 100, len(sound))).astype(np.float32)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Features:
    return rows_of(tmp_path_factory.mktemp("voice") / "a.wav", speech())


def test_pitch_pauses_and_words_are_those_of_the_time_that_is_asked_for(heard: Features) -> None:
    words = [Word("one", 0.2, 0.6), Word("two", 0.9, 1.4), Word("three", 4.5, 5.0)]
    first = read_voice(heard.intervals, heard.values, 0.0, 2.0, words=words)
    assert first is not None
    assert first.pitch_hz == pytest.approx(HERTZ, rel=0.02)
    assert first.pitch_range == pytest.approx(0, abs=0.5)
    assert first.pauses == pytest.approx(0, abs=0.13)
    assert first.words_per_s == pytest.approx(1.0, abs=0.15)
    whole = read_voice(heard.intervals, heard.values, 0.0, 6.0, words=words)
    assert whole is not None
    assert whole.pauses == pytest.approx(1 / 3, abs=0.1)
    assert whole.pitch_range == pytest.approx(12, abs=1)
    assert read_voice(heard.intervals, heard.values, 2.5, 3.5) is None
    assert read_voice(heard.intervals, heard.values, 9.0, 10.0) is None
    no_words = read_voice(heard.intervals, heard.values, 0.0, 2.0)
    assert no_words is not None
    assert no_words.words_per_s is None


def test_the_answer_lies_in_its_interval_and_the_level_does_not_matter(heard: Features, tmp_path: Path) -> None:
    loud = read_voice(heard.intervals, heard.values, 0.0, 6.0)
    soft = rows_of(tmp_path / "soft.wav", speech(0.02))  # 20 dB
    quiet = read_voice(soft.intervals, soft.values, 0.0, 6.0)
    assert loud is not None
    assert quiet is not None
    assert loud.activation is not None
    assert loud.low is not None
    assert loud.high is not None
    assert 0 <= loud.low < loud.activation < loud.high <= 1
    assert quiet.activation == pytest.approx(loud.activation, abs=0.02)
    plain = Prosody()(Media(tmp_path / "soft.wav")).values
    level = NAMES.index("rms_db_mean")
    assert np.nanmax(soft.values[:, level]) > np.nanmax(plain[:, level]) + 10


def test_what_is_far_away_does_not_count(heard: Features) -> None:
    times = np.concatenate([heard.intervals, heard.intervals + 100])
    rows = np.concatenate([heard.values, heard.values + 50])
    assert read_voice(times, rows, 0.0, 2.0) == read_voice(heard.intervals, heard.values, 0.0, 2.0)


def test_pooling_by_hand() -> None:
    rows = np.full((4, len(NAMES)), np.nan)
    rows[:, 0] = 1, 2, 4, 99
    found = pooled(rows, np.array([1.0, 1.0, 2.0, 0.0]))
    assert found[INPUTS.index(f"{NAMES[0]} mean")] == pytest.approx(11 / 4)
    variance = (1 + 4 + 2 * 16) / 4 - (11 / 4) ** 2
    assert found[INPUTS.index(f"{NAMES[0]} deviation")] == pytest.approx(np.sqrt(variance))
    assert np.isnan(found[1])


def test_rows_that_are_corrupted_count_less(heard: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    high = heard.intervals.mean(axis=1) > 3
    monkeypatch.setattr(voice_reading, "kept", lambda rows: np.where(high, 0.0, 1.0))
    found = read_voice(heard.intervals, heard.values, 0.0, 6.0)
    assert found is not None
    assert found.pitch_hz == pytest.approx(HERTZ, rel=0.02)
    assert found.pitch_range == pytest.approx(0, abs=0.5)


def test_a_baseline_is_what_the_activation_is_relative_to(heard: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = baseline_of(heard.values)
    assert calm is not None
    mean, spread = np.split(relative(calm, calm), 2)
    assert np.nanmax(np.abs(mean)) == 0
    assert np.nanmin(spread) == np.nanmax(spread) == 1
    assert baseline_of(np.full((5, len(NAMES)), np.nan)) is None
    asked: list[str] = []
    real = voice_reading._head
    monkeypatch.setattr(voice_reading, "_head", lambda name: asked.append(name) or real(name))
    assert read_voice(heard.intervals, heard.values, 0.0, 6.0, baseline=calm) is not None
    assert "activation_relative" in asked


def test_gates_lie_between_nothing_and_all(heard: Features) -> None:
    gates = kept(heard.values)
    assert gates.shape == (len(heard.values),)
    assert gates.min() >= 0
    assert gates.max() <= 1
    assert kept(heard.values[:0]).shape == (0,)


def test_bursts_in_a_real_voice_are_found() -> None:
    clip = clips.need_data("emodb") / "flac" / "03a01Nc.flac"
    burst = Corruption("burst", KINDS["burst"].levels[2], 1.0, 0)
    media = CorruptedMedia(clip, (burst,), name="a")
    found = LevelledProsody()(media)
    (touched,) = media.spans("sound").values()
    bad = ((found.intervals[:, :1] < touched[:, 1]) & (found.intervals[:, 1:] > touched[:, 0])).any(axis=1)
    gates = kept(found.values)
    assert gates[bad].mean() < gates[~bad].mean() - 0.2
    assert kept(LevelledProsody()(Media(clip)).values).mean() > 0.7


def test_rows_without_a_voice_are_told(heard: Features) -> None:
    times = heard.intervals.mean(axis=1)
    voice = sounding(heard.values)
    assert voice[(times < 1.7) | (times > 4.3)].all()
    assert not voice[(times > 2.3) & (times < 3.7)].any()


def test_what_whisper_heard_is_read_where_it_is_given(heard: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = voice_reading._head
    monkeypatch.setattr(voice_reading, "_head", lambda name: asked.append(name) or real(name))
    edges = np.arange(0, 6.02, 0.02)
    rows = np.random.default_rng(0).normal(size=(len(edges) - 1, WIDTH)).astype(np.float32)
    rows[:50] = np.nan
    encoding = Features(rows, np.column_stack([edges[:-1], edges[1:]]))
    found = read_voice(heard.intervals, heard.values, 0.0, 6.0, encoding=encoding)
    assert found is not None
    assert found.activation is not None
    assert "activation_whisper" in asked
    asked.clear()
    assert read_voice(heard.intervals, heard.values, 0.0, 1.0, encoding=encoding) is not None  # nothing of that second
    assert "activation_whisper" not in asked
    inputs = pooled_encoding(rows)
    assert inputs is not None
    assert inputs[ENCODED.index("whisper mean 3")] == pytest.approx(rows[50:, 3].mean(), abs=1e-6)
    assert inputs[ENCODED.index("whisper deviation 3")] == pytest.approx(rows[50:, 3].std(), abs=1e-6)


@pytest.mark.parametrize("name", ["activation", "activation_relative", "activation_whisper"])
def test_heads_read_what_is_pooled_without_the_level(name: str) -> None:
    head = voice_reading._head(name)
    assert isinstance(head, Head)
    assert set(head.about["inputs"]) <= {*INPUTS, *ENCODED}
    assert not set(head.about["inputs"]) & set(voice_reading.NOT_READ)
    assert len(head.about["outputs"]) == 10  # a model for each speaker of EmoDB
