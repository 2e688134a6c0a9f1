"""Files as people have them: right times, upright pictures, flat memory, one clear sentence for what is no video."""

import pickle
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clips import clip, need_data, numbered, tone, wav
from mecam.errors import MediaError
from mecam.features.media import Media
from mecam.synthetic.clips.render import write_clip


def grey(image: np.ndarray) -> float:
    """The grey of a numbered picture, away from its white corner, as a frame number."""
    height, width = image.shape[:2]
    return (float(image[height // 2 :, width // 2 :].mean()) - 20) / 2


def test_frames_have_the_times_of_the_container_and_their_own_content(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 50))
    frames = list(media.frames())
    assert [round(frame.time * 25) for frame in frames] == list(range(50))
    assert [grey(frame.image) for frame in frames] == pytest.approx(list(range(50)), abs=1.5)
    assert media.video is not None
    assert (media.video.width, media.video.height, media.video.rate) == (64, 48, 25.0)
    assert media.duration == pytest.approx(2.0, abs=0.05)
    assert media.sound is None
    assert not media.findings


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "webm", "mpg"])
def test_every_usual_container_gives_the_same_frames(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx", "mpg": "mpeg2video", "avi": "mpeg4"}.get(suffix, "libx264")
    sound_codec = {"webm": "libopus", "mpg": "mp2", "avi": "mp2"}.get(suffix, "aac")
    rate = 48_000
    path = clip(
        tmp_path / f"a.{suffix}", 50, sound=tone(2.0, rate), sound_rate=rate, codec=codec, sound_codec=sound_codec
    )
    media = Media(path)
    frames = list(media.frames())
    assert len(frames) == pytest.approx(50, abs=1)
    assert np.diff([frame.time for frame in frames]) == pytest.approx(0.04, abs=0.002)
    assert grey(frames[30].image) == pytest.approx(30, abs=3)
    time, samples = media.waveform(rate=rate)
    assert time == pytest.approx(0, abs=0.05)
    assert len(samples) / rate == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[4800:52800]))
    assert spectrum.argmax() == pytest.approx(440, abs=2)


def test_a_stretch_starts_and_stops_where_asked_wherever_the_key_frames_lie(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 100))
    frames = list(media.frames(1.5, 2.1))
    assert [round(frame.time * 25) for frame in frames] == list(range(38, 53))
    assert grey(frames[0].image) == pytest.approx(38, abs=1.5)


def test_a_rate_thins_frames_evenly_and_never_repeats_one(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 60, rate=30.0))
    assert np.diff([frame.time for frame in media.frames(rate=10.0)]) == pytest.approx(0.1, abs=1e-3)
    assert len(list(media.frames(rate=100.0))) == 60
    assert np.diff([frame.time for frame in media.frames(rate=25.0)]).max() < 2 / 25


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    at = [0, 40, 80, 400, 1000, 1033, 1500]  # milliseconds
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds, picture in zip(at, numbered(len(at)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [round(frame.time * 1000) for frame in Media(tmp_path / "a.mkv").frames()] == at


def rotated(source: Path, target: Path, degrees: int) -> Path:
    """The same stream, with a display matrix in its mp4 track header, as telephones write it."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    old = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    new = np.array([cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    content = source.read_bytes()
    at = content.index(b"tkhd") + 4 + 40
    assert content[at : at + 36] == old
    target.write_bytes(content[:at] + new + content[at + 36 :])
    return target


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_flags_are_applied(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    media = Media(rotated(clip(tmp_path / "a.mp4", 5), tmp_path / "b.mp4", degrees))
    image = next(media.frames()).image
    assert media.video is not None
    assert image.shape == ((64, 48, 3) if degrees % 180 else (48, 64, 3))
    assert (media.video.height, media.video.width) == image.shape[:2]
    assert image[corner].mean() > 200  # the white block of the top left corner went there
    assert image[0, 0].mean() < 100


def test_odd_sizes_and_scaling_keep_the_shape(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", 3, width=101, height=57, codec="ffv1")
    media = Media(path)
    assert next(media.frames()).image.shape == (57, 101, 3)
    assert next(media.frames(max_side=50)).image.shape == (28, 50, 3)
    assert next(media.frames(max_side=500)).image.shape == (57, 101, 3)


def test_picture_without_sound_and_sound_without_picture(tmp_path: Path) -> None:
    silent = Media(clip(tmp_path / "a.mp4"))
    with pytest.raises(MediaError, match="has no sound"):
        next(silent.sound_blocks())
    deaf = Media(wav(tmp_path / "a.wav", tone(0.5), 16_000))
    assert deaf.video is None
    with pytest.raises(MediaError, match="has no picture"):
        next(deaf.frames())
    assert deaf.duration == pytest.approx(0.5)


def test_sound_comes_in_blocks_that_join_exactly(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000).astype(np.float32)
    media = Media(wav(tmp_path / "a.wav", samples, 16_000))
    blocks = list(media.sound_blocks(0.5, 2.0, seconds=0.4))
    assert [len(block.samples) for block in blocks] == [6400, 6400, 6400, 4800]
    assert [block.time for block in blocks] == pytest.approx([0.5, 0.9, 1.3, 1.7])
    joined = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(joined, samples[8000:32000], atol=1e-4)


def test_telephone_sound_is_raised_and_surround_is_mixed(tmp_path: Path) -> None:
    low = Media(wav(tmp_path / "low.wav", tone(1.0, 8_000), 8_000))
    assert low.sound is not None
    assert (low.sound.rate, low.sound.channels) == (8_000, 1)
    _, samples = low.waveform(rate=16_000)
    assert len(samples) == pytest.approx(16_000, abs=32)
    assert np.abs(np.fft.rfft(samples[:16_000])).argmax() == pytest.approx(440, abs=1)
    around = np.zeros((8, 48_000), np.float32)
    around[2] = tone(1.0, 48_000)  # the voice sits in the centre
    wide = Media(wav(tmp_path / "wide.wav", around, 48_000))
    assert wide.sound is not None
    assert wide.sound.channels == 8
    _, mixed = wide.waveform(rate=16_000)
    assert np.abs(np.fft.rfft(mixed[:16_000])).argmax() == pytest.approx(440, abs=1)
    assert 0.05 < np.abs(mixed).max() <= 1


def test_a_hole_in_the_sound_becomes_silence_of_its_length(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin in (0, 32_000):  # one second, one second nothing, one second
            piece = (tone(1.0) * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    media = Media(tmp_path / "a.mkv")
    _, samples = media.waveform()
    assert len(samples) == pytest.approx(48_000, abs=16)
    loud = np.abs(samples).reshape(-1, 1000).max(axis=1) > 0.3
    assert loud.tolist() == [True] * 16 + [False] * 16 + [True] * 16
    assert any("hole" in finding for finding in media.findings)


def test_of_several_streams_the_largest_is_taken_and_said(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = []
        for width in (32, 64):
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            streams.append(stream)
        for k, picture in enumerate(numbered(5)):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, : stream.width]), format="rgb24")
                frame.pts = k
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    media = Media(tmp_path / "a.mkv")
    assert media.video is not None
    assert media.video.width in (32, 64)
    assert any("2 video streams" in finding for finding in media.findings)


def test_a_broken_tail_keeps_what_can_be_decoded_and_says_so(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", 100, width=320, height=240)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    media = Media(path)
    count = len(list(media.frames()))
    assert 20 < count < 100
    assert media.findings


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", noisy(60), codec="mpeg4")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    assert len(list(Media(path).frames())) > 30


def noisy(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), np.uint8))


def test_memory_stays_flat_with_length(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 300, width=160, height=120, sound=tone(12.0))
    media = Media(path)
    tracemalloc.start()
    try:
        for _ in media.frames():
            pass
        for _ in media.sound_blocks(seconds=0.5):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # all frames together are 17 MB


def test_a_media_travels_to_a_worker(tmp_path: Path) -> None:
    media = pickle.loads(pickle.dumps(Media(clip(tmp_path / "a.mp4"))))
    assert len(list(media.frames())) == 25


@pytest.mark.parametrize("name", ["with space", "Дочь — 女儿", "concat:a|b", "-i", "%03d"])
def test_any_file_name_is_just_a_name(tmp_path: Path, name: str) -> None:
    plain = clip(tmp_path / "a.mp4")
    path = plain.rename(tmp_path / f"{name}.mp4")
    assert len(list(Media(path).frames())) == 25


def test_a_clip_of_ten_milliseconds(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 1, rate=100.0, sound=tone(0.01)))
    assert len(list(media.frames())) == 1
    time, samples = media.waveform()
    assert time == pytest.approx(0, abs=0.05)
    assert len(samples) < 2000


def cut_before_its_index(folder: Path) -> Path:
    path = clip(folder / "whole.mp4")
    content = path.read_bytes()
    bad = folder / "cut.mp4"
    bad.write_bytes(content[: content.index(b"moov") - 8])
    return bad


def written(name: str, content: bytes) -> object:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def no_frames(folder: Path) -> Path:
    with av.open(str(folder / "none.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return folder / "none.mkv"


def damaged_throughout(folder: Path) -> Path:
    content = bytearray(clip(folder / "whole.mp4").read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = bytes(end - begin)
    (folder / "zeros.mp4").write_bytes(content)
    return folder / "zeros.mp4"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nowhere.mp4", "no such file"),
        (lambda folder: folder, "folder"),
        (written("empty.mp4", b""), "empty"),
        (written("text.mp4", b"dear diary, no film today\n" * 200), "text file"),
        (written("text.txt", b"dear diary, no film today\n" * 200), "text|no video"),
        (written("list.mp4", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"), "text file|no video|cannot"),
        (written("random.mp4", np.random.default_rng(0).bytes(50_000)), "readable video or sound file|can be decoded"),
        (cut_before_its_index, "cut off"),
        (no_frames, "ends before any|no frame|neither"),
        (damaged_throughout, "no frame"),
        (lambda folder: wav(folder / "none.wav", np.zeros(0, np.float32), 16_000), "no sample|no video or sound"),
    ],
    ids=[
        "missing",
        "folder",
        "empty",
        "text",
        "txt",
        "playlist",
        "random",
        "truncated",
        "no-frames",
        "zeros",
        "no-samples",
    ],
)
def test_what_is_no_video_gets_one_clear_sentence(tmp_path: Path, make: object, says: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(MediaError, match=says) as caught:
        Media(path)
    assert str(path) in str(caught.value)


def test_sound_that_starts_late_keeps_its_time() -> None:
    media = Media(need_data("video/face_noface.mov"))
    time, samples = media.waveform()
    assert time == pytest.approx(2.43, abs=0.01)
    assert len(samples) / 16_000 == pytest.approx(3.98, abs=0.05)


@pytest.mark.parametrize("suffix", ["mpg", "ts", "mkv", "avi"])
def test_a_stretch_begins_where_asked_in_files_without_an_index_too(tmp_path: Path, suffix: str) -> None:
    codec = {"mpg": "mpeg2video", "ts": "mpeg2video", "avi": "mpeg4"}.get(suffix, "libx264")
    media = Media(clip(tmp_path / f"a.{suffix}", 150, codec=codec))
    whole = [frame.time for frame in media.frames()]
    for start in (0.3, 0.5, 1.7, 3.1, 5.5):
        expected = [time for time in whole if time >= start - 1e-3]
        assert [frame.time for frame in media.frames(start)] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["bbaf2n", "swiz3n"])
def test_a_stretch_of_a_real_mpeg_file_begins_where_asked(name: str) -> None:
    media = Media(need_data(f"video/{name}.mpg"))
    whole = [frame.time for frame in media.frames()]
    assert [frame.time for frame in media.frames(0.5)] == pytest.approx([time for time in whole if time >= 0.499])
