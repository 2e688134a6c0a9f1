"""A recording that is corrupted as it is read: to the extractors it is a recording like any other."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import Corruption, generator_for
from mecam.errors import DataError
from mecam.features.corruption.kinds import HELD_KINDS, KINDS, Medium, check_corruption, drawn
from mecam.features.corruption.pictures import PictureContext
from mecam.features.corruption.sounds import Samples, SoundContext, active_power, lost_runs
from mecam.features.media import Frame, Glance, Media, Sound

__all__ = ["PIECE_S", "CorruptedMedia"]

PIECE_S = 10.0
"""Seconds that are corrupted together; each has its own stretch, so that long recordings are corrupted all over."""
SLOTS_PER_S = 25.0
"""Frames are lost in slots of this length, whatever the picture's own rate."""
VOICE_S = 10.0
"""Seconds of another recording that babble is made from."""
FACE_SIDE = 320
TICK_S = 1e-3
"""What a touched picture is noted as: a moment."""
GAP_S = 0.01
"""Touched samples this close are one interval."""

Times = NDArray[np.float64]


class CorruptedMedia(Media):
    """`Media` whose sound and pictures carry known negative information.

    The same file, corruptions and name give the same result, whatever stretches are read in whatever order.

    Args:
        path: the file.
        corruptions: put into it, one after the other.
        name: of the recording; its place and noise are drawn from it.
        others: recordings that babble is made from.

    Attributes:
        touched: kind → start and stop in seconds of what was read and touched.

    Raises: ConfigError if a corruption is not one of recordings; DataError if babble is asked for and there are no
        other recordings; MediaError as `Media` does.
    """

    def __init__(
        self, path: str | Path, corruptions: Sequence[Corruption], *, name: str, others: Sequence[Path] = ()
    ) -> None:
        super().__init__(path)
        self.name, self.others = name, tuple(others)
        for corruption in corruptions:
            check_corruption(corruption)
        self.corruptions = drawn(corruptions, _generator(0, name, *(corruption.seed for corruption in corruptions)))
        self.touched: dict[str, list[tuple[float, float]]] = {}
        if not others and any(corruption.kind == "babble" for corruption in self.corruptions):
            raise DataError("babble needs other recordings, and there are none", where=str(path))

    def spans(self, medium: Medium) -> dict[str, Times]:
        """Kind → N × 2 seconds, in time, of what was touched in this medium and has been read."""
        found = {}
        for kind, times in self.touched.items():
            if KINDS[kind].medium == medium and times:
                found[kind] = _joined(np.array(sorted(times)))
        return found

    def sound_blocks(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = 16_000, seconds: float = 1.0
    ) -> Iterator[Sound]:
        """Stream the corrupted sound; see `Media.sound_blocks`."""
        mine = self._of("sound")
        if not mine:
            yield from super().sound_blocks(start, stop, rate=rate, seconds=seconds)
            return
        size, held, begin = max(round(seconds * rate), 1), np.zeros(0, np.float32), None
        for at, samples in self._pieces(mine, start, stop, rate):
            begin = at if begin is None else begin
            held = np.concatenate([held, samples])
            while len(held) >= size:
                yield Sound(begin, held[:size])
                held, begin = held[size:], begin + size / rate
        if len(held) and begin is not None:
            yield Sound(begin, held)

    def frames(
        self,
        start: float = 0.0,
        stop: float | None = None,
        *,
        rate: float | None = None,
        max_side: int | None = None,
    ) -> Iterator[Frame]:
        """Stream the corrupted pictures; see `Media.frames`."""
        return self._corrupted(super().frames(start, stop, rate=rate, max_side=max_side))

    def glances(
        self,
        start: float = 0.0,
        stop: float | None = None,
        *,
        rate: float | None = None,
        max_side: int | None = None,
    ) -> Iterator[Frame]:
        """Stream the corrupted pictures, whole ones; see `Media.glances`."""
        return self._corrupted(super().glances(start, stop, rate=rate, max_side=max_side))

    def _corrupted(self, frames: Iterator[Frame] | Iterator[Glance]) -> Iterator[Frame]:
        mine, shown = self._of("picture"), None
        for frame in frames:
            image = np.asarray(frame.image)
            for number, corruption in mine:
                if self._touches(corruption, number, frame.time) and not (
                    corruption.kind in HELD_KINDS and shown is None
                ):
                    self._note_touched(corruption.kind, frame.time, frame.time + TICK_S)
                    image = self._corrupted_picture(image, corruption, number, frame.time, shown)
            shown = image
            yield Frame(frame.time, image)

    def _of(self, medium: Medium) -> list[tuple[int, Corruption]]:
        return [
            (number, corruption)
            for number, corruption in enumerate(self.corruptions)
            if KINDS[corruption.kind].medium == medium
        ]

    def _rng(self, number: int, corruption: Corruption, *what: object) -> np.random.Generator:
        return _generator(corruption.seed, self.name, number, corruption.kind, *what)

    def _stretch(self, number: int, corruption: Corruption, piece: int) -> tuple[float, float]:
        """Seconds of a piece that are touched."""
        rng = self._rng(number, corruption, piece, "place")
        begin = piece * PIECE_S
        begin, length = _part(begin, min(begin + PIECE_S, self.duration) - begin, corruption.extent, rng)
        if corruption.kind in ("blank", "frozen"):  # their level is a share of the stretch
            begin, length = _part(begin, length, corruption.severity, rng)
        return begin, begin + length

    def _pieces(
        self, mine: list[tuple[int, Corruption]], start: float, stop: float | None, rate: int
    ) -> Iterator[tuple[float, Samples]]:
        """Corrupted sound, piece after piece, cut to what is asked for."""
        stop = self.duration + PIECE_S if stop is None else stop
        for piece in range(int(max(start, 0.0) // PIECE_S), int(np.ceil(stop / PIECE_S))):
            blocks = list(super().sound_blocks(piece * PIECE_S, (piece + 1) * PIECE_S, rate=rate, seconds=2 * PIECE_S))
            if not blocks:
                if piece * PIECE_S > self.duration:
                    return
                continue
            at, samples = blocks[0]
            for number, corruption in mine:
                samples = self._corrupted_sound(at, samples, number, corruption, piece, rate)
            first = max(int(np.ceil((start - at) * rate - 1e-3)), 0)
            last = min(int(np.ceil((stop - at) * rate - 1e-3)), len(samples))
            if first < last:
                yield at + first / rate, samples[first:last]

    def _corrupted_sound(
        self, at: float, samples: Samples, number: int, corruption: Corruption, piece: int, rate: int
    ) -> Samples:
        """One piece of sound with one corruption; what was touched is noted."""
        begin, end = self._stretch(number, corruption, piece)
        first, last = (int(np.clip(round((time - at) * rate), 0, len(samples))) for time in (begin, end))
        voices = tuple(_voice(path, rate) for path in self.others) if corruption.kind == "babble" else ()
        context = SoundContext(rate, self._rng(number, corruption, piece), active_power(samples, rate), voices)
        function = KINDS[corruption.kind].corrupt
        assert function is not None
        part, touched = function(samples[first:last], corruption.severity, context)
        edges = np.flatnonzero(np.diff(touched, prepend=False, append=False).astype(np.int8))
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            self._note_touched(corruption.kind, at + (first + left) / rate, at + (first + right) / rate)
        return np.concatenate([samples[:first], part, samples[last:]])

    def _touches(self, corruption: Corruption, number: int, time: float) -> bool:
        """Is the picture at this time one that is touched?"""
        piece = int(max(time, 0.0) // PIECE_S)
        begin, end = self._stretch(number, corruption, piece)
        if not begin <= time < end:
            return False
        if corruption.kind != "drops":
            return True
        lost = lost_runs(int(PIECE_S * SLOTS_PER_S), corruption.severity, self._rng(number, corruption, piece, "lost"))
        return bool(lost[min(int((time - piece * PIECE_S) * SLOTS_PER_S + 1e-6), len(lost) - 1)])

    def _corrupted_picture(
        self,
        image: NDArray[np.uint8],
        corruption: Corruption,
        number: int,
        time: float,
        shown: NDArray[np.uint8] | None,
    ) -> NDArray[np.uint8]:
        if corruption.kind == "blank":
            return np.zeros_like(image)
        if corruption.kind in HELD_KINDS:
            assert shown is not None
            return shown
        function = KINDS[corruption.kind].corrupt
        assert function is not None
        face = _face(image) if corruption.kind == "occlusion" else None
        context = PictureContext(self._rng(number, corruption, round(time * 1000)), face)
        result: NDArray[np.uint8] = function(image, corruption.severity, context)
        return result

    def _note_touched(self, kind: str, start: float, stop: float) -> None:
        self.touched.setdefault(kind, []).append((start, stop))


def _generator(seed: int, *what: object) -> np.random.Generator:
    return generator_for(seed, *map(str, what))


def _part(begin: float, length: float, share: float, rng: np.random.Generator) -> tuple[float, float]:
    """Begin and length of a random part of a stretch."""
    kept = length * share
    return begin + float(rng.random()) * (length - kept), kept


def _joined(times: Times) -> Times:
    """Sorted intervals, those that touch or nearly touch as one."""
    new = np.flatnonzero(np.concatenate([[True], times[1:, 0] > np.maximum.accumulate(times[:-1, 1]) + GAP_S]))
    return np.column_stack([times[new, 0], np.maximum.reduceat(times[:, 1], new)])


@lru_cache(maxsize=16)
def _voice(path: Path, rate: int) -> Samples:
    """The beginning of another recording."""
    return Media(path).waveform(0.0, VOICE_S, rate=rate)[1]


def _face(image: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """Where the largest face is."""
    from mecam.features.vision.face_models import detect

    found = detect(image)
    if not found:
        return None
    box = max(found, key=lambda box: box.side)
    half = box.side / 2
    return box.x - half, box.y - half, box.x + half, box.y + half
