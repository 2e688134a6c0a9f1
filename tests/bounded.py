"""Run something in a process of its own that has little memory and little time."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOM = 1536 << 20
"""Bytes of address space that a process may take beyond what it has after its imports."""

SECONDS = 60


class TooLong(BaseException):
    """The time is over; no handler of errors catches it."""


def limit_memory() -> None:
    """Let this process take no more than `ROOM` from here on, until `free_memory`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + ROOM, most))


def free_memory() -> None:
    """Take the limit away."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_time(seconds: int = SECONDS) -> None:
    """Raise `TooLong` after so many seconds; 0 takes the limit away."""

    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)


def run_bounded(module: str, *arguments: str, seconds: int = SECONDS) -> Any:
    """What a module of the tests prints as JSON in a process of its own, which must live to its end."""
    source = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])
