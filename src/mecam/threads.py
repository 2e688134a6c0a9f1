"""How many threads computing takes: as many as this process may use cores, and one for small work.

Threads that share a sum wait for each other at its end, and by default they wait spinning. Where another program keeps
a core busy, one of them is always late and the others burn the rest: a sentence that takes a thirtieth of a second on
one thread took a whole second on two. So nothing here spins (`settle`, for the command line, before PyTorch is loaded),
and work that is over in a moment takes one thread (`for_work`).
"""

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SMALL_UTTERANCES", "ProcessLock", "available_cores", "for_work", "keep_few_shapes", "settle"]

SMALL_UTTERANCES = 8
"""Utterances to predict up to which one thread is enough."""

_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0", "OPENBLAS_NUM_THREADS": "1"}
"""What GNU's and Intel's OpenMP are told so that a waiting thread sleeps; NumPy's OpenBLAS cannot be, and gets one."""


class ProcessLock:
    """Lets one thread of this process in at a time; in a process that is forked off it is free, whoever held it."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the quota of its container (cgroup), rounded up.

    Args:
        root: where the system's files lie; for tests.
    """
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)) or count)
    quota = _quota(root)
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def settle() -> None:
    """Set this process up to compute among others; before PyTorch is loaded, as it asks once.

    A setting of the user's own wins. For programs whose whole process is ours, as the command line: a library changes
    no environment.
    """
    keep_few_shapes()
    if "torch" in sys.modules:
        return
    for name, value in {**_PATIENT, "OMP_NUM_THREADS": str(available_cores())}.items():
        os.environ.setdefault(name, value)


def keep_few_shapes() -> None:
    """Let oneDNN, which multiplies for PyTorch on CPUs, keep what it made for 16 shapes, not for the last 1024.

    Batches of texts come in hundreds of shapes: a training grew with its epochs, and keeping fewer costs no time. It
    asks once, when it first multiplies. A setting of the user's own wins.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")


@contextmanager
def for_work(utterances: int) -> Iterator[None]:
    """Compute with one thread inside, if there are only a few utterances to predict."""
    import torch

    before = torch.get_num_threads()
    if utterances > SMALL_UTTERANCES or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _quota(root: Path) -> float | None:
    """Cores that the cgroup allows, the tightest of those around this process; None where nothing says so."""
    found: list[float] = []
    for folder in _cgroups(root):
        whole = _numbers(folder / "cpu.max")  # version 2: quota and period; "max" is no quota
        parts = whole or [*_numbers(folder / "cpu.cfs_quota_us"), *_numbers(folder / "cpu.cfs_period_us")]
        if len(parts) == 2 and parts[0] > 0 and parts[1] > 0:
            found.append(parts[0] / parts[1])
    return min(found, default=None)


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroup, and of those around it; of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    places = {"sys/fs/cgroup": "/", "sys/fs/cgroup/cpu": "/"}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if not controllers:
            places["sys/fs/cgroup"] = inside
        elif "cpu" in controllers.split(","):
            places["sys/fs/cgroup/cpu"] = inside
    for base, inside in places.items():
        here = Path(inside.strip("/"))
        yield from (root / base / part for part in (here, *here.parents))


def _numbers(path: Path) -> list[float]:
    try:
        return [float(word) for word in path.read_text(encoding="utf-8").split()]
    except (OSError, ValueError):
        return []
