"""What every command shares when it talks to a person: progress and notes go to stderr, results to stdout."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["err", "out", "print_json", "print_place", "progress"]

PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, where nothing says how wide it may be."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
"""Results: tables, JSON, the place of what was made."""

err = Console(stderr=True, highlight=False)
"""Progress, notes and errors."""


class Update(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, total: int, now: str | None = None) -> None:
        """Show that `done` of `total` is done."""


@contextmanager
def progress(description: str) -> Iterator[Update]:
    """Show a bar on stderr while the block runs; it vanishes afterwards. Where stderr is no terminal, one line.

    Args:
        description: what is being done, in a few words.

    Yields: `update(done, total, now)`; a total of 0 means that the end is not known, `now` replaces the description.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    if not err.is_terminal:
        err.print(f"{description} …", markup=False)
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        said = description

        def update(done: int, total: int, now: str | None = None) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total or None, description=now or said)
            if now and now != said and not err.is_terminal:
                err.print(now, markup=False)  # a log file has no bar to watch
            said = now or said

        yield update


def print_json(value: Any) -> None:
    """Print a JSON value, plain, for another program to read."""
    out.print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), markup=False, soft_wrap=True)


def print_place(what: str, place: object) -> None:
    """Print where a result lies; the last line of every command that makes one."""
    out.print(f"{what}: {place}", markup=False, soft_wrap=True)
