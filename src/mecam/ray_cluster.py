"""A cluster of Ray, and how mecam uses one: nothing told to anybody, one thread for each task, errors as its own."""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mecam.errors import ConfigError, DataError, missing_extras

__all__ = ["LOCAL", "QUIET", "Stage", "connected", "streamed"]

LOCAL = "local"
"""The address of a cluster that is made of this machine, and ends with the block."""

CONNECT_SECONDS = 10.0

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers how it is used
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its remarks on standard error; what matters comes as an exception
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # tasks without a GPU see what the machine has, and no warning comes
}
"""Set where they are not, before Ray is imported or started."""
_IN_TASKS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Tasks share the cores, and sums would depend on the number of threads."""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Be connected to a cluster; one that was connected before is used as it is.

    Args:
        address: `local`, `auto` (the cluster that runs on this machine, or that `RAY_ADDRESS` names), HOST:PORT, or
            ray://HOST:PORT.

    Yields: the module `ray`.
    Raises: ConfigError if there is none; MissingExtraError if Ray is not installed.
    """
    for name, value in QUIET.items():  # read when Ray is imported
        os.environ.setdefault(name, value)
    with missing_extras():
        import ray
    if ray.is_initialized():
        yield ray
        return
    try:
        _check_there(address)
        ray.init(
            address=address,
            runtime_env={"env_vars": _IN_TASKS},
            log_to_driver=False,
            logging_level="error",
            include_dashboard=False if address == LOCAL else None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"there is no cluster of Ray at {address}: {reason}",
            where="--ray",
            fix="start one with `ray start --head`, or use --ray local",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_there(address: str) -> None:
    """Whether anything listens at HOST:PORT: Ray itself would try for minutes.

    Raises: OSError if not.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


@dataclass(frozen=True)
class Stage:
    """A step of a pipeline: actors that take a row and give one.

    Attributes:
        actor: a class; its objects are called with a row, a dictionary of plain values, and return another.
        arguments: of its constructor.
        workers: the most actors; None: as many as the cluster has room for.
        processors: that each actor takes.
        gpus: that each actor takes.
        at_once: rows that an actor takes at the same time, each in a thread.
    """

    actor: type
    arguments: tuple[Any, ...]
    workers: int | None = None
    processors: int = 1
    gpus: int = 0
    at_once: int = 1


BLOCKS, BLOCKS_EACH = 1000, 20
"""Blocks of rows at the most, or so many for each actor: each costs the driver some milliseconds and some memory."""


def streamed(ray: Any, rows: Sequence[Mapping[str, Any]], *stages: Stage) -> Iterator[dict[str, Any]]:
    """Send rows through stages with Ray Data, and give the results as they come, in any order.

    Ray starts actors that were killed again, those of a lost machine on others, and gives them the block of rows that
    they had in work once more. So a row may be worked on twice, and gives one result.

    Args:
        ray: from `connected`.
        rows: dictionaries of plain values and bytes, in the order in which they are begun.
        stages: one after the other.

    Raises: DataError if the cluster fails, or a stage raises; ConfigError if it lacks the GPUs of a stage.
    """
    if not rows:
        return
    from ray.data import ActorPoolStrategy, DataContext, from_items

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    DataContext.get_current().enable_progress_bars = False
    rooms = [_room(ray, stage) for stage in stages]
    actors = [stage.workers or room for stage, (room, _) in zip(stages, rooms, strict=True)]
    blocks = min(len(rows), max(BLOCKS, BLOCKS_EACH * max(actors)))
    dataset = from_items(list(rows), override_num_blocks=blocks)
    for stage, most, (_, processors) in zip(stages, actors, rooms, strict=True):
        pool = ActorPoolStrategy(
            min_size=1,
            max_size=min(most, blocks),
            initial_size=min(most, blocks),
            # As many blocks wait as are in work, so that no actor is idle, and few rows queue up behind a long one.
            max_tasks_in_flight_per_actor=2 * stage.at_once,
            max_concurrent_calls_per_actor=stage.at_once,
            enable_true_multi_threading=stage.at_once > 1,
        )
        dataset = dataset.map(
            stage.actor,
            fn_constructor_args=stage.arguments,
            compute=pool,
            num_cpus=processors,
            num_gpus=stage.gpus or None,
        )
    try:
        for done, row in enumerate(dataset.iter_rows(), 1):
            yield row
            if done == len(rows):  # an actor that was asked for and never began would fail what is done
                return
    except ray.exceptions.RayError as error:
        raise DataError(
            f"the cluster failed: {_first_error(error)}",
            where="--ray",
            fix="each machine needs the same mecam, and sees the same files; then give the same command again",
        ) from error


def _room(ray: Any, stage: Stage) -> tuple[int, int]:
    """How many actors of a stage the machines take, and how many processors each gets: no more than a machine has.

    Raises: ConfigError if there is no machine with the GPUs that it needs.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = [one for one in machines if one.get("GPU", 0) >= stage.gpus]
    if not fitting:
        raise ConfigError("the cluster has no GPU", where="--ray", fix="add a machine with one, or use the CPU")
    processors = min(stage.processors, max(int(one.get("CPU", 0)) for one in fitting))
    room = [one.get("GPU", 0) / stage.gpus if stage.gpus else one.get("CPU", 0) / max(processors, 1) for one in fitting]
    return max(1, sum(map(int, room))), processors


def _first_error(error: Exception) -> str:
    """What began it: Ray tells all tracebacks, the first one first."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.search(r"^[\w.]*(?:Error|Exception): .+$", text, re.MULTILINE)
    return found[0] if found else f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"
