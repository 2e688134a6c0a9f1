"""A cluster of Ray, and how mecam uses one: nothing told to anybody, one thread for each task, errors as its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mecam.errors import ConfigError, missing_extras

__all__ = ["LOCAL", "connected"]

LOCAL = "local"
"""The address of a cluster that is made of this machine, and ends with the block."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers how it is used
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # tasks without a GPU see what the machine has, and no warning comes
}
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
    for name, value in _QUIET.items():  # read when Ray is imported
        os.environ.setdefault(name, value)
    with missing_extras():
        import ray
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": _IN_TASKS},
            log_to_driver=False,
            logging_level="error",
            include_dashboard=False if address == LOCAL else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
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
