"""How a container becomes pictures and pieces of sound: the only place that opens media through PyAV for reading."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.budget import check_regular_file
from mecam.errors import DataError, MecamError, MediaError
from mecam.features.picture import Picture, to_rgb

__all__ = [
    "MAX_PIXELS",
    "Frame",
    "Glance",
    "Note",
    "SoundFacts",
    "VideoFacts",
    "best_sound",
    "best_video",
    "decode",
    "decoded",
    "first_frame",
    "frames",
    "glances",
    "opened",
    "origin",
    "packets",
    "shown_size",
    "sought",
    "timed",
]

Note = Callable[[str], None]

MAX_PIXELS = 40_000_000
"""Of one picture, a little more than 8K (8192 × 4320): a decoder holds up to twenty of them."""
_FREE_PIXELS, _PIXELS_PER_BYTE = 15_000_000_000, 20_000
"""Pixels that any file may decode to (four minutes of 1080p), and how many more a byte of it may become."""
_ASPECTS = (0.1, 10.0)
"""Width of a pixel against its height; beyond, the number is damaged and square ones are assumed."""
_TINY = 1e-4
"""Seconds by which two times may differ and still be the same."""
_REORDERED = 32
"""Packets between which pictures may change their order; codecs allow sixteen."""


class Frame(NamedTuple):
    """One picture: seconds, and H × W × 3 uint8 RGB."""

    time: float
    image: NDArray[np.uint8]


class Glance(NamedTuple):
    """One picture of which a few parts will be looked at: seconds, and the picture."""

    time: float
    image: Picture


@dataclass(frozen=True)
class VideoFacts:
    """The chosen video stream.

    Attributes:
        index: number of the stream in the file.
        codec: name of its decoder.
        width: pixels, as shown: rotated upright, with square pixels.
        height: likewise.
        rate: frames per second on average; 0 where the container does not say.
        rotation: degrees, counter-clockwise, by which the stored picture is turned to stand upright.
    """

    index: int
    codec: str
    width: int
    height: int
    rate: float
    rotation: int


@dataclass(frozen=True)
class SoundFacts:
    """The chosen sound stream.

    Attributes:
        index: number of the stream in the file.
        codec: name of its decoder.
        rate: samples per second.
        channels: number of channels.
    """

    index: int
    codec: str
    rate: int
    channels: int


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a container for reading, from the file system only.

    Yields: the PyAV container. Whatever PyAV raises while it is in use becomes a MediaError.
    Raises: MediaError saying what the file is instead.
    """
    import av

    _check_file(path)
    with ExitStack() as stack:
        try:
            container = stack.enter_context(_open(path, stack))
        except (av.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
            raise MediaError(_what_it_is(path, error), where=str(path), fix=_FIX) from error
        if container.format.name in _NO_MEDIA or container.format.name.endswith("_pipe"):
            raise MediaError("this is not a video or sound file", where=str(path), fix=_FIX)
        try:
            yield container
        except MecamError:
            raise
        except Exception as error:  # AttributeError, ArgumentError, OverflowError …: whatever a damaged header leads to
            raise MediaError(
                f"the file cannot be decoded: {type(error).__name__}: {error}",
                where=str(path),
                fix="download or export the file again",
            ) from error


_FIX = "give a video or sound file (mp4, mov, mkv, webm, avi, mpg, wav, flac, mp3 …)"
_NO_MEDIA = {"tty", "image2", "lrc", "srt", "ass", "webvtt"}


def _open(path: Path, stack: ExitStack) -> Any:
    import av

    # The white list keeps playlists and the like from reaching anything but files.
    limits, version = {"protocol_whitelist": "file"}, int(av.__version__.split(".")[0])
    options: dict[str, Any] = {"container_options": limits}
    if version >= 17:  # older ones crash where options for streams meet a container that tells its streams late (mpg)
        options = {"options": {**limits, "max_pixels": str(MAX_PIXELS)}}
    if version < 19:
        # Titles and comments that are no UTF-8 would refuse the file; from 19 on PyAV reads them by itself.
        options["metadata_errors"] = "replace"
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:  # a name that is no UTF-8 cannot be told to libav; the file can
        return av.open(stack.enter_context(path.open("rb")), **options)
    return av.open(f"file:{name}", **options)  # "file:" keeps names such as "concat:a|b" from meaning anything else


def best_video(container: Any, note: Note) -> Any:
    """The stream to look at: no cover picture, the default one, then the largest; None if there is none."""
    streams = [stream for stream in container.streams.video if not _is_still(stream)]
    return _chosen(streams, lambda stream: stream.codec_context.width * stream.codec_context.height, "video", note)


def best_sound(container: Any, note: Note) -> Any:
    """The stream to listen to: the default one, then the one with most channels; None if there is none."""
    return _chosen(list(container.streams.audio), lambda stream: stream.codec_context.layout.nb_channels, "sound", note)


def first_frame(path: Path, index: int) -> Any:
    """The first picture or piece of sound of a stream that can be decoded, or None."""
    with opened(path) as container:
        return next(decoded(container, container.streams[index], lambda _: None), None)


def shown_size(frame: Any, aspect: float) -> tuple[int, int]:
    """Width and height in square pixels, upright; `aspect` is the width of a stored pixel against its height, or 0."""
    width = round(frame.width * aspect) if _ASPECTS[0] <= aspect <= _ASPECTS[1] else frame.width
    return (frame.height, width) if frame.rotation % 180 else (width, frame.height)


def frames(
    path: Path, facts: VideoFacts, start: float, rate: float | None, max_side: int | None, note: Note
) -> Iterator[Frame]:
    """Stream pictures from `start` to the end; see `Media.frames`."""
    width, height = _scaled(facts.width, facts.height, max_side)
    stored = (height, width) if facts.rotation % 180 else (width, height)
    for time, frame in _shown(path, facts, start, rate, note):
        yield Frame(time, _upright(to_rgb(frame, *stored), facts.rotation))


def glances(
    path: Path, facts: VideoFacts, start: float, rate: float | None, max_side: int | None, note: Note
) -> Iterator[Glance]:
    """Stream pictures from `start` to the end; see `Media.glances`."""
    size = _scaled(facts.width, facts.height, max_side)
    for time, frame in _shown(path, facts, start, rate, note):
        yield Glance(time, Picture(frame, *size, facts.rotation))


def _shown(path: Path, facts: VideoFacts, start: float, rate: float | None, note: Note) -> Iterator[tuple[float, Any]]:
    """Decoded pictures from `start` to the end, at most so many a second, with their times."""
    next_time, left = start, max(_FREE_PIXELS, _PIXELS_PER_BYTE * path.stat().st_size)
    with opened(path) as container:
        stream, zero = container.streams[facts.index], origin(container)
        coming = _passed_over(_from(container, stream, start, note), stream, zero, start, rate)
        # Pictures that no other one is made from need no deblocking: a fifth of the time, nothing to see.
        items = decode(coming, stream, note, options={"skip_loop_filter": "noref"})
        for time, frame in timed(items, stream, zero, note):
            left -= frame.width * frame.height
            if left < 0:
                raise MediaError("refused: the file holds more pictures than its size can hold", where=str(path))
            if time + _TINY < next_time:
                continue
            if rate is not None:
                next_time = start + (_step(time - start, rate) + 1) / rate
            yield time, frame


def _step(seconds: float, rate: float) -> int:
    """The number of the step in time, of which the first picture is looked at."""
    return math.floor(seconds * rate + _TINY * rate)


def _passed_over(packets: Iterator[Any], stream: Any, origin: float, start: float, rate: float | None) -> Iterator[Any]:
    """The packets, and with each the decoder is told whether its picture will be looked at.

    It is not, if it comes before the start, or if an earlier one of the same step has been decoded. The decoder then
    leaves it out, unless another picture is made from it; what is looked at is the same to the last bit.
    """
    known: deque[tuple[int, float]] = deque(maxlen=_REORDERED)
    skipped = ""
    for packet in packets:
        time = start if packet.pts is None else float(packet.pts * packet.time_base) - origin
        needless = time + _TINY < start
        if rate is not None and packet.pts is not None and not needless:
            step = _step(time - start, rate)
            needless = any(number == step and other < time for number, other in known)
            if not needless:
                known.append((step, time))
        if skipped != (asked := "NONREF" if needless else "DEFAULT"):
            stream.codec_context.skip_frame = skipped = asked
        yield packet


def decoded(
    container: Any, stream: Any, note: Note, start: float = 0.0, *, options: dict[str, str] | None = None
) -> Iterator[Any]:
    """Everything that a stream still gives, from a key frame before `start`; nothing where its codec is not known."""
    yield from decode(_from(container, stream, start, note), stream, note, options=options)


def _from(container: Any, stream: Any, start: float, note: Note) -> Iterator[Any]:
    """The packets of a stream from a key frame before `start`, to its end."""
    return packets(container, [stream], note) if start <= _TINY else _packets_from(container, stream, start, note)


def decode(items: Iterable[Any], stream: Any, note: Note, *, options: dict[str, str] | None = None) -> Iterator[Any]:
    """What packets of a stream hold; damaged ones are counted and left out."""
    import av

    if stream.codec_context is None:
        return
    stream.codec_context.thread_count = 1  # files are worked on side by side, so threads would only get in the way
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), **(options or {})}
    damaged = 0
    for packet in items:
        try:
            yield from packet.decode()
        except av.EOFError:
            break
        except (av.FFmpegError, ValueError):
            damaged += 1
    if damaged:
        kind = "video" if stream.type == "video" else "sound"
        note(f"{damaged} packet{'s' * (damaged > 1)} of the {kind} stream cannot be decoded; the rest is kept")


def sought(container: Any, start: float) -> bool:
    """Go to a key frame before `start`; False where the file cannot be gone about in."""
    import av

    try:
        container.seek(int((start + origin(container)) * 1_000_000), backward=True)
    except (av.FFmpegError, OverflowError):
        return False
    return True


def _packets_from(container: Any, stream: Any, start: float, note: Note) -> Iterator[Any]:
    """Packets of a stream from a key frame at or before `start`.

    Where a file has no index (MPEG), seeking guesses and may land behind that key frame: then it goes back further.
    """
    back = 0.0
    while start - back > _TINY:
        if not sought(container, start - back):
            note("the file has no index; reading from its beginning")
            break
        held: list[Any] = []
        for packet in packets(container, [stream], note):
            held.append(packet)
            if packet.is_keyframe and packet.pts is not None:
                break
        if held and held[-1].pts is not None and float(held[-1].pts * held[-1].time_base) - origin(container) <= start:
            yield from held
            break
        back = 2 * back + 1
    else:
        sought(container, -10.0)  # to its very beginning
    yield from packets(container, [stream], note)


def packets(container: Any, streams: list[Any], note: Note = lambda _: None) -> Iterator[Any]:
    """The packets of some streams, up to where the file ends or breaks off."""
    import av

    try:
        yield from container.demux(streams)
    except av.FFmpegError as error:
        note(f"the file is incomplete ({error.strerror}); what comes before is kept")


def timed(items: Iterator[Any], stream: Any, origin: float, note: Note) -> Iterator[tuple[float, Any]]:
    """Each piece with its time in seconds; times always increase."""
    last, length = -np.inf, 0.0
    for item in items:
        time = item.time
        if time is None:
            note("some time stamps are missing; their times are those of the piece before and its length")
            time = last + length if np.isfinite(last) else origin
        else:
            time -= origin
        if stream.type == "video":
            ticks = getattr(item, "duration", 0) or 0  # PyAV 16 and older do not tell
            length = float(ticks * (item.time_base or 0)) or 1 / float(stream.average_rate or 25)
            if time <= last:
                note("some frames have times that run backwards; they are left out")
                continue
        else:
            length = item.samples / item.sample_rate
        last = time
        yield time, item


def origin(container: Any) -> float:
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

    known = [stream for stream in streams if stream.codec_context is not None]
    if len(known) < len(streams):
        note(f"nothing here can decode {len(streams) - len(known)} of the {len(streams)} {kind} streams")
    if not known:
        return None
    best = max(known, key=lambda stream: (bool(stream.disposition & av.stream.Disposition.default), size(stream)))
    if len(known) > 1:
        note(f"the file has {len(known)} {kind} streams; stream {best.index} is taken")
    return best


def _check_file(path: Path) -> None:
    """Say plainly what is wrong before libav says it in its own way; a pipe or a device is never opened."""
    try:
        size = check_regular_file(path)
        with path.open("rb"):
            pass
    except DataError as error:
        what = "no such file" if "no such file" in error.what else error.what
        raise MediaError(what, where=str(path), fix=error.fix) from error
    except OSError as error:
        raise MediaError(f"cannot read: {error.strerror}", where=str(path)) from error
    if not size:
        raise MediaError("the file is empty", where=str(path), fix="download or export it again")


def _what_it_is(path: Path, error: BaseException) -> str:
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
        return f"this is not a readable video or sound file ({getattr(error, 'strerror', None) or error})"
    return "this is a text file, not a video or sound file"
