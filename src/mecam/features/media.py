"""A video or sound file: its facts, its frames and its sound, streamed with the container's own times.

Time 0 is where a player starts. Nothing here holds more than a few frames or a second of sound, however long the file.
What a damaged file still gives is kept; what was wrong is told in `Media.findings`.
"""

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MediaError
from mecam.features import decoding
from mecam.features.audio.level import gain_of
from mecam.features.audio.listening import RATES, Mix, Sound, Way, mix_of, sound
from mecam.features.decoding import Frame, Glance, SoundFacts, VideoFacts
from mecam.features.duration import seconds_of

__all__ = ["Frame", "Glance", "Media", "Progress", "Sound", "SoundFacts", "SoundSource", "VideoFacts", "nobody"]

Progress: TypeAlias = Callable[[str, float], None]
"""Told what is being read (`words`, `voice`, `faces`) and how much of it has been, 0 to 1; from any thread."""

_T = TypeVar("_T", Frame, Glance)

_LATE = 0.5
"""Seconds by which a stream may end before the file says so, without being called cut off."""


def nobody(what: str, part: float) -> None:
    """A `Progress` that tells nobody."""


@runtime_checkable
class SoundSource(Protocol):
    """Sound that can be asked for by its time: a `Media`, or what was heard so far of a sound that still comes in."""

    @property
    def sound(self) -> SoundFacts | None:
        """What it is; None where there is none."""

    @property
    def duration(self) -> float:
        """Seconds at which it ends."""

    def sound_blocks(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = 16_000, seconds: float = 1.0
    ) -> Iterator[Sound]:
        """As `Media.sound_blocks`."""

    def waveform(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = 16_000
    ) -> tuple[float, NDArray[np.float32]]:
        """As `Media.waveform`."""

    def gain(self) -> float:
        """As `Media.gain`."""


class Media:
    """A door to one file. Cheap to pickle; every reading opens the file anew, so several can go on at once.

    Args:
        path: a regular file that libav can read: mp4, mov, mkv, webm, avi, mpg, wav, flac, mp3 …

    Attributes:
        path: the file.
        format: the container's name.
        duration: seconds; what the file holds, whatever its header announces.
        video: the chosen video stream, or None where no frame can be decoded.
        sound: the chosen sound stream, or None where no sample can be decoded.
        findings: what is unusual or damaged, in sentences; reading adds to it.
        progress: told how far its pictures, and its words, have been read.

    Raises: MediaError if the file is missing, empty, unreadable, no media file, gives neither picture nor sound, or
        claims to be longer than a file of its size can be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.findings: list[str] = []
        self.progress: Progress = nobody
        self._mix: Mix | None = None
        self._gain: float | None = None
        with decoding.opened(self.path) as container:
            self.format: str = container.format.name
            self._has_video_stream = bool(container.streams.video)
            self._has_sound_stream = bool(container.streams.audio)
            video = decoding.best_video(container, self._note)
            sound_stream = decoding.best_sound(container, self._note)
            self.video = None if video is None else self._video_facts(video)
            self.sound = None if sound_stream is None else self._sound_facts(sound_stream)
            chosen = [facts.index for facts in (self.video, self.sound) if facts is not None]
            if not chosen:
                raise MediaError(self._nothing(), where=str(self.path), fix="download or export the file again")
            self.duration: float
            self.duration, self._course = seconds_of(container, self.path, chosen, self._note)

    def frames(
        self,
        start: float = 0.0,
        stop: float | None = None,
        *,
        rate: float | None = None,
        max_side: int | None = None,
    ) -> Iterator[Frame]:
        """Stream the pictures shown from `start` to `stop`.

        Args:
            start: seconds; the first frame has this time or later.
            stop: seconds; the last frame is before it. None: to the end.
            rate: at most this many frames a second, taken evenly in time; None: every frame.
            max_side: scale down so that the longer side has at most this many pixels; None: as it is.

        Yields: frames in increasing time, RGB, upright, with square pixels.
        Raises: MediaError if there is no video stream that gives frames.
        """
        return self._pictures(decoding.frames, start, stop, rate, max_side)

    def glances(
        self,
        start: float = 0.0,
        stop: float | None = None,
        *,
        rate: float | None = None,
        max_side: int | None = None,
    ) -> Iterator[Frame] | Iterator[Glance]:
        """Stream the pictures shown from `start` to `stop`, where only parts of them are looked at, such as faces.

        The same moments as `frames` gives. What is looked at becomes colours, the rest does not; where pictures are
        scaled down, colours are averaged.
        """
        return self._pictures(decoding.glances, start, stop, rate, max_side)

    def _pictures(
        self,
        read: Callable[..., Iterator[_T]],
        start: float,
        stop: float | None,
        rate: float | None,
        max_side: int | None,
    ) -> Iterator[_T]:
        if self.video is None:
            raise MediaError(self._lacks("picture", self._has_video_stream), where=str(self.path))
        last, ends = start, True
        for frame in read(self.path, self.video, start, rate, max_side, self._note):
            if stop is not None and frame.time >= stop:
                ends = False
                break
            last = frame.time
            self.progress("faces", last / max(self.duration, 1e-3))
            yield frame
        announced = self.duration if stop is None else min(stop, self.duration)
        if ends and last + _LATE < announced:
            self._note(f"the picture ends at {last:.1f} s of {self.duration:.1f} s")

    def sound_blocks(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = 16_000, seconds: float = 1.0
    ) -> Iterator[Sound]:
        """Stream the sound from `start` to `stop`, all channels mixed to one; see `mecam.features.audio.listening`.

        The blocks follow each other without gap: holes in the stream are silence. Sound that begins later than `start`
        gives a first block with that later time.

        Args:
            start: seconds.
            stop: seconds; None: to the end.
            rate: samples a second to convert to.
            seconds: length of a block; the last may be shorter.

        Yields: blocks of float32 in about [−1, 1].
        Raises: MediaError if there is no sound stream that gives samples.
        """
        if self.sound is None:
            raise MediaError(self._lacks("sound", self._has_sound_stream), where=str(self.path))
        if self._mix is None:
            index, several = self.sound.index, self.sound.channels > 1
            self._mix = mix_of(self.path, index, self.duration, self._note) if several else {}
        way = Way(self.path, self.sound.index, self._mix, self._course)
        yield from sound(way, start, stop, rate, seconds, self._note)

    def waveform(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = 16_000
    ) -> tuple[float, NDArray[np.float32]]:
        """Read the sound of a stretch at once.

        Returns: the time of the first sample in seconds, and the samples; (`start`, empty) where the stretch has none.
        Raises: MediaError if there is no sound stream that gives samples.
        """
        blocks = list(self.sound_blocks(start, stop, rate=rate, seconds=60.0))
        if not blocks:
            return start, np.zeros(0, np.float32)
        return blocks[0].time, np.concatenate([block.samples for block in blocks])

    def gain(self) -> float:
        """What brings its speech to the level of `mecam.features.audio.level`; its sound is read for it, once.

        Raises: MediaError if there is no sound stream that gives samples.
        """
        if self._gain is None:
            self._gain = gain_of(block.samples for block in self.sound_blocks(seconds=60.0))
        return self._gain

    def apart(self) -> "Media":
        """The same file for a thread that reads it beside this one: what it finds is its own, until `take_in`."""
        other = copy(self)
        other.findings = []
        return other

    def take_in(self, other: "Media") -> None:
        """Know what a Media that was `apart` has found, too."""
        for finding in other.findings:
            self._note(finding)
        if self._mix is None:
            self._mix = other._mix
        if self._gain is None:
            self._gain = other._gain

    def _note(self, finding: str) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def _video_facts(self, stream: Any) -> VideoFacts | None:
        size = stream.codec_context.width, stream.codec_context.height
        if size[0] * size[1] > decoding.MAX_PIXELS:
            self._note(f"pictures of {size[0]} × {size[1]} are refused: at most {decoding.MAX_PIXELS:,} pixels")
            return None
        first = decoding.first_frame(self.path, stream.index)
        if first is None:
            self._note("no frame of the video stream can be decoded")
            return None
        rotation = first.rotation % 360
        width, height = decoding.shown_size(first, float(stream.sample_aspect_ratio or 0))
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return VideoFacts(stream.index, stream.codec_context.name, width, height, rate, rotation)

    def _sound_facts(self, stream: Any) -> SoundFacts | None:
        first = decoding.first_frame(self.path, stream.index)
        if first is None:
            self._note("no sample of the sound stream can be decoded")
            return None
        if not RATES[0] <= first.sample_rate <= RATES[1]:
            self._note(f"the sound has {first.sample_rate:,} samples a second: there can be no voice in it")
            return None
        return SoundFacts(stream.index, stream.codec_context.name, first.sample_rate, first.layout.nb_channels)

    def _nothing(self) -> str:
        if not (self._has_video_stream or self._has_sound_stream):
            return "the file contains neither video nor audio"
        telling = [said for said in self.findings if "refused" in said or "no voice" in said]
        if telling:
            return "; ".join(telling)
        kinds = [name for name, has in (("frame", self._has_video_stream), ("sample", self._has_sound_stream)) if has]
        return f"no {' and no '.join(kinds)} of this file can be decoded"

    def _lacks(self, what: str, has_stream: bool) -> str:
        return f"the {what} stream cannot be decoded" if has_stream else f"the file has no {what}"
