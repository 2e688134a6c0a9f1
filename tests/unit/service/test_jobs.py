"""The table of jobs: nothing that was accepted is lost, nothing is done twice, nothing is left over."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mecam.errors import DataError
from mecam.service.jobs import LEASE_S, MAX_ABANDONED, MAX_CRASHES, Job, Jobs

ROOM = {"expected": 10, "max_disk": 1e9, "max_uploads": 4, "max_queue": 40}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every table is closed at the end."""
    made: list[Jobs] = []
    original = Jobs.__init__

    def remembered(self: Jobs, *given: Any, **options: Any) -> None:
        original(self, *given, **options)
        made.append(self)

    monkeypatch.setattr(Jobs, "__init__", remembered)
    yield
    for jobs in made:
        jobs.close()


def queued(jobs: Jobs, name: str = "clip.mp4") -> str:
    begun = jobs.begin(**ROOM)
    assert isinstance(begun, Job)
    (jobs.folder_of(begun.id) / "file.mp4").write_bytes(b"x" * 10)
    jobs.queue(begun.id, name=name, options={"words": True}, size=10)
    return begun.id


def test_a_job_goes_its_way(tmp_path: Path) -> None:
    clock = Clock()
    jobs = Jobs(tmp_path, keep_s=60.0, clock=clock)
    first, second = queued(jobs), queued(jobs, "other.mp4")
    waiting = jobs.get(second)
    assert waiting is not None
    assert (waiting.state, waiting.place) == ("queued", 1)
    claimed = jobs.claim()
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.name, dict(claimed.options)) == (
        first,
        "running",
        "clip.mp4",
        {"words": True},
    )
    jobs.report(first, "faces", 0.4)
    jobs.report(first, "voice", 0.3)  # never backwards
    assert jobs.get(first).progress == 0.4  # type: ignore[union-attr]
    assert jobs.finish(first, {"json": "json.json"})
    done = jobs.get(first)
    assert done is not None
    assert (done.state, done.files, done.expires) == ("done", ("json",), clock.now + 60)


def test_what_has_expired_goes_with_its_files(tmp_path: Path) -> None:
    clock = Clock()
    jobs = Jobs(tmp_path, keep_s=60.0, clock=clock)
    id = queued(jobs)
    jobs.claim()
    jobs.finish(id, {"json": "json.json"})
    clock.now += 59
    jobs.sweep()
    assert jobs.get(id) is not None
    clock.now += 2
    jobs.sweep()
    assert jobs.get(id) is None
    assert not list((tmp_path / "jobs").iterdir())


def test_a_job_of_a_killed_server_goes_to_another_and_is_ended_once(tmp_path: Path) -> None:
    clock = Clock()
    dead, alive = Jobs(tmp_path, clock=clock), Jobs(tmp_path, clock=clock)
    id = queued(dead)
    assert dead.claim() is not None
    alive.sweep()
    assert alive.claim() is None, "its lease holds"
    clock.now += LEASE_S + 1
    alive.sweep()
    taken = alive.claim()
    assert taken is not None
    assert taken.id == id
    assert not dead.finish(id, {"json": "json.json"}), "it was not dead, and comes too late"
    assert dead.renew() == set()
    assert alive.finish(id, {"json": "json.json"})


def test_a_living_server_keeps_its_jobs(tmp_path: Path) -> None:
    clock = Clock()
    one, other = Jobs(tmp_path, clock=clock), Jobs(tmp_path, clock=clock)
    id = queued(one)
    one.claim()
    for _ in range(5):
        clock.now += LEASE_S / 2
        assert one.renew() == {id}
        other.sweep()
    assert other.claim() is None


def test_an_upload_that_its_server_did_not_survive_is_cleared_away(tmp_path: Path) -> None:
    clock = Clock()
    dead, alive = Jobs(tmp_path, clock=clock), Jobs(tmp_path, clock=clock)
    begun = dead.begin(**ROOM)
    assert isinstance(begun, Job)
    assert alive.get(begun.id) is None, "nobody knows its name yet"
    clock.now += LEASE_S + 1
    alive.sweep()
    assert alive.counts() == {}
    assert not list((tmp_path / "jobs").iterdir())


def test_a_recording_that_kills_its_reader_fails_in_the_end(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    id = queued(jobs)
    for _ in range(MAX_CRASHES - 1):
        jobs.claim()
        assert jobs.give_back(id, crashed=True)
    jobs.claim()
    assert not jobs.give_back(id, crashed=True)
    assert jobs.fail(id, {"status": 422, "what": "no"})
    failed = jobs.get(id)
    assert failed is not None
    assert failed.error == {"status": 422, "what": "no"}


def test_stopping_counts_as_no_crash(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    id = queued(jobs)
    for _ in range(3 * MAX_CRASHES):
        jobs.claim()
        assert jobs.give_back(id, crashed=False)


def test_a_recording_that_kills_every_server_fails_in_the_end(tmp_path: Path) -> None:
    clock = Clock()
    id = queued(Jobs(tmp_path, clock=clock))
    jobs = Jobs(tmp_path, clock=clock)
    for _ in range(MAX_ABANDONED + 1):
        assert jobs.claim() is not None
        clock.now += LEASE_S + 1
        jobs.sweep()
    failed = jobs.get(id)
    assert failed is not None
    assert failed.state == "failed"


def test_a_removed_job_is_nobodys(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    id = queued(jobs)
    jobs.claim()
    assert jobs.remove(id)
    assert jobs.get(id) is None
    assert jobs.renew() == set()
    assert not jobs.finish(id, {"json": "json.json"})
    assert not jobs.folder_of(id).exists()
    assert not jobs.remove(id)


@pytest.mark.parametrize(
    ("limits", "lacks"),
    [({"max_disk": 5.0}, "disk"), ({"max_uploads": 1}, "uploads"), ({"max_queue": 1}, "queue")],
)
def test_there_is_only_so_much_room(tmp_path: Path, limits: dict[str, float], lacks: str) -> None:
    jobs = Jobs(tmp_path)
    queued(jobs)
    assert isinstance(jobs.begin(**ROOM), Job)
    before = jobs.counts()
    assert jobs.begin(**{**ROOM, **limits}) == lacks
    assert jobs.counts() == before


def test_servers_that_claim_at_once_never_get_the_same_job(tmp_path: Path) -> None:
    filled = Jobs(tmp_path)
    ids = {queued(filled) for _ in range(ROOM["max_queue"])}
    claimed: list[str] = []

    def work() -> None:
        jobs = Jobs(tmp_path)
        while (job := jobs.claim()) is not None:
            claimed.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(ids)
    assert set(claimed) == ids


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="jobs cannot be kept"):
        Jobs(tmp_path / "file" / "below")
    (tmp_path / "jobs.sqlite").write_text("this is no data base" * 100)
    with pytest.raises(DataError, match="jobs cannot be kept"):
        Jobs(tmp_path)
