"""The service as its clients see it: answers are those of `mecam predict`, errors say what to do."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from mecam.pretrained.cards import DEMO_CLIP
from serving import running, until

TOKEN = "a token that nobody guesses"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service"), wait_s=120.0) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=180, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def description(address: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{address}/openapi.json", trust_env=False).json()
    return found


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first three seconds of the clip that ships."""
    import av

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(DEMO_CLIP)) as source, av.open(str(path), "w") as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.pts is not None and packet.pts * packet.time_base < 3:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    path.with_suffix(".vtt").write_text("WEBVTT\n\n00:00.200 --> 00:02.800\nI would see it again tomorrow\n")
    return path


@contextmanager
def client_of(folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a service of its own."""
    with running(folder, **settings) as address, httpx.Client(base_url=address, timeout=180, trust_env=False) as client:
        yield client


def upload(client: httpx.Client, path: Path, **options: Any) -> httpx.Response:
    headers = options.pop("headers", {})
    files = {"file": (options.pop("name", path.name), path.read_bytes())}
    if "transcript" in options:
        files["transcript"] = (options["transcript"].name, options.pop("transcript").read_bytes())
    return client.post("/v1/predict/recording", files=files, data=options, headers=headers)


def check(description: dict[str, Any], name: str, value: Any) -> None:
    """Whether a value is what the description says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
    jsonschema.validate(value, schema)


def test_texts_are_answered_as_mecam_predict_does(client: httpx.Client, description: dict[str, Any]) -> None:
    import mecam

    texts = ["I would see it again tomorrow", "what a waste", "“Ünïcödé” 你好 🙂", "x " * 400]
    answer = client.post("/v1/predict/text", json={"texts": texts})
    assert answer.status_code == 200
    check(description, "TextAnswer", answer.json())
    expected = mecam.predict_text(texts)
    assert answer.json()["predictions"] == json.loads(json.dumps([one.to_json() for one in expected]))
    one = client.post("/v1/predict/text", json={"text": texts[0]}).json()["predictions"]
    assert one == answer.json()["predictions"][:1]


@pytest.mark.parametrize(
    ("whole", "options"),
    [(True, {}), (False, {"every": "1", "words": "true", "person": "1"}), (False, {"baseline": "auto"})],
)
def test_a_recording_is_answered_as_mecam_predict_does(
    client: httpx.Client, description: dict[str, Any], short: Path, whole: bool, options: dict[str, str]
) -> None:
    import mecam

    clip = DEMO_CLIP if whole else short
    captions = clip.with_suffix(".vtt")
    answer = upload(client, clip, transcript=captions, asr="false", **options)
    assert answer.status_code == 200, answer.text
    check(description, "RecordingAnswer", answer.json())
    meant: dict[str, Any] = {"every": 1.0, "words": True, "person": 1} if "every" in options else dict(options)
    expected = mecam.predict(clip, transcript=captions, asr="", **meant)
    assert answer.json() == json.loads(json.dumps(expected.to_json()))
    job = client.get(answer.headers["location"]).json()
    check(description, "JobAnswer", job)
    assert job["state"] == "done"


def test_files_are_those_of_mecam_predict(client: httpx.Client, short: Path, tmp_path: Path) -> None:
    import mecam

    expected = mecam.predict(short, asr="")
    place = upload(client, short, transcript=short.with_suffix(".vtt"), asr="false", page="true").headers["location"]
    files = client.get(place).json()["files"]
    for kind in ("csv", "vtt", "eaf", "jsonl"):
        answer = client.get(files[kind])
        saved = expected.save(tmp_path / f"clip.{kind}").read_bytes()
        where_and_when = rb' (DATE|MEDIA_URL)="[^"]*"'
        ours, theirs = (re.sub(where_and_when, b"", one) for one in (answer.content, saved))
        assert ours == theirs, kind
        assert b"jobs/" not in answer.content, "no path of this machine"
        assert answer.headers["content-disposition"] == f'attachment; filename="clip.{kind}"'
    page = client.get(files["html"])
    assert page.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in page.headers["content-security-policy"]
    assert b"<!DOCTYPE html>" in page.content
    assert client.get(f"{place}/files/exe").status_code == 404


def test_a_job_is_followed_and_removed(client: httpx.Client, short: Path) -> None:
    accepted = upload(client, short, headers={"Prefer": "respond-async"}, asr="false")
    assert accepted.status_code == 202
    place = accepted.headers["location"]
    early = client.get(f"{place}/result")
    assert early.status_code in (409, 200)
    with client.stream("GET", f"{place}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "done"
    progress = [one["progress"] for one in told]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert client.get(f"{place}/result").json()["file"] == "clip.mp4"
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    assert client.get(f"{place}/result").status_code == 404
    assert client.delete(place).status_code == 404


def test_a_job_that_is_removed_while_it_runs_is_stopped(client: httpx.Client, short: Path) -> None:
    places = [upload(client, short, headers={"Prefer": "respond-async"}).headers["location"] for _ in range(3)]
    with client.stream("GET", f"{places[0]}/events") as stream:
        for place in places:
            assert client.delete(place).status_code == 204
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] in ("cancelled", "done")
    assert upload(client, short, asr="false").status_code == 200, "the service goes on"


def test_waiting_ends_as_the_client_prefers(client: httpx.Client, short: Path) -> None:
    answer = upload(client, short, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    until(lambda: client.get(answer.headers["location"]).json()["state"] == "done")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"[]", 422),
        (b'{"texts": []}', 422),
        (b'{"text": "a", "texts": ["b"]}', 422),
        (b'{"texts": ["a", " "]}', 422),
        (b'{"texts": ["a", 7]}', 422),
        (b'{"text": null}', 422),
        (b'{"texts": ["a"], "more": 1}', 422),
        (json.dumps({"texts": ["a"] * 257}).encode(), 413),
        (json.dumps({"text": "a" * 10_001}).encode(), 413),
        (json.dumps({"text": "a" * 3_000_000}).encode(), 413),
        (b'{"text": "\\ud800 half a character"}', 422),
        (b'{"text": "\\u0000"}', 200),
        (b"\xff\xfe", 400),
    ],
)
def test_texts_that_cannot_be_predicted_are_told(
    client: httpx.Client, description: dict[str, Any], body: bytes, status: int
) -> None:
    answer = client.post("/v1/predict/text", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if status != 200:
        problem = answer.json()
        check(description, "Problem", problem)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"every": "0"}, "every"),
        ({"every": "soon"}, "every"),
        ({"person": "0"}, None),
        ({"person": "9"}, None),
        ({"person": "me"}, "person"),
        ({"words": "perhaps"}, "words"),
        ({"shortest": "5", "longest": "2"}, "longest"),
        ({"longest": "nan"}, "longest"),
        ({"baseline": "my voice"}, "baseline"),
        ({"language": "../../etc"}, "language"),
    ],
)
def test_options_that_are_out_of_range_are_told(
    client: httpx.Client, short: Path, options: dict[str, str], where: str | None
) -> None:
    answer = upload(client, short, asr="false", **options)
    assert 400 <= answer.status_code < 500
    problem = answer.json()
    assert problem["what"]
    if where:
        assert where in problem["where"]


@pytest.mark.parametrize("content", [b"", b"this is a text", b"\x00" * 5000, DEMO_CLIP.read_bytes()[:2000]])
def test_a_file_that_is_no_recording_is_told_by_the_name_that_the_client_gave(
    client: httpx.Client, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / "my holiday.mp4"
    broken.write_bytes(content)
    answer = upload(client, broken)
    assert answer.status_code == 422
    assert answer.json()["where"] == "my holiday.mp4"
    assert "/" not in answer.text, "no path of this machine"


def test_a_transcript_that_is_none_is_told(client: httpx.Client, short: Path, tmp_path: Path) -> None:
    transcript = tmp_path / "said.srt"
    transcript.write_bytes(bytes(range(256)) * 20)
    answer = upload(client, short, transcript=transcript)
    assert answer.status_code == 422
    assert answer.json()["where"] == "said.srt"


def test_the_model_is_described(client: httpx.Client, description: dict[str, Any]) -> None:
    model = client.get("/v1/model").json()
    check(description, "ModelAnswer", model)
    assert model["limits"]["max_upload_mb"] == 500
    assert len(model["cards"]) >= 7


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/v1/predict/text", json={"text": "counted"})
    client.get("/v1/jobs/" + "0" * 32)
    client.get("/a path of the client's own")
    text = client.get("/metrics").text
    assert re.search(r'mecam_requests_total\{method="POST",route="/v1/predict/text",status="200"\} [1-9]', text)
    assert 'route="/v1/jobs/{id}",status="404"' in text
    assert "own" not in text, "no name is made of what a client sends"
    for name in ("mecam_request_seconds_bucket", "mecam_batch_texts_sum", "mecam_jobs{state=", "mecam_disk_bytes"):
        assert name in text


def test_unknown_places_and_methods_are_told(client: httpx.Client, description: dict[str, Any]) -> None:
    for answer, status in ((client.get("/nothing"), 404), (client.put("/v1/predict/text"), 405)):
        assert answer.status_code == status
        check(description, "Problem", answer.json())
    assert client.get("/v1/jobs/..%2f..%2fjobs.sqlite").status_code in (404, 422)
    assert client.get("/page/..%2fapp.py").status_code == 404


def test_every_answer_has_its_headers(client: httpx.Client) -> None:
    for answer in (client.get("/"), client.get("/v1/model"), client.get("/nothing")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_pages_and_hosts_from_elsewhere_may_not_ask(client: httpx.Client, address: str) -> None:
    body = {"text": "hello"}
    same = client.post("/v1/predict/text", json=body, headers={"Origin": address})
    assert same.status_code == 200
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Host": "elsewhere.example"}):
        assert client.post("/v1/predict/text", json=body, headers=headers).status_code == 403
    assert "access-control-allow-origin" not in same.headers


def test_many_requests_at_once_are_all_answered(address: str) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=address, timeout=180, trust_env=False) as client:
            asked = [client.post("/v1/predict/text", json={"text": f"number {i}"}) for i in range(60)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert set(asyncio.run(ask())) == {200}


def test_a_token_is_asked_for(tmp_path: Path, short: Path) -> None:
    settings = {"token": TOKEN, "allow_origins": ("https://friend.example",), "keep_minutes": 0.001}
    with client_of(tmp_path, **settings) as client:
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for place in ("/v1/model", "/metrics", "/openapi.json", "/nothing"):
                answer = client.get(place, headers=headers)
                assert answer.status_code == 401, place
                assert answer.headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert client.get("/v1/model").status_code == 200
        origin = {"Origin": "https://friend.example"}
        assert client.get("/v1/model", headers=origin).headers["access-control-allow-origin"] == origin["Origin"]
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = {**origin, **asked}
        assert client.options("/v1/predict/text", headers=preflight).status_code == 200
        place = upload(client, short, asr="false").headers["location"]
        time.sleep(0.5)
        assert client.get(place).status_code == 404, "it has expired"


def test_bounds_hold(tmp_path: Path, short: Path) -> None:
    bounds = {"max_upload_mb": 0.01, "max_body_kb": 1.0, "slow_s": 0.5}
    with client_of(tmp_path, **bounds) as client:
        assert upload(client, short).status_code == 413

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
            while True:
                yield b"x" * 4096

        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # cut off before it looks
            assert client.post("/v1/predict/recording", content=endless(), headers=kind).status_code == 413
        assert client.post("/v1/predict/text", json={"text": "a" * 2000}).status_code == 413
        assert not list((tmp_path / "jobs").iterdir())


@pytest.mark.parametrize(
    ("bounds", "words"),
    [({"max_minutes": 0.02}, "minutes"), ({"max_megapixels": 0.01}, "megapixels"), ({"max_memory_mb": 60.0}, "memory")],
)
def test_recordings_beyond_the_bounds_are_told(
    tmp_path: Path, short: Path, bounds: dict[str, float], words: str
) -> None:
    with client_of(tmp_path, **bounds) as client:
        answer = upload(client, short)
        assert answer.status_code == 422
        assert words in answer.json()["what"]
        assert [file.name for file in (tmp_path / "jobs").glob("*/*")] == []
