"""A recording is as long as what it holds, whatever its header announces; its last second is as good as its first."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from clips import tone, wav
from mecam.errors import MediaError
from mecam.features.extract import extract
from mecam.features.media import Media
from mecam.features.recording import Recipe, read_recording
from mecam.features.segmentation import Lengths

RATE = 16_000
SECONDS = 24.0
AUDIO_ONLY = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0))


def uneven() -> NDArray[np.float32]:
    """Silence, then noise, then a tone in the last second: a coder's bit rate at the beginning tells nothing."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(SECONDS * RATE)).astype(np.float32)
    noise[: len(noise) // 2] *= 0.002
    noise[-RATE:] = tone(1.0)
    return noise


def coded(path: Path, sound: NDArray[np.float32], codec: str, form: str, **options: str) -> Path:
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for begin in range(0, len(sound), RATE):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound[None, begin : begin + RATE]), format="flt", layout="mono"
            )
            frame.sample_rate = RATE
            for piece in av.AudioResampler(stream.format.name, "mono", RATE).resample(frame):
                piece.pts = begin
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def aac(folder: Path) -> Path:
    return coded(folder / "a.aac", uneven(), "aac", "adts")


def mp3(folder: Path) -> Path:
    return coded(folder / "a.mp3", uneven(), "libmp3lame", "mp3", write_xing="0")


def twice(folder: Path) -> Path:
    """Two recordings one after the other in one file, whose times begin anew."""
    half = uneven()[-round(SECONDS * RATE / 2) :]
    once = coded(folder / "once.opus", half, "libopus", "ogg")
    (folder / "a.opus").write_bytes(once.read_bytes() * 2)
    return folder / "a.opus"


def stream_twice(folder: Path) -> Path:
    once = coded(folder / "once.ts", uneven()[-round(SECONDS * RATE / 2) :], "aac", "mpegts")
    (folder / "a.ts").write_bytes(once.read_bytes() * 2)
    return folder / "a.ts"


def live(folder: Path) -> Path:
    return coded(folder / "a.webm", uneven(), "libopus", "webm", live="1")


def announces(factor: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = coded(folder / "a.mka", uneven(), "aac", "matroska")
        content = bytearray(path.read_bytes())
        at = content.index(b"\x44\x89\x88") + 3
        content[at : at + 8] = struct.pack(">d", struct.unpack(">d", content[at : at + 8])[0] * factor)
        path.write_bytes(content)
        return path

    return make


def unfinished(folder: Path) -> Path:
    """A WAV whose writer did not come back to say how long it is."""
    path = wav(folder / "a.wav", uneven(), RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    return path


MAKERS = {
    "aac": aac,
    "mp3": mp3,
    "ogg chain": twice,
    "two streams": stream_twice,
    "live webm": live,
    "announces 100 times as much": announces(100),
    "announces a tenth": announces(0.1),
    "wav without length": unfinished,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_length_is_what_is_there_and_the_last_second_sounds_as_it_does_in_the_whole(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    media = Media(make(tmp_path))
    assert media.duration == pytest.approx(SECONDS, abs=0.2)
    begin, whole = media.waveform()
    assert begin + len(whole) / RATE == pytest.approx(media.duration, abs=0.1)
    start = SECONDS - 0.9
    at, stretch = media.waveform(start, start + 0.6)
    assert at == pytest.approx(start, abs=1e-3)
    assert len(stretch) == pytest.approx(0.6 * RATE, abs=2)
    assert np.abs(np.fft.rfft(stretch[:8000])).argmax() * 2 == pytest.approx(440, abs=4)
    assert np.sqrt(np.square(stretch).mean()) == pytest.approx(0.35, rel=0.1)


def test_transcripts_and_stretches_after_the_guessed_end_are_taken(tmp_path: Path) -> None:
    loud_first = uneven()[::-1].copy()
    loud_first[3 * RATE :] *= 1e-3
    path = coded(tmp_path / "a.aac", loud_first, "aac", "adts")
    with av.open(str(path)) as container:
        assert container.duration / 1e6 < SECONDS - 3  # else this test shows nothing
    (tmp_path / "a.srt").write_text("1\n00:00:23,000 --> 00:00:24,000\nHere we are.\n")
    said = read_recording(path, AUDIO_ONLY, id="a", transcript=tmp_path / "a.srt", whole=True)
    assert said.utterances[0].text == "Here we are."
    assert said.utterances[0].intervals["audio"][-1, 1] == pytest.approx(SECONDS, abs=0.2)
    table = tmp_path / "t.csv"
    table.write_text("video_id,clip_id,text,label,start,end\na,1,late,1,23.1,23.9\n")
    folder = tmp_path / "clips"
    folder.mkdir()
    path.rename(folder / "a.aac")
    report = extract([folder], tmp_path / "store", labels=table, recipe=AUDIO_ONLY, jobs=1)
    assert report.rows == {"audio": 80}


def test_a_truncated_file_is_as_long_as_what_is_left(tmp_path: Path) -> None:
    path = coded(tmp_path / "a.m4a", uneven(), "aac", "ipod", movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    media = Media(path)
    _, samples = media.waveform()
    assert 10 < len(samples) / RATE < 22
    assert media.duration == pytest.approx(len(samples) / RATE, abs=0.2)
    assert any("announces" in finding for finding in media.findings)


def test_a_file_that_claims_days_is_refused_or_as_long_as_its_sound(tmp_path: Path) -> None:
    path = coded(tmp_path / "a.flac", tone(2.0), "flac", "flac")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # STREAMINFO: 36 bits of samples
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert Media(path).duration == pytest.approx(2.0, abs=0.01)
    with av.open(str(tmp_path / "gap.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for begin in (0, 30 * 86_400 * RATE):
            frame = av.AudioFrame.from_ndarray((tone(1.0) * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="hours in a file of"):
        Media(tmp_path / "gap.mkv")


@pytest.mark.parametrize("rate", [1, 1_999, 2_000_000_000])
def test_a_rate_at_which_there_is_no_voice_is_refused_in_words(tmp_path: Path, rate: int) -> None:
    path = wav(tmp_path / "a.wav", tone(1.0), RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 12
    content[at : at + 8] = struct.pack("<II", rate, min(2 * rate, 2**32 - 1))
    path.write_bytes(content)
    with pytest.raises(MediaError, match="no voice"):
        Media(path)


def test_the_cases(shared_cases: Path, tmp_path: Path) -> None:
    folder = shared_cases / "01_vbr_duration"
    for path in (folder / "c_vbr.mp3", folder / "t" / "a_vbr.aac"):
        media = Media(path)
        assert media.duration == pytest.approx(74.44, abs=0.02)
        assert len(media.waveform(71.2, 74.2)[1]) == 3 * RATE
    said = read_recording(path, AUDIO_ONLY, id="a", transcript=folder / "t" / "a_vbr.srt", whole=True)
    assert said.utterances[0].intervals["audio"][-1, 1] == pytest.approx(74.44, abs=0.02)
    cut = read_recording(path, Recipe(("mecam-audio",)), id="a")
    assert cut.spans[-1][1] == pytest.approx(74.2, abs=0.3)
    assert Media(shared_cases / "hostile/12_media/flac_samples_max.flac").duration == pytest.approx(3.34, abs=0.01)
    for name in ("rate1.wav", "094_zeros.mp4"):
        with pytest.raises(MediaError):
            Media(shared_cases / "hostile/12_media" / name)
