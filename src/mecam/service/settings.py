"""What a service may be asked, and how much it may take: every bound in one place, each an option of `mecam serve`."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mecam.errors import ConfigError
from mecam.threads import available_cores

__all__ = ["LOCAL", "Settings", "data_folder"]

MB = 1_000_000


@dataclass(frozen=True)
class Settings:
    """The options of a service.

    Attributes:
        model: folder of a run or of an exported model; None: the built-in model.
        tier: of the built-in model.
        data: folder for jobs, uploads and results; None: `data_folder`.
        host: address that is listened on.
        port: number; 0 takes a free one.
        token: what a client must show; None: nobody is asked.
        workers: server processes.
        readers: processes that read recordings, of each server process; 0: one a core, divided among the workers.
        live: sessions at once, of each server process.
        max_upload_mb: of one request with a recording.
        max_body_kb: of any other request.
        max_minutes: length of a recording.
        max_megapixels: of its pictures.
        max_texts: of one request.
        max_characters: of one text.
        max_waiting: requests of texts that wait for the model, of each server process.
        max_queue: jobs that wait.
        max_uploads: recordings that are received at once.
        max_disk_mb: of uploads and results together.
        max_memory_mb: of a process that reads a recording.
        max_job_minutes: for one job.
        max_live_minutes: for one live session.
        max_connections: at once, of each server process.
        wait_s: how long a request with a recording waits for its answer before it becomes a job.
        at_once_mb: recordings up to this size are waited for; larger ones become a job at once.
        keep_minutes: how long results are kept.
        batch: texts in one pass of the model.
        patience_ms: how long texts wait for company while other requests are there.
        slow_s: how long a client may take for its headers, and between two pieces of a body.
        stop_s: how long a stopping service lets jobs end before they go back to the queue.
        allow_hosts: names under which it is reached, beside its address; `*`: any.
        allow_origins: of pages elsewhere that may use it (CORS).

    Raises: ConfigError naming the option that is out of range.
    """

    model: str | None = None
    tier: str = "research"
    data: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    workers: int = 1
    readers: int = 0
    live: int = 2
    max_upload_mb: float = 500.0
    max_body_kb: float = 2_000.0
    max_minutes: float = 60.0
    max_megapixels: float = 9.0
    max_texts: int = 256
    max_characters: int = 10_000
    max_waiting: int = 256
    max_queue: int = 100
    max_uploads: int = 16
    max_disk_mb: float = 10_000.0
    max_memory_mb: float = 3_000.0
    max_job_minutes: float = 60.0
    max_live_minutes: float = 60.0
    max_connections: int = 1_000
    wait_s: float = 20.0
    at_once_mb: float = 20.0
    keep_minutes: float = 60.0
    batch: int = 32
    patience_ms: float = 3.0
    slow_s: float = 20.0
    stop_s: float = 30.0
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value >= _LEAST.get(field.name, 1e-9):
                least = _LEAST.get(field.name)
                what = "must be above 0" if least is None else f"must be at least {least}"
                raise ConfigError(f"{field.name} {what}, got {value}", where=option_of(field.name))
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise ConfigError("the token must be of printable ASCII characters, and not empty", where="--token")
        if self.port > 65_535:
            raise ConfigError(f"there is no port {self.port}", where="--port")

    @property
    def folder(self) -> Path:
        """Where jobs, uploads and results are kept."""
        return data_folder() if self.data is None else Path(self.data)

    @property
    def readers_each(self) -> int:
        """Processes that read recordings, of each server process."""
        return self.readers or max(1, available_cores() // self.workers)

    def limits(self) -> Mapping[str, float]:
        """The bounds that a client should know, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name.startswith("max_") and field.name not in ("max_memory_mb", "max_connections")
        }

    def to_environment(self) -> None:
        """Hand the settings to the server processes that this one starts."""
        os.environ[_VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> "Settings":
        """What `to_environment` handed on; without it, the defaults."""
        given: dict[str, Any] = json.loads(os.environ.get(_VARIABLE, "{}"))
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        return cls(**values)


LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""
_VARIABLE = "MECAM_SERVE_SETTINGS"
_LEAST: Mapping[str, float] = {"port": 0, "readers": 0, "live": 0, "wait_s": 0, "at_once_mb": 0, "patience_ms": 0}
_LEAST |= {name: 1 for name in ("workers", "max_texts", "max_characters", "max_queue", "max_uploads", "batch")}  # type: ignore[operator]


def option_of(name: str) -> str:
    """The option of the command line."""
    return f"--{name.replace('_', '-')}"


def data_folder() -> Path:
    """Where a service keeps its jobs unless told otherwise: where the user's programs keep their state."""
    import platformdirs

    return Path(platformdirs.user_state_dir("mecam")) / "serve"
