"""A small copy of a recording that browsers play, for the pages of recordings that they do not.

Browsers play few of the formats that can be read: no HEVC in most, no MPEG-1 or 2, no AVI, no AMR. The copy has the
recording's own times, so the playhead of the page holds for both.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MecamError
from mecam.features.decoding import opened
from mecam.features.media import Media

__all__ = ["Preview", "PreviewChoice", "made_for_browsers", "unplayable"]

PreviewChoice: TypeAlias = Literal["auto", "never", "always"]
"""When a page gets a copy that browsers play: where it needs one, never, always."""

SIDE = 480
"""Pixels of the longer side at most."""
RATE_FPS = 15
MAX_COPY_BYTES = 24_000_000
"""Size that a copy is made for: a long recording gets fewer bits a second."""
MAX_BITS, MIN_BITS, SOUND_BITS = 400_000, 40_000, 48_000
SOUND_HZ = 48_000
PLAIN, PLAIN_HZ = "pcm_s16le", 16_000
"""Sound as it is, for installations without any other encoder."""
STILLS = 6
"""Pictures beside a copy that has sound only."""
MAX_SECONDS = 3 * 3600.0
"""Of longer recordings the beginning is copied."""

VIDEO = {
    "mp4": {"h264", "av1", "vp9"},
    "mov": {"h264", "av1", "vp9"},
    "m4v": {"h264", "av1", "vp9"},
    "webm": {"vp8", "vp9", "av1", "libdav1d"},
}
AUDIO = {
    "mp4": {"aac", "mp3", "mp3float", "opus", "flac"},
    "m4v": {"aac", "mp3", "mp3float"},
    "m4a": {"aac", "flac"},
    "mov": {"aac", "mp3", "mp3float", "opus", "flac"},
    "webm": {"opus", "vorbis"},
    "ogg": {"opus", "vorbis", "flac"},
    "mp3": {"mp3", "mp3float"},
    "flac": {"flac"},
    "wav": {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
}
"""What today's browsers have in common, by the ending of the file's name: codecs of pictures and of sound."""
PICTURES = {"yuv420p", "yuvj420p"}
"""Of H.264, how a picture's colours may be stored."""


@dataclass(frozen=True)
class Preview:
    """A copy in memory.

    Attributes:
        data: the file's bytes; empty where no copy could be made.
        kind: its media type.
        what: what it is, in words; or why there is none.
        stills: where it has sound only, seconds and JPEG of some of the recording's pictures.
    """

    data: bytes
    kind: str
    what: str
    stills: tuple[tuple[float, bytes], ...] = ()


def unplayable(path: Path) -> str:
    """What of a recording browsers do not play, in a few words; empty where they play it."""
    ending = path.suffix.lower().lstrip(".")
    if ending not in AUDIO:
        return f"the format .{ending}" if ending else "a file without an ending"
    try:
        with opened(path) as container:
            video = [stream.codec_context for stream in container.streams.video if stream.codec_context]
            sound = [stream.codec_context for stream in container.streams.audio if stream.codec_context]
    except MecamError as error:
        return error.what
    for codec in video[:1] if ending in VIDEO else []:
        if codec.name not in VIDEO[ending]:
            return f"{_codec_name(codec.name)} in .{ending}"
        if codec.name == "h264" and codec.pix_fmt not in PICTURES:
            return f"H.264 with the pixel format {codec.pix_fmt}"
    for codec in sound[:1]:
        if codec.name not in AUDIO[ending]:
            return f"the sound {_codec_name(codec.name)} in .{ending}"
    return ""


def made_for_browsers(path: Path) -> Preview:
    """A copy of a recording with at most `SIDE` pixels and one channel, in the first format that can be written here.

    Whatever goes wrong concerns the copy alone: then there is none, and it says why.
    """
    reason = "no encoder for it is installed"
    for choice in _encoders():
        try:
            media = Media(path)
            data, what = _written(media, choice)
        except Exception as error:  # an encoder may raise anything, and the page does without a copy
            reason = error.what if isinstance(error, MecamError) else f"{type(error).__name__}: {error}"
            continue
        kind = f"{'video' if media.video and choice.video else 'audio'}/{choice.type}"
        return Preview(data, kind, what, () if choice.video else _stills(media))
    return Preview(b"", "", reason)


@dataclass(frozen=True)
class _Encoders:
    """A container and what fills it."""

    format: str
    type: str
    video: str
    sound: str


def _encoders() -> Iterator[_Encoders]:
    """Those of this installation, the most widely played first; the last one has sound only."""
    import av

    def there(name: str) -> bool:
        try:
            av.Codec(name, "w")
        except (ValueError, av.FFmpegError):
            return False
        return True

    for video in filter(there, ("libx264", "libopenh264")):
        if there("aac"):
            yield _Encoders("mp4", "mp4", video, "aac")
    for video in filter(there, ("libvpx", "libvpx-vp9")):
        for sound in filter(there, ("libopus", "libvorbis")):
            yield _Encoders("webm", "webm", video, sound)
    yield _Encoders("wav", "wav", "", PLAIN)


OPTIONS = {
    "libx264": {"preset": "veryfast", "profile": "main"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def _written(media: Media, choice: _Encoders) -> tuple[bytes, str]:
    """The copy, and what it is."""
    import av

    longest = MAX_COPY_BYTES / (2 * PLAIN_HZ) if choice.sound == PLAIN else MAX_SECONDS
    seconds = min(max(media.duration, 1.0), longest)
    bits = int(np.clip(8 * MAX_COPY_BYTES / seconds - SOUND_BITS, MIN_BITS, MAX_BITS))
    pictures = media.video is not None and bool(choice.video)
    if not pictures and media.sound is None:
        raise ValueError("it contains nothing to play")
    size, words = (0, 0), []
    file = io.BytesIO()
    with av.open(file, "w", format=choice.format) as container:
        if pictures and media.video is not None:
            size = _even(media.video.width, media.video.height)
            words.append(f"{size[0]} × {size[1]}")
            video = container.add_stream(choice.video, rate=RATE_FPS, options=OPTIONS.get(choice.video, {}))
            video.width, video.height, video.pix_fmt, video.bit_rate = *size, "yuv420p", bits
            video.codec_context.time_base = Fraction(1, 1000)
            video.codec_context.thread_count = 1
        if media.sound is not None:
            words.append("one channel")
            plain = choice.sound == PLAIN
            sound: Any = container.add_stream(choice.sound, rate=PLAIN_HZ if plain else SOUND_HZ, layout="mono")
            if not plain:
                sound.bit_rate = SOUND_BITS
        if pictures:
            _put_pictures(container, video, media, size, seconds)
        if media.sound is not None:
            _put_sound(container, sound, media, seconds)
    if seconds < media.duration:
        words.append(f"the first {seconds / 60:.0f} minutes")
    return file.getvalue(), ", ".join(words)


def _stills(media: Media) -> tuple[tuple[float, bytes], ...]:
    """Some pictures, evenly over the recording; as many as can be had."""
    import av

    made: list[tuple[float, bytes]] = []
    if media.video is None:
        return ()
    size = _even(media.video.width, media.video.height)
    for begin in np.linspace(0.0, media.duration, STILLS, endpoint=False).tolist():
        try:
            time, image = next(iter(media.frames(begin, media.duration, max_side=SIDE)))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            encoder: Any = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 1)
            packets = [*encoder.encode(frame.reformat(*size, "yuvj420p")), *encoder.encode(None)]
        except Exception:  # no picture there, or no encoder: the page does without
            continue
        made.append((float(time), b"".join(bytes(packet) for packet in packets)))
    return tuple(made)


def _put_pictures(container: Any, stream: Any, media: Media, size: tuple[int, int], seconds: float) -> None:
    import av

    last = -1
    for time, image in media.frames(0.0, seconds, rate=float(RATE_FPS), max_side=SIDE):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(*size, "yuv420p")
        frame.time_base, frame.pts = Fraction(1, 1000), max(round(1000 * time), last + 1)
        last = frame.pts
        container.mux(stream.encode(frame))
    if last < 0:
        raise ValueError("no picture can be decoded")
    container.mux(stream.encode(None))


def _put_sound(container: Any, stream: Any, media: Media, seconds: float) -> None:
    rate, done, rest = stream.rate, 0, np.zeros(0, np.float32)
    width = stream.codec_context.frame_size or 1024

    def put(samples: NDArray[np.float32]) -> None:
        nonlocal done
        container.mux(stream.encode(_sound_frame(samples, rate, done)))
        done += len(samples)

    for begin, samples in media.sound_blocks(0.0, seconds, rate=rate):
        if not done and not len(rest) and begin > 0:  # a track that begins later begins later here, too
            rest = np.zeros(round(begin * rate), np.float32)
        rest = np.concatenate([rest, np.clip(samples, -1.0, 1.0)])
        while len(rest) >= width:
            put(rest[:width])
            rest = rest[width:]
    if len(rest):
        put(rest)
    container.mux(stream.encode(None))


def _sound_frame(samples: NDArray[np.float32], rate: int, start: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None, :]), format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
    return frame


def _even(width: int, height: int) -> tuple[int, int]:
    """The size of the copy: encoders want even numbers."""
    factor = min(1.0, SIDE / max(width, height))
    return tuple(max(2 * round(factor * side / 2), 2) for side in (width, height))  # type: ignore[return-value]


def _codec_name(name: str) -> str:
    """A codec as people call it."""
    names = {"hevc": "HEVC (H.265)", "mpeg1video": "MPEG-1", "mpeg2video": "MPEG-2", "mpeg4": "MPEG-4 part 2"}
    return names.get(name, name)
