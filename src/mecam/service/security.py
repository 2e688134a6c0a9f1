"""Who may ask, and how: hosts, origins, the token, bodies that are too large or too slow, headers of every answer.

A service on localhost is within reach of every page that a browser on this machine opens. So a request must name a host
that the service is reached under (against names that are made to point here), and where a browser says from which page
a request comes, it must be a page of the service itself, or one that was allowed.
"""

import asyncio
import hmac
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mecam.service.problems import Refused, answer_of
from mecam.service.settings import LOCAL, MB, Settings

__all__ = ["Guard", "bearer", "check_connection", "check_origin", "check_token"]

OPEN = ("/healthz", "/readyz", "/")
"""Paths that need no token; the page's own files, below `OPEN_BELOW`, neither: they hold nothing of anybody."""
OPEN_BELOW = "/page/"
UPLOADS = "/v1/predict/recording"
STREAM = "/v1/stream"

SCRIPTS = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": SCRIPTS,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

POUR_S, POUR_BYTES = 1.0, 8 * MB
"""How long, and how much of a body that is not wanted, is read before the connection is closed."""
LEAST_RATE = 1_000.0
"""Bytes a second that a body must come with, on average, once it has come for as long as a pause may be."""


def check_token(settings: Settings, given: str | None) -> bool:
    """Whether a client may ask; takes the same time for every wrong token."""
    if settings.token is None:
        return True
    return hmac.compare_digest((given or "").encode("utf-8", "surrogateescape"), settings.token.encode())


def check_origin(settings: Settings, headers: Headers) -> bool:
    """Whether the page that a request comes from, if any, may use the service."""
    origin = headers.get("origin")
    if origin is None or origin in settings.allow_origins or "*" in settings.allow_origins:
        return True
    try:
        return bool(origin != "null" and urlsplit(origin).netloc == headers.get("host"))
    except ValueError:
        return False


def _host_known(settings: Settings, headers: Headers) -> bool:
    """Whether the service is reached under a name of its own."""
    if "*" in settings.allow_hosts:
        return True
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return False
    if settings.host in ("0.0.0.0", "::") and not settings.allow_hosts:
        return True  # nobody knows under which names such a service is reached
    return name in (*LOCAL, settings.host, *settings.allow_hosts)


class Guard:
    """Lets through what may pass, counts what comes in, and sets the headers of what goes out.

    Args:
        app: that is guarded.
        settings: of the service.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)  # a stream checks host, origin and token by itself
            return
        started, body = False, self._body(scope, receive)

        async def answered(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                _set_headers(headers)
                if headers.get("connection") == "close":
                    await body.pour_away()
            await send(message)

        try:
            await self._check(scope)
            await self.app(scope, body, answered)
        except Refused as refused:
            if started:
                raise
            await answer_of(refused.problem, refused.headers)(scope, receive, answered)

    async def _check(self, scope: Scope) -> None:
        """Raises Refused for who may not ask."""
        headers = Headers(scope=scope)
        if not _host_known(self.settings, headers):
            fix = "ask under the address of the service, or start it with --allow-host NAME"
            raise Refused(403, "the service is not known under this host name", where="Host", fix=fix, close=True)
        if not check_origin(self.settings, headers):
            fix = "start the service with --allow-origin ORIGIN if this page may use it"
            raise Refused(403, "pages of another origin may not use this service", where="Origin", fix=fix, close=True)
        path = scope["path"]
        preflight = scope["method"] == "OPTIONS" and bool(self.settings.allow_origins)
        if path in OPEN or path.startswith(OPEN_BELOW) or preflight:
            return
        if not check_token(self.settings, bearer(headers)):
            fix = "send the header `Authorization: Bearer TOKEN`"
            raise Refused(401, "the token is missing or wrong", where="Authorization", fix=fix, close=True)

    def _body(self, scope: Scope, receive: Receive) -> "_Body":
        """The body of a request, within what settings allow."""
        upload = scope["path"] == UPLOADS
        most = self.settings.max_upload_mb * MB if upload else self.settings.max_body_kb * 1_000
        announced = Headers(scope=scope).get("content-length", "")
        return _Body(receive, most, self.settings.slow_s, int(announced) if announced.isdigit() else 0)


class _Body:
    """A body that comes in pieces, as long as it is neither too large nor too slow.

    Args:
        receive: the next piece of it.
        most: bytes.
        slow_s: seconds between two pieces.
        announced: bytes that the client means to send.
    """

    def __init__(self, receive: Receive, most: float, slow_s: float, announced: int) -> None:
        self._receive, self._most, self._slow_s, self._announced = receive, most, slow_s, announced
        self._got, self._began, self._ended = 0, time.monotonic(), False

    async def __call__(self) -> Message:
        """As ASGI asks.

        Raises: Refused if it is too large, or comes too slowly.
        """
        if self._ended:  # what comes now is the end of the connection, however long that takes
            return await self._receive()
        if self._announced > self._most:
            raise self._too_large()
        try:
            message = await asyncio.wait_for(self._next(), self._slow_s)
        except asyncio.TimeoutError:
            raise Refused(408, f"nothing more of the request came in {self._slow_s:g} s", close=True) from None
        if self._got > self._most:
            raise self._too_large()
        passed = time.monotonic() - self._began
        if not self._ended and passed > self._slow_s and self._got < LEAST_RATE * passed:
            raise Refused(408, "the request comes too slowly", close=True)
        return message

    async def pour_away(self) -> None:
        """Read on for a moment, for nothing: who is cut off while sending may never read why."""
        until, enough = time.monotonic() + POUR_S, self._got + POUR_BYTES
        with suppress(asyncio.TimeoutError):
            while not self._ended and self._got < enough:
                await asyncio.wait_for(self._next(), until - time.monotonic())

    async def _next(self) -> Message:
        message = await self._receive()
        self._got += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _too_large(self) -> Refused:
        return Refused(413, f"the request is larger than {self._most / MB:g} MB", close=True)


def bearer(headers: Headers) -> str | None:
    """The token of a request."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def check_connection(settings: Settings, connection: HTTPConnection) -> str:
    """Why a stream may not be opened from there; empty if it may."""
    if not _host_known(settings, connection.headers):
        return "the service is not known under this host name"
    if not check_origin(settings, connection.headers):
        return "pages of another origin may not use this service"
    return ""


def _set_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
