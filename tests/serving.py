"""A service in a thread of this process, and what its clients send; `serve_process` has it as a command."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["free_port", "jpeg", "running", "until"]


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


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """A picture as clients send it; its sides are even."""
    import av

    height, width = image.shape[:2]
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
