"""Pictures of which parts are looked at: a part is what the whole picture has there, whatever its format and size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mecam.data.corruption import Corruption
from mecam.features import decoding
from mecam.features.corruption import CorruptedMedia
from mecam.features.media import Media
from mecam.features.picture import Picture, packed

PARTS = ((0, 9, 0, 9), (11, 60, 37, 95), (64, 96, 32, 64), (50, 90, 70, 160))


def decoded(width: int, height: int, form: str = "yuv420p") -> Any:
    """A picture of smooth colours with noise, in one of libav's formats."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:height, :width]
    smooth = 128 + 90 * np.sin(np.stack([down / 17, across / 23, (down + across) / 31], axis=2))
    image = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("form", "times"),
    [("yuv420p", 1), ("yuv420p", 2), ("yuv420p", 3), ("yuv444p", 2), ("yuv420p10le", 2), ("rgb24", 2)],
)
def test_a_part_is_what_the_whole_has_there(form: str, times: int, rotation: int) -> None:
    width, height = (96, 160) if rotation % 180 else (160, 96)
    frame = decoded(160 * times, 96 * times, form)
    whole = np.asarray(Picture(frame, width, height, rotation))
    assert whole.shape == Picture(frame, width, height, rotation).shape == (height, width, 3)
    for top, bottom, left, right in PARTS:
        part = Picture(frame, width, height, rotation)[top:bottom, left:right]
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])


def test_a_picture_stands_upright() -> None:
    frame = decoded(160, 96)
    upright = np.asarray(Picture(frame, 160, 96, 0))
    for quarter in range(4):
        size = (96, 160) if quarter % 2 else (160, 96)
        turned = np.asarray(Picture(frame, *size, 90 * quarter))
        np.testing.assert_array_equal(turned, np.rot90(upright, quarter))


def test_a_size_that_is_no_whole_part_is_scaled_at_once() -> None:
    frame = decoded(200, 120)
    picture = Picture(frame, 160, 96, 0)
    whole = np.asarray(Picture(frame, 160, 96, 0))
    np.testing.assert_array_equal(picture[10:20, 30:50], whole[10:20, 30:50])
    averaged = np.asarray(frame.reformat(160, 96, "rgb24", interpolation="AREA").to_ndarray(), np.float32)
    assert np.abs(whole - averaged).mean() < 3


def test_scaling_down_takes_the_mean() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, ::2] = 200  # columns in turn: one of two is lost where single ones are taken
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p")
    middle = np.asarray(Picture(frame, 64, 32, 0))[8:-8, 8:-8].astype(np.float32)
    assert np.abs(middle - 100).max() < 12


def test_pixels_are_packed_red_first() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    pixels = packed(image)
    for colour in range(3):
        np.testing.assert_array_equal(pixels >> 8 * colour & 255, image[..., colour])


def written(path: Path, codec: str, options: dict[str, str], seconds: int = 2, rate: int = 25) -> Path:
    """A clip in which every picture is another."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        down, across = np.mgrid[:96, :128]
        for number in range(seconds * rate):
            wave = 128 + 100 * np.sin((across + 3 * number) / 9 + down / 13)
            image = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


CODECS = {
    "h264 with a pyramid": ("a.mp4", "libx264", {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}),
    "h264 without": ("a.mkv", "libx264", {"bf": "2", "x264-params": "b-pyramid=none"}),
    "h264 of single pictures": ("a.mp4", "libx264", {"bf": "0", "g": "1"}),
    "hevc": ("a.mp4", "libx265", {"x265-params": "log-level=none"}),
    "mpeg-4": ("a.avi", "mpeg4", {"bf": "2"}),
    "mpeg-2": ("a.mpg", "mpeg2video", {"bf": "2"}),
    "vp9": ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}


MOMENTS = [(name, 12.5, 0.0) for name in CODECS] + [("h264 with a pyramid", 8.4, 0.0), ("mpeg-2", 5.0, 0.7)]


@pytest.mark.parametrize(("name", "rate", "start"), MOMENTS)
def test_pictures_that_are_passed_over_change_nothing(tmp_path: Path, name: str, rate: float, start: float) -> None:
    """Of every step in time the first picture is seen, as it is seen where all are decoded."""
    file, codec, options = CODECS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"libav has no {codec} here")
    media = Media(written(tmp_path / file, codec, options, seconds=1))
    every = {frame.time: frame.image for frame in media.frames(start)}
    seen = list(media.frames(start, rate=rate))
    steps = [int((time - start) * rate + 1e-3) for time in every]
    firsts = [time for n, time in enumerate(every) if n == 0 or steps[n] > steps[n - 1]]
    assert [frame.time for frame in seen] == firsts
    for frame in seen:
        np.testing.assert_array_equal(frame.image, every[frame.time])


def test_pictures_that_nobody_looks_at_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def counted(items: Iterator[Any], *rest: Any) -> Iterator[tuple[float, Any]]:
        nonlocal count
        for item in real(items, *rest):
            count += 1
            yield item

    real = decoding.timed
    monkeypatch.setattr(decoding, "timed", counted)
    media = Media(written(tmp_path / "a.mp4", *CODECS["h264 with a pyramid"][1:]))
    looked_at = sum(1 for _ in media.frames(rate=12.5))
    assert looked_at == 25
    assert count < 35  # of 50


def test_glances_are_the_frames_where_nothing_is_scaled(tmp_path: Path) -> None:
    media = Media(written(tmp_path / "a.mp4", "libx264", {}))
    pairs = list(zip(media.glances(rate=5.0), media.frames(rate=5.0), strict=True))
    assert len(pairs) == 10
    for glance, frame in pairs:
        assert glance.time == frame.time
        np.testing.assert_array_equal(np.asarray(glance.image), frame.image)


def test_glances_of_corrupted_pictures_are_corrupted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", "libx264", {})
    media = CorruptedMedia(path, (Corruption("dark", severity=0.1),), name="a")
    means: list[float] = []
    for medium in (Media(path), media):
        images: list[NDArray[np.uint8]] = [np.asarray(glance.image) for glance in medium.glances(rate=5.0)]
        means.append(float(np.mean(images)))
    assert means[1] < means[0] / 2
    assert media.spans("picture")
