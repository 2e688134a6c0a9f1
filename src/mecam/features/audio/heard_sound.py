"""Sound that still comes in: its last seconds, asked for by their time as of a file, and its rows as they grow."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.acoustics import RATE_HZ, ROWS_PER_S
from mecam.features.audio.level import gain_of
from mecam.features.audio.prosody import REACH, STEP, LevelledProsody, Prosody, half_seconds
from mecam.features.audio.voice_extractors import CONTEXT_ROWS, Acoustics, acoustic_rows
from mecam.features.audio.whisper_encoder import PIECE_S, ROW, WhisperEncoder
from mecam.features.extractor import Features
from mecam.features.media import Sound, SoundFacts, SoundSource

__all__ = ["GROWING", "GrowingRows", "HeardSound"]

SLACK_S = 0.1
"""By how much the time of a block may differ from the end of the one before and still follow it: clocks tremble."""
BEFORE_S = PIECE_S + 1.0
"""Seconds of sound that are kept before the first row: what a row hears, or a piece that is encoded at once."""
GAIN_STEP_DB = 1.0
"""The level is followed in such steps, so that rows are not measured anew all the time."""


class HeardSound:
    """A `SoundSource` of the last seconds of a sound that comes in block by block; memory stays flat.

    Args:
        hold_s: seconds that are kept.
        rate: samples a second of what comes in.

    Attributes:
        late_s: seconds of sound that came when that time was over.
    """

    def __init__(self, hold_s: float, rate: int = RATE_HZ) -> None:
        self.hold_s, self.late_s = hold_s, 0.0
        self._rate, self._due = rate, 0.0
        self._first = 0
        self._held = np.zeros(0, np.float32)
        self._resampler: Any = None
        self._gain: tuple[int, float] | None = None

    @property
    def sound(self) -> SoundFacts | None:
        """What it is; None while nothing was heard."""
        return SoundFacts(0, "pcm_s16le", self._rate, 1) if len(self._held) else None

    @property
    def start(self) -> float:
        """Seconds of the first sample that is kept."""
        return self._first / RATE_HZ

    @property
    def duration(self) -> float:
        """Seconds at which it ends so far."""
        return (self._first + len(self._held)) / RATE_HZ

    def add(self, time: float, samples: NDArray[np.float32]) -> None:
        """Take in a block. What should have come before is silence; what comes a second time is left out.

        Args:
            time: seconds of its first sample, 0 or later.
            samples: mono, in [−1, 1].
        """
        gap = time - self._due if len(self._held) else np.inf
        if gap < -SLACK_S:
            late = min(round(-gap * self._rate), len(samples))
            self.late_s += late / self._rate
            samples, time = samples[late:], self._due
            if not len(samples):
                return
        elif gap <= SLACK_S:
            time = self._due
        else:
            self._leap(time)
        self._due = time + len(samples) / self._rate
        self._append(self._resampled(samples))

    def sound_blocks(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = RATE_HZ, seconds: float = 1.0
    ) -> Iterator[Sound]:
        """As `Media.sound_blocks`, all in one block."""
        time, samples = self.waveform(start, stop)
        if len(samples):
            yield Sound(time, samples if rate == RATE_HZ else _at_rate(samples, _resampler(rate), RATE_HZ, end=True))

    def waveform(
        self, start: float = 0.0, stop: float | None = None, *, rate: int = RATE_HZ
    ) -> tuple[float, NDArray[np.float32]]:
        """As `Media.waveform`, of what is kept; at 16 kHz."""
        assert rate == RATE_HZ
        first = max(int(np.ceil((start - self.start) * RATE_HZ - 1e-3)), 0)
        last = len(self._held) if stop is None else int(np.ceil((stop - self.start) * RATE_HZ - 1e-3))
        if first >= min(last, len(self._held)):
            return start, np.zeros(0, np.float32)
        return self.start + first / RATE_HZ, self._held[first:last]

    def gain(self) -> float:
        """As `Media.gain`, of what is kept, to the nearest `GAIN_STEP_DB`."""
        end = self._first + len(self._held)
        if self._gain is None or self._gain[0] != end:
            steps = round(20 * np.log10(gain_of([self._held[-round(self.hold_s * RATE_HZ) :]])) / GAIN_STEP_DB)
            self._gain = end, float(10 ** (steps * GAIN_STEP_DB / 20))
        return self._gain[1]

    def _leap(self, time: float) -> None:
        """Go on at a later time: what lies between is silence."""
        if self._resampler is not None:
            self._append(_at_rate(np.zeros(0, np.float32), self._resampler, self._rate, end=True))
            self._resampler = None
        hole = round(time * RATE_HZ) - self._first - len(self._held)
        if not len(self._held) or hole > self._most():
            self._first, self._held = round(time * RATE_HZ), np.zeros(0, np.float32)
        else:
            self._append(np.zeros(max(hole, 0), np.float32))

    def _append(self, samples: NDArray[np.float32]) -> None:
        gone = max(len(self._held) + len(samples) - self._most(), 0)
        self._held = np.concatenate([self._held, samples])[gone:]
        self._first += gone

    def _most(self) -> int:
        return round((self.hold_s + BEFORE_S) * RATE_HZ)

    def _resampled(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._rate == RATE_HZ:
            return samples
        self._resampler = self._resampler or _resampler(RATE_HZ)
        return _at_rate(samples, self._resampler, self._rate)


def _resampler(rate: int) -> Any:
    import av

    return av.AudioResampler("flt", "mono", rate)


def _at_rate(samples: NDArray[np.float32], resampler: Any, rate: int, *, end: bool = False) -> NDArray[np.float32]:
    """Samples of `rate` a second through a resampler, which keeps a few of them until the end."""
    import av

    frames = []
    if len(samples):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate = rate
        frames += resampler.resample(frame)
    if end:
        frames += resampler.resample(None)
    found = [frame.to_ndarray()[0].astype(np.float32, copy=False) for frame in frames if frame is not None]
    return np.concatenate([np.zeros(0, np.float32), *found])


class _Grown(NamedTuple):
    """How the rows of an extractor grow.

    Attributes:
        rows_per_s: how dense they are.
        cell_s: seconds that are measured together.
        reach_s: seconds after a cell that its rows hear, too.
        levelled: whether the sound is brought to one level first.
        measure: the rows from a time on.
    """

    rows_per_s: float
    cell_s: float
    reach_s: float
    levelled: bool
    measure: Callable[[SoundSource, float], Features]


_ROW_S, _QUARTER_S = 1 / ROWS_PER_S, STEP / ROWS_PER_S
_HEARS_S = (CONTEXT_ROWS + 1) / ROWS_PER_S
_QUARTER_HEARS_S = _HEARS_S + (REACH + 1) / ROWS_PER_S

GROWING: Mapping[str, _Grown] = {
    Acoustics.name: _Grown(ROWS_PER_S, _ROW_S, _HEARS_S, False, acoustic_rows),
    Prosody.name: _Grown(
        1 / _QUARTER_S, _QUARTER_S, _QUARTER_HEARS_S, False, lambda sound, start: half_seconds(sound, start, None)
    ),
    LevelledProsody.name: _Grown(
        1 / _QUARTER_S,
        _QUARTER_S,
        _QUARTER_HEARS_S,
        True,
        lambda sound, start: half_seconds(sound, start, None, gain=sound.gain()),
    ),
    WhisperEncoder.name: _Grown(
        RATE_HZ / ROW, float(PIECE_S), 0.0, True, lambda sound, start: WhisperEncoder()(sound, start)
    ),
}
"""Name of an extractor → how its rows grow."""


@dataclass(frozen=True)
class _Settled:
    """Rows that no sound to come will change: all before `stop`, in seconds."""

    rows: Features
    stop: float


@dataclass
class GrowingRows:
    """The rows of one extractor of a sound that still comes in, those of its last seconds.

    A row is measured once, as soon as all that it hears is there; the last ones, of which more is to come, every time.

    Attributes:
        extractor: its name, one of `GROWING`.
        sound: what is heard.
        known: the rows as they were when they were last asked for.
    """

    extractor: str
    sound: HeardSound
    known: Features | None = None
    _settled: dict[float, _Settled] = field(default_factory=dict)

    def features(self) -> Features | None:
        """The rows so far; None while nothing was heard."""
        how, sound = GROWING[self.extractor], self.sound
        if sound.sound is None:
            return None
        begin = max(sound.start, sound.duration - sound.hold_s)
        first = max(int(begin / how.cell_s + 1e-6) * how.cell_s, 0.0)
        gain = sound.gain() if how.levelled else 1.0
        settled = self._settled.pop(gain, None)
        if settled is None or settled.stop < first:
            settled = _Settled(Features(np.zeros((0, 0), np.float32), np.zeros((0, 2))), first)
        rows = settled.rows.between(first, np.inf)
        if round(sound.duration * how.rows_per_s) > round(settled.stop * how.rows_per_s):
            rows = _together(rows, how.measure(sound, settled.stop))
        stop = max(int((sound.duration - how.reach_s) / how.cell_s + 1e-6) * how.cell_s, settled.stop)
        others = list(self._settled.items())[-1:]  # a level that trembles comes back to where it was
        self._settled = {**dict(others), gain: _Settled(rows.between(0.0, stop), stop)}
        self.known = rows
        return rows


def _together(rows: Features, more: Features) -> Features:
    if not len(rows.values):
        return replace(more, details={})
    values, intervals = np.concatenate([rows.values, more.values]), np.concatenate([rows.intervals, more.intervals])
    return Features(values, intervals)
