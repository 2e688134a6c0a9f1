"""What lies beside a recording under its name: which of it is a transcript, and which of several is taken."""

import mimetypes
import os
import re
import time
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mecam.errors import DataError
from mecam.features.text.reading import SUFFIXES, read_transcript
from mecam.features.text.segments import Transcript

__all__ = ["read_beside", "transcript_beside"]

_TAGS = re.compile(
    r"(?:\.(?P<language>[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*))?(?:\.(?:words|sdh|cc|hi|auto|asr|transcript))*",
    re.IGNORECASE,
)
_MEDIA = mimetypes.MimeTypes()
_SETTLED_NS = 2_000_000_000
"""A folder changed later than so long before it is listed may change again under the same time."""


def transcript_beside(path: Path) -> tuple[Path, ...]:
    """Files beside a recording that may be its transcript.

    These are called like it but for the ending, `clip.srt` or `clip.mp4.json`, perhaps with a language (`clip.en.vtt`,
    `clip.en-orig.vtt`) or what the tools put there (`clip.words.json`). One that carries the name of another recording
    in the folder (`clip.en.vtt` beside `clip.en.mp4`) is that one's. They are only listed here, not read.

    Returns: in a fixed order, the likeliest first: without a language before those with one, `-orig` before others,
        then the order of `SUFFIXES`, then by name. Nothing where there is none.
    """
    try:
        stamp = path.parent.stat().st_mtime_ns
        list_of = _listing if time.time_ns() - stamp > _SETTLED_NS else _listing.__wrapped__
        by_start, stems = list_of(path.parent, stamp)
    except OSError:
        return ()
    stem = _normal(path.stem)
    found = []
    for name in by_start.get(stem.partition(".")[0], ()):
        normal, suffix = _normal(Path(name).stem), Path(name).suffix.lower()
        full = _normal(path.name)
        rest = (
            normal[len(full) :] if normal.startswith(full) else normal[len(stem) :] if normal.startswith(stem) else None
        )
        match = None if rest is None else _TAGS.fullmatch(rest)
        # The stem of another recording says whose it is; so does its full name.
        if match is None or (rest and normal in stems and normal != full):
            continue
        language = (match["language"] or "").lower()
        if _is_media(language):  # clip.wav.json is of clip.wav, not of clip.mp4
            continue
        found.append((bool(language), not language.endswith("-orig"), SUFFIXES.index(suffix), name))
    return tuple(path.parent / name for *_, name in sorted(found))


def read_beside(
    paths: Sequence[Path], *, language: str | None = None
) -> tuple[Transcript | None, Path | None, tuple[str, ...]]:
    """Read the transcript among a recording's neighbours.

    Of several the richest is taken: times of words, then of captions, then text alone, then one that says nothing is
    said; of equals the one in the language, then the first. What is no transcript, or cannot be read, is left out.

    Args:
        paths: as `transcript_beside` gives them.
        language: of the speech, where known.

    Returns: the transcript and its file, or None; and what was left out and why, in sentences.
    """
    read: list[tuple[Path, Transcript]] = []
    findings: list[str] = []
    for path in paths:
        try:
            read.append((path, read_transcript(path)))
        except DataError as error:
            findings.append(f"{path.name} is left out: {error.what}")
    if not read:
        return None, None, tuple(findings)
    best, transcript = max(read, key=lambda one: (_richness(one[1]), _is_in(one[0], language)))
    poorer = [path.name for path, other in read if _richness(other) < _richness(transcript)]
    equals = [path.name for path, other in read if _richness(other) == _richness(transcript) and path != best]
    if poorer:
        findings.append(
            f"{best.name} is taken as transcript, not {', '.join(poorer)}: {_REASONS[_richness(transcript)]}"
        )
    if any(other.text != transcript.text for path, other in read if path.name in equals):
        why = "of the language asked for" if _is_in(best, language) else "the first of equals; --language chooses"
        findings.append(f"{best.name} is taken as transcript, not {', '.join(equals)}: {why}")
    return transcript, best, tuple(findings)


_REASONS = ("", "it has words", "it has times", "it has times of words")


def _richness(transcript: Transcript) -> int:
    if not transcript.segments:
        return 0
    return 1 if not transcript.timed else 2 if transcript.estimated else 3


def _is_in(path: Path, language: str | None) -> bool:
    """True if a file's name carries a language."""
    tags = [part.lower() for part in path.name.split(".")[1:-1]]
    return language is not None and any(re.split("[-_]", tag)[0] == language.lower() for tag in tags)


@lru_cache(maxsize=16)
def _listing(folder: Path, stamp: int) -> tuple[dict[str, list[str]], frozenset[str]]:
    """The files of a folder that may be transcripts, by the start of their names, and the stems of all others.

    One listing for all recordings of a folder; a change of the folder changes its stamp.
    """
    by_start: dict[str, list[str]] = {}
    stems: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _normal(entry.name)
            if Path(name).suffix.lower() not in SUFFIXES:
                stems.add(Path(name).stem)
            elif entry.is_file():
                by_start.setdefault(name.partition(".")[0], []).append(entry.name)
    return by_start, frozenset(stems)


def _is_media(suffix: str) -> bool:
    """True if a part of a name is the ending of a recording, and no language."""
    kind = _MEDIA.guess_type(f"x.{suffix}")[0] or ""
    return kind.startswith(("audio/", "video/"))


def _normal(name: str) -> str:
    """Names from a Mac have their accents apart."""
    return unicodedata.normalize("NFC", name)
