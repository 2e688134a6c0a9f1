"""What a service tells Prometheus: requests, how long they take, what waits, how large batches are.

Paths are told as routes (`/v1/jobs/{id}`), so that nothing of a client gets into a name, and their number stays small.
"""

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from mecam.service.jobs import Jobs

__all__ = ["CONTENT_TYPE_LATEST", "SHARED", "Measured", "Metrics"]

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Variable of the environment: where several server processes keep their numbers, so that each can tell all."""

FAST = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
LONG = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_log = logging.getLogger("mecam.service.access")


class Metrics:
    """The numbers of one server process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("mecam_requests", "Requests.", ["method", "route", "status"], registry=registry)
        self.seconds = Histogram(
            "mecam_request_seconds", "Time to the end of an answer.", ["route"], buckets=FAST, registry=registry
        )
        self.batch = Histogram("mecam_batch_texts", "Texts in one pass.", buckets=SIZES, registry=registry)
        self.model = Histogram("mecam_model_seconds", "Time of one pass.", buckets=FAST, registry=registry)
        self.jobs = Counter("mecam_jobs_ended", "Jobs that ended.", ["state"], registry=registry)
        self.job_seconds = Histogram("mecam_job_seconds", "Time to read one.", buckets=LONG, registry=registry)
        self.waiting = self._gauge("mecam_text_requests_open", "Requests of texts that are not answered yet.")
        self.sessions = self._gauge("mecam_live_sessions", "Live sessions.")

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self.registry, multiprocess_mode="livesum")

    def text(self, jobs: "Jobs") -> bytes:
        """All of it, as Prometheus reads it; what is shared by all processes is asked for now."""
        registry = self.registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            _forget_dead(Path(os.environ[SHARED]))
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + _shared(jobs)


def _forget_dead(folder: Path) -> None:
    """Leave out what processes counted that do not live any more, where it tells how things stand."""
    import psutil

    for file in folder.glob("gauge_livesum_*.db"):
        number = file.stem.rpartition("_")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            multiprocess.mark_process_dead(number)  # type: ignore[no-untyped-call]


def _shared(jobs: "Jobs") -> bytes:
    """Numbers of the table of jobs."""
    counts = jobs.counts()
    lines = ["# HELP mecam_jobs Jobs that are kept, by state.", "# TYPE mecam_jobs gauge"]
    for state in ("uploading", "queued", "running", "done", "failed"):
        lines.append(f'mecam_jobs{{state="{state}"}} {counts.get(state, 0)}')
    lines += ["# HELP mecam_disk_bytes Bytes of uploads and results.", "# TYPE mecam_disk_bytes gauge"]
    return ("\n".join([*lines, f"mecam_disk_bytes {jobs.used()}"]) + "\n").encode()


class Measured:
    """Counts and times every request, and logs it without a word of what was sent.

    Args:
        app: that answers.
        metrics: that count.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, answered)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            passed = time.perf_counter() - began
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(passed)
            _log.info("%s %s %s %.1f ms", method, route, status, 1000 * passed)


_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
