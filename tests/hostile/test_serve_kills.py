"""Whatever is killed, and whatever runs out: what was accepted is answered, once, and no file stays."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from clips import tone, wav
from mecam.client import Client
from mecam.errors import ServiceError
from mecam.pretrained.cards import DEMO_CLIP
from serve_process import CODE, Server, left_over

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="POSIX signals")

ALONE = ("--readers", 1, "--live", 0, "--wait-s", 0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wav(tmp_path_factory.mktemp("sound") / "a.wav", tone(2.0), 16_000)


def hand_in(server: Server, path: Path) -> str:
    """Address of a job that was accepted."""
    with path.open("rb") as file:
        answer = httpx.post(f"{server.url}/v1/predict/recording", files={"file": (path.name, file)}, timeout=30)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def result(server: Server, job: str, seconds: float = 90.0) -> Any:
    """Its answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with_answer = httpx.get(f"{server.url}{job}/result", timeout=10)
        if with_answer.status_code != 409:
            assert with_answer.status_code == 200, with_answer.text
            return with_answer.json()
        time.sleep(0.1)
    raise AssertionError(f"no answer; {server.said()}")


def is_running(server: Server, job: str) -> None:
    """Wait until somebody reads it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if httpx.get(f"{server.url}{job}", timeout=10).json().get("stage") not in ("waiting", "starting"):
            return
        time.sleep(0.02)
    raise AssertionError("nobody reads it")


def gone(server: Server, *jobs: str) -> bool:
    """Remove jobs; whether nothing of them is left."""
    for job in jobs:
        assert httpx.delete(f"{server.url}{job}", timeout=10).status_code == 204
    return left_over(server.data) == []


def numbers(server: Server) -> dict[str, float]:
    """What ended how, in this process of the service."""
    lines = httpx.get(f"{server.url}/metrics", timeout=10).text.splitlines()
    ended = [line.rpartition(" ") for line in lines if line.startswith("mecam_jobs_ended_total{")]
    return {name.partition('"')[2].rstrip('"}'): float(count) for name, _, count in ended}


@pytest.mark.slow
def test_a_reader_that_is_killed_loses_no_job(tmp_path: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        first, second = hand_in(server, DEMO_CLIP), hand_in(server, DEMO_CLIP)
        is_running(server, first)
        (reader,) = server.readers()
        reader.kill()
        answers = [result(server, job) for job in (first, second)]
        assert answers[0] == answers[1]
        assert len(answers[0]["utterances"]) > 0
        assert numbers(server) == {"done": 2.0}, "each was done once"
        assert gone(server, first, second)


def test_a_recording_that_kills_each_reader_fails_and_the_next_one_is_read(tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        deadly = hand_in(server, DEMO_CLIP)
        until = time.monotonic() + 60
        while (now := state(server, deadly)) != "failed" and time.monotonic() < until:
            for reader in server.readers() if now == "running" else ():
                reader.kill()
            time.sleep(0.1)
        answer = httpx.get(f"{server.url}{deadly}/result", timeout=10)
        assert answer.status_code == 422
        assert "ended each time" in answer.json()["what"]
        harmless = hand_in(server, sound)
        assert result(server, harmless)["file"] == "a.wav"
        assert gone(server, deadly, harmless)


def test_a_job_that_is_removed_while_it_runs_disturbs_no_other(tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        removed = hand_in(server, DEMO_CLIP)
        is_running(server, removed)
        assert gone(server, removed)
        assert httpx.get(f"{server.url}{removed}", timeout=10).status_code == 404
        other = hand_in(server, sound)
        assert result(server, other)["file"] == "a.wav"
        assert gone(server, other)
        assert "Traceback" not in server.said()
        assert "ended by itself" not in server.said()


def state(server: Server, job: str) -> str:
    told: str = httpx.get(f"{server.url}{job}", timeout=10).json()["state"]
    return told


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_process_and_its_queue_goes_on(tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        running, *waiting = [hand_in(server, path) for path in (DEMO_CLIP, sound, sound)]
        is_running(server, running)
        children = server.processes()[1:]
        os.kill(server.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        server.process.wait()
        server.start()
        answers = [result(server, job) for job in waiting]
        assert answers[0] == answers[1]
        assert result(server, running)["file"] == DEMO_CLIP.name
        assert gone(server, running, *waiting)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6])
def test_a_service_that_is_killed_again_and_again(kills: int, tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        jobs = [hand_in(server, path) for path in (DEMO_CLIP, sound) * 3]
        for number in range(kills):
            time.sleep(0.3 * number)
            server.kill()
            server.start()
        answers = [result(server, job) for job in jobs]
        assert [one["file"] for one in answers] == [DEMO_CLIP.name, "a.wav"] * 3
        assert answers[0] == answers[2] == answers[4]
        assert gone(server, *jobs)


@pytest.mark.slow
def test_a_stopping_service_finishes_what_runs_and_keeps_what_waits(tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as server:
        running, waiting = hand_in(server, DEMO_CLIP), hand_in(server, sound)
        is_running(server, running)
        assert server.stop() == 0
        assert "Traceback" not in server.said()
        server.start()
        assert state(server, running) == "done"
        assert result(server, waiting)["file"] == "a.wav"
        assert gone(server, running, waiting)


@pytest.mark.slow
def test_two_services_share_a_folder(tmp_path: Path, sound: Path) -> None:
    with Server(tmp_path, *ALONE) as first, Server(tmp_path, *ALONE) as second:
        jobs = [hand_in(one, sound) for one in (first, second) * 2]
        answers = [result(one, job) for one, job in zip((second, first) * 2, jobs, strict=True)]
        assert all(answer == answers[0] for answer in answers)
        assert sum(sum(numbers(one).values()) for one in (first, second)) == 4, "each was read once"
        assert gone(second, *jobs)


def short_of_room(free: str) -> str:
    """`mecam serve` where a file says how many bytes of the disk are free."""
    patch = f"""
import shutil
from collections import namedtuple
from pathlib import Path
usage = namedtuple("usage", "total used free")
shutil.disk_usage = lambda place: usage(10**12, 0, int(Path({free!r}).read_text()))
"""
    return patch + CODE


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "free"
    file.write_text(str(10**12))
    return file


@pytest.mark.slow
def test_a_full_disk_is_said_and_what_was_accepted_waits_for_room(tmp_path: Path, sound: Path, disk: Path) -> None:
    with Server(tmp_path / "service", *ALONE, script=short_of_room(str(disk))) as server:
        first, second = hand_in(server, DEMO_CLIP), hand_in(server, sound)
        is_running(server, first)
        disk.write_text("1000")
        with sound.open("rb") as file:
            answer = httpx.post(f"{server.url}/v1/predict/recording", files={"file": file}, timeout=30)
        assert (answer.status_code, answer.json()["what"]) == (507, "there is no room for the recording")
        assert int(answer.headers["Retry-After"]) > 0
        with Client(server.url) as client, pytest.raises(ServiceError, match="no room"):
            client.predict_recording(sound)
        with Client(server.url) as client:
            assert client.predict_text("I loved it.").label == "positive"
        assert result(server, first)["file"] == DEMO_CLIP.name
        time.sleep(1.0)
        assert state(server, second) == "queued"
        disk.write_text(str(10**12))
        assert result(server, second)["file"] == "a.wav"
        assert gone(server, first, second)


@pytest.mark.slow
def test_a_table_that_cannot_be_written_ends_nothing(tmp_path: Path, sound: Path) -> None:
    """The disk that is full to its last byte, as SQLite tells it."""
    full = tmp_path / "full"
    script = f"""
import sqlite3
from pathlib import Path


class Base(sqlite3.Connection):
    def execute(self, statement, *values):
        if not statement.startswith(("SELECT", "PRAGMA")) and Path({str(full)!r}).exists():
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(statement, *values)


connect = sqlite3.connect
sqlite3.connect = lambda *given, **options: connect(*given, factory=Base, **options)
"""
    with Server(tmp_path / "service", *ALONE, script=script + CODE) as server:
        running, waiting = hand_in(server, DEMO_CLIP), hand_in(server, sound)
        is_running(server, running)
        full.touch()
        time.sleep(1.0)
        assert httpx.delete(f"{server.url}{waiting}", timeout=10).status_code == 507
        with sound.open("rb") as file:
            assert httpx.post(f"{server.url}/v1/predict/recording", files={"f": file}, timeout=30).status_code == 507
        time.sleep(3.0)
        full.unlink()
        assert result(server, running)["file"] == DEMO_CLIP.name
        assert result(server, waiting)["file"] == "a.wav"
        assert gone(server, running, waiting)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "what"),
    [("--max-job-minutes", 0.005, "minutes"), ("--max-memory-mb", 120, "memory")],
)
def test_a_recording_that_takes_too_much_is_given_up(option: str, value: float, what: str, tmp_path: Path) -> None:
    with Server(tmp_path, *ALONE, option, value) as server:
        job = hand_in(server, DEMO_CLIP)
        until = time.monotonic() + 30
        while state(server, job) in ("queued", "running") and time.monotonic() < until:
            time.sleep(0.1)
        answer = httpx.get(f"{server.url}{job}/result", timeout=10)
        assert answer.status_code == 422
        assert what in answer.json()["what"]
        assert gone(server, job)
