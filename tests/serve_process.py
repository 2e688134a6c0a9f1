"""`mecam serve` as a process of its own, to be asked, overloaded, starved and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx
import psutil

from serving import free_port

__all__ = ["Server", "left_over"]

START_S = 60.0
QUICK = ("--keep-minutes", "5", "--live", "1")
TABLE = frozenset({"jobs.sqlite", "jobs.sqlite-shm", "jobs.sqlite-wal"})

CODE = """
import sys

if __name__ == "__main__":  # readers import this file too
    sys.argv = ["mecam", *sys.argv[1:]]
    from mecam.cli import main

    sys.exit(main())
"""


def left_over(data: Path) -> list[str]:
    """Files in the folder of a service that belong to no job; where no job is kept, all but the table."""
    files = (path for path in data.rglob("*") if path.is_file() and path.name not in TABLE)
    return sorted(path.relative_to(data).as_posix() for path in files)


class Server:
    """A service in a process group of its own.

    Args:
        folder: for its data, its log and its script.
        options: of `mecam serve`.
        script: runs the command; for processes that lack something.
        port: to listen on; a free one by default.
        environment: variables of its own.
    """

    def __init__(
        self,
        folder: Path,
        *options: object,
        script: str = CODE,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data = folder, folder / "data"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = (*QUICK, *map(str, options))
        self._environment = {**_environment(), **(environment or {})}
        self._script = folder / "served.py"
        self._script.write_text(script, encoding="utf-8")
        self.log = folder / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        assert self.process is not None
        return self.process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it takes requests."""
        command = [sys.executable, str(self._script), "serve", "--port", str(self.port), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], stdout=log, stderr=log, start_new_session=True, env=self._environment
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it takes requests."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5.0).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the service does not start: {self.said()}")

    def said(self) -> str:
        """What it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def processes(self) -> list[psutil.Process]:
        """It and all that it started."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def readers(self) -> list[psutil.Process]:
        """The processes that read recordings."""
        return [one for one in self.processes() if "spawn_main" in " ".join(_command(one))]

    def memory(self) -> int:
        """Bytes that all of them hold."""
        return sum(self.memories().values())

    def memories(self) -> dict[int, int]:
        """Number of each process → bytes that it holds."""
        held: dict[int, int] = {}
        for one in self.processes():
            with suppress(psutil.Error):
                held[one.pid] = one.memory_info().rss
        return held

    def stop(self, seconds: float = 60.0) -> int:
        """Ask it to stop; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _environment() -> dict[str, str]:
    given = {**os.environ, "OMP_NUM_THREADS": "1"}
    given.pop("MECAM_TOKEN", None)
    return given
