"""Networks in a process of their own: what they answer, in what batches, and what happens when it ends."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import clips
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.features import encoders
from mecam.features.extract import extract
from mecam.features.recording import Recipe

KEY = ("face", "a network", "")


class Counted:
    """Stands in for the networks of a server: doubles what it is given, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self.waiting = encoders._Waiting()

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
        threading.Thread(target=encoders._accept, args=(listener, counted.waiting), daemon=True).start()
        networks = encoders._Networks("cpu")
        networks._made[KEY] = counted
        threading.Thread(target=encoders._compute, args=(networks, counted.waiting), daemon=True).start()
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
    while len(network.waiting._requests) < 48:
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
        with pytest.raises(encoders.ServerGoneError, match="has ended"):
            encoders.run(KEY, np.zeros(3, np.float32))
    finally:
        encoders.use(None)


@pytest.mark.cluster
def test_a_store_made_with_a_server_is_the_same_but_for_rounding(tmp_path: Path) -> None:
    moves = {"mouth_open": lambda time: abs(np.sin(5 * time))}
    for name in ("a", "b"):
        clips.moving_face(tmp_path / f"{name}.mp4", moves, seconds=1.0, rate=12.0)
    recipe = Recipe(("mecam-face",))
    extract([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "own", recipe=recipe, jobs=2)
    extract([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "asked", recipe=replace(recipe, device="cpu"), jobs=2)
    own, asked_for = Store(tmp_path / "own"), Store(tmp_path / "asked")
    assert asked_for.manifest["provenance"]["extracted"]["recipe"]["device"] == "cpu"
    for one, other in zip(own, asked_for, strict=True):
        np.testing.assert_array_equal(one.intervals["vision"], other.intervals["vision"])
        np.testing.assert_allclose(one.streams["vision"], other.streams["vision"], atol=2e-3)


@pytest.mark.cluster
def test_a_server_that_is_killed_ends_the_extraction_and_not_its_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told to have failed that was not looked at; what is done is kept."""
    clips.moving_face(tmp_path / "a.mp4", {}, seconds=1.0, rate=12.0)
    recipe, serving = Recipe(("mecam-vision",), device="cpu"), encoders.serving

    @contextmanager
    def killed(device: str) -> Iterator[encoders.Server]:
        with serving(device) as server:
            for process in multiprocessing.active_children():
                if process.name == "mecam-encoders":
                    process.kill()
                    process.join()
            yield server

    monkeypatch.setattr(encoders, "serving", killed)
    with pytest.raises(encoders.ServerGoneError, match="give the same command again"):
        extract([tmp_path / "a.mp4"], tmp_path / "store", recipe=recipe, jobs=1)
    assert not (tmp_path / "store").exists()
    monkeypatch.undo()
    assert extract([tmp_path / "a.mp4"], tmp_path / "store", recipe=recipe, jobs=1).recordings == 1
