"""Texts of many requests meet in one pass, and each request gets its own answers."""

import asyncio
import time

import pytest

from mecam.errors import DataError
from mecam.prediction.result import Prediction
from mecam.service.batching import Batcher
from mecam.service.problems import Refused
from mecam.service.settings import Settings


def answer(text: str) -> Prediction:
    return Prediction("?", text, float(len(text)), None, None, "")


class Model:
    """Remembers its passes; refuses texts with a cross."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.passes: list[int] = []
        self.seconds = seconds

    def __call__(self, texts: list[str]) -> list[Prediction]:
        self.passes.append(len(texts))
        time.sleep(self.seconds)
        if any("✗" in text for text in texts):
            raise DataError("a cross")
        return [answer(text) for text in texts]


def test_requests_that_come_together_meet_and_get_their_own_answers() -> None:
    model = Model(0.01)

    async def ask() -> list[list[Prediction]]:
        batcher = Batcher(model, Settings(batch=8))
        return await asyncio.gather(*(batcher.predict([f"text {i}", "x" * i]) for i in range(1, 20)))

    for i, found in enumerate(asyncio.run(ask()), 1):
        assert [one.text for one in found] == [f"text {i}", "x" * i]
        assert [one.id for one in found] == ["1", "2"]
    assert max(model.passes) == 8
    assert sum(model.passes) == 38
    assert len(model.passes) < 19


def test_one_request_alone_does_not_wait() -> None:
    async def ask() -> list[Prediction]:
        batcher = Batcher(Model(), Settings(patience_ms=3_600_000.0))
        return await asyncio.wait_for(batcher.predict(["alone"]), 30)

    assert [one.text for one in asyncio.run(ask())] == ["alone"]


def test_a_text_that_cannot_be_predicted_spoils_no_other() -> None:
    async def ask() -> list[object]:
        batcher = Batcher(Model(0.01), Settings())
        return await asyncio.gather(*(batcher.predict([t]) for t in ("a", "✗", "b")), return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert [one.text for one in first] == ["a"]  # type: ignore[attr-defined]
    assert isinstance(second, DataError)
    assert [one.text for one in third] == ["b"]  # type: ignore[attr-defined]


def test_too_many_are_refused_and_stopping_refuses_what_waits() -> None:
    async def ask() -> tuple[object, list[object]]:
        batcher = Batcher(Model(0.05), Settings(max_waiting=2, patience_ms=0.0, batch=1))
        asked = [asyncio.ensure_future(batcher.predict(["a"]))]
        await asyncio.sleep(0.01)  # it is in the model
        asked += [asyncio.ensure_future(batcher.predict(["b"])) for _ in range(2)]
        await asyncio.sleep(0.01)
        (full,) = await asyncio.gather(batcher.predict(["c"]), return_exceptions=True)
        batcher.stop()
        return full, list(await asyncio.gather(*asked, batcher.predict(["d"]), return_exceptions=True))

    full, (runs, *waits) = asyncio.run(ask())
    assert isinstance(full, Refused)
    assert full.status_code == 429
    assert [one.text for one in runs] == ["a"]  # type: ignore[attr-defined]
    assert [isinstance(one, Refused) and one.status_code for one in waits] == [503, 503, 503]


def test_a_client_that_has_left_is_not_predicted() -> None:
    model = Model(0.03)

    async def ask() -> None:
        batcher = Batcher(model, Settings(patience_ms=0.0, batch=1))
        asked = [asyncio.ensure_future(batcher.predict([str(i)])) for i in range(3)]
        await asyncio.sleep(0.01)
        asked[1].cancel()
        await asyncio.gather(asked[0], asked[2])

    asyncio.run(ask())
    assert len(model.passes) == 2


@pytest.mark.parametrize("count", [1, 100])
def test_a_request_larger_than_a_batch_is_one_pass(count: int) -> None:
    model = Model()
    asyncio.run(Batcher(model, Settings(batch=8)).predict(["x"] * count))
    assert model.passes == [count]
