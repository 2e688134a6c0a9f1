"""A service for tests: in a thread of this process, or as the command in a process of its own."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

__all__ = ["command", "free_port", "jpeg", "running", "until"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: Any, seconds: float = 30.0) -> Any:
    """The first true value of a function, asked again and again; an error if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[str]:
    """The address of a service that runs in a thread; its readers are processes as always."""
    import uvicorn

    from mecam.service.app import create_app
    from mecam.service.server import PatientProtocol, options_of
    from mecam.service.settings import Settings

    made = Settings(data=str(folder), port=free_port(), **{"readers": 1, "stop_s": 1.0, **settings})
    PatientProtocol.seconds = made.slow_s
    server = uvicorn.Server(uvicorn.Config(create_app(made), port=made.port, **options_of(made)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{made.port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def command(folder: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[tuple[Any, str]]:
    """`mecam serve` in a process of its own: the process and the address; killed afterwards if it still runs."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    start = "from mecam.cli import main; raise SystemExit(main())"
    given = ["serve", "--port", str(port), "--data", str(folder), *options]
    process = subprocess.Popen(
        [sys.executable, "-c", start, *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    try:
        until(lambda: process.poll() is not None or is_ready(address), 60)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def is_ready(address: str) -> bool:
    """Whether a service there takes requests."""
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """A picture as clients send it; its sides are even."""
    import av

    height, width = image.shape[:2]
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
