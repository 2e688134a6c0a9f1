"""A server for the application: uvicorn, with a limit on the time that headers may take."""

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from mecam.errors import DataError
from mecam.service.app import create_app
from mecam.service.metrics import SHARED
from mecam.service.settings import Settings

__all__ = ["PatientProtocol", "in_a_worker", "leave_on_signals", "options_of", "serve"]

MAX_HEADERS = 32_000
"""Bytes."""
MAX_MESSAGE = 1_200_000
"""Bytes of a message of a stream: a picture, and what stands before it."""
KEEP_ALIVE_S = 15
BACKLOG = 512


def serve(settings: Settings, tell: Callable[[str], None] = lambda _: None) -> None:
    """Serve until a signal comes; then what runs is finished.

    Args:
        settings: of the service.
        tell: called with its address, once it is listened on.

    Raises: ModelError if the model cannot be used; DataError if the folder cannot be, or the address is taken.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    PatientProtocol.seconds = settings.slow_s
    app = create_app(settings)  # also with several workers: what is wrong is better found out here
    with _listening(settings) as listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"http://{host}:{listener.getsockname()[1]}/")
        if settings.workers == 1:
            leave_on_signals()
            uvicorn.Server(uvicorn.Config(app, **options_of(settings))).run([listener])
        else:
            _serve_several(settings, listener)


def _serve_several(settings: Settings, listener: socket.socket) -> None:
    """Server processes that share an address; one that ends is replaced."""
    settings.to_environment()
    numbers = settings.folder / "metrics"
    shutil.rmtree(numbers, ignore_errors=True)
    numbers.mkdir(parents=True)
    os.environ[SHARED] = str(numbers)
    config = uvicorn.Config(
        "mecam.service.server:in_a_worker", factory=True, workers=settings.workers, **options_of(settings)
    )
    Multiprocess(config, [listener]).run()


def in_a_worker() -> FastAPI:
    """The application in a server process that `serve` started."""
    settings = Settings.from_environment()
    PatientProtocol.seconds = settings.slow_s
    return create_app(settings)


def leave_on_signals() -> None:
    """Make a signal an ordinary end of the program: uvicorn raises those that stopped it once more when it is done."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)


def _listening(settings: Settings) -> socket.socket:
    """A socket at the address of the service.

    Raises: DataError if it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on, and an answer waits 40 ms for its second half.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two listen at once
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        what = f"cannot listen there: {error.strerror or error}"
        where = f"{settings.host}:{settings.port}"
        raise DataError(what, where=where, fix="choose another --port, or another --host") from error
    listener.set_inheritable(True)
    return listener


def options_of(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves: nothing unbounded, and nothing logged of what clients send."""
    return {
        "http": PatientProtocol,
        "ws": "websockets-sansio" if _has_sansio() else "websockets",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "log_config": None,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": round(settings.stop_s) + 1,
        "limit_concurrency": settings.max_connections,
        "h11_max_incomplete_event_size": MAX_HEADERS,
        "ws_max_size": MAX_MESSAGE,
        "ws_max_queue": 8,
        "ws_per_message_deflate": False,
    }


def _has_sansio() -> bool:
    from importlib.util import find_spec

    return find_spec("uvicorn.protocols.websockets.websockets_sansio_impl") is not None


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience with headers ends: a connection that sends them for longer is closed.

    Attributes:
        seconds: that a client may take.
    """

    seconds = 20.0
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has come, and its headers are waited for."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Something came; of a second request on this connection, the first piece starts the clock."""
        if self._limit is None and (self.cycle is None or self.cycle.response_complete):
            self._arm()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Its headers came; what follows is a stream, which has clocks of its own."""
        self._disarm()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._limit = asyncio.get_running_loop().call_later(self.seconds, self.transport.close)

    def _disarm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
