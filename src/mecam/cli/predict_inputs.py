"""What the inputs of `mecam predict` are: recordings with names that tell them apart, stores, sentences with ids."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mecam.errors import DataError

__all__ = ["Found", "RecordingFile", "sorted_out"]

STDIN = "-"
MAX_SENTENCES_BYTES = 256 << 20
"""Bytes of a file of sentences, or of standard input."""


@dataclass(frozen=True)
class RecordingFile:
    """A file to predict.

    Attributes:
        path: where it is.
        name: what it is called: below the folder that was given, or the file's name; no two are called the same.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Found:
    """The inputs by kind.

    Attributes:
        recordings: files, in the order given; those of a folder by name.
        stores: folders of stores.
        sentences: id and text. The id is the number of the line in its file, or of the sentence among those given.
        folders: True where a folder of recordings was given.
        left_out: names of files in the folders that may have been meant and are no recordings.
        notes: what was found out about the texts, in sentences.
    """

    recordings: list[RecordingFile] = field(default_factory=list)
    stores: list[Path] = field(default_factory=list)
    sentences: list[tuple[str, str]] = field(default_factory=list)
    folders: bool = False
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


MISSING_FIX = "check the path; if it is a sentence, give it through standard input: echo 'SENTENCE' | mecam predict -"


def sorted_out(inputs: Sequence[str]) -> Found:
    """What each input is.

    Raises: DataError if a path leads nowhere, a sentence is empty, or a folder holds nothing to predict.
    """
    from mecam.features.find_media import MEDIA_SUFFIXES, is_media
    from mecam.prediction.inputs import is_folder, kind_of

    files: list[tuple[Path, Path | None]] = []
    stores: list[Path] = []
    lines: list[tuple[str, list[tuple[int, str]]]] = []
    left_out: list[str] = []
    notes: list[str] = []
    said = 0
    folders = False
    for given in inputs:
        path = Path(given)
        if given == STDIN:
            lines.append((STDIN, _sentences(sys.stdin.buffer.read(MAX_SENTENCES_BYTES + 1), "standard input", notes)))
        elif given.strip() and is_folder(given):
            inside = [] if (path / "manifest.json").exists() else _recordings_in(path, left_out)
            files += [(file, path) for file in inside]
            stores += [] if inside else [path]
            folders = folders or bool(inside)
        elif _is_pattern(given):
            files += [(file, None) for file in _recordings_in(path, left_out)]
            folders = True
        elif kind_of(given, missing_fix=MISSING_FIX) == "text":
            said += 1
            lines.append(("", [(said, given)]))
        elif path.suffix.lower() in MEDIA_SUFFIXES or is_media(path):
            files.append((path, None))
        else:
            lines.append((path.name, _sentences(path, str(path), notes)))
    several = len(lines) - max(said - 1, 0) > 1  # the sentences of the command line count as one source
    sentences = [
        (f"{name}:{number}" if several and name else str(number), text)
        for name, found in lines
        for number, text in found
    ]
    return Found(_named(files), stores, sentences, folders, tuple(dict.fromkeys(left_out)), tuple(notes))


def _is_pattern(given: str) -> bool:
    """Whether a text stands for files by a pattern, such as `clips/*.mp4`, and is no sentence."""
    from mecam.features.find_media import MEDIA_SUFFIXES

    if not set(given) & set("*?[") or os.path.exists(given):
        return False
    return Path(given).suffix.lower() in MEDIA_SUFFIXES or ("*" in given and not any(map(str.isspace, given)))


def _recordings_in(folder: Path, left_out: list[str]) -> list[Path]:
    """All recordings below a folder or of a pattern, those that `mecam extract` finds; hidden files left out.

    Raises: DataError if there is neither a recording nor a store.
    """
    from mecam.features.find_media import find_media

    found = find_media([folder])
    if not found.places:
        names = f"; files that look like none: {', '.join(found.left_out[:5])}" if found.left_out else ""
        raise DataError(f"this is no store, and no recording lies in it{names}", where=str(folder))
    left_out += found.left_out
    return [place.path for place in found.places]


def _named(files: Sequence[tuple[Path, Path | None]]) -> list[RecordingFile]:
    """Each file once, under as much of its path as tells it from the others."""
    from mecam.prediction.inputs import printable

    once = {path.absolute(): (path, root) for path, root in reversed(files)}
    chosen = [once[place] for place in dict.fromkeys(path.absolute() for path, _ in files)]
    parts = [path.absolute().parts for path, _ in chosen]
    lengths = [len(path.relative_to(root).parts) if root is not None else 1 for path, root in chosen]
    while True:
        names = ["/".join(p[-length:]).lstrip("/") for p, length in zip(parts, lengths, strict=True)]
        counts = Counter(map(printable, names))
        longer = [
            length + (counts[printable(name)] > 1 and length < len(p) - 1)
            for name, p, length in zip(names, parts, lengths, strict=True)
        ]
        if longer == lengths:
            return [RecordingFile(path, name) for (path, _), name in zip(chosen, names, strict=True)]
        lengths = longer


def _sentences(source: Path | bytes, where: str, notes: list[str]) -> list[tuple[int, str]]:
    """Lines that are not blank, each with its number in the file; an encoding that had to be found out is noted.

    Raises: DataError if there is none, or it is no text.
    """
    from mecam.data.text_files import lines_of

    lines, encoding = lines_of(source, most=MAX_SENTENCES_BYTES, where=where, what="file of sentences")
    if encoding:
        notes.append(f"{where}: not in UTF-8: read as {encoding}")
    found = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError("there is no sentence in this file", where=where)
    return found
