"""Long recordings into utterances: at the ends of sentences, or in the pauses of the voice."""

import importlib.util
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError
from mecam.features.media import Media
from mecam.features.text import Segment, Transcript, join_words
from mecam.onnx_runtime import send_nothing
from mecam.types import Word

__all__ = ["Lengths", "cut", "cut_words", "has_silero", "silero_spans", "voice_activity"]

SENTENCE_END = ".?!…。！？"
PAUSE_S = 0.8
"""Silence between words that ends a sentence without punctuation."""
ROWS_PER_S = 50
RATE_HZ = 16_000
SILERO_BLOCK_S = 300.0
"""Sound that is looked at for a voice at once, so that memory stays flat."""
ABOVE_NOISE_DB, LEAST_DB, SILENCE_DB = 9.0, -50.0, -120.0
"""Voice is this much louder than the background, and never softer than the second."""
BRIDGE_S, KEEP_S = 0.35, 0.15
"""Shorter pauses are part of an utterance; this much is kept around the voice."""


@dataclass(frozen=True)
class Lengths:
    """How long utterances may be.

    Attributes:
        shortest: seconds; a sentence that is shorter is told with the next one.
        longest: seconds; what is longer is cut.
        sentences: cut after every sentence, also in recordings that are no longer than `longest`.
    """

    shortest: float = 1.0
    longest: float = 15.0
    sentences: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.shortest < self.longest:
            raise ConfigError(f"utterances of {self.shortest:g} to {self.longest:g} s cannot be", fix="0 ≤ min < max")


def cut(media: Media, transcript: Transcript | None, lengths: Lengths) -> list[Segment]:
    """Cut a recording into utterances.

    One that is no longer than `lengths.longest` stays whole, unless every sentence is wanted. Longer ones are cut by
    their transcript where it has times, else by voice activity; a transcript without times cannot be given to pieces,
    so its recording stays whole.

    Returns: utterances in time, none overlapping; one over all where there is no voice.
    """
    whole = Segment(
        0.0, media.duration, transcript.text if transcript else None, transcript.words if transcript else ()
    )
    timed = transcript is not None and transcript.timed
    short = media.duration <= lengths.longest and not (lengths.sentences and timed)
    if short or (transcript is not None and not timed):
        return [whole]
    if transcript is not None:
        return cut_words(transcript.words, lengths)
    if media.sound is None:
        return [Segment(a, b) for a, b in _evenly(0.0, media.duration, lengths.longest)]
    levels, voiced = _levels(media), silero_spans(media) if has_silero() else None
    return [Segment(a, b) for a, b in voice_activity(levels, lengths, voiced)] or [whole]


def cut_words(words: Sequence[Word], lengths: Lengths) -> list[Segment]:
    """Timed words into utterances: after a sentence or a pause, and where one grows too long, at its longest pause."""
    pieces: list[list[Word]] = []
    current: list[Word] = []
    for word in words:
        if current and _ends(current, word) and current[-1].stop - current[0].start >= lengths.shortest:
            pieces.append(current)
            current = []
        while current and word.stop - current[0].start > lengths.longest:  # what is left may be too long again
            at = _widest_gap(current)
            pieces.append(current[:at])
            current = current[at:]
        current.append(word)
    if current:
        pieces.append(current)
    return [Segment(p[0].start, max(w.stop for w in p), join_words([w.text for w in p]), tuple(p)) for p in pieces if p]


def has_silero() -> bool:
    """Whether the network for voice activity is there that comes with faster-whisper (extra `asr`)."""
    return importlib.util.find_spec("faster_whisper") is not None


def silero_spans(media: Media) -> list[tuple[float, float]]:
    """Stretches with a voice, in seconds, by Silero VAD (MIT), which tells a voice from other sounds."""
    send_nothing()
    from faster_whisper.vad import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        VadOptions,
        get_speech_timestamps,
    )

    options = VadOptions(min_silence_duration_ms=round(1000 * BRIDGE_S), speech_pad_ms=0)
    spans = [
        (block.time + found["start"] / RATE_HZ, block.time + found["end"] / RATE_HZ)
        for block in media.sound_blocks(rate=RATE_HZ, seconds=SILERO_BLOCK_S)
        for found in get_speech_timestamps(block.samples, options)
    ]
    return _bridged(spans)


def voice_activity(
    levels: NDArray[np.float64], lengths: Lengths, voiced: Sequence[tuple[float, float]] | None = None
) -> list[tuple[float, float]]:
    """Stretches with a voice, as utterances.

    Args:
        levels: dB relative to full scale, 50 a second.
        lengths: shorter stretches go to a neighbour within a second, or stay by themselves; longer ones are cut where
            they are quietest.
        voiced: where there is a voice, if that is known; else it is where the sound is louder than the background.

    Returns: start and stop in seconds, in order.
    """
    if not len(levels):
        return []
    spans = _loud(levels) if voiced is None else voiced
    return [piece for span in _joined(spans, lengths) for piece in _split(_widened(span, levels), levels, lengths)]


def _loud(levels: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Stretches that are louder than the background."""
    heard = levels[levels > LEAST_DB - 30]
    floor = float(np.quantile(heard, 0.1)) if len(heard) else LEAST_DB
    # Where someone talks without a pause the tenth percentile is a voice too, hence the ceiling.
    voiced = levels > max(LEAST_DB, min(floor + ABOVE_NOISE_DB, float(levels.max()) - 20))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]]).astype(int))) / ROWS_PER_S
    return [(a, b) for a, b in _bridged(edges.reshape(-1, 2).tolist()) if b - a >= 0.1]


def _bridged(spans: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
    """Stretches without the pauses that are part of an utterance."""
    bridged: list[tuple[float, float]] = []
    for start, stop in spans:
        if bridged and start - bridged[-1][1] < BRIDGE_S:
            bridged[-1] = (bridged[-1][0], stop)
        else:
            bridged.append((start, stop))
    return bridged


def _ends(current: Sequence[Word], following: Word) -> bool:
    return (
        current[-1].text.rstrip("\"'”’)»")[-1:] in tuple(SENTENCE_END) or following.start - current[-1].stop >= PAUSE_S
    )


def _widest_gap(words: Sequence[Word]) -> int:
    """Where to cut words that grow too long: after a sentence, else at the longest pause, the latest of equals."""
    gaps = [b.start - a.stop + 10 * _ends([a], b) for a, b in pairwise(words)]
    if not gaps:
        return 1
    best = max(gaps)
    return 1 + max(i for i, gap in enumerate(gaps) if math.isclose(gap, best, abs_tol=1e-6))


def _joined(spans: Sequence[tuple[float, float]], lengths: Lengths) -> list[tuple[float, float]]:
    """Short stretches together with the one before, where both are near and not too long together."""
    joined: list[tuple[float, float]] = []
    for start, stop in spans:
        short = joined and min(stop - start, joined[-1][1] - joined[-1][0]) < lengths.shortest
        if short and start - joined[-1][1] < 1.0 and stop - joined[-1][0] <= lengths.longest:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _widened(span: tuple[float, float], levels: NDArray[np.float64]) -> tuple[float, float]:
    return max(0.0, span[0] - KEEP_S), min(len(levels) / ROWS_PER_S, span[1] + KEEP_S)


def _split(span: tuple[float, float], levels: NDArray[np.float64], lengths: Lengths) -> list[tuple[float, float]]:
    start, stop = span
    if stop - start <= lengths.longest:
        return [span]
    low, high = start + lengths.longest / 2, min(start + lengths.longest, stop - lengths.shortest)
    rows = levels[int(low * ROWS_PER_S) : max(int(low * ROWS_PER_S) + 1, int(high * ROWS_PER_S))]
    smooth = np.convolve(rows, np.ones(5) / 5, mode="same") if len(rows) > 5 else rows
    at = low + int(np.argmin(smooth)) / ROWS_PER_S
    return [(start, at), *_split((at, stop), levels, lengths)]


def _evenly(start: float, stop: float, longest: float) -> list[tuple[float, float]]:
    edges = np.linspace(start, stop, math.ceil((stop - start) / longest) + 1).tolist()
    return list(pairwise(edges))


def _levels(media: Media) -> NDArray[np.float64]:
    """Level of every fiftieth of a second of what is decoded, streamed, and a row of silence at the end."""
    size = RATE_HZ // ROWS_PER_S
    levels: list[NDArray[np.float64]] = []
    rest = np.empty(0, np.float32)
    for block in media.sound_blocks(rate=RATE_HZ, seconds=10.0):
        if not levels:
            levels.append(np.full(max(round(block.time * ROWS_PER_S), 0), SILENCE_DB))
        rest = np.concatenate([rest, block.samples])
        count = len(rest) // size
        power = np.square(rest[: count * size].reshape(count, size).astype(np.float64)).mean(axis=1)
        levels.append(10 * np.log10(np.maximum(power, 1e-12)))
        rest = rest[count * size :]
    return np.concatenate([*levels, [SILENCE_DB]])
