"""Predictions as captions (WebVTT): the words, and below them what the model says of them."""

import re
from typing import TYPE_CHECKING

from mecam.prediction.in_words import one_line
from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["as_vtt"]

_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_LIKE_A_TIME = re.compile(r"\[?\s*-?\d.*:")
"""A line that lenient readers might take for the times of a caption."""


def as_vtt(recording: "RecordingPrediction") -> str:
    """The captions of a recording: one a moment, where they were asked for, otherwise one an utterance.

    Other people than the speaker have no captions, and a stretch of which nothing is known has none.
    """
    made = f"mecam {__version__}" + (f", model {recording.model}" if recording.model else "")
    blocks = ["WEBVTT", *(f"NOTE {_remark(line)}" for line in (made, *recording.notes))]
    spoken = [part for part in recording.moments or recording.parts if not part.listens]
    cues = [_cue(part) for part in sorted(spoken, key=lambda part: (part.start or 0.0, part.stop or 0.0))]
    return "\n\n".join([*blocks, *filter(None, cues)]) + "\n"


def _cue(part: "Prediction") -> str:
    lines = [line for line in (_escaped(part.text or ""), _escaped(one_line(part))) if line]
    start = max(round(1000 * (part.start or 0.0)), 0)
    stop = max(round(1000 * (part.stop or 0.0)), start + 1)
    return "\n".join([f"{_clock(start)} --> {_clock(stop)}", *lines]) if lines else ""


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def _plain(text: str) -> str:
    """On one line, without characters that no caption may have."""
    return _INVISIBLE.sub("\ufffd", " ".join(text.split()))


def _escaped(text: str) -> str:
    line = _plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"&lrm;{line}" if _LIKE_A_TIME.match(line) else line


def _remark(text: str) -> str:
    """Text as it may stand in a remark, which knows no escapes and must not have the arrow of a caption."""
    return _plain(text).replace("-->", "->")
