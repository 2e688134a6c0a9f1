"""The same voice has the same level in whatever channels it comes; none of them makes it vanish unsaid."""

import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from clips import tone
from mecam.errors import MediaError
from mecam.features.audio.listening import weights_of
from mecam.features.media import Media
from mecam.features.recording import Recipe, read_recording

RATE = 16_000


def write(path: Path, channels: NDArray[np.float32], *, kind: str = "<i2") -> Path:
    """A WAV of any number of channels that names no layout."""
    count, size = len(channels), np.dtype(kind).itemsize
    whole = np.dtype(kind).kind == "i"
    data = np.ascontiguousarray((channels * 32767).T if whole else channels.T).astype(kind).tobytes()
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16)
    body += struct.pack("<HHIIHH", 1 if whole else 3, count, RATE, RATE * count * size, count * size, 8 * size)
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def voice(seconds: float = 3.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    return (tone(seconds, hertz=180) * (0.3 + 0.2 * np.sin(np.arange(round(seconds * RATE)) / 900))).astype(
        np.float32
    ) + rng.normal(0, 0.001, round(seconds * RATE)).astype(np.float32)


def level(media: Media) -> float:
    return float(10 * np.log10(np.square(media.waveform()[1], dtype=np.float64).mean()))


@pytest.mark.parametrize("count", [2, 3, 6, 8, 9, 11, 16, 22, 32, 60, 100])
def test_equal_channels_sound_as_one(tmp_path: Path, count: int) -> None:
    one = Media(write(tmp_path / "one.wav", voice()[None]))
    many = Media(write(tmp_path / "many.wav", np.tile(voice(), (count, 1))))
    assert level(many) == pytest.approx(level(one), abs=0.05)
    np.testing.assert_allclose(many.waveform()[1], one.waveform()[1], atol=1e-4)
    assert not many.findings


@pytest.mark.parametrize("turned", [[1], [0], [1, 3], [2, 5, 6, 8]])
def test_opposite_phase_keeps_the_voice_and_is_said(tmp_path: Path, turned: list[int]) -> None:
    channels = np.tile(voice(), (max(2, 2 * len(turned)), 1)) if len(turned) < 4 else np.tile(voice(), (9, 1))
    channels[turned] *= -1
    one, media = Media(write(tmp_path / "one.wav", voice()[None])), Media(write(tmp_path / "anti.wav", channels))
    assert level(media) == pytest.approx(level(one), abs=0.1)
    assert any("opposite phase" in finding for finding in media.findings)


def test_one_loud_channel_among_silent_ones_is_the_sound_and_is_said(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).normal(0, 1e-3, (16, 3 * RATE)).astype(np.float32)
    channels[11] = voice()
    one, media = Media(write(tmp_path / "one.wav", voice()[None])), Media(write(tmp_path / "many.wav", channels))
    assert level(media) == pytest.approx(level(one), abs=0.1)
    assert any("15 of 16 channels are silent" in finding for finding in media.findings)


def test_different_channels_are_averaged() -> None:
    weights, said = weights_of(np.eye(4))
    assert weights == pytest.approx(0.25)
    assert not said
    assert weights_of(np.zeros((3, 3)))[0] == pytest.approx(1 / 3)


def test_a_long_recording_is_heard_at_several_places_and_a_stretch_as_in_the_whole(tmp_path: Path) -> None:
    silent = np.zeros(20 * RATE, np.float32)
    sound = np.concatenate([silent, voice(10.0), silent])
    media = Media(write(tmp_path / "a.wav", np.stack([sound, -sound])))
    _, whole = media.waveform()
    _, stretch = Media(tmp_path / "a.wav").waveform(21.0, 22.0)
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(stretch, whole[21 * RATE : 22 * RATE], atol=1e-5)


def test_a_change_of_channels_half_way_keeps_time_and_level_and_is_said(tmp_path: Path) -> None:
    for name, layout in (("one", "mono"), ("two", "stereo")):
        with av.open(str(tmp_path / f"{name}.ts"), "w", format="mpegts") as container:
            stream = container.add_stream("mp2", rate=RATE, layout=layout)
            planes = np.tile(voice(), (2 if layout == "stereo" else 1, 1))
            whole = np.ascontiguousarray((planes * 32767).astype(np.int16).T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout=layout)
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    (tmp_path / "a.ts").write_bytes((tmp_path / "one.ts").read_bytes() + (tmp_path / "two.ts").read_bytes())
    media = Media(tmp_path / "a.ts")
    _, samples = media.waveform()
    assert len(samples) / RATE == pytest.approx(media.duration, abs=0.1)
    assert media.duration == pytest.approx(6.0, abs=0.2)
    halves = [np.square(part).mean() for part in (samples[RATE : 2 * RATE], samples[-2 * RATE : -RATE])]
    assert 10 * np.log10(halves[1] / halves[0]) == pytest.approx(0, abs=0.3)
    assert any("channels changes from 1 to 2" in finding for finding in media.findings)


def test_samples_that_are_no_numbers_are_silence_and_said(tmp_path: Path) -> None:
    sound = np.stack([voice(), voice()])
    sound[:, 100] = np.nan
    sound[0, 200] = np.inf
    media = Media(write(tmp_path / "a.wav", sound, kind="<f4"))
    assert np.isfinite(media.waveform()[1]).all()
    assert any("no numbers" in finding for finding in media.findings)


@pytest.mark.posix
@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_pipes_and_devices_are_never_opened(tmp_path: Path, name: str) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="a pipe"):
        Media(tmp_path / "pipe.mp4" if name == "pipe" else name)


@pytest.mark.posix
def test_titles_and_names_that_are_no_utf_8_refuse_no_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", voice()[None])
    content = path.read_bytes()
    title = b"caf\xe9\xff\xfe"
    info = b"INFOINAM" + struct.pack("<I", len(title)) + title
    content = content[:36] + b"LIST" + struct.pack("<I", len(info)) + info + content[36:]
    path = tmp_path / os.fsdecode(b"na\xff\xfeme.wav")
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert len(Media(path).waveform()[1]) == 3 * RATE


def test_whatever_pyav_raises_becomes_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'name'")

    path = write(tmp_path / "a.wav", voice()[None])
    monkeypatch.setattr("mecam.features.decoding._is_still", broken)
    monkeypatch.setattr("mecam.features.decoding.best_sound", broken)
    with pytest.raises(MediaError, match="cannot be decoded: AttributeError"):
        Media(path)


def test_the_cases(shared_cases: Path) -> None:
    recipe = Recipe(("mecam-audio",))
    one = read_recording(shared_cases / "02_many_channels/say.wav", recipe, id="a").utterances[0].streams["audio"]
    anti = read_recording(shared_cases / "03_antiphase/anti.wav", recipe, id="a")
    assert one.shape == (450, 55)
    assert np.isnan(anti.utterances[0].streams["audio"]).mean() == pytest.approx(np.isnan(one).mean(), abs=0.005)
    assert any("opposite phase" in finding for finding in anti.findings)


def test_a_silent_sound_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros((2, 2 * RATE), np.float32))
    silent = read_recording(path, Recipe(("mecam-audio",)), id="a")
    assert np.isnan(silent.utterances[0].streams["audio"]).all()
    assert silent.absent["audio"] == "the sound is silent"
    heard = read_recording(write(tmp_path / "b.wav", voice()[None]), Recipe(("mecam-audio",)), id="b")
    assert "audio" not in heard.absent


def test_a_table_that_says_other_words_than_the_transcript_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", voice()[None])
    said = tmp_path / "a.txt"
    said.write_text("I really loved this movie.")

    def findings(text: str | None) -> tuple[str, ...]:
        return read_recording(path, Recipe(("mecam-prosody",)), id="a", text=text, transcript=said).findings

    other = ("the words of the transcript differ from the label table; the transcript is used",)
    assert findings("It was awful and far too long") == other
    assert findings("我真的很喜欢这部电影") == other
    for same in ("i REALLY loved this movie", "I really loved the movies!", "", None):
        assert findings(same) == ()
