"""The jobs of a command as tasks of a Ray cluster.

A task whose worker or node is lost is given to another one, which is told that the job was begun before. What jobs tell
and ask goes over a board, a small actor on the machine of the command, which asks it for news.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mecam.errors import TrainingError
from mecam.experiments.executors import PAUSE_SECONDS, Call, Ears, Over, failure, quiet
from mecam.files import writing
from mecam.ray_cluster import connected

__all__ = ["RayExecutor", "ray_executor"]

TRIES = 5
"""How often a job is given to another worker when the first ones are lost."""


class RayExecutor:
    """Tasks of a cluster, one for each job: a core each and, where the cluster has GPUs and jobs use them, a GPU.

    Args:
        ray: the module, connected.
        room: jobs at a time; None takes as many as the cluster has cores, or GPUs.
        gpus: the jobs use GPUs where there are any.
    """

    def __init__(self, ray: Any, room: int | None, *, gpus: bool) -> None:
        self._ray = ray
        there = ray.cluster_resources()
        self._gpus = 1 if gpus and there.get("GPU", 0) >= 1 else 0
        self.room = room or max(1, int(there.get("GPU" if self._gpus else "CPU", 1)))
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()
        self._running: dict[Any, str] = {}

    def start(self, job: Call) -> None:
        """On whichever machine has room; the process of a task ends with it, and gives back what it held."""
        task = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=TRIES, max_calls=1)(_work)
        self._running[task.remote(job, self._board, os.getcwd())] = job.name

    def listen(self, ears: Ears) -> list[Over]:
        """For a second at most."""
        ended, _ = self._ray.wait(list(self._running), timeout=PAUSE_SECONDS / 5) if self._running else ([], [])
        for name, number, message in self._ray.get(self._board.news.remote()):
            if number is None:
                ears.told(name, *message)
            else:
                self._board.answer.remote(number, ears.asked(name, message))
        return [self._over(one, self._running.pop(one)) for one in ended]

    def stop(self) -> None:
        """At once."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running.clear()

    def _over(self, task: Any, name: str) -> Over:
        try:
            over: Over = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            what = f"its worker was lost {TRIES + 1} times; a machine may have run out of memory"
            return Over(name, error=TrainingError(f"{what}: {type(error).__name__}"))
        return over


@contextmanager
def ray_executor(address: str, room: int | None, *, gpus: bool) -> Iterator[RayExecutor]:
    """An executor, connected while the block runs; arguments and errors as `connected` and `RayExecutor`."""
    with connected(address) as ray:
        yield RayExecutor(ray, room, gpus=gpus)


class _Board:
    """What jobs tell and ask, until the command takes it."""

    def __init__(self) -> None:
        self._news: list[tuple[str, int | None, Any]] = []
        self._answers: list[asyncio.Future[Any]] = []
        self._begun: set[str] = set()

    async def begin(self, name: str) -> bool:
        """True if the job was begun before."""
        again = name in self._begun
        self._begun.add(name)
        return again

    async def tell(self, name: str, message: tuple[int, int, str]) -> None:
        self._news.append((name, None, message))

    async def ask(self, name: str, question: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._news.append((name, len(self._answers) - 1, question))
        return await answer

    async def answer(self, number: int, answer: Any) -> None:
        self._answers[number].set_result(answer)

    async def news(self) -> list[tuple[str, int | None, Any]]:
        taken, self._news = self._news, []
        return taken


@dataclass(frozen=True)
class _Called:
    """The line of a job in a task."""

    name: str
    board: Any
    get: Callable[[Any], Any]
    again: bool

    def tell(self, done: int, total: int, note: str) -> None:
        self.board.tell.remote(self.name, (done, total, note))

    def ask(self, question: Any) -> Any:
        return self.get(self.board.ask.remote(self.name, question))


def _work(job: Call, board: Any, folder: str) -> Over:
    """The task: do the job, where the command would, and say how it went."""
    import ray

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    quiet()
    try:
        with writing(Path(folder), fix="use folders that all machines of the cluster share"):
            os.chdir(folder)
        line = _Called(job.name, board, ray.get, ray.get(board.begin.remote(job.name)))
        return Over(job.name, job.function(line))
    except Exception as error:  # whatever it is, it belongs in the table and not in the way of the others
        return Over(job.name, error=failure(error))
