"""What the inputs of `mecam predict` are: recordings with names that tell them apart, stores, sentences with ids."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mecam.errors import DataError

__all__ = ["Found", "Recording", "sorted_out"]

STDIN = "-"


@dataclass(frozen=True)
class Recording:
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
    """

    recordings: list[Recording] = field(default_factory=list)
    stores: list[Path] = field(default_factory=list)
    sentences: list[tuple[str, str]] = field(default_factory=list)
    folders: bool = False


def sorted_out(inputs: Sequence[str]) -> Found:
    """What each input is.

    Raises: DataError if a path leads nowhere, a sentence is empty, or a folder holds nothing to predict.
    """
    from mecam.features.clips import MEDIA_SUFFIXES
    from mecam.serve.asked import is_folder, kind_of

    files: list[tuple[Path, Path | None]] = []
    stores: list[Path] = []
    lines: list[tuple[str, list[tuple[int, str]]]] = []
    said = 0
    folders = False
    for given in inputs:
        path = Path(given)
        if given == STDIN:
            lines.append((STDIN, _sentences(_standard_input(), "standard input")))
        elif given.strip() and is_folder(given):
            inside = [] if (path / "manifest.json").exists() else _recordings_in(path)
            files += [(file, path) for file in inside]
            stores += [] if inside else [path]
            folders = folders or bool(inside)
        elif kind_of(given) == "text":
            said += 1
            lines.append(("", [(said, given)]))
        elif path.suffix.lower() in MEDIA_SUFFIXES:
            files.append((path, None))
        else:
            lines.append((path.name, _sentences(_read(path), str(path))))
    several = len(lines) - max(said - 1, 0) > 1  # the sentences of the command line count as one source
    sentences = [
        (f"{name}:{number}" if several and name else str(number), text)
        for name, found in lines
        for number, text in found
    ]
    return Found(_named(files), stores, sentences, folders)


def _recordings_in(folder: Path) -> list[Path]:
    """All recordings below a folder, hidden files left out.

    Raises: DataError if there is neither a recording nor a store.
    """
    from mecam.features.clips import MEDIA_SUFFIXES

    found = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in MEDIA_SUFFIXES and not file.name.startswith("._") and file.is_file()
    )
    if not found:
        raise DataError("this is no store, and no recording lies in it", where=str(folder))
    return found


def _named(files: Sequence[tuple[Path, Path | None]]) -> list[Recording]:
    """Each file once, under as much of its path as tells it from the others."""
    from mecam.serve.recordings import printable

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
            return [Recording(path, name) for (path, _), name in zip(chosen, names, strict=True)]
        lengths = longer


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("this is no text in UTF-8", where="standard input") from error


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "this is neither a recording whose ending is known nor a text file in UTF-8", where=str(path)
        ) from error
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=str(path)) from error


def _sentences(text: str, where: str) -> list[tuple[int, str]]:
    """Lines that are not blank, each with its number in the file.

    Raises: DataError if there is none.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError("there is no sentence in this file", where=where)
    return found
