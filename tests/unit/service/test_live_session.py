"""The process of a live session, here as a thread: what it takes in while it answers, and how it ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

from mecam.prediction.built_in import BuiltIn
from mecam.prediction.live import Live
from mecam.service.live_session import serve_live
from mecam.service.settings import Settings
from serving import jpeg

START = {"window_s": 5.0, "every_s": 0.25, "sample_rate": 16_000, "asr": False, "language": None, "person": "speaker"}
DARK = jpeg(np.zeros((90, 160, 3), np.uint8))
TENTH = bytes(3200)


@pytest.fixture(scope="module")
def model() -> BuiltIn:
    return BuiltIn()


@contextmanager
def served(model: BuiltIn, **options: Any) -> Iterator[Connection]:
    here, there = Pipe()
    start = {**START, "began": time.time(), **options}
    thread = threading.Thread(target=serve_live, args=(there, model, start, Settings()))
    thread.start()
    try:
        yield here
    finally:
        here.close()
        thread.join(20)
        there.close()
        assert not thread.is_alive()


def answers(connection: Connection) -> list[dict[str, Any]]:
    """All answers until the session ends."""
    found = []
    while (message := connection.recv())[0] != "end":
        assert message[0] == "answer", message
        found.append(message[1])
    return found


def test_where_answers_take_longer_than_they_may_no_sound_is_lost(
    model: BuiltIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []
    answer, see = Live.answer, Live.see
    monkeypatch.setattr(Live, "answer", lambda live: time.sleep(0.4) or answer(live))
    monkeypatch.setattr(Live, "see", lambda live, at, image: looked.append(at) or see(live, at, image))
    with served(model) as connection:
        assert connection.recv()[0] == "ready"
        looked.clear()
        for number in range(30):
            connection.send(("sound", number / 10, TENTH, time.time()))
            connection.send(("picture", number / 10, DARK, time.time()))
            time.sleep(0.1)
        connection.send(("end",))
        found = answers(connection)
    assert found[-1]["time"] == 3.0
    assert found[-1]["dropped"]["sound_s"] == 0
    assert len(looked) >= 4
    assert looked == sorted(looked)
    assert found[-1]["dropped"]["pictures"] + len(looked) == 30
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)


def test_pictures_are_looked_at_five_times_a_second(model: BuiltIn, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []
    see = Live.see
    monkeypatch.setattr(Live, "see", lambda live, at, image: looked.append(at) or see(live, at, image))
    with served(model) as connection:
        assert connection.recv()[0] == "ready"
        looked.clear()
        for number in range(60):  # thirty a second
            connection.send(("picture", number / 30, DARK, time.time()))
            time.sleep(1 / 60)
        connection.send(("end",))
        last = answers(connection)[-1]
    assert 6 <= len(looked) <= 11
    assert np.diff(looked).min() > 0.14
    assert last["dropped"]["pictures"] == 60 - len(looked)


def test_an_option_that_cannot_be_is_an_error(model: BuiltIn) -> None:
    with served(model, person=0) as connection:
        kind, problem = connection.recv()
    assert kind == "error"
    assert problem["status"] == 400
    assert "no person 0" in problem["what"]


def test_an_error_of_our_own_is_told_without_what_was_sent(
    model: BuiltIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(live: Live, *said: Any) -> None:
        raise RuntimeError(f"cannot take in {said}")

    with served(model) as connection:
        assert connection.recv()[0] == "ready"
        monkeypatch.setattr(Live, "say", fail)
        connection.send(("text", {"id": "1", "text": "a secret", "start": 0.0, "stop": 1.0}))
        while (message := connection.recv())[0] == "answer":
            pass
    assert message[0] == "error"
    assert message[1]["status"] == 500
    assert "secret" not in str(message) + caplog.text


def test_a_session_ends_when_nobody_is_there(model: BuiltIn) -> None:
    with served(model) as connection:
        assert connection.recv()[0] == "ready"
