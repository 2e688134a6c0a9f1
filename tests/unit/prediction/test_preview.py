"""Recordings that browsers do not play get a small copy that they play, with the recording's own times."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

import clips
from mecam.errors import MediaError
from mecam.features.media import Media
from mecam.prediction import preview
from mecam.prediction.preview import made_for_browsers, unplayable


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "sound", "reason"),
    [
        ("a.mp4", "libx264", "yuv420p", "aac", ""),
        ("a.webm", "libvpx", "yuv420p", "libopus", ""),
        ("a.mpg", "mpeg1video", "yuv420p", "mp2", "the format .mpg"),
        ("a.avi", "mpeg4", "yuv420p", None, "the format .avi"),
        ("a.mp4", "mpeg4", "yuv420p", None, "MPEG-4 part 2 in .mp4"),
        ("a.mov", "libx265", "yuv420p", None, "HEVC (H.265) in .mov"),
        ("a.mp4", "libx264", "yuv444p", None, "H.264 with the pixel format yuv444p"),
        ("a.mp4", "libx264", "yuv420p", "ac3", "the sound ac3 in .mp4"),
    ],
)
def test_a_copy_where_it_is_needed(
    tmp_path: Path, name: str, codec: str, pixels: str, sound: str | None, reason: str
) -> None:
    try:
        path = clips.written_video(tmp_path / name, codec, pixels=pixels, sound=sound)
    except (av.FFmpegError, ValueError):
        pytest.skip(f"this PyAV cannot write {codec}")
    assert unplayable(path) == reason
    if not reason:
        return
    made_copy = made_for_browsers(path)
    copy = tmp_path / f"copy.{made_copy.kind.partition('/')[2]}"
    copy.write_bytes(made_copy.data)
    assert unplayable(copy) == ""
    made, real = Media(copy), Media(path)
    assert made.video is not None
    assert (made.video.width, made.video.height) == (480, 300)
    assert made.duration == pytest.approx(real.duration, abs=0.15)
    for at in (0.5, 1.5):
        there = next(frame.image for frame in made.frames() if frame.time >= at)[200:, 240:].mean()
        here = next(frame.image for frame in real.frames() if frame.time >= at)[200:, 320:].mean()
        assert there == pytest.approx(here, abs=8), "the same moment"


def test_sound_that_browsers_do_not_play(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16be", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((30_000 * clips.tone(2.0)[None]).astype(np.int16), "s16", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    assert unplayable(path) == "the format .aiff"
    copy = made_for_browsers(path)
    (tmp_path / "copy.mp4").write_bytes(copy.data)
    _, samples = Media(tmp_path / "copy.mp4").waveform()
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=0.1)
    assert np.abs(np.fft.rfft(samples[8000:24_000])).argmax() == pytest.approx(440, abs=2)


def test_every_kind_of_copy(tmp_path: Path) -> None:
    """Each set of encoders that an installation may have."""
    path = clips.written_video(tmp_path / "a.mpg", "mpeg1video", sound="mp2")
    for choice in preview._encoders():
        data, _ = preview._written(Media(path), choice)
        copy = tmp_path / f"copy.{choice.type}"
        copy.write_bytes(data)
        assert unplayable(copy) == ""
        assert Media(copy).duration == pytest.approx(2.0, abs=0.2)


def test_a_long_recording_gets_fewer_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a.avi", "mpeg4", seconds=6.0)
    monkeypatch.setattr(preview, "MAX_COPY_BYTES", 60_000)
    small = made_for_browsers(path)
    monkeypatch.setattr(preview, "MAX_SECONDS", 2.0)
    cut = made_for_browsers(path)
    assert 0 < len(cut.data) < len(small.data) < 120_000
    assert "the first" in cut.what


def test_a_failing_encoder_makes_way_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a.avi", "mpeg4")
    real = preview._written

    def refuses(media: Media, choice: preview._Encoders) -> tuple[bytes, str]:
        if choice.format == "mp4":
            raise MediaError("not this one")
        return real(media, choice)

    monkeypatch.setattr(preview, "_written", refuses)
    assert made_for_browsers(path).kind == "video/webm"


def test_a_copy_of_sound_alone_has_some_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a.mpg", "mpeg1video", sound="mp2")
    monkeypatch.setattr(preview, "_encoders", lambda: iter([preview._Encoders("wav", "wav", "", preview.PLAIN)]))
    copy = made_for_browsers(path)
    assert copy.kind == "audio/wav"
    assert len(copy.stills) > 1
    for _, data in copy.stills:
        with av.open(io.BytesIO(data), format="mjpeg") as container:
            assert next(container.decode(video=0)).to_ndarray(format="rgb24").std() > 1
