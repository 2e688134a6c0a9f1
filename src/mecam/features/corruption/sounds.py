"""Corruptions of sound: pure functions of samples, a level and a context.

Each returns new samples and which of them it touched. Severities are physical (decibels, hertz, seconds, shares); what
counts as slight or severe is in `kinds.py`. Noise is added at a signal-to-noise ratio against the level of the speech
(`active_power`), not of the pauses, so that a clip with long pauses is not spared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SoundContext",
    "active_power",
    "babble",
    "burst",
    "clipping",
    "lost_runs",
    "low_pass",
    "music",
    "mute",
    "packet_loss",
    "pink",
    "reverb",
    "white",
]

Samples: TypeAlias = NDArray[np.float32]
Touched: TypeAlias = NDArray[np.bool_]

FRAME_S = 0.02
ACTIVE_DB = 30.0
"""Frames so far below the loudest one are pauses."""
PACKET_S = 0.02
LOST_TOGETHER = 2.0
"""Mean number of packets or frames that are lost in a row."""
BURST_S = (0.1, 0.4)
BURST_EVERY_S = 1.5
CHORDS_HZ = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
BEAT_S = 0.4
LOW_PASS_ORDER = 8
LOW_PASS_RINGING, LOW_PASS_LONGEST = 20.0, 1 << 18
"""What rings longest has fallen by e⁻⁴⁰ after so many times 1 / `slowest` samples; most samples that are waited for."""


@dataclass(frozen=True)
class SoundContext:
    """What a corruption may need besides the samples.

    Attributes:
        rate_hz: samples a second.
        rng: where its randomness comes from.
        power: mean square of the speech, `active_power`; 0 where there is none, and then no noise is added.
        voices: sounds of other people, for babble; at the same rate.
    """

    rate_hz: int
    rng: np.random.Generator
    power: float = 0.0
    voices: tuple[Samples, ...] = field(default=())


SoundCorruption: TypeAlias = Callable[[Samples, float, SoundContext], tuple[Samples, Touched]]


def active_power(samples: Samples, rate_hz: int) -> float:
    """Mean square over the frames of 20 ms that are at most 30 dB below the loudest one; 0 for digital silence."""
    count = max(round(len(samples) / rate_hz / FRAME_S), 1)
    frames = np.array_split(samples.astype(np.float64), count)
    power = np.array([np.square(frame).mean() for frame in frames if len(frame)])
    loudest = power.max(initial=0.0)
    if loudest <= 0:
        return 0.0
    return float(power[power >= loudest * 10 ** (-ACTIVE_DB / 10)].mean())


def white(samples: Samples, snr_db: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Add white noise: hiss."""
    return _added(samples, context.rng.standard_normal(len(samples)), snr_db, context)


def pink(samples: Samples, snr_db: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Add noise whose power falls with the frequency: wind, traffic, air conditioning."""
    if not len(samples):
        return _added(samples, np.zeros(0), snr_db, context)
    spectrum = np.fft.rfft(context.rng.standard_normal(len(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1 / context.rate_hz)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)), len(samples))
    return _added(samples, noise, snr_db, context)


def babble(samples: Samples, snr_db: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Add other people's voices, each from a random moment on, all equally loud."""
    noise = np.zeros(len(samples))
    for voice in context.voices:
        power = active_power(voice, context.rate_hz)
        if power > 0:
            first = int(context.rng.integers(len(voice)))
            noise += np.take(voice, np.arange(first, first + len(samples)), mode="wrap") / np.sqrt(power)
    return _added(samples, noise, snr_db, context)


def music(samples: Samples, snr_db: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Add something like music: broken chords of decaying tones with overtones, and a beat."""
    time = np.arange(len(samples)) / context.rate_hz
    noise = np.zeros(len(samples))
    octave = 2.0 ** float(context.rng.integers(-1, 2))
    for beat in range(int(len(samples) / context.rate_hz / BEAT_S) + 1):
        since = time - beat * BEAT_S
        sounding = (since >= 0) & (since < 4 * BEAT_S)
        decay = np.exp(-3 * since[sounding])
        chord = CHORDS_HZ[beat // 4 % len(CHORDS_HZ)]
        tone = chord[int(context.rng.integers(len(chord)))] * octave
        phase = 2 * np.pi * tone * since[sounding]
        noise[sounding] += decay * sum(np.sin(k * phase) / k for k in range(1, 5))
        noise[sounding] += 0.5 * np.exp(-60 * since[sounding]) * context.rng.standard_normal(int(sounding.sum()))
    return _added(samples, noise, snr_db, context)


def burst(samples: Samples, snr_db: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Add short bursts of white noise, one in every second and a half: doors, cups, handling of the microphone."""
    noise, touched = np.zeros(len(samples)), np.zeros(len(samples), bool)
    for part in np.array_split(np.arange(len(samples)), max(1, round(len(samples) / context.rate_hz / BURST_EVERY_S))):
        length = min(round(float(context.rng.uniform(*BURST_S)) * context.rate_hz), len(part))
        start = int(context.rng.integers(len(part) - length + 1)) if len(part) else 0
        touched[part[start : start + length]] = True
    noise[touched] = context.rng.standard_normal(int(touched.sum()))
    result, _ = _added(samples, noise, snr_db, context, where=touched)
    return result, touched if context.power > 0 else np.zeros_like(touched)


def reverb(samples: Samples, seconds: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Let the sound ring as in a room that falls quiet by 60 dB within `seconds`; it stays as loud as it was."""
    length = max(round(seconds * context.rate_hz), 1)
    decay = 10 ** (-3 * np.arange(length) / length)
    room = context.rng.standard_normal(length) * decay
    room /= np.sqrt(np.square(room).sum())
    room[0] += 1.0  # the direct sound, as strong as all reflections together
    wet = _filtered(samples, lambda size: np.fft.rfft(room, size), tail=length)
    before, after = np.square(samples, dtype=np.float64).sum(), np.square(wet).sum()
    result = (wet * np.sqrt(before / after) if after > 0 else wet).astype(np.float32)
    return result, np.full(len(samples), before > 0)


def clipping(samples: Samples, share: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Cut off the loudest `share` of the speech: a microphone that is driven too hard."""
    size = np.abs(samples)
    speech = size[size >= np.sqrt(context.power * 10 ** (-ACTIVE_DB / 10))] if context.power > 0 else size[:0]
    if not len(speech):
        return samples.copy(), np.zeros(len(samples), bool)
    limit = float(np.quantile(speech, 1 - share))
    return np.clip(samples, -limit, limit), size > limit


def low_pass(samples: Samples, hertz: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Take away what is above `hertz`: a telephone, a hand over the microphone."""
    if hertz >= context.rate_hz / 2 or not len(samples):
        return samples.copy(), np.zeros(len(samples), bool)
    cutoff = np.tan(np.pi * hertz / context.rate_hz)
    poles = np.exp(1j * np.pi * (np.arange(LOW_PASS_ORDER) * 2 + LOW_PASS_ORDER + 1) / (2 * LOW_PASS_ORDER))

    def butterworth(size: int) -> NDArray[np.complex128]:
        analog = 1j * np.tan(np.pi * np.fft.rfftfreq(size)) / cutoff  # by the bilinear transform
        response = np.ones(len(analog), np.complex128)
        for pole in poles:
            response /= analog - pole
        return response

    # What rings longest falls by a factor of e in 1 / (2 · slowest) samples.
    slowest = min(cutoff, 1 / cutoff) * -float(poles.real.max())
    tail = min(int(np.ceil(LOW_PASS_RINGING / slowest)), LOW_PASS_LONGEST)
    return _filtered(samples, butterworth, tail).astype(np.float32), np.full(len(samples), bool(np.any(samples)))


def packet_loss(samples: Samples, rate: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Lose packets of 20 ms, about two in a row, without concealment."""
    size = round(PACKET_S * context.rate_hz)
    lost = np.repeat(lost_runs(-(-len(samples) // size), rate, context.rng), size)[: len(samples)]
    return np.where(lost, np.float32(0), samples), lost


def mute(samples: Samples, share: float, context: SoundContext) -> tuple[Samples, Touched]:
    """Silence one contiguous `share`."""
    length = round(share * len(samples))
    start = int(context.rng.integers(len(samples) - length + 1))
    result, touched = samples.copy(), np.zeros(len(samples), bool)
    touched[start : start + length] = True
    result[touched] = 0.0
    return result, touched


def lost_runs(count: int, rate: float, rng: np.random.Generator) -> Touched:
    """Which of `count` places in a row are lost, in runs: at least one while `rate` is above 0.

    Source: Gilbert, Capacity of a burst-noise channel, 1960: two states, of which the bad one loses everything.
    """
    draw = rng.random(count + 1)
    end = 1 / LOST_TOGETHER
    begin = min(1.0, end * rate / max(1 - rate, 1e-9))
    lost = np.zeros(count, bool)
    bad = draw[count] < rate
    for place in range(count):
        lost[place] = bad
        bad = draw[place] >= end if bad else draw[place] < begin
    if count and rate > 0 and not lost.any():
        lost[int(draw[count] * count)] = True
    return lost if rate < 1 else np.ones(count, bool)


def _filtered(samples: Samples, response: Callable[[int], NDArray[np.complex128]], tail: int) -> NDArray[np.float64]:
    """What a filter makes of the samples, from rest.

    Args:
        samples: N of them.
        response: of a number of samples, the filter's transform at their frequencies (`np.fft.rfft`'s).
        tail: samples for which it rings.
    """
    size = 1 << (len(samples) + tail).bit_length()
    spectrum = np.fft.rfft(samples.astype(np.float64), size) * response(size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(samples)])


def _added(
    samples: Samples, noise: NDArray[np.float64], snr_db: float, context: SoundContext, where: Touched | None = None
) -> tuple[Samples, Touched]:
    """The samples with noise at exactly this ratio of the speech's power to its own, measured `where` it is."""
    own = float(np.square(noise if where is None else noise[where]).mean()) if len(noise) else 0.0
    if own <= 0 or context.power <= 0:
        return samples.copy(), np.zeros(len(samples), bool)
    scale = np.sqrt(context.power / own / 10 ** (snr_db / 10))
    return (samples + scale * noise).astype(np.float32), np.ones(len(samples), bool)
