"""A recording that is damaged as it is read: to the extractors it is a recording like any other."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import generator_for
from mecam.errors import DataError
from mecam.features.corruption.kinds import HELD_KINDS, KINDS, Damage, Medium, drawn
from mecam.features.corruption.pictures import View
from mecam.features.corruption.sounds import Samples, Scene, active_power, lost_runs
from mecam.features.media import Frame, Media, Sound

__all__ = ["PIECE_S", "DamagedMedia"]

PIECE_S = 10.0
"""Seconds that are damaged together; each has its own stretch, so that long recordings are damaged all over."""
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


class DamagedMedia(Media):
    """`Media` whose sound and pictures carry known negative information.

    The same file, damages and name give the same result, whatever stretches are read in whatever order.

    Args:
        path: the file.
        damages: what befalls it, one after the other.
        name: of the recording; its place and noise are drawn from it.
        others: recordings that babble is made from.

    Attributes:
        touched: kind → start and stop in seconds of what was read and touched.

    Raises: DataError if babble is asked for and there are no other recordings; MediaError as `Media` does.
    """

    def __init__(self, path: str | Path, damages: Sequence[Damage], *, name: str, others: Sequence[Path] = ()) -> None:
        super().__init__(path)
        self.name, self.others = name, tuple(others)
        self.damages = drawn(damages, _generator(0, name, *(damage.seed for damage in damages)))
        self.touched: dict[str, list[tuple[float, float]]] = {}
        if not others and any(damage.kind == "babble" for damage in self.damages):
            raise DataError("babble is made from other recordings, and there are none", where=str(path))

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
        """Stream the damaged sound; see `Media.sound_blocks`."""
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
        """Stream the damaged pictures; see `Media.frames`."""
        mine, shown = self._of("picture"), None
        for frame in super().frames(start, stop, rate=rate, max_side=max_side):
            image = frame.image
            for number, damage in mine:
                if self._befalls(damage, number, frame.time) and not (damage.kind in HELD_KINDS and shown is None):
                    self._note_touched(damage.kind, frame.time, frame.time + TICK_S)
                    image = self._damaged(image, damage, number, frame.time, shown)
            shown = image
            yield Frame(frame.time, image)

    def _of(self, medium: Medium) -> list[tuple[int, Damage]]:
        return [(number, damage) for number, damage in enumerate(self.damages) if damage.medium == medium]

    def _rng(self, number: int, damage: Damage, *what: object) -> np.random.Generator:
        return _generator(damage.seed, self.name, number, damage.kind, *what)

    def _stretch(self, number: int, damage: Damage, piece: int) -> tuple[float, float]:
        """Seconds of a piece that are touched."""
        rng = self._rng(number, damage, piece, "place")
        begin = piece * PIECE_S
        begin, length = _part(begin, min(begin + PIECE_S, self.duration) - begin, damage.extent, rng)
        if damage.kind in ("blank", "frozen"):  # their level is a share of the stretch
            begin, length = _part(begin, length, damage.level, rng)
        return begin, begin + length

    def _pieces(
        self, mine: list[tuple[int, Damage]], start: float, stop: float | None, rate: int
    ) -> Iterator[tuple[float, Samples]]:
        """Damaged sound, piece after piece, cut to what is asked for."""
        stop = self.duration + PIECE_S if stop is None else stop
        for piece in range(int(max(start, 0.0) // PIECE_S), int(np.ceil(stop / PIECE_S))):
            blocks = list(super().sound_blocks(piece * PIECE_S, (piece + 1) * PIECE_S, rate=rate, seconds=2 * PIECE_S))
            if not blocks:
                if piece * PIECE_S > self.duration:
                    return
                continue
            at, samples = blocks[0]
            for number, damage in mine:
                samples = self._hurt(at, samples, number, damage, piece, rate)
            first = max(int(np.ceil((start - at) * rate - 1e-3)), 0)
            last = min(int(np.ceil((stop - at) * rate - 1e-3)), len(samples))
            if first < last:
                yield at + first / rate, samples[first:last]

    def _hurt(self, at: float, samples: Samples, number: int, damage: Damage, piece: int, rate: int) -> Samples:
        """One piece of sound with one damage; what was touched is noted."""
        begin, end = self._stretch(number, damage, piece)
        first, last = (int(np.clip(round((time - at) * rate), 0, len(samples))) for time in (begin, end))
        voices = tuple(_voice(path, rate) for path in self.others) if damage.kind == "babble" else ()
        scene = Scene(rate, self._rng(number, damage, piece), active_power(samples, rate), voices)
        function = KINDS[damage.kind].damage
        assert function is not None
        part, touched = function(samples[first:last], damage.level, scene)
        edges = np.flatnonzero(np.diff(touched, prepend=False, append=False).astype(np.int8))
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            self._note_touched(damage.kind, at + (first + left) / rate, at + (first + right) / rate)
        return np.concatenate([samples[:first], part, samples[last:]])

    def _befalls(self, damage: Damage, number: int, time: float) -> bool:
        """Is the picture at this time one that is touched?"""
        piece = int(max(time, 0.0) // PIECE_S)
        begin, end = self._stretch(number, damage, piece)
        if not begin <= time < end:
            return False
        if damage.kind != "drops":
            return True
        lost = lost_runs(int(PIECE_S * SLOTS_PER_S), damage.level, self._rng(number, damage, piece, "lost"))
        return bool(lost[min(int((time - piece * PIECE_S) * SLOTS_PER_S + 1e-6), len(lost) - 1)])

    def _damaged(
        self, image: NDArray[np.uint8], damage: Damage, number: int, time: float, shown: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        if damage.kind == "blank":
            return np.zeros_like(image)
        if damage.kind in HELD_KINDS:
            assert shown is not None
            return shown
        function = KINDS[damage.kind].damage
        assert function is not None
        face = _face(image) if damage.kind == "occlusion" else None
        view = View(self._rng(number, damage, round(time * 1000)), face)
        damaged: NDArray[np.uint8] = function(image, damage.level, view)
        return damaged

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
