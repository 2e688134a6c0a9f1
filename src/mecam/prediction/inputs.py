"""What a caller means by what is given: sentences, or recordings. What could be either is refused, never guessed."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mecam.errors import DataError, ModelError
from mecam.features.find_media import MEDIA_SUFFIXES

__all__ = ["as_paths", "as_sentences", "id_of", "is_folder", "kind_of", "kind_of_all", "printable"]

Kind = Literal["file", "text"]

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
"""What the name of a file ends with; `U.S.A` and `3.5` do not."""

_HALF = re.compile("[\ud800-\udfff]")

_MISSING_FIX = "check the path; for a sentence use predict_text(…)"
_FIX = "predict_text(…) takes sentences, predict_file(…) takes recordings, predict_store(…) a store"


def kind_of(given: object, *, missing_fix: str = _MISSING_FIX) -> Kind:
    """Whether one thing is a recording or a sentence.

    A path is a recording. A text that names an existing file is that file; one that looks like a name of a file that
    does not exist is an error; any other text is a sentence.

    Args:
        given: a text or a path.
        missing_fix: what the error about a file that is not there tells the user to do.

    Raises: DataError for an empty text, a folder, or the name of a file that is not there; ModelError for anything
        that is neither text nor path.
    """
    if isinstance(given, os.PathLike):
        return "file"
    if not isinstance(given, str):
        raise ModelError(f"this is neither a text nor a path: {type(given).__name__}", fix=_FIX)
    if not given.strip():
        raise DataError("the sentence is empty", fix="give a text, or the path of a recording")
    if _exists(given):
        return "file"
    if is_folder(given):
        raise DataError(f"{given!r} is a folder", fix=f"give a file in it; {_FIX}")
    if _looks_like_a_file(given):
        raise DataError(f"there is no file {given!r}", fix=missing_fix)
    return "text"


def kind_of_all(given: object) -> Kind | None:
    """What all of a list are; None for an empty one.

    Raises: as `kind_of`, and DataError where a list holds both.
    """
    if isinstance(given, bytes | bytearray | memoryview) or not isinstance(given, Sequence):
        raise ModelError(f"this is neither a text nor a path, nor a list of them: {type(given).__name__}", fix=_FIX)
    kinds = [kind_of(one) for one in given]
    if len(set(kinds)) > 1:
        place = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
        raise DataError(
            "the list contains both files and sentences",
            where=f"{given[0]!r} is a {kinds[0]}, {given[place]!r} is a {kinds[place]}",
            fix="call predict_file(…) and predict_text(…) separately",
        )
    return kinds[0] if kinds else None


def as_sentences(given: object) -> list[str]:
    """Sentences, each with at least a word in it.

    Raises: ModelError if they are no texts; DataError naming one that is empty, or has half a character in it.
    """
    texts: list[Any] = [given] if isinstance(given, str) else _listed(given)
    for place, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise ModelError(f"this is not a text: {type(text).__name__}", where=f"sentence {place}", fix=_FIX)
        if not text.strip():
            raise DataError("the sentence is empty", where=f"sentence {place}", fix="leave it out")
        if _HALF.search(text):
            what = "the sentence has half a character in it (a lone surrogate)"
            raise DataError(what, where=f"sentence {place}", fix="read the text again, in its encoding")
    return texts


def as_paths(given: object) -> list[Path]:
    """Paths of recordings; whether they are there is found out by reading them.

    Raises: ModelError if they are no paths; DataError for an empty one.
    """
    paths: list[Any] = [given] if isinstance(given, str | os.PathLike) else _listed(given)
    for place, path in enumerate(paths, 1):
        if not isinstance(path, str | os.PathLike):
            raise ModelError(f"this is not a path: {type(path).__name__}", where=f"recording {place}", fix=_FIX)
        if not str(path).strip():
            raise DataError("the path is empty", where=f"recording {place}")
    return [Path(path) for path in paths]


def is_folder(given: str) -> bool:
    """Whether a text names a folder that exists."""
    try:
        return Path(given).is_dir()
    except (OSError, ValueError):  # longer than a name may be, or with a zero in it: no name at all
        return False


def _exists(given: str) -> bool:
    try:
        return Path(given).exists() and not Path(given).is_dir()
    except (OSError, ValueError):
        return False


def _looks_like_a_file(given: str) -> bool:
    """A recording's ending; or, without blanks, a slash or any ending."""
    name = given.strip()
    if Path(name).suffix.lower() in MEDIA_SUFFIXES:
        return True
    return not re.search(r"\s", name) and ("/" in name or "\\" in name or _ENDING.search(name) is not None)


def _listed(given: object) -> list[Any]:
    if isinstance(given, bytes | bytearray | memoryview) or not isinstance(given, Sequence):
        raise ModelError(f"this is neither a single input nor a list: {type(given).__name__}", fix=_FIX)
    return list(given)


def id_of(path: Path) -> str:
    """The file's name as the id of its recording; where it cannot be one, `recording`."""
    from mecam.data.importing.sources.base import make_id  # a sentence need not wait for it

    try:
        return make_id(printable(path.stem))
    except DataError:
        return "recording"


def printable(name: str) -> str:
    """A file's name as text that can be shown and written anywhere: what is no UTF-8 or no character is replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
