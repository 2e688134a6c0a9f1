"""How a container becomes frames and sound: the only place that speaks to PyAV for reading."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MediaError

if TYPE_CHECKING:
    from mecam.features.media import VideoFacts

__all__ = ["Frame", "Sound", "best_sound", "best_video", "duration_of", "first_frame", "frames", "opened", "sound"]

Note = Callable[[str], None]

_TINY = 1e-4
"""Seconds by which two times may differ and still be the same."""
_GAP = 0.05
"""Seconds of missing sound that become silence; less is jitter of the time stamps."""


class Frame(NamedTuple):
    """One picture: seconds, and H × W × 3 uint8 RGB."""

    time: float
    image: NDArray[np.uint8]


class Sound(NamedTuple):
    """A stretch of sound: seconds of its first sample, and mono float32 samples."""

    time: float
    samples: NDArray[np.float32]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a container for reading, from the file system only.

    Yields: the PyAV container.
    Raises: MediaError saying what the file is instead.
    """
    import av

    _check_file(path)
    try:
        # "file:" and the white list keep names such as "concat:a|b" and playlists from reaching anything else.
        container = av.open(
            f"file:{path.absolute()}", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(_what_it_is(path, error), where=str(path), fix=_FIX) from error
    with container:
        if container.format.name in _NO_MEDIA or container.format.name.endswith("_pipe"):
            raise MediaError("this is no video or sound file", where=str(path), fix=_FIX)
        yield container


_FIX = "give a video or sound file (mp4, mov, mkv, webm, avi, mpg, wav, flac, mp3 …)"
_NO_MEDIA = {"tty", "image2", "lrc", "srt", "ass", "webvtt"}


def duration_of(container: Any) -> float:
    """Seconds that the container announces; where it does not, the end of its last packet."""
    if container.duration:
        return float(container.duration / 1_000_000)
    end = 0.0
    for packet in _packets(container, None):
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return max(end - _origin(container), 0.0)


def best_video(container: Any, note: Note) -> Any:
    """The stream to look at: no cover picture, the default one, then the largest; None where there is none."""
    streams = [stream for stream in container.streams.video if not _is_still(stream)]
    return _chosen(streams, lambda stream: stream.codec_context.width * stream.codec_context.height, "video", note)


def best_sound(container: Any, note: Note) -> Any:
    """The stream to listen to: the default one, then the one with most channels; None where there is none."""
    return _chosen(list(container.streams.audio), lambda stream: stream.codec_context.channels, "sound", note)


def first_frame(path: Path, index: int) -> Any:
    """The first picture or piece of sound of a stream that can be decoded, or None."""
    with opened(path) as container:
        return next(_decoded(container, container.streams[index], lambda _: None), None)


def shown_size(frame: Any, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height in square pixels, upright."""
    width = round(frame.width * float(aspect)) if aspect and aspect > 0 else frame.width
    return (frame.height, width) if frame.rotation % 180 else (width, frame.height)


def frames(
    path: Path, facts: "VideoFacts", start: float, rate: float | None, max_side: int | None, note: Note
) -> Iterator[Frame]:
    """Stream pictures from `start` to the end; see `Media.frames`."""
    from av.video.reformatter import VideoReformatter

    scale = VideoReformatter()
    width, height = _scaled(facts.width, facts.height, max_side)
    stored = (height, width) if facts.rotation % 180 else (width, height)
    next_time = start
    with opened(path) as container:
        stream = container.streams[facts.index]
        stream.codec_context.thread_count = 1  # files are worked on side by side, so threads would only get in the way
        # Pictures that no other one is made from need no deblocking: a fifth of the time, nothing to see.
        stream.codec_context.options = {"skip_loop_filter": "noref"}
        for time, frame in _timed(_decoded(container, stream, note, start), stream, _origin(container), note):
            if time + _TINY < next_time:
                continue
            if rate is not None:
                next_time = start + (np.floor((time - start) * rate + _TINY * rate) + 1) / rate
            # Ask libswscale once for both the size and RGB; the fast kind, as the picture is scaled down anyway.
            picture = scale.reformat(frame, *stored, "rgb24", interpolation="FAST_BILINEAR")
            yield Frame(time, _upright(np.asarray(picture.to_ndarray(), np.uint8), facts.rotation))


def sound(
    path: Path, index: int, start: float, stop: float | None, rate: int, seconds: float, note: Note
) -> Iterator[Sound]:
    """Stream mono sound between `start` and `stop`; see `Media.sound_blocks`."""
    size = max(round(seconds * rate), 1)
    pending: list[NDArray[np.float32]] = []
    held, begin = 0, None
    for piece in _cut(_pieces(path, index, start, rate, note), start, stop, rate):
        begin = piece.time if begin is None else begin
        pending.append(piece.samples)
        held += len(piece.samples)
        while held >= size:
            joined = np.concatenate(pending)
            yield Sound(begin, joined[:size])
            pending, held, begin = [joined[size:]], held - size, begin + size / rate
    if held and begin is not None:
        yield Sound(begin, np.concatenate(pending))


def _cut(pieces: Iterator[Sound], start: float, stop: float | None, rate: int) -> Iterator[Sound]:
    """The samples with start ≤ time < stop."""
    for time, samples in pieces:
        if not len(samples):
            continue
        # A thousandth of a sample of slack: seconds are not exact.
        first = max(int(np.ceil((start - time) * rate - 1e-3)), 0)
        last = len(samples) if stop is None else int(np.ceil((stop - time) * rate - 1e-3))
        if last <= 0:
            return
        if first < min(last, len(samples)):
            yield Sound(time + first / rate, samples[first:last])


def _pieces(path: Path, index: int, start: float, rate: int, note: Note) -> Iterator[Sound]:
    """Resampled mono sound in the stream's own portions, each following the one before."""
    with opened(path) as container:
        stream = container.streams[index]
        stream.codec_context.thread_count = 1
        mixer, begin, given, due = _Mixer(rate), 0.0, 0, None
        decoded = _decoded(container, stream, note, start)
        for time, frame in _timed(decoded, stream, _origin(container), note):
            if due is None:
                begin = due = time
            elif time - due > _GAP:
                note(f"the sound has a hole at {due:.2f} s; it is filled with silence")
                yield Sound(begin + given / rate, (rest := mixer.flush()))
                given += len(rest)
                hole = max(round((time - begin) * rate) - given, 0)
                yield from _silence(begin + given / rate, hole, rate)
                given, due = given + hole, time
            samples = mixer(frame)
            yield Sound(begin + given / rate, samples)
            given, due = given + len(samples), due + frame.samples / frame.sample_rate
        yield Sound(begin + given / rate, mixer.flush())


def _silence(time: float, count: int, rate: int) -> Iterator[Sound]:
    """Zeros, in portions, as a hole may be an hour long."""
    for done in range(0, count, rate):
        yield Sound(time + done / rate, np.zeros(min(rate, count - done), np.float32))


class _Mixer:
    """Decoded sound to mono float32 at one rate; a change of format within the stream is allowed."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._format: object = None
        self._resampler: Any = None

    def __call__(self, frame: Any) -> NDArray[np.float32]:
        import av

        rest = np.zeros(0, np.float32)
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if now != self._format:
            rest = self.flush()
            self._format, self._resampler = now, av.AudioResampler("flt", "mono", self._rate)
        frame.pts = None  # time stamps are our own business
        return np.concatenate([rest, *_samples(self._resampler.resample(frame))])

    def flush(self) -> NDArray[np.float32]:
        """The samples still inside; the next frame starts anew."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        rest = np.concatenate([np.zeros(0, np.float32), *_samples(self._resampler.resample(None))])
        self._format = self._resampler = None
        return rest


def _samples(frames: list[Any]) -> list[NDArray[np.float32]]:
    return [frame.to_ndarray()[0].astype(np.float32, copy=False) for frame in frames if frame is not None]


def _decoded(container: Any, stream: Any, note: Note, start: float = 0.0) -> Iterator[Any]:
    """Everything that a stream still gives, from a key frame before `start`."""
    import av

    if start > _TINY:
        try:
            container.seek(int((start + _origin(container)) * 1_000_000), backward=True)
        except av.FFmpegError:
            note("the file has no index; reading from its beginning")
    damaged = 0
    for packet in _packets(container, stream, note):
        try:
            yield from packet.decode()
        except av.EOFError:
            break
        except (av.FFmpegError, ValueError):
            damaged += 1
    if damaged:
        kind = "video" if stream.type == "video" else "sound"
        note(f"{damaged} packet{'s' * (damaged > 1)} of the {kind} stream cannot be decoded; the rest is kept")


def _packets(container: Any, stream: Any, note: Note = lambda _: None) -> Iterator[Any]:
    import av

    try:
        yield from container.demux(stream) if stream is not None else container.demux()
    except av.FFmpegError as error:
        note(f"the file breaks off ({error.strerror}); what comes before is kept")


def _timed(decoded: Iterator[Any], stream: Any, origin: float, note: Note) -> Iterator[tuple[float, Any]]:
    """Each piece with its time in seconds; times always increase."""
    last, length = -np.inf, 0.0
    for item in decoded:
        time = item.time
        if time is None:
            note("some time stamps are missing; their times are those of the piece before and its length")
            time = last + length if np.isfinite(last) else origin
        else:
            time -= origin
        length = float((item.duration or 0) * item.time_base) if item.time_base else 0.0
        if stream.type == "video":
            length = length or 1 / float(stream.average_rate or 25)
            if time <= last:
                note("some frames have times that run backwards; they are left out")
                continue
        else:
            length = item.samples / item.sample_rate
        last = time
        yield time, item


def _origin(container: Any) -> float:
    """The container's time that a player calls 0."""
    return float((container.start_time or 0) / 1_000_000)


def _upright(image: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    quarter = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter)) if quarter else image


def _scaled(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    factor = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return max(round(width * factor), 1), max(round(height * factor), 1)


def _is_still(stream: Any) -> bool:
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _chosen(streams: list[Any], size: Callable[[Any], int], kind: str, note: Note) -> Any:
    import av

    if not streams:
        return None
    best = max(streams, key=lambda stream: (bool(stream.disposition & av.stream.Disposition.default), size(stream)))
    if len(streams) > 1:
        note(f"the file has {len(streams)} {kind} streams; stream {best.index} is taken")
    return best


def _check_file(path: Path) -> None:
    """Say plainly what is wrong before libav says it in its own way."""
    try:
        if path.is_dir():
            raise MediaError("this is a folder, not a file", where=str(path))
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"cannot read: {error.strerror}"
        raise MediaError(what, where=str(path)) from error
    if empty:
        raise MediaError("the file is empty", where=str(path), fix="fetch or export it again")


def _what_it_is(path: Path, error: Exception) -> str:
    """Why libav cannot open a file, in words."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "the file is cut off: the index (moov) that an mp4 or mov needs is missing or damaged"
    if getattr(error, "strerror", None) == "End of file":
        return "the file ends before any picture or sound"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return f"this is no video or sound file that can be read ({getattr(error, 'strerror', None) or error})"
    return "this is a text file, not a video or sound file"
