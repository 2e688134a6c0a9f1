"""The player of a page: the recording where browsers play it, else a copy that they play, and a remark that says so."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mecam.files import whole_file
from mecam.prediction.preview import Preview, PreviewChoice, made_for_browsers, unplayable

__all__ = ["Player", "player"]

MAX_EMBEDDED_BYTES = 25_000_000
"""Bytes of a recording that the page holds; a larger one is linked to."""
MAX_PREVIEW_BYTES = 8_000_000
"""Bytes of a copy that the page holds; a larger one is written beside it."""
TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/mp4"}
TYPES |= {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".m4a": "audio/mp4"}


@dataclass(frozen=True)
class Player:
    """What `templates/player.j2` shows.

    Attributes:
        tag: `video` or `audio`.
        source: where it takes the recording, or its copy, from: an address, or the bytes themselves.
        warning: that it may not play.
        certain: it does not; otherwise the warning is shown when a browser fails.
        note: what is played, where it is a copy.
        original: address of the recording, where a copy is played.
        stills: seconds and addresses of pictures of a recording whose copy has none.
    """

    tag: str
    source: str
    warning: str
    certain: bool = False
    note: str = ""
    original: str = ""
    stills: Sequence[tuple[float, str]] = ()


def player(page: Path, recording: Path, preview: PreviewChoice = "auto", *, name: str | None = None) -> Player:
    """The recording, held by the page or linked to, or a copy of it.

    Args:
        page: its file; a copy that is too large to be held is written beside it.
        recording: what is played.
        preview: `auto` makes a copy where browsers do not play the recording.
        name: of the page that is sent elsewhere: what the recording is called there. It is then linked to as if the
            page lay beside it, and a copy is held, however large.
    """
    original = _link(page, recording) if name is None else quote(name)
    kind = TYPES.get(recording.suffix.lower(), "")
    problem = unplayable(recording) if preview != "always" else ""
    if preview == "always" or (preview == "auto" and problem):
        copy = made_for_browsers(recording)
        if copy.data:
            return _copied(page, copy, problem, original, held=name is not None)
        problem = f"{problem or 'this recording'} (a preview could not be made: {copy.what})"
    embed = kind and recording.stat().st_size <= MAX_EMBEDDED_BYTES
    source = _inline(kind, recording.read_bytes()) if embed else original
    warning = "This browser cannot play the recording. The rest of the page works without it."
    if problem:
        again = " Use --preview auto to add a playable copy." if preview == "never" else ""
        warning = f"Browsers cannot play {problem}; the rest of the page works without it.{again}"
    return Player(_tag(kind), source, warning, certain=bool(problem))


def _copied(page: Path, copy: Preview, problem: str, original: str, *, held: bool) -> Player:
    if held or len(copy.data) <= MAX_PREVIEW_BYTES:
        source = _inline(copy.kind, copy.data)
    else:
        beside = page.with_name(f"{page.stem}.preview.{copy.kind.partition('/')[2]}")
        with whole_file(beside) as partial:
            partial.write_bytes(copy.data)
        source = _link(page, beside)
    why = f"Browsers cannot play the original recording ({problem})" if problem else "A preview was requested"
    return Player(
        _tag(copy.kind),
        source,
        "This browser cannot play the copy; the rest of the page works without it.",
        note=f"{why}: this is a small copy ({copy.what}).",
        original=original,
        stills=[(time, _inline("image/jpeg", data)) for time, data in copy.stills],
    )


def _tag(kind: str) -> str:
    return "audio" if kind.startswith("audio") else "video"


def _inline(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _link(page: Path, target: Path) -> str:
    """Where the target lies, seen from the page; names need not be UTF-8."""
    try:
        relative = os.path.relpath(target.resolve(), page.resolve().parent)
    except ValueError:  # another drive of Windows
        return target.resolve().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))
