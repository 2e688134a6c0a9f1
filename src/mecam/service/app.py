"""The application: its parts put together, and what happens when it starts and stops."""

import asyncio
import logging
import signal
import sqlite3
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from mecam.errors import MecamError
from mecam.service import pages, recordings, state, stream, texts
from mecam.service.batching import Batcher
from mecam.service.jobs import Jobs
from mecam.service.metrics import Measured, Metrics
from mecam.service.problems import Refused, answer_of, problem_of, problem_of_fields
from mecam.service.readers import Readers
from mecam.service.reading import open_model
from mecam.service.security import Guard
from mecam.service.settings import Settings
from mecam.service.watching import Watch
from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor

__all__ = ["create_app"]

_log = logging.getLogger(__name__)

THREADS = 16

ABOUT = """Sentiment and emotion from text, audio and video, with negative information filtered out first.

Answers are those of `mecam predict`, field for field. Errors are `application/problem+json`: what is wrong, where, and
what to do. With a token, every request but those for the page and for health needs `Authorization: Bearer TOKEN`."""


def create_app(settings: Settings, predictor: "Predictor | None" = None) -> FastAPI:
    """The service as an ASGI application, for any server.

    Args:
        settings: its options.
        predictor: the model, where it is loaded already.

    Raises: ModelError if the model cannot be used; DataError if the folder cannot be.
    """
    predictor = predictor or open_model(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await _start(app, predictor)
        restore = _heed_signals(app)
        try:
            yield
        finally:
            restore()
            await _stop(app)

    app = FastAPI(
        title="mecam",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.settings, app.state.predictor, app.state.metrics = settings, predictor, Metrics()
    app.state.ready = app.state.stopping = False
    for part in (texts, recordings, state, stream, pages):
        app.include_router(part.router)
    _add_error_handlers(app)
    app.add_middleware(Guard, settings=settings)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Prefer"],
            expose_headers=["Location", "Retry-After"],
        )
    app.add_middleware(Measured, metrics=app.state.metrics)
    return app


async def _start(app: FastAPI, predictor: "Predictor") -> None:
    settings: Settings = app.state.settings
    metrics: Metrics = app.state.metrics
    # Each process of a reader or a session may keep one thread waiting; the table of jobs needs its own.
    threads = ThreadPoolExecutor(THREADS + settings.live + settings.readers_each, thread_name_prefix="mecam-wait")
    asyncio.get_running_loop().set_default_executor(threads)

    def measured(count: int, seconds: float) -> None:
        metrics.batch.observe(count)
        metrics.model.observe(seconds)

    def ended(how: str, seconds: float) -> None:
        metrics.jobs.labels(how).inc()
        metrics.job_seconds.observe(seconds)

    app.state.jobs = Jobs(settings.folder, keep_s=settings.keep_minutes * 60)
    app.state.batcher = Batcher(predictor.predict_text, settings, measured)
    app.state.readers = Readers(settings, app.state.jobs, ended, metrics.sessions.inc)
    app.state.watch = Watch(app.state.jobs)
    app.state.readers.start()
    app.state.ready = True


def _heed_signals(app: FastAPI) -> Any:
    """Know that the service is asked to stop as soon as it is, and not when the last connection is closed."""
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def heed(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(begin_to_stop, app)
        then = before[number]
        if callable(then):
            then(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # not in the main thread: somebody else's program, with signals of its own
            before[number] = signal.signal(number, heed)

    def restore() -> None:
        for number, then in before.items():
            with suppress(ValueError):
                signal.signal(number, then)

    return restore


def begin_to_stop(app: FastAPI) -> None:
    """Take nothing new; what runs goes on."""
    app.state.stopping = True
    app.state.readers.stopping = True
    app.state.batcher.stop()
    app.state.watch.stop()


async def _stop(app: FastAPI) -> None:
    begin_to_stop(app)
    await app.state.readers.stop()
    app.state.jobs.close()


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return answer_of(error.problem, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = error.headers
        path = getattr(request.scope.get("route"), "path", None)
        if error.status_code == 405 and (known := app.openapi()["paths"].get(path)):
            headers = {
                "Allow": ", ".join(sorted(map(str.upper, known)))
            }  # of all routes of this path, not of the first
        return answer_of({"status": error.status_code, "what": str(error.detail).lower()}, headers)

    @app.exception_handler(MecamError)
    async def known(_: Request, error: MecamError) -> Response:
        return answer_of(problem_of(error))

    @app.exception_handler(sqlite3.OperationalError)
    async def table(_: Request, error: sqlite3.OperationalError) -> Response:
        full = "full" in str(error)
        what = "there is no room on the disk of the service" if full else "the table of jobs cannot be used now"
        refused = Refused(507 if full else 503, what, fix="try again later", retry_s=60 if full else 5)
        return answer_of(refused.problem, refused.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return answer_of(problem_of_fields(error.errors()))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> Response:
        # Its message may hold what a client sent, and is not logged.
        _log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        return answer_of({"status": 500, "what": f"the service failed ({type(error).__name__})"})
