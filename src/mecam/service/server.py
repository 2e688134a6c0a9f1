"""A server for the application: uvicorn, with a limit on the time that headers may take."""

import asyncio
import logging
import os
import shutil
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mecam.service.app import create_app
from mecam.service.metrics import SHARED
from mecam.service.settings import Settings

__all__ = ["PatientProtocol", "options_of", "serve"]

MAX_HEADERS = 32_000
"""Bytes."""
MAX_MESSAGE = 1_200_000
"""Bytes of a message of a stream: a picture, and what stands before it."""
KEEP_ALIVE_S = 15


def serve(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises: ModelError if the model cannot be used; DataError if the folder cannot be; OSError if the port is taken.
    """
    PatientProtocol.seconds = settings.slow_s
    options = options_of(settings)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    if settings.workers == 1:
        uvicorn.Server(uvicorn.Config(create_app(settings), **options)).run()
        return
    settings.to_environment()
    numbers = settings.folder / "metrics"
    shutil.rmtree(numbers, ignore_errors=True)
    numbers.mkdir(parents=True)
    os.environ[SHARED] = str(numbers)
    uvicorn.run("mecam.service.app:from_environment", factory=True, workers=settings.workers, **options)


def options_of(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves: nothing unbounded, and nothing logged of what clients send."""
    return {
        "host": settings.host,
        "port": settings.port,
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
