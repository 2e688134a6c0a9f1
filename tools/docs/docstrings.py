"""Lets griffe read sections of docstrings that are written in one line, as mecam writes them.

`Raises: DataError if the store is damaged; ModelError if …` becomes a section with an entry for each error, and
`Returns: …` a section with its text.
"""

import re
from typing import Any

import griffe

ONE_LINE = re.compile(r"^(Raises|Returns|Yields): (\S.*(?:\n[ \t]*\S.*)*)", re.MULTILINE)
ERROR = re.compile(r"(?:^|;\s+)(?=[A-Z]\w*(?:Error|Exit)\b)")


def sections(text: str) -> str:
    """A docstring whose one-line sections are written in Google's way."""

    def written(match: re.Match[str]) -> str:
        name, told = match[1], " ".join(match[2].split())
        if name != "Raises":
            return f"{name}:\n    {told}"
        entries = []
        for part in filter(None, (piece.strip().rstrip(";") for piece in ERROR.split(told))):
            error, _, condition = part.partition(" ")
            entries.append(f"    {error.rstrip(':,')}: {condition[:1].upper()}{condition[1:]}")
        return "Raises:\n" + "\n".join(entries)

    return ONE_LINE.sub(written, text)


class OneLineSections(griffe.Extension):
    """The extension that zensical.toml names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of whatever was read."""
        if obj.docstring is not None:
            obj.docstring.value = sections(obj.docstring.value)
