"""The client against a server that says what it is told to: what is sent, waited for, tried again, and how it fails."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import light
from mecam.client import Client
from mecam.errors import ConfigError, DataError, MecamError, ServiceError
from mecam.prediction.result import Prediction, RecordingPrediction
from panel_answers import panel_recording

Answer = tuple[int, Mapping[str, str], Any]

GOOD = {"id": "1", "text": "Good.", "label": "positive", "score": 1.5}
PLACE = {"Location": "/v1/jobs/a1"}
DELETED = (204, {}, b"")


class Scripted(ThreadingHTTPServer):
    """Gives the answers that it is told, one after another, and keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def lines(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def answer(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            raise AssertionError("the client knows how much it sends")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, headers, content = self.server.answers.pop(0)
        if status == 0:  # the connection breaks
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - as http.server calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server: Scripted) -> Iterator[Client]:
    with Client(server.url, token="open sesame", timeout=10.0, patience=3.0) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "été.mp4"
    path.write_bytes(b"not read here")
    return path


def job(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "a1", "state": state, "stage": "faces", "progress": 0.5, **more}


def test_one_text_gives_one_prediction_and_a_list_a_list(server: Scripted, client: Client) -> None:
    server.answers = [(200, {}, {"predictions": [GOOD]}), (200, {}, {"predictions": [GOOD, {**GOOD, "id": "2"}]})]
    assert client.predict_text("Good.") == Prediction.from_json(GOOD)
    assert [one.id for one in client.predict_text(["Good.", "été"])] == ["1", "2"]
    assert client.predict_text([]) == []
    method, path, headers, body = server.asked[1]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/predict/text", "Bearer open sesame")
    assert json.loads(body) == {"texts": ["Good.", "été"]}
    assert len(server.asked) == 2


def test_what_is_no_text_is_not_sent(server: Scripted, client: Client) -> None:
    for given in ("", ["good", " "]):
        with pytest.raises(DataError, match="empty"):
            client.predict_text(given)
    assert server.asked == []


def test_a_full_service_is_asked_again_when_it_says_so(server: Scripted, client: Client) -> None:
    full = (429, {"Retry-After": "0"}, {"status": 429, "what": "the queue is full"})
    server.answers = [full, (503, {"Retry-After": "1"}, b"later"), (200, {}, {"name": "the model"})]
    began = time.monotonic()
    assert client.model() == {"name": "the model"}
    assert time.monotonic() - began >= 1.0
    assert server.lines == ["GET /v1/model"] * 3


def test_patience_has_an_end(server: Scripted, client: Client) -> None:
    server.answers = [(429, {"Retry-After": "60"}, {"status": 429, "what": "the queue is full"})]
    began = time.monotonic()
    with pytest.raises(ServiceError, match="the queue is full"):
        client.model()
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, ConfigError), (401, ConfigError), (403, ConfigError), (404, DataError), (408, ServiceError)),
        *((409, ServiceError), (413, DataError), (415, DataError), (422, DataError), (500, ServiceError)),
        *((501, ServiceError), (507, ServiceError), (307, ServiceError)),
    ],
)
def test_a_problem_is_the_error_that_it_is(
    status: int, kind: type[MecamError], server: Scripted, client: Client
) -> None:
    problem = {"status": status, "what": "it is wrong", "where": "there", "fix": "do this"}
    server.answers = [(status, {}, problem), (status, {}, b"<html>a proxy</html>")]
    with pytest.raises(kind) as caught:
        client.model()
    assert type(caught.value) is kind
    assert (caught.value.what, caught.value.where, caught.value.fix) == ("it is wrong", "there", "do this")
    with pytest.raises(kind, match=f"answers {status}"):
        client.model()


def test_another_server_is_recognised(server: Scripted, client: Client) -> None:
    server.answers = [(200, {}, b"<html>"), (200, {}, [1]), (200, {}, {"predictions": []})]
    for ask in (client.model, client.model, lambda: client.predict_text("Good.")):
        with pytest.raises(ServiceError, match="none of mecam's"):
            ask()


def test_nobody_there_is_one_error(server: Scripted, client: Client) -> None:
    server.answers = [(0, {}, b"")]
    with pytest.raises(ServiceError, match="does not answer"):
        client.model()
    with Client("http://127.0.0.1:9") as other, pytest.raises(ServiceError, match="does not answer"):
        other.model()
    for wrong in ("127.0.0.1:8000", "ftp://here", "http://here:there"):
        with pytest.raises(ConfigError, match="address"):
            Client(wrong)
    with pytest.raises(ConfigError, match="token"):
        Client("http://here", token="schlüssel")


def test_a_small_recording_is_answered_at_once_and_forgotten(server: Scripted, client: Client, clip: Path) -> None:
    expected = panel_recording(clip)
    server.answers = [(200, PLACE, expected.to_json()), DELETED]
    words = clip.with_suffix(".vtt")
    words.write_text("WEBVTT\n", encoding="utf-8")
    found = client.predict_recording(
        clip, transcript=words, baseline="auto", asr=False, every=0.5, person=2, words=True
    )
    assert isinstance(found, RecordingPrediction)
    assert found.path == clip
    assert found.parts == expected.parts
    assert server.lines == ["POST /v1/predict/recording", "DELETE /v1/jobs/a1"]
    _, _, headers, body = server.asked[0]
    assert "Prefer" not in headers
    for part in (
        "été.mp4",
        "not read here",
        "WEBVTT",
        '"baseline"\r\n\r\nauto',
        '"asr"\r\n\r\nfalse',
        '"every"\r\n\r\n0.5',
    ):
        assert part.encode() in body
    for part in ('"person"\r\n\r\n2', '"words"\r\n\r\ntrue'):
        assert part.encode() in body
    assert b'"language"' not in body


def test_a_long_one_is_followed_by_its_events(server: Scripted, client: Client, clip: Path) -> None:
    events = [f"event: job\ndata: {json.dumps(one)}\n\n: keep\n\n" for one in (job("running"), job("done"))]
    told: list[str] = []
    server.answers = [
        (202, PLACE, job("queued", place=3)),
        (200, {"Content-Type": "text/event-stream"}, "".join(events).encode()),
        (200, {}, panel_recording(clip).to_json()),
        DELETED,
    ]
    client.predict_recording(clip, progress=lambda each: told.append(each["state"]))
    assert told == ["queued", "running", "done"]
    assert server.asked[0][2]["Prefer"] == "respond-async"
    assert server.lines[1:] == ["GET /v1/jobs/a1/events", "GET /v1/jobs/a1/result", "DELETE /v1/jobs/a1"]


def test_where_events_break_it_is_looked_at_instead(server: Scripted, client: Client, clip: Path) -> None:
    server.answers = [
        (202, PLACE, job("queued")),
        (404, {}, b"a proxy that lets no events through"),
        (200, {}, job("running")),
        (0, {}, b""),
        (0, {}, b""),
        (503, {"Retry-After": "0"}, b"restarts"),
        (200, {}, job("done")),
        (200, {}, panel_recording(clip).to_json()),
        DELETED,
    ]
    assert client.predict_recording(clip).path == clip
    assert server.answers == []


def test_a_failed_job_raises_what_the_service_says_and_is_forgotten(
    server: Scripted, client: Client, clip: Path
) -> None:
    problem = {"status": 422, "what": "this is no recording", "where": clip.name}
    ended = f"event: job\ndata: {json.dumps(job('failed'))}\n\n".encode()
    server.answers = [(202, PLACE, job("queued")), (200, {}, ended), (422, {}, problem), DELETED]
    with pytest.raises(DataError, match="this is no recording"):
        client.predict_recording(clip)
    assert server.lines[-1] == "DELETE /v1/jobs/a1"


def test_who_interrupts_leaves_nothing_at_the_service(server: Scripted, client: Client, clip: Path) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    server.answers = [(202, PLACE, job("queued")), DELETED]
    with pytest.raises(KeyboardInterrupt):
        client.predict_recording(clip, progress=interrupted)
    assert server.lines[-1] == "DELETE /v1/jobs/a1"


def test_an_upload_that_is_refused_is_sent_again_from_its_beginning(
    server: Scripted, client: Client, clip: Path
) -> None:
    full = (429, {"Retry-After": "0"}, {"status": 429, "what": "full"})
    server.answers = [full, (200, PLACE, panel_recording(clip).to_json()), DELETED]
    client.predict_recording(clip)
    (_, _, first, sent), (_, _, second, again) = server.asked[:2]
    assert len(sent) == len(again) == int(first["Content-Length"]) == int(second["Content-Length"])
    assert b"not read here" in again


def test_a_file_that_is_not_there_is_an_error_here(server: Scripted, client: Client, tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path, tmp_path / "\0"):
        with pytest.raises(DataError, match="cannot read"):
            client.predict_recording(path)
    assert server.asked == []


def test_the_client_is_light_and_says_what_it_needs() -> None:
    said = light.run_light("""
        import mecam.client
        from mecam.errors import MissingExtraError
        heavy = {"numpy", "av", "pydantic", "fastapi", "onnxruntime", "h5py", "multiprocessing"}
        print(sorted(heavy & set(sys.modules)))
        try:
            mecam.client.Client("http://127.0.0.1:8000")
        except MissingExtraError as error:
            print(error)
        """)
    assert said.splitlines() == [
        "['numpy']",
        'this needs httpx, which is not installed (pip install "mecam[client]")',
    ]
