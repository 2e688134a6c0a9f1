"""How the sound of a file becomes one channel at one rate: every channel count, whatever its layout, at one level.

Channels are averaged, so that the same voice is as loud in one channel as in sixteen. Silent ones are left out, and
those of opposite phase, which would cancel the voice, are turned; both are told. Which ones is found out once for a
file, at places all over it, so that a stretch gives the same samples as the whole.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MediaError
from mecam.features.decoding import Note, decode, decoded, opened, origin, packets, sought, timed
from mecam.features.duration import GAP, MAX_GAP_SECONDS, Course, joined, most_seconds

__all__ = ["RATES", "Mix", "Sound", "Way", "mix_of", "sound", "weights_of"]

RATES = (2_000, 768_000)
"""Samples a second between which there can be a voice."""
_MAX_CHANNEL_GAP_DB = 25.0
"""A channel this much softer than the loudest is left out of the mix: it adds nothing, and the mean would be softer."""
_MIN_POWER = 1e-6
"""Mean square (−60 dB) from which a place tells something about the channels."""
_OPPOSITE = 0.3
"""Where the plain mean keeps less than this part of the power that turning channels would keep, they are turned."""
_LISTEN_S, _ENOUGH_S, _PLACES, _SHORT_S = 0.5, 3.0, 24, 8.0
"""Seconds listened to at a place; seconds of sound that are enough; most places; a shorter file is heard whole."""
_BEFORE_S = 0.5
"""Seconds before a stretch from which it is decoded."""
_AT_ONCE = 4096
"""Samples that are resampled at once: a frame of a hundred channels holds twenty."""
_FULL_SCALE = {"u1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}

Mix = Mapping[int, NDArray[np.float32]]
"""Number of channels → what each weighs; of other numbers all weigh the same."""


class Sound(NamedTuple):
    """A stretch of sound: seconds of its first sample, and mono float32 samples."""

    time: float
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """How a file's sound is come by.

    Attributes:
        path: the file.
        index: number of the stream.
        mix: what its channels weigh.
        course: where its packets lie, in a file without an index.
    """

    path: Path
    index: int
    mix: Mix
    course: Course | None


def sound(way: Way, start: float, stop: float | None, rate: int, seconds: float, note: Note) -> Iterator[Sound]:
    """Stream mono sound between `start` and `stop`; see `Media.sound_blocks`."""
    size = max(round(seconds * rate), 1)
    pending: list[NDArray[np.float32]] = []
    held, begin = 0, None
    for piece in _cut(_pieces(way, start, rate, note), start, stop, rate):
        begin = piece.time if begin is None else begin
        pending.append(piece.samples)
        held += len(piece.samples)
        while held >= size:
            joined = np.concatenate(pending)
            yield Sound(begin, joined[:size])
            pending, held, begin = [joined[size:]], held - size, begin + size / rate
    if held and begin is not None:
        yield Sound(begin, np.concatenate(pending))


def mix_of(path: Path, index: int, duration: float, note: Note) -> Mix:
    """What the channels of a stream weigh in the mix, by what is heard at places all over the file."""
    shares: dict[int, NDArray[np.float64]] = {}
    for channels in _heard(path, index, duration):
        count = len(channels)
        centred = np.nan_to_num(channels.astype(np.float64), posinf=0.0, neginf=0.0)
        centred -= centred.mean(axis=1, keepdims=True)
        shares[count] = shares.get(count, np.zeros((count, count))) + centred @ centred.T
    mix = {}
    for count, share in shares.items():
        mix[count], said = weights_of(share)
        if said:
            note(said)
    return mix


def weights_of(share: NDArray[np.float64]) -> tuple[NDArray[np.float32], str]:
    """What the channels weigh in the mix.

    Args:
        share: their covariance, C × C, on any scale.

    Returns: C weights whose sizes sum to 1, and a sentence about what is unusual, or "".
    """
    power = np.diag(share)
    count, loud = len(power), power > power.max() * 10 ** (-_MAX_CHANNEL_GAP_DB / 10)
    signs = loud.astype(np.float64)  # of silence: zeros, below
    if not loud.any():
        return np.full(count, 1 / count, np.float32), ""
    said = []
    if not loud.all():
        said.append(
            f"{count - int(loud.sum())} of {count} channels are silent, or nearly; they are left out of the mix"
        )
    main = np.where(loud, np.linalg.eigh(np.where(np.outer(loud, loud), share, 0.0))[1][:, -1], 0.0)
    turned = np.where(main < 0, -1.0, 1.0) * loud
    turned *= 1.0 if turned.sum() > 0 or (turned.sum() == 0 and turned[loud.argmax()] > 0) else -1.0
    if signs @ share @ signs < _OPPOSITE * (turned @ share @ turned):
        signs = turned
        said.append(
            f"{int((turned < 0).sum())} of {count} channels have the opposite phase and would cancel the sound; they "
            "are turned before the mix"
        )
    return (signs / loud.sum()).astype(np.float32), "; ".join(said)


def _heard(path: Path, index: int, duration: float) -> Iterator[NDArray[np.float32]]:
    """Stretches of sound, channels × samples, until enough is heard that is no silence."""
    import av

    with opened(path) as container:
        stream = container.streams[index]
        if duration <= _SHORT_S:
            yield from _joined(decoded(container, stream, lambda _: None))
            return
        heard = 0.0
        for place in range(_PLACES):
            time = (place * 0.618034 + 0.5) % 1 * (duration - _LISTEN_S) + origin(container)
            with suppress(av.FFmpegError, OverflowError):  # then what follows is listened to
                container.seek(int(time / float(stream.time_base)), stream=stream)
            for channels in _joined(_listened(container, stream)):
                if float(np.square(channels).mean(axis=1).max()) > _MIN_POWER:
                    heard += _LISTEN_S
                    yield channels
            if heard >= _ENOUGH_S:
                return


def _joined(frames: Iterable[Any]) -> Iterator[NDArray[np.float32]]:
    """Channels × samples of about half a second, of frames that may hold a few samples each."""
    for _, run in itertools.groupby(frames, key=lambda frame: (frame.layout.nb_channels, frame.sample_rate)):
        waiting: list[NDArray[np.float32]] = []
        held = 0.0
        for frame in run:
            waiting.append(_channels(frame))
            held += frame.samples / frame.sample_rate
            if held >= _LISTEN_S:
                yield np.concatenate(waiting, axis=1)
                waiting, held = [], 0.0
        if waiting:
            yield np.concatenate(waiting, axis=1)


def _listened(container: Any, stream: Any) -> Iterator[Any]:
    """What comes next in a container, about half a second of it."""
    import av

    left = _LISTEN_S
    for packet in packets(container, [stream]):
        try:
            for frame in packet.decode():
                left -= frame.samples / frame.sample_rate
                yield frame
        except (av.FFmpegError, ValueError):
            left -= 0.01  # a damaged stretch shall not be read to the end of the file
        if left <= 0:
            return


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


def _pieces(way: Way, start: float, rate: int, note: Note) -> Iterator[Sound]:
    """Resampled mono sound in the stream's own portions, each following the one before."""
    most = most_seconds(way.path)
    mixer, begin, given, due = _Mixer(way.mix, rate, note), 0.0, 0, None
    for time, frame in _frames(way, start, note):
        if due is None:
            begin = due = time
        elif time - due > GAP:
            if time - due > MAX_GAP_SECONDS:
                raise MediaError(
                    f"refused: the sound has a hole of {(time - due) / 3600:.1f} hours at {due:.1f} s",
                    where=str(way.path),
                    fix="its time stamps are damaged; export the file again, or cut it there",
                )
            note(f"the sound has a hole at {due:.2f} s; it is filled with silence")
            yield Sound(begin + given / rate, (rest := mixer.flush()))
            given += len(rest)
            hole = max(round((time - begin) * rate) - given, 0)
            yield from _silence(begin + given / rate, hole, rate)
            given, due = given + hole, time
        samples = mixer(frame, time)
        yield Sound(begin + given / rate, samples)
        given, due = given + len(samples), due + frame.samples / frame.sample_rate
        if given / rate > most:
            raise MediaError("refused: the file holds more sound than its size can hold", where=str(way.path))
    yield Sound(begin + given / rate, mixer.flush())


def _frames(way: Way, start: float, note: Note) -> Iterator[tuple[float, Any]]:
    """Decoded sound with its time, from a little before `start`: decoders need some packets to come to themselves."""
    early = start - _BEFORE_S
    if early > 0:
        with opened(way.path) as container:
            stream = container.streams[way.index]
            items = packets(container, [stream], note) if sought(container, early) else iter(())
            first = next(items, None)
            if first is not None and _is_right(first, start, origin(container), way.course):
                found = decode(itertools.chain([first], items), stream, note)
                yield from timed(found, stream, origin(container), note)
                return
    with opened(way.path) as container:
        stream, zero, shift = container.streams[way.index], origin(container), 0.0
        items = packets(container, [stream], note)
        for packet, begin, end in joined(items, [stream], zero) if early > 0 else ():
            if end > early:
                shift = 0.0 if packet.pts is None else begin - (packet.pts * float(packet.time_base) - zero)
                items = itertools.chain([packet], items)
                break
        for time, frame in timed(decode(items, stream, note), stream, zero, note):
            yield time + shift, frame


def _is_right(packet: Any, start: float, origin: float, course: Course | None) -> bool:
    """True if a file was entered before `start`, and where its time stamps say: in some they begin anew half-way."""
    if packet.pts is None:
        return False
    time = packet.pts * float(packet.time_base) - origin
    return time <= start and (course is None or abs(course.time_at(packet.pos) - time) <= GAP)


def _silence(time: float, count: int, rate: int) -> Iterator[Sound]:
    """Zeros, in portions, as a hole may be long."""
    for done in range(0, count, rate):
        yield Sound(time + done / rate, np.zeros(min(rate, count - done), np.float32))


class _Mixer:
    """Decoded sound to mono float32 at one rate; a change of format within the stream is allowed.

    The channels are not mixed by libswresample, which knows few layouts and raises the level with their number.
    """

    def __init__(self, mix: Mix, rate: int, note: Note) -> None:
        self._mix, self._rate, self._note = mix, rate, note
        self._channels = self._own_rate = self._held = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._resampler: Any = None

    def __call__(self, frame: Any, time: float) -> NDArray[np.float32]:
        count, rest = frame.layout.nb_channels, np.zeros(0, np.float32)
        if self._channels and count != self._channels:
            self._note(f"the number of channels changes from {self._channels} to {count} at {time:.1f} s")
        self._channels = count
        if frame.sample_rate != self._own_rate:
            rest, self._own_rate = self.flush(), frame.sample_rate
        mono = self._mono(_channels(frame))
        self._waiting.append(mono)
        self._held += len(mono)
        return np.concatenate([rest, self._resampled()]) if self._held >= _AT_ONCE else rest

    def flush(self) -> NDArray[np.float32]:
        """The samples still inside; the next frame starts anew."""
        rest = self._resampled()
        if self._resampler is not None:
            rest = np.concatenate([rest, *_samples(self._resampler.resample(None))])
        self._resampler = None
        return rest

    def _resampled(self) -> NDArray[np.float32]:
        import av

        if not self._held:
            return np.zeros(0, np.float32)
        frame = av.AudioFrame.from_ndarray(np.concatenate(self._waiting)[None], format="flt", layout="mono")
        frame.sample_rate = self._own_rate
        self._waiting, self._held = [], 0
        if self._resampler is None:
            self._resampler = av.AudioResampler("flt", "mono", self._rate)
        return np.concatenate([np.zeros(0, np.float32), *_samples(self._resampler.resample(frame))])

    def _mono(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        finite = np.isfinite(channels)
        if not finite.all():
            self._note("some samples of the sound are no numbers; they are taken for silence")
            channels = np.where(finite, channels, np.float32(0))
        weights = self._mix.get(len(channels))
        return np.asarray(channels.mean(axis=0) if weights is None else weights @ channels, np.float32)


def _channels(frame: Any) -> NDArray[np.float32]:
    """Channels × samples, full scale at 1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    kind = values.dtype.str[1:]
    if kind not in _FULL_SCALE:
        return np.asarray(values, np.float32)
    centred = values.astype(np.float32) - np.float32(128 if kind == "u1" else 0)
    return np.asarray(centred / np.float32(_FULL_SCALE[kind]), np.float32)


def _samples(frames: list[Any]) -> list[NDArray[np.float32]]:
    return [frame.to_ndarray()[0].astype(np.float32, copy=False) for frame in frames if frame is not None]
