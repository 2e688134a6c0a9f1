"""What every command shares when it talks to a person: progress and notes go to stderr, results to stdout.

Names and texts come from strangers' files. All that is printed goes through `out` and `err`, which read no markup in it
and let no control character through (`safe`); what is logged goes through `SafeFormatter`.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from mecam.escaping import json_text, safe

__all__ = [
    "SafeFormatter",
    "echo",
    "echo_json",
    "err",
    "flush",
    "forget_output",
    "one_line",
    "open_streams",
    "out",
    "print_json",
]
__all__ += ["print_place", "progress", "safe"]

PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, where nothing says how wide it may be."""


def one_line(text: object) -> str:
    """The same on one line: a name with a line break in it must not look like a message of ours."""
    return safe(str(text)).replace("\n", "\\n").replace("\t", "\\t")


class SafeConsole(Console):
    """A console that takes what it is given as text: no markup, no emoji codes, no control characters."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with every text made safe; tables and bars ask here for each of their cells."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(safe(text), style)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; notes that nobody can read (stderr is full or gone) stop no work."""
        try:
            super().print(*objects, **options)
        except OSError:
            if not self.stderr:
                raise

    def on_broken_pipe(self) -> None:
        """Leave it to `main`: what reads our output has left."""
        raise


class SafeFormatter(logging.Formatter):
    """What is logged, made safe for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, or several."""
        return safe(super().format(record))


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # it is closed
        return False


out = SafeConsole(width=None if _is_terminal(sys.stdout) else PIPED_WIDTH)
"""Results: tables, JSON, the place of what was made."""

err = SafeConsole(stderr=True)
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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    description = one_line(description)
    if not err.is_terminal:
        err.print(f"{description} …")
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        said = description

        def update(done: int, total: int, now: str | None = None) -> None:
            nonlocal said
            now = now and one_line(now)
            bar.update(task, completed=done, total=total or None, description=now or said)
            if now and now != said and not err.is_terminal:
                err.print(now)  # a log file has no bar to watch
            said = now or said

        yield update


def print_json(value: Any) -> None:
    """Print a JSON value, plain, for another program to read."""
    echo_json(json_text(value, indent=2) + "\n")


def echo_json(text: str) -> None:
    """Print JSON as `echo` does; what the encoding of the output lacks is escaped."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    unicode = encoding.startswith("utf")
    echo(text if unicode else re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text))


def echo(text: str) -> None:
    """Print text as it is, unbroken, for another program; made safe where it is a terminal that shows it."""
    stream = sys.stdout
    stream.write(safe(text) if _is_terminal(stream) else text)
    stream.flush()


def print_place(what: str, place: object) -> None:
    """Print where a result lies; the last line of every command that makes one."""
    out.print(f"{what}: {one_line(place)}", soft_wrap=True)


def open_streams() -> bool:
    """Make the standard streams take any text: a sign that their encoding lacks is replaced, not an error.

    Returns: False if there is no standard output, so that what is printed is lost.
    """
    given = sys.stdout is not None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the rest of the process
        elif hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    return given


def flush() -> None:
    """Hand on what was printed.

    Raises: OSError if nobody can take it; Python then does not try once more when it ends.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        forget_output()
        raise


def forget_output() -> None:
    """Let what is still to be printed go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
