"""Speech to text with word times, by faster-whisper (extra `asr`), with a model that was fetched or one of the hub."""

import math
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError, MissingExtraError
from mecam.features.media import Media
from mecam.features.text import Segment, Transcript, settled
from mecam.features.text.captions import plain
from mecam.features.text.speech_models import MODELS, is_english
from mecam.features.text.word_times import segment_of
from mecam.fetched import find
from mecam.hub import out_of_reach
from mecam.onnx_runtime import send_nothing
from mecam.threads import ProcessLock
from mecam.types import Word

__all__ = ["ENGINE_LOCK", "default_model", "engine", "ready", "speech_model", "transcribe", "why_not"]

HUB_MODEL = "small"
"""What is taken where no model was fetched; runs at about real time on two cores."""
ENGLISH = "the speech model tiny.en takes any speech for English; --language names another language"
"""What is worth knowing where nobody said which language is spoken."""
RATE_HZ = 16_000
PADDING = 1000
"""Frames (10 s) of padding behind the sound. Whisper learned from 30 s, and repeats itself where too few are left."""
ENGINE_LOCK = ProcessLock()
"""One recording at a time: a model is loaded once, and computes for one caller with all its threads."""


def ready(language: str | None = None) -> str | None:
    """The speech model that can be used right now, without a network.

    Args:
        language: code of what is spoken; None: not known.

    Returns: `tiny.en` for English, and where nothing else is there and the language is not known; `base` otherwise;
        None if the extra `asr` is not installed, or no model for this language was fetched.
    """
    if find_spec("faster_whisper") is None:
        return None
    english = language is not None and is_english(language)
    order = ("tiny.en", "base") if english else ("base", "tiny.en") if language is None else ("base",)
    return next((name for name in order if find(MODELS[name]) is not None), None)


def why_not(language: str | None = None) -> str:
    """What to do so that `ready` names a model."""
    steps = [] if find_spec("faster_whisper") is not None else ["pip install 'mecam[asr]'"]
    english = language is None or is_english(language)
    steps.append("mecam assets fetch asr" if english else "mecam assets fetch asr --language any")
    return f"there is no speech to text: {', then '.join(f'`{step}`' for step in steps)}"


def default_model(language: str | None = None) -> str:
    """The model that is taken where none is named: what was fetched, else a name on the hub."""
    return ready(language) or HUB_MODEL


def speech_model(asr: bool, model: str | None, language: str | None) -> str | None:
    """The model that the options of a command ask for: the named one, else `default_model`; None if `asr` is False."""
    return (model or default_model(language)) if asr else None


def transcribe(media: Media, *, model: str | None = None, language: str | None = None) -> Transcript | None:
    """Write down what is said.

    Args:
        media: a recording with sound; it is read whole, 4 MB a minute.
        model: a name (`tiny`, `base`, `small`, `medium`, `large-v3` …), fetched once, or the folder of one; None:
            `default_model`.
        language: its code; by default it is detected.

    Returns: None if nothing is said.
    Raises: MediaError if there is no sound; MissingExtraError; DataError if the model cannot be loaded.
    """
    model = default_model(language) if model is None else model
    made = engine(model)
    offset, sound = media.waveform(rate=RATE_HZ)
    if not len(sound):
        return None
    with ENGINE_LOCK:
        found, info = made.transcribe(sound, language=language, word_timestamps=True, vad_filter=True)
        segments = []
        for part in found:
            segments.append(_segment(part, offset))
            media.progress("words", part.end / max(media.duration, 1e-3))
    spoken = [segment for segment in segments if segment.text]
    if not spoken:
        return None
    transcript = settled(spoken, ())
    findings = transcript.findings if language is not None or model != "tiny.en" else (*transcript.findings, ENGLISH)
    return Transcript(transcript.segments, info.language, transcript.estimated, findings)


def _segment(part: Any, offset: float) -> Segment:
    """A segment with whole words: the engine gives pieces, and a blank where a word begins."""
    pieces = [
        Word(word.word, word.start + offset, max(word.start, word.end) + offset)
        for word in part.words or ()
        if math.isfinite(word.start)
    ]
    return segment_of(part.start + offset, max(part.start, part.end) + offset, plain(part.text), pieces, {})


def engine(model: str) -> Any:
    """The speech model, faster-whisper's; whoever computes with it holds `ENGINE_LOCK`.

    Raises: MissingExtraError; DataError if it cannot be loaded.
    """
    with ENGINE_LOCK:
        return _engine(model, os.getpid())


@cache
def _engine(model: str, process: int) -> Any:
    """The speech model, for this process: one that is forked off has none of the threads that compute."""
    try:
        send_nothing()
        from faster_whisper import WhisperModel  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("faster_whisper") from error
    fetched = find(MODELS[model]) if model in MODELS else None
    source = str(fetched or model)
    try:
        made = WhisperModel(source, device="auto", compute_type="auto", local_files_only=out_of_reach(source))
    except Exception as error:  # the hub's client, ctranslate2 and the file system each raise their own
        place = "the folder is not a faster-whisper model" if Path(source).is_dir() else "it could not be fetched"
        raise DataError(
            f"the speech model {model!r} cannot be loaded: {place} ({type(error).__name__})",
            where="--asr-model",
            fix="`mecam assets fetch asr`, or go online once, or give the folder of a model fetched elsewhere "
            "(`huggingface-cli download Systran/faster-whisper-small --local-dir DIR`), or give a transcript with "
            "--transcript",
        ) from error
    whole = made.encode
    made.encode = lambda features: whole(_shortened(features))
    return made


def _shortened(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spectrum of a stretch that was padded to 30 s, with less of the padding: it costs as much as speech."""
    heard = np.flatnonzero(features.any(axis=0))
    last = (int(heard[-1]) + 1 if len(heard) else 0) + PADDING
    return features[:, : last + last % 2]
