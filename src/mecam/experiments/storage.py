"""Where the trials of a search are kept: a file of SQLite, or a database that several machines share."""

import logging
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecam.errors import ConfigError, require

__all__ = ["Heart", "about_heartbeats", "database", "file_database", "shown_url"]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS, GRACE_SECONDS = 30, 120
"""How often a trial of a shared search says that it lives, and after how much silence it is taken for dead."""

OPENINGS = 5
"""Tries to open a shared database: two that make its tables at the same moment are in each other's way."""


def file_database(optuna: Any, path: Path) -> Any:
    """A file of SQLite as the storage of a study; one process at a time uses it.

    Raises: ValueError for a file that is none; a new one may still be empty.
    """
    head = b""
    if path.exists():
        with path.open("rb") as file:
            head = file.read(16)
    if head and head != b"SQLite format 3\0":  # Optuna leaves a file open that it cannot read
        raise ValueError("this file is not an SQLite database")
    return optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")


def database(optuna: Any, url: str) -> Any:
    """A database that several processes share as the storage of a study: a trial whose process is dead is drawn again.

    Raises: ConfigError for what is no URL; MissingExtraError without the driver; errors of SQLAlchemy if it is not
        there.
    """
    parsed = _parsed(url)
    with about_heartbeats():
        again = optuna.storages.RetryHeartbeatStaleTrialCallback()
        for tries in range(1, OPENINGS + 1):
            try:
                return optuna.storages.RDBStorage(
                    parsed.render_as_string(hide_password=False),
                    engine_kwargs={"pool_pre_ping": True},  # a training is long, and servers close what is silent
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                    heartbeat_stale_trial_callback=again,
                )
            except Exception:
                if tries == OPENINGS:
                    raise
                time.sleep(0.2 * tries)
    raise AssertionError


def shown_url(url: str) -> str:
    """The URL without its password."""
    shown: str = _parsed(url).render_as_string(hide_password=True)
    return shown


def _parsed(url: str) -> Any:
    """As SQLAlchemy reads it; for PostgreSQL with the driver that the extra brings."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # their message holds the text, and with it the password
        fix = "write postgresql://USER@HOST/DATABASE or sqlite:///FILE"
        raise ConfigError("this is not the URL of a database", where="--storage", fix=fix) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        require("psycopg")
    return parsed


@contextmanager
def about_heartbeats() -> Iterator[None]:
    """Inside, Optuna does not warn that heartbeats are an experiment, and meant for its own loop."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Hh]eartbeat|.*[Ss]tale")
        yield


class Heart:
    """Says, from a thread of its own, that trials live.

    Attributes:
        living: identifiers of the trials.
    """

    def __init__(self, storage: Any) -> None:
        self.living: set[int] = set()
        self._storage, self._ended = storage, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def add(self, trial: int) -> None:
        """A trial begins, and says so at once: one that has never said so is never taken for dead."""
        self._storage.record_heartbeat(trial)
        self.living.add(trial)

    def close(self) -> None:
        """Nothing lives any more."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                for trial in list(self.living):
                    self._storage.record_heartbeat(trial)
            except Exception as error:  # the database may be back before the next beat
                log.warning("the database of the search does not answer: %s", type(error).__name__)
        self._storage.remove_session()
