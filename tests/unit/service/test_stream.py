"""A live session as its client sees it: answers while it goes on, and one clear word where it cannot."""

import json
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mecam.features.media import Media
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.live import Live
from mecam.pretrained.cards import DEMO_CLIP
from mecam.service import stream
from mecam.service.jpeg import decoded
from serving import jpeg, running, until

TOKEN = "a token that nobody guesses"
RATE = 16_000
SAID = {"type": "text", "id": "1", "text": "I love this film.", "start": 0.5, "stop": 2.5}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service"), token=TOKEN, live=1) as address:
        yield address


@contextmanager
def opened(address: str, **options: Any) -> Iterator[ClientConnection]:
    url = address.replace("http", "ws") + "/v1/stream"
    with connect(url, proxy=None, max_size=None, **options) as client:
        yield client


@contextmanager
def session(address: str, **options: Any) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
    """A session that has begun; the place of the one before is free when its process has ended."""
    for _ in range(600):
        with opened(address) as client:
            client.send(json.dumps({"type": "start", "token": TOKEN, "asr": False, **options}))
            ready = json.loads(client.recv(timeout=60))
            if ready.get("status") == 429:
                time.sleep(0.1)
                continue
            assert ready["type"] == "ready", ready
            yield client, ready
            return
    pytest.fail("no place became free")


def refused(client: ClientConnection) -> tuple[dict[str, Any], int]:
    """The error, which comes after any answers, and the code with which the stream is closed."""
    while (message := json.loads(client.recv(timeout=20)))["type"] != "error":
        pass
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=20)
    assert client.protocol.close_code is not None
    return message, client.protocol.close_code


def binary(kind: int, time: float, payload: bytes) -> bytes:
    return struct.pack("<Bd", kind, time) + payload


def test_answers_are_those_of_live_on_what_was_sent(address: str) -> None:
    media = Media(DEMO_CLIP)
    _, sound = media.waveform(0.0, 3.0)
    pcm = np.round(sound.clip(-1, 1) * 32767).astype("<i2")
    pictures = [(frame.time, jpeg(frame.image)) for frame in media.frames(0.0, 3.0, rate=5.0)]
    live = Live(BuiltIn(), asr=False, window_s=4.0)
    answers = []
    with session(address, window_s=4.0, every_s=0.25) as (client, ready):
        assert (ready["window_s"], ready["every_s"], ready["pictures_per_s"], ready["asr"]) == (4.0, 0.25, 5.0, None)
        client.send(json.dumps(SAID))
        live.say("1", SAID["text"], 0.5, 2.5)
        for at in range(0, len(pcm), RATE // 5):
            block = pcm[at : at + RATE // 5]
            client.send(binary(1, at / RATE, block.tobytes()))
            live.hear(at / RATE, block.astype(np.int16))
            for when, picture in pictures:
                if at <= when * RATE < at + RATE // 5:
                    client.send(binary(2, when, picture))
                    live.see(when, decoded(picture))
                    time.sleep(0.2)  # or a newer one takes its place
        client.send('{"type": "end"}')
        for message in client:
            answers.append(json.loads(message))
    assert client.protocol.close_code == 1000
    assert {answer["type"] for answer in answers} == {"answer"}
    assert len(answers) > 5
    last = answers[-1]
    assert last["dropped"] == {"pictures": 0, "sound_s": 0.0}
    assert 0 <= last["latency_s"] < 5
    expected = json.loads(json.dumps(live.answer().to_json()))
    assert {key: last[key] for key in expected} == expected
    assert last["texts"][0]["prediction"]["label"] == "positive"
    assert last["people"][0]["person"] == 1


def test_what_cannot_be_used_ends_nothing_and_is_told(address: str) -> None:
    with session(address, every_s=0.25, sample_rate=8000) as (client, _):
        for number in range(5):
            client.send(binary(2, number / 5, b"\xff\xd8 no picture"))
            time.sleep(0.05)
        client.send(binary(1, float("nan"), bytes(320)))
        client.send(binary(1, -3.0, bytes(320)))
        client.send(binary(1, 1e9, bytes(320)))
        client.send(json.dumps({**SAID, "start": 9.0}))
        client.send(json.dumps({**SAID, "id": "2", "stop": float("nan")}))
        client.send(binary(1, 0.5, bytes(1600)))
        client.send('{"type": "end"}')
        last = [json.loads(message) for message in client][-1]
    assert client.protocol.close_code == 1000
    assert last["time"] == pytest.approx(0.6, abs=0.005)  # resampled
    told = " ".join(last["findings"])
    assert "3 blocks of sound or pictures had a time that cannot be" in told
    assert "2 texts were too long" in told
    assert "pictures could not be decoded" in told


@pytest.mark.parametrize(
    ("first", "status", "what"),
    [
        ("hello", 400, "not JSON"),
        ("[" * 100_000, 400, "not JSON"),
        ("[]", 422, "dictionary"),
        (b"\x01" + bytes(20), 400, "not JSON"),
        ({"type": "start"}, 401, "token is missing or wrong"),
        ({"type": "start", "token": "wrong"}, 401, "token is missing or wrong"),
        ({"type": "start", "token": TOKEN, "window_s": 31}, 422, "less than or equal to 30"),
        ({"type": "start", "token": TOKEN, "every_s": float("nan")}, 422, "finite"),
        ({"type": "start", "token": TOKEN, "every_s": 0.1}, 422, "greater than or equal to 0.25"),
        ({"type": "start", "token": TOKEN, "colour": "blue"}, 422, "extra inputs"),
        ({"type": "start", "token": TOKEN, "language": "../../x"}, 422, "pattern"),
    ],
)
def test_a_first_message_that_begins_nothing(address: str, first: Any, status: int, what: str) -> None:
    with opened(address) as client:
        client.send(json.dumps(first) if isinstance(first, dict) else first)
        error, code = refused(client)
    assert (error["status"], code) == (status, 1008)
    assert what in error["what"]
    assert TOKEN not in json.dumps(error)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x01", 400),
        (binary(7, 0.0, bytes(10)), 400),
        (binary(1, 0.0, bytes(11)), 400),
        (binary(1, 0.0, bytes(2 * RATE + 2)), 413),
        (binary(2, 0.0, bytes(1_000_001)), 413),
        ('{"type": "text", "id": "1"}', 422),
        (json.dumps({**SAID, "text": "a" * 2001}), 422),
        ('{"type": "start"}', 422),
    ],
)
def test_a_message_out_of_bounds_ends_the_session(message: str | bytes, status: int) -> None:
    """Without a process: what a message may be is known before it is handed on."""
    taker = stream._Session.__new__(stream._Session)
    taker._waiting = stream.Waiting(RATE)
    with pytest.raises(stream.Refused) as error:
        taker._binary(message) if isinstance(message, bytes) else stream._fields(message, stream.SayMessage)
    assert error.value.status_code == status


def test_pages_of_another_origin_are_refused(address: str) -> None:
    with pytest.raises(InvalidStatus) as error, opened(address, origin="https://elsewhere.example"):
        pass
    assert error.value.response.status_code == 403
    with opened(address, origin=address) as client:  # the service's own page
        client.send("{}")
        assert refused(client)[1] == 1008


@pytest.mark.posix
def test_places_are_bounded_and_freed_and_a_killed_process_is_told(address: str) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with session(address) as (client, _):
        with opened(address) as other:
            other.send(json.dumps({"type": "start", "token": TOKEN}))
            error, code = refused(other)
            assert (error["status"], code) == (429, 1013)
        (reader,) = [child for child in psutil.Process().children() if child.pid not in before]
        os.kill(reader.pid, signal.SIGKILL)
        error, code = refused(client)
        assert (error["status"], code) == (500, 1011)
    with session(address) as (client, _):
        client.close()
    until(lambda: {child.pid for child in psutil.Process().children()} <= before)
    # Gone, with more sent than a pipe holds, while its process still loads the model. The place of the one before may
    # be freed a moment after its process has ended.
    with opened(address) as client, suppress(ConnectionClosed):
        client.send(json.dumps({"type": "start", "token": TOKEN}))
        for number in range(30):
            client.send(binary(1, number / 10, bytes(RATE // 5)))
    until(lambda: {child.pid for child in psutil.Process().children()} <= before)


def test_silence_and_sessions_without_end_are_ended(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "START_S", 0.3)
    with opened(address) as client:
        error, code = refused(client)
        assert (error["status"], code) == (408, 1008)
    monkeypatch.setattr(stream, "IDLE_S", 4.0)
    with session(address) as (client, _):
        error, code = refused(client)
        assert (error["status"], code) == (408, 1008)
        assert "nothing came for 4 s" in error["what"]


def test_a_session_has_a_longest_time_and_a_stopping_service_says_so(tmp_path: Path) -> None:
    options = {"max_live_minutes": 0.07, "slow_s": 1.0}  # longer than headers may take
    with running(tmp_path / "short", **options) as address, session(address) as (client, _):
        error, code = refused(client)
        assert (error["status"], code) == (408, 1008)
        assert "minutes at most" in error["what"]
    with ExitStack() as client_open:
        with running(tmp_path / "stopping") as address:
            client, _ = client_open.enter_context(session(address))
        with suppress(ConnectionClosed):
            for _ in client:  # answers, and perhaps why it ends
                pass
        assert client.protocol.close_code == 1012
