"""Sound that comes in block by block: the same rows as of a file, whatever the blocks; memory stays flat."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import voices
from clips import tone
from mecam.features.audio import heard_sound
from mecam.features.audio.heard_sound import BEFORE_S, GrowingRows, HeardSound
from mecam.features.audio.prosody import LevelledProsody, Prosody
from mecam.features.audio.voice_extractors import Acoustics
from mecam.features.extractor import Extractor
from mecam.features.media import Media

RATE = 16_000


def speech(seconds: float) -> NDArray[np.float32]:
    """A buzz with pauses."""
    loud = np.sin(np.arange(int(seconds * RATE)) / RATE * 5) > -0.3
    return (voices.buzz(seconds, slope=0.05, gain=0.3) * loud).astype(np.float32)


def heard(sound: NDArray[np.float32], block: int, *, start: float = 0.0, hold_s: float = 10.0) -> HeardSound:
    source = HeardSound(hold_s)
    for at in range(0, len(sound), block):
        source.add(start + at / RATE, sound[at : at + block])
    return source


@pytest.mark.parametrize("extractor", [LevelledProsody(), Prosody(), Acoustics()])
@pytest.mark.parametrize("block", [441, 1600, 40_000])
def test_rows_are_those_of_a_file_whatever_the_blocks(tmp_path: Path, extractor: Extractor, block: int) -> None:
    _, sound = Media(voices.write_wav(tmp_path / "a.wav", speech(6.3))).waveform()
    source = HeardSound(10.0)
    rows = GrowingRows(extractor.name, source)
    for at in range(0, len(sound), block):
        source.add(at / RATE, sound[at : at + block])
        assert rows.features() is not None
    found, file = rows.features(), Media(tmp_path / "a.wav")
    assert found is not None
    expected = extractor(file)
    np.testing.assert_array_equal(found.intervals, expected.intervals)
    if extractor.name == LevelledProsody.name:  # the level of live sound is followed in steps
        assert abs(20 * np.log10(source.gain() / file.gain())) <= 0.51
        np.testing.assert_array_equal(np.isfinite(found.values), np.isfinite(expected.values))
    else:
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-4)


def test_a_row_is_measured_once_all_that_it_hears_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = speech(30.0)
    source = HeardSound(10.0)
    rows = GrowingRows("mecam-audio", source)
    asked: list[float] = []
    how = heard_sound.GROWING["mecam-audio"]
    counting = how._replace(
        measure=lambda sound, start: asked.append(sound.duration - start) or how.measure(sound, start)
    )
    monkeypatch.setitem(heard_sound.GROWING, "mecam-audio", counting)
    for at in range(0, len(sound), 8000):
        source.add(at / RATE, sound[at : at + 8000])
        rows.features()
    assert max(asked) < 0.75  # half a second of new sound, and what its rows hear around them


def test_memory_is_flat_and_old_rows_go(monkeypatch: pytest.MonkeyPatch) -> None:
    source = HeardSound(10.0)
    rows = GrowingRows("mecam-voice", source)
    second = speech(1.0)
    for at in range(600):
        source.add(float(at), second)
        if at % 10 == 0:
            found = rows.features()
    assert found is not None
    assert len(found.values) == 40
    assert found.intervals[0, 0] == pytest.approx(source.duration - 19.0)  # asked at 591 s
    assert len(source.waveform()[1]) <= (10.0 + BEFORE_S) * RATE
    assert sum(len(one.rows.values) for one in rows._settled.values()) <= 2 * 41


def test_holes_are_silence_and_what_comes_twice_is_left_out() -> None:
    sound = speech(4.0)
    source = HeardSound(10.0)
    source.add(0.0, sound[:RATE])
    source.add(1.04, sound[RATE : 2 * RATE])  # a trembling clock
    source.add(3.0, sound[3 * RATE :])
    assert source.duration == 4.0
    source.add(2.0, sound[2 * RATE : 3 * RATE])  # that time is over
    assert source.late_s == pytest.approx(1.0)
    source.add(3.5, sound[:RATE])  # half of it is new
    assert source.late_s == pytest.approx(1.5)
    assert source.duration == 4.5
    time, samples = source.waveform()
    assert time == 0.0
    np.testing.assert_array_equal(samples[: 2 * RATE], sound[: 2 * RATE])
    assert not samples[2 * RATE : 3 * RATE].any()
    np.testing.assert_array_equal(samples[3 * RATE : 4 * RATE], sound[3 * RATE :])
    np.testing.assert_array_equal(samples[4 * RATE :], sound[RATE // 2 : RATE])
    source.add(500.0, sound[:RATE])  # far away: begins anew
    assert (source.start, source.duration) == (500.0, 501.0)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_become_16_khz(rate: int) -> None:
    source = HeardSound(10.0, rate)
    sound = tone(3.0, rate)
    for at in range(0, len(sound), 1023):
        source.add(at / rate, sound[at : at + 1023])
    time, samples = source.waveform()
    assert time == 0.0
    assert len(samples) == pytest.approx(3 * RATE, abs=100)
    best = np.abs(np.fft.rfft(samples[RATE : 2 * RATE])).argmax()
    assert best == pytest.approx(440, abs=1)


def test_a_block_for_loudness_is_resampled() -> None:
    source = heard(tone(2.0), 1600, start=3.0)
    (block,) = source.sound_blocks(3.5, rate=8000)
    assert block.time == 3.5
    assert len(block.samples) == pytest.approx(12_000, abs=10)
    assert list(source.sound_blocks(9.0)) == []
