"""The player of a page: the recording where browsers play it, else a copy that they play, and a remark that says so."""

import base64
import os
from pathlib import Path
from urllib.parse import quote

from mecam.files import whole_file
from mecam.prediction.preview import Preview, PreviewChoice, made_for_browsers, unplayable
from mecam.prediction.result import Watched
from mecam.report.markup import escape

__all__ = ["player"]

LARGEST_EMBEDDED = 25_000_000
"""Bytes of a recording that the page holds; a larger one is linked to."""
LARGEST_PREVIEW = 8_000_000
"""Bytes of a copy that the page holds; a larger one is written beside it."""
TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/mp4"}
TYPES |= {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".m4a": "audio/mp4"}


def player(path: Path, watched: Watched, preview: PreviewChoice = "auto") -> str:
    """The recording, held by the page or linked to, or a copy of it.

    Args:
        path: of the page; a copy that is too large to be held is written beside it.
        watched: the recording.
        preview: `auto` makes a copy where browsers do not play the recording.
    """
    kind = TYPES.get(watched.path.suffix.lower(), "")
    problem = unplayable(watched.path) if preview != "always" else ""
    if preview == "always" or (preview == "auto" and problem):
        copy = made_for_browsers(watched.path)
        if copy.data:
            return _copied(path, watched, copy, problem)
        problem = f"{problem or 'this recording'} (a preview could not be made: {copy.what})"
    size = watched.path.stat().st_size
    embed = kind and size <= LARGEST_EMBEDDED
    source = _inline(kind, watched.path.read_bytes()) if embed else _link(path, watched.path)
    warning = _note("cannot", "This browser cannot play the recording; everything below needs no player.", hidden=True)
    if problem:
        what = f"Browsers do not play {problem}; everything below needs no player."
        again = " Give --preview auto for a copy that they play." if preview == "never" else ""
        warning = _note("cannot", what + again)
    return _tag(kind, source) + warning


def _copied(path: Path, watched: Watched, copy: Preview, problem: str) -> str:
    if len(copy.data) <= LARGEST_PREVIEW:
        source = _inline(copy.kind, copy.data)
    else:
        beside = path.with_name(f"{path.stem}.preview.{copy.kind.partition('/')[2]}")
        with whole_file(beside) as partial:
            partial.write_bytes(copy.data)
        source = _link(path, beside)
    why = f"Browsers do not play the recording itself ({problem})" if problem else "A preview was asked for"
    text = f"{why}: this is a small copy of it ({copy.what})."
    original = f'<a href="{_link(path, watched.path)}">The recording</a> is left as it is.'
    return (
        _tag(copy.kind, source)
        + _stills(copy)
        + f'<p class="note">{escape(text)} {original}</p>'
        + _note("cannot", "", hidden=True)
    )


def _stills(copy: Preview) -> str:
    """Pictures of a recording whose copy has none."""
    images = [
        f'<img src="{_inline("image/jpeg", data)}" alt="at {time:.1f} s" title="{time:.1f} s">'
        for time, data in copy.stills
    ]
    return f'<p class="stills">{"".join(images)}</p>' if images else ""


def _tag(kind: str, source: str) -> str:
    tag = "audio" if kind.startswith("audio") else "video"
    return f'<{tag} class="player" controls preload="metadata" src="{source}"></{tag}>'


def _inline(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _link(page: Path, target: Path) -> str:
    """Where the target lies, seen from the page; names need not be UTF-8."""
    relative = os.path.relpath(target.resolve(), page.resolve().parent)
    return quote(os.fsencode(Path(relative).as_posix()))


def _note(name: str, text: str, *, hidden: bool = False) -> str:
    return f'<p class="note" id="{name}"{" hidden" if hidden else ""}>{escape(text)}</p>'
