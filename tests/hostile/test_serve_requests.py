"""Requests that no client should send: one clear answer each, nothing held in memory, nothing left on the disk."""

import hmac
import http.client
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import httpx
import numpy as np
import pytest

from clips import clip, tone, wav
from import_fuzz import damaged
from mecam.client import Client
from mecam.errors import ConfigError, ServiceError
from mecam.pretrained.cards import DEMO_CLIP
from mecam.service.security import check_token
from mecam.service.settings import Settings
from raw_http import HOST, Sent, broken_requests, form, head, send, upload
from serve_process import Server, left_over

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="POSIX processes")

SLOW_S = 1.0
MAX_MB = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with small bounds, which soon forgets. Shared by all tests here."""
    bounds = ("--readers", 1, "--max-upload-mb", MAX_MB, "--slow-s", SLOW_S, "--max-uploads", 4, "--live", 0)
    with Server(tmp_path_factory.mktemp("service"), *bounds, "--max-megapixels", 1, "--max-minutes", 5) as running:
        yield running


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short recording."""
    return wav(tmp_path_factory.mktemp("sound") / "a.wav", tone(1.0), 16_000).read_bytes()


@pytest.fixture
def nothing_left(server: Server) -> Iterator[None]:
    """Fails where a request of the test has left a file."""
    yield
    until = time.monotonic() + 5
    while (left := files_of_uploads(server)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def files_of_uploads(server: Server) -> list[str]:
    """What was uploaded, and not what came out."""
    return [name for name in left_over(server.data) if Path(name).stem in ("file", "transcript", "baseline")]


def problem(server: Server, *parts: tuple[str, str | None, bytes]) -> tuple[int, dict[str, object]]:
    """Status and problem of an upload."""
    body, boundary = form(parts)
    response = httpx.post(
        f"{server.url}/v1/predict/recording",
        content=body,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        timeout=60,
    )
    return response.status_code, response.json()


def alive(server: Server) -> bool:
    """Whether it predicts."""
    return httpx.post(f"{server.url}/v1/predict/text", json={"text": "Good."}, timeout=30).status_code == 200


@pytest.mark.usefixtures("nothing_left")
def test_broken_requests_get_an_answer_that_says_so(server: Server) -> None:
    cases = broken_requests()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda case: send(server.port, case, 30), cases))
    for case, answer in zip(cases, answers, strict=True):
        if isinstance(answer, str):
            assert case.may_be_silent or case.hang_up, (case.name, answer)
        else:
            assert answer < 500, (case.name, answer)
    refused = sum(400 <= answer < 500 for answer in answers if isinstance(answer, int))
    assert refused > len(cases) // 2
    assert alive(server)
    assert "Traceback" not in server.said()


@pytest.mark.usefixtures("nothing_left")
def test_damaged_forms_and_recordings(server: Server, sound: bytes) -> None:
    body, boundary = form(
        [("file", "a.wav", sound[:3000]), ("transcript", "a.vtt", b"WEBVTT\n\n00:00 --> 00:01\nHi\n")]
    )
    draw = random.Random(1)
    cases = [upload(f"{i}", body=damaged(body, draw), boundary=boundary) for i in range(20)]
    cases += [upload(f"{i}", [("file", "a.wav", damaged(sound, draw))]) for i in range(10)]
    answers = [send(server.port, case, 60) for case in cases]
    assert all(isinstance(answer, int) and answer < 500 for answer in answers), answers
    assert alive(server)


@pytest.mark.parametrize("name", ["../../../escaped.wav", "/etc/escaped.wav", "..\\..\\escaped.wav", "C:\\escaped.wav"])
def test_a_path_as_file_name_is_only_a_name(name: str, server: Server, sound: bytes) -> None:
    before = set(server.folder.parent.rglob("*escaped*"))
    status, answer = problem(server, ("file", name, sound))
    assert (status, answer["file"]) == (200, "escaped.wav")
    assert set(server.folder.parent.rglob("*escaped*")) == before


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("name", ["a.vtt", "a.json", "a.csv", "a.txt"])
def test_a_transcript_that_is_no_text(name: str, server: Server, sound: bytes) -> None:
    content = b"\x00\xff\xfe\x89PNG" + random.Random(1).randbytes(3000)
    status, told = problem(server, ("file", "a.wav", sound), ("transcript", name, content))
    assert status in (200, 422)
    if status == 422:
        assert str(server.data) not in json.dumps(told)


@pytest.mark.usefixtures("nothing_left")
def test_half_a_character_in_a_transcript(server: Server, sound: bytes) -> None:
    words = b'[{"word": "good\\ud800", "start": 0.1, "end": 0.9}]'
    status, _ = problem(server, ("file", "a.wav", sound), ("transcript", "a.json", words))
    assert status in (200, 422)
    assert "Traceback" not in server.said()


def claims(content: bytes, box: bytes, at: int, form_: str, *values: int) -> bytes:
    """An mp4 of which a box says something else."""
    place = content.index(box) + len(box) + at
    return content[:place] + struct.pack(form_, *values) + content[place + struct.calcsize(form_) :]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda c: claims(c, b"mvhd", 16, ">I", 0x7FFFFFFF), id="lasts for weeks"),
        pytest.param(lambda c: claims(c, b"mdhd", 16, ">I", 0x7FFFFFFF), id="a stream of weeks"),
        pytest.param(lambda c: claims(c, b"avc1", 24, ">HH", 65535, 65535), id="four gigapixels"),
        pytest.param(lambda c: claims(c, b"stts", 12, ">I", 0x7FFFFFFF), id="a frame of years"),
        pytest.param(lambda c: claims(c, b"stsz", 8, ">I", 0x7FFFFFFF), id="two billion frames"),
    ],
)
def test_a_clip_that_announces_too_much(lie: Callable[[bytes], bytes], server: Server, tmp_path: Path) -> None:
    content = clip(tmp_path / "a.mp4", 10).read_bytes()
    before = server.memory()
    status, told = problem(server, ("file", "a.mp4", lie(content)))
    assert status in (200, 422), told
    assert server.memory() - before < 400e6
    assert str(server.data) not in json.dumps(told)


@pytest.mark.usefixtures("nothing_left")
def test_pictures_that_are_too_large_are_refused(server: Server, tmp_path: Path) -> None:
    large = clip(tmp_path / "a.mp4", 2, width=1920, height=1080).read_bytes()
    status, told = problem(server, ("file", "a.mp4", large))
    assert status == 422
    assert "megapixels" in str(told["what"])


@pytest.mark.usefixtures("nothing_left")
def test_a_recording_that_is_too_long_is_refused(server: Server, tmp_path: Path) -> None:
    long = wav(tmp_path / "a.wav", np.zeros(400 * 2000, np.float32), 2000).read_bytes()  # 6.7 minutes in 1.6 MB
    status, told = problem(server, ("file", "a.wav", long))
    assert status == 422
    assert "minutes" in str(told["what"])


def test_a_body_that_is_too_large_is_not_read(server: Server) -> None:
    sent = Sent("two gigabytes", head(2_000_000_000, "multipart/form-data; boundary=b"))
    began = time.monotonic()
    assert send(server.port, sent, 10) == 413
    assert time.monotonic() - began < 2


@pytest.mark.usefixtures("nothing_left")
def test_a_body_without_a_length_is_read_as_far_as_it_may(server: Server) -> None:
    lines = head(0, "multipart/form-data; boundary=b").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    before, sent = server.memory(), 0
    with socket.create_connection((HOST, server.port), 30) as connection:
        connection.sendall(
            lines
            + b"5a\r\n"
            + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.ljust(90)
        )
        connection.sendall(b"\r\n")
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100e6:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 20e6, "it was read on and on"
    assert server.memory() - before < 30e6


@pytest.mark.slow
def test_two_gigabytes_go_to_the_disk_and_not_into_memory(tmp_path: Path) -> None:
    size = 2 << 30
    start, end = (form([("file", "a.mp4", b"|")])[0]).split(b"|")
    with Server(tmp_path, "--readers", 1, "--live", 0, "--max-upload-mb", 2500, "--max-minutes", 1) as server:
        before, most = server.memory(), 0
        with socket.create_connection((HOST, server.port), 600) as connection:
            length = len(start) + size + len(end)
            connection.sendall(head(length, "multipart/form-data; boundary=the-boundary") + start)
            for place in range(0, size, 1 << 20):
                connection.sendall(bytes(1 << 20))
                if place % (1 << 28) == 0:
                    most = max(most, server.memory())
            connection.sendall(end)
            answer = connection.recv(1000)
        assert answer.startswith((b"HTTP/1.1 202", b"HTTP/1.1 422")), answer[:100]
        assert most - before < 300e6, "a reader loads its model meanwhile; 2 GB are not there"
        until = time.monotonic() + 60
        while (left := left_over(server.data)) and time.monotonic() < until:
            time.sleep(0.5)
        assert left == []


def test_who_sends_nothing_or_little_is_cut_off_and_holds_up_nobody(server: Server) -> None:
    """Slow-loris: headers that never end, and bodies that trickle."""
    starts = [b"", b"POST /v1/predict/text HTTP/1.1\r\nHost: 127.0.0.1\r\n", head(500, "application/json")]
    starts.append(head(500, "application/json", path="/v1/predict/text") + b'{"text": "')
    slow = [socket.create_connection((HOST, server.port), 10) for _ in range(100)]
    for i, connection in enumerate(slow):
        connection.sendall(starts[i % len(starts)])
    began = time.monotonic()
    assert alive(server)
    assert time.monotonic() - began < SLOW_S
    for connection in slow:
        said = b""
        while piece := connection.recv(1000):
            said += piece
        assert said == b"" or said.startswith((b"HTTP/1.1 408", b"HTTP/1.1 415", b"HTTP/1.1 429")), said[:100]
        connection.close()
    assert time.monotonic() - began < 5 * SLOW_S


def test_who_trickles_headers_is_cut_off(server: Server) -> None:
    with socket.create_connection((HOST, server.port), 10) as connection:
        connection.settimeout(0.1)
        lines = chain([b"GET / HTTP/1.1\r\n"], repeat(b"X: y\r\n"))
        began, said = time.monotonic(), None
        while said is None and time.monotonic() - began < 10:
            with suppress(TimeoutError, BrokenPipeError):
                connection.sendall(next(lines))
                said = connection.recv(100)
        assert said == b""
        assert time.monotonic() - began < 5 * SLOW_S


@pytest.mark.usefixtures("nothing_left")
def test_who_leaves_while_sending_leaves_nothing(server: Server, sound: bytes) -> None:
    body, boundary = form([("file", "a.wav", sound)])
    for cut in (0, 1, 60, 5000, len(body) - 1):
        sent = head(len(body), f"multipart/form-data; boundary={boundary}") + body[:cut]
        assert send(server.port, Sent("leaves", sent, hang_up=True)) == "hung up"
    assert alive(server)


def test_who_leaves_while_waiting_takes_the_job_along(server: Server) -> None:
    content = DEMO_CLIP.read_bytes()
    before = jobs(server)
    sent = upload("leaves", [("file", "a.mp4", content)])
    with socket.create_connection((HOST, server.port), 10) as connection:
        connection.sendall(sent.content)
        until = time.monotonic() + 10
        while jobs(server) == before and time.monotonic() < until:
            time.sleep(0.02)
        assert sum(jobs(server).values()) == sum(before.values()) + 1
    until = time.monotonic() + 5
    while jobs(server) != before and time.monotonic() < until:
        time.sleep(0.05)
    assert jobs(server) == before


def jobs(server: Server) -> dict[str, int]:
    """State → jobs, of those that come and go."""
    lines = httpx.get(f"{server.url}/metrics", timeout=10).text.splitlines()
    counts = [line.split("}") for line in lines if line.startswith("mecam_jobs{")]
    found = {name.partition('"')[2].rstrip('"'): int(count) for name, count in counts}
    return {state: found[state] for state in ("uploading", "queued", "running")}


@pytest.mark.usefixtures("nothing_left")
def test_a_hundred_uploads_at_once_are_answered_or_told_to_come_again(server: Server, sound: bytes) -> None:
    sent = upload("one of many", [("file", "a.wav", sound)], more=["Prefer: respond-async"])
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: send(server.port, sent, 60), range(100)))
    assert set(answers) <= {202, 429}, set(answers)
    assert 202 in answers
    until = time.monotonic() + 30
    while any(jobs(server).values()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(jobs(server).values())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_hosts_and_origins_are_refused(method: str, server: Server) -> None:
    path = {"GET": "/v1/model", "POST": "/v1/predict/text"}[method]
    for name, value in (
        *(
            ("Host", host)
            for host in ("evil.example", "127.0.0.1.evil.example", "localhost.", "", "127.0.0.1@evil.example")
        ),
        *(
            ("Origin", origin)
            for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.port}x", "file://")
        ),
    ):
        connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
        headers = {"Host": f"127.0.0.1:{server.port}", "Content-Type": "application/json", name: value}
        connection.request(method, path, b'{"text": "a"}' if method == "POST" else None, headers)
        answer = connection.getresponse()
        assert answer.status in (400, 403), (name, value, answer.status)
        connection.close()


def test_nothing_that_was_sent_is_logged(server: Server, sound: bytes) -> None:
    secret = "xyzzyplugh"
    for path in (f"/v1/jobs/{secret}", f"/{secret}", f"/page/{secret}?{secret}"):
        httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {secret}"}, timeout=10)
    httpx.post(f"{server.url}/v1/predict/text", json={"text": secret, secret: 1}, timeout=10)
    httpx.post(f"{server.url}/v1/predict/text", content=secret.encode(), timeout=10)
    problem(server, ("file", f"{secret}.wav", sound), ("transcript", f"{secret}.txt", secret.encode()))
    problem(server, ("file", f"{secret}.wav", secret.encode()))
    assert secret not in server.said()


def test_a_token_is_asked_of_all_but_health_and_the_page(tmp_path: Path) -> None:
    token = "correct-horse"
    with Server(tmp_path, "--token", token, "--readers", 1, "--live", 0) as server:
        with Client(server.url, token=token) as client:
            assert client.predict_text("I loved it.").label == "positive"
        for wrong in (None, "", "correct-hors", "correct-horsf", "correct-horse2", token.upper()):
            with Client(server.url, token=wrong or None) as client, pytest.raises(ConfigError, match="token"):
                client.model()
        for path, status in (
            ("/healthz", 200),
            ("/readyz", 200),
            ("/metrics", 401),
            ("/openapi.json", 401),
            ("/none", 401),
        ):
            assert httpx.get(f"{server.url}{path}", timeout=10).status_code == status, path
        assert httpx.get(f"{server.url}/v1/model?token={token}", timeout=10).status_code == 401
        for scheme in (token, f"Basic {token}", f"Bearer{token}"):
            headers = {"Authorization": scheme}
            assert httpx.get(f"{server.url}/v1/model", headers=headers, timeout=10).status_code == 401
        body, boundary = form([("file", "a.wav", b"RIFF" * 300_000)])
        sent = head(len(body), f"multipart/form-data; boundary={boundary}") + body
        assert send(server.port, Sent("without a token", sent)) == 401
        assert left_over(server.data) == []
        assert token not in server.said()


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(given: bytes, right: bytes) -> bool:
        compared.append((given, right))
        return real(given, right)

    monkeypatch.setattr("mecam.service.security.hmac.compare_digest", compare)
    given = (None, "", "wrong", "right", "\u0130")
    assert [check_token(Settings(token="right"), one) for one in given] == [False, False, False, True, False]
    assert len(compared) == len(given)


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    with Server(tmp_path, "--readers", 1, "--live", 0, "--max-queue", 2, "--wait-s", 0) as server:
        answers = []
        for _ in range(6):
            with DEMO_CLIP.open("rb") as file:
                answers.append(httpx.post(f"{server.url}/v1/predict/recording", files={"file": file}, timeout=30))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(429) >= 2
        assert set(statuses) == {202, 429}
        full = answers[statuses.index(429)]
        assert int(full.headers["Retry-After"]) > 0
        assert full.json()["what"] == "too many recordings are waiting"
        with Client(server.url, patience=1.0) as client, pytest.raises(ServiceError, match="waiting"):
            client.predict_recording(DEMO_CLIP)
        places = [answer.json().get("place") for answer in answers if answer.status_code == 202]
        assert places[-1] == 1, "the last one that was accepted waits behind one"
        for answer in answers:
            if answer.status_code == 202:
                assert httpx.delete(server.url + answer.headers["Location"], timeout=10).status_code == 204
        assert left_over(server.data) == []
