"""Networks in a process of their own: what they answer, in what batches, and what happens when it ends."""

import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Listener
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mecam.errors import ConfigError, DataError
from mecam.features import encoders

KEY = ("face", "a network", "")


class Counted:
    """Stands in for the networks of a server: doubles what it is given, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self.requests = SimpleQueue[Any]()

    def __call__(self, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self.sizes.append(len(given))
        self.begun.set()
        assert self.free.wait(60)
        if (given == 13).any():
            raise ValueError("an unlucky number")
        return [2 * given, given.sum(axis=1, keepdims=True)]


@pytest.fixture
def network() -> Iterator[Counted]:
    """A server in this process, whose only network is a `Counted`."""
    counted = Counted()
    with Listener(authkey=b"x") as listener:
        threading.Thread(target=encoders._accept, args=(listener, counted.requests), daemon=True).start()
        networks = encoders._Networks("cpu")
        networks._made[KEY] = counted
        threading.Thread(target=encoders._compute, args=(networks, counted.requests), daemon=True).start()
        encoders.use(encoders.Server(str(listener.address), b"x"))
        yield counted
        encoders.use(None)


def asked(numbers: list[float]) -> tuple[list[threading.Thread], dict[float, Any]]:
    """Ask for each number in a thread of its own."""
    answers: dict[float, Any] = {}

    def ask(number: float) -> None:
        try:
            answers[number] = encoders.run(KEY, np.full(3, number, np.float32))
        except DataError as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    return threads, answers


def test_nothing_is_asked_where_there_is_no_server() -> None:
    assert encoders.run(KEY, np.zeros(3, np.float32)) is None


def test_what_waits_is_computed_together_and_each_gets_its_own(network: Counted) -> None:
    first, answers = asked([1.0])
    assert network.begun.wait(60)
    rest, others = asked([float(number) for number in range(20, 68)])
    while network.requests.qsize() < 48:
        time.sleep(0.01)
    network.free.set()
    for thread in (*first, *rest):
        thread.join(60)
    for number, outputs in {**answers, **others}.items():
        np.testing.assert_array_equal(outputs[0], np.full(3, 2 * number))
        np.testing.assert_array_equal(outputs[1], [3 * number])
    assert network.sizes == [1, encoders.MAX_BATCH["face"], 48 - encoders.MAX_BATCH["face"]]


def test_a_network_that_fails_is_told_and_the_next_request_answered(network: Counted) -> None:
    network.free.set()
    threads, answers = asked([13.0])
    threads[0].join(60)
    assert "unlucky" in str(answers[13.0])
    again = encoders.run(KEY, np.zeros(3, np.float32))
    assert again is not None


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    sizes = []

    def small(given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        sizes.append(len(given))
        if len(given) > 3:
            raise torch.cuda.OutOfMemoryError
        return [given]

    given = np.arange(10, dtype=np.float32)[:, None]
    (made,) = encoders._Networks("cpu")._computed(small, given)
    np.testing.assert_array_equal(made, given)
    assert max(size for size in sizes if size <= 3) == 3


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot compute on 'cuda:77'"), encoders.serving("cuda:77"):
        pass


def test_a_server_that_ended_is_told() -> None:
    with encoders.serving("cpu") as server:
        pass
    encoders.use(server)
    try:
        with pytest.raises(encoders.ServerGone, match="has ended"):
            encoders.run(KEY, np.zeros(3, np.float32))
    finally:
        encoders.use(None)
