"""A second core put to use while one recording is read: pictures are decoded ahead, sound is measured beside them.

What is found does not depend on it: where there is one core, or other processes have the others, the same is done one
after the other.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from mecam.threads import available_cores

__all__ = ["ahead", "has_spare_core", "side_by_side", "stay_on_one_core"]

T = TypeVar("T")


_alone = False


def stay_on_one_core() -> None:
    """Start no more threads in this process: others like it keep all cores busy, and taking turns costs time."""
    global _alone
    _alone = True


def has_spare_core() -> bool:
    """Whether a thread beside this one would compute at the same time."""
    return not _alone and available_cores() > 1


def ahead(items: Iterator[T], most: int) -> Generator[T, None, None]:
    """What an iterator gives, fetched by a thread of its own while what came before is worked on.

    Close it (`contextlib.closing`) where it may not be read to its end: then the thread has ended too.

    Args:
        items: nobody else may use it meanwhile.
        most: that are fetched and not taken yet, so that memory stays flat.

    Raises: whatever `items` raises, after what came before.
    """
    if not has_spare_core():
        yield from items
        return
    fetched: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    room, left = threading.Semaphore(most), threading.Event()

    def fetch() -> None:
        try:
            for item in items:
                fetched.put((item,))
                room.acquire()
                if left.is_set():
                    return
            fetched.put(None)
        except BaseException as error:  # it is the taker's
            fetched.put(error)

    thread = threading.Thread(target=fetch, daemon=True)  # an interrupted program does not wait for it
    thread.start()
    try:
        while (found := fetched.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            room.release()
            yield found[0]
    finally:
        left.set()
        room.release()
        thread.join()


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What calls return, in their order; the last one runs in this thread, those before beside it.

    Raises: what the first of them raises that raises anything, when all have ended.
    """
    if len(calls) < 2 or not has_spare_core():
        return [call() for call in calls]
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            results[number] = (calls[number](), None)
        except Exception as error:  # an interrupt of this thread waits for no other
            results[number] = (None, error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(calls) - 1)]
    for thread in threads:
        thread.start()
    run(len(calls) - 1)
    for thread in threads:
        thread.join()
    return [_returned(*result) for result in results]


def _returned(value: T, error: Exception | None) -> T:
    if error is not None:
        raise error
    return value
