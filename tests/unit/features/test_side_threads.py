"""What is fetched ahead or done beside other work is what one thread would give, and no thread stays behind."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from mecam.features import side_threads
from mecam.features.side_threads import ahead, side_by_side


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(side_threads, "available_cores", lambda: request.param)
    return int(request.param)


def test_everything_comes_in_order(cores: int) -> None:
    assert list(ahead(iter(range(100)), 3)) == list(range(100))


def test_an_error_comes_after_what_came_before_it(cores: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("damaged")

    found = ahead(items(), 3)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="damaged"):
        next(found)


def test_no_more_is_fetched_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_threads, "available_cores", lambda: 2)
    fetched = []

    def items() -> Iterator[int]:
        for number in range(100):
            fetched.append(number)
            yield number

    with closing(ahead(items(), 3)) as found:
        assert next(found) == 0
        deadline = time.monotonic() + 10
        while len(fetched) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert 4 <= len(fetched) <= 5


def test_leaving_early_ends_the_thread(cores: int) -> None:
    before = threading.active_count()
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    with closing(ahead(items(), 3)) as found:
        assert [next(found), next(found)] == [0, 1]
    del found
    assert threading.active_count() == before
    assert closed.is_set()  # the file is no longer open


def test_calls_return_in_their_order_and_the_first_error_counts(cores: int) -> None:
    def failing(text: str) -> int:
        raise ValueError(text)

    assert side_by_side([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
    assert side_by_side([]) == []
    with pytest.raises(ValueError, match="first"):
        side_by_side([lambda: 1, lambda: failing("first"), lambda: failing("second")])


def test_two_calls_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_threads, "available_cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=10)
    assert sorted(side_by_side([meeting.wait, meeting.wait])) == [0, 1]
