"""Speech to text with word times, by faster-whisper (extra `asr`)."""

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

from mecam.errors import DataError, MissingExtraError
from mecam.features.media import Media
from mecam.features.text import Segment, Transcript, settled
from mecam.features.text.captions import plain
from mecam.features.text.word_times import segment_of
from mecam.hub import out_of_reach
from mecam.threads import ProcessLock
from mecam.types import Word

__all__ = ["DEFAULT_MODEL", "transcribe"]

DEFAULT_MODEL = "small"
"""Runs at about real time on two cores."""
RATE_HZ = 16_000
_LOCK = ProcessLock()
"""One recording at a time: a model is loaded once, and computes for one caller with all its threads."""


def transcribe(media: Media, *, model: str = DEFAULT_MODEL, language: str | None = None) -> Transcript | None:
    """Write down what is said.

    Args:
        media: a recording with sound; it is read whole, 4 MB a minute.
        model: a name (`tiny`, `base`, `small`, `medium`, `large-v3` …), fetched once, or the folder of one.
        language: its code; by default it is detected.

    Returns: None if nothing is said.
    Raises: MediaError if there is no sound; MissingExtraError; DataError if the model cannot be loaded.
    """
    with _LOCK:
        engine = _engine(model, os.getpid())
    offset, sound = media.waveform(rate=RATE_HZ)
    if not len(sound):
        return None
    with _LOCK:
        found, info = engine.transcribe(sound, language=language, word_timestamps=True, vad_filter=True)
        segments = [_segment(part, offset) for part in found]
    spoken = [segment for segment in segments if segment.text]
    if not spoken:
        return None
    transcript = settled(spoken, ())
    return Transcript(transcript.segments, info.language, transcript.estimated, transcript.findings)


def _segment(part: Any, offset: float) -> Segment:
    """A segment with whole words: the engine gives pieces, and a blank where a word begins."""
    pieces = [
        Word(word.word, word.start + offset, max(word.start, word.end) + offset)
        for word in part.words or ()
        if math.isfinite(word.start)
    ]
    return segment_of(part.start + offset, max(part.start, part.end) + offset, plain(part.text), pieces, {})


@cache
def _engine(model: str, process: int) -> Any:
    """The speech model, for this process: one that is forked off has none of the threads that compute."""
    try:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("faster_whisper") from error
    try:
        return WhisperModel(model, device="auto", compute_type="default", local_files_only=out_of_reach(model))
    except Exception as error:  # the hub's client, ctranslate2 and the file system each raise their own
        place = "the folder is not a faster-whisper model" if Path(model).is_dir() else "it could not be fetched"
        raise DataError(
            f"the speech model {model!r} cannot be loaded: {place} ({type(error).__name__})",
            where="--asr-model",
            fix="go online once, or give the folder of a model fetched elsewhere (`huggingface-cli download "
            "Systran/faster-whisper-small --local-dir DIR`), or give a transcript with --transcript",
        ) from error
