"""The overview of a folder of pages: one row a recording, each with a link to its page."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mecam.files import write_whole
from mecam.prediction.result import Watched
from mecam.report.markup import escape, table
from mecam.report.recording.page import says
from mecam.report.recording.shell import shell
from mecam.task import Task

__all__ = ["page_names", "write_index"]

LONGEST = 200
"""Bytes of a file name that a page keeps; file systems take 255."""


def page_names(names: Sequence[str]) -> list[str]:
    """Names of pages that mirror the folders of the recordings; no two are the same.

    Args:
        names: of the recordings, with `/` between folders.
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        parts = [_short(part) for part in name.replace("\\", "_").split("/") if part not in ("", ".", "..")]
        page = f"{'/'.join(parts) or 'recording'}.html"
        number = 2
        while page.casefold() in taken or page.casefold() == "index.html":  # some file systems ignore capitals
            page = f"{'/'.join(parts) or 'recording'} ({number}).html"
            number += 1
        taken.add(page.casefold())
        found.append(page)
    return found


def write_index(path: Path, watched: Sequence[Watched], pages: Sequence[str], task: Task) -> Path:
    """Write the overview of pages that lie below it.

    Raises: DataError if it cannot be written.
    """
    rows = []
    for each, page in zip(watched, pages, strict=True):
        absent = ", ".join(each.absent)
        link = f'<a href="{quote(os.fsencode(page))}">{escape(each.name)}</a>'
        length = f"{each.duration:.1f} s"
        rows.append([link, escape(says(each.overall, task)), escape(absent or "–"), length])
    head = ["recording", "the whole", "absent", "length"]
    notes = tuple(dict.fromkeys(note for each in watched for note in each.notes))
    count = f"{len(watched)} recording{'s' if len(watched) > 1 else ''}"
    return write_whole(path, shell("mecam predict", count, "", [table(head, rows, numbers=1)], notes=notes))


def _short(name: str) -> str:
    """A part of a name that file systems take: one that is too long ends with a hash of itself."""
    data = os.fsencode(name)
    if len(data) <= LONGEST:
        return name
    return f"{data[:LONGEST].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:8]}"
