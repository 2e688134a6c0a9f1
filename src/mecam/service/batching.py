"""Requests of texts that come at the same time meet in one pass of the model.

Where the model rests, a text is predicted at once. While it works, texts gather for the next pass; and where other
requests are open, one waits a moment for them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mecam.prediction.result import Prediction
from mecam.service.problems import Refused
from mecam.service.settings import Settings

__all__ = ["Batcher"]

Predict = Callable[[list[str]], list[Prediction]]


class _Asked:
    """Texts of one request, and where their answer goes."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.answer: asyncio.Future[list[Prediction]] = asyncio.get_running_loop().create_future()


class Batcher:
    """Predicts texts, one pass at a time.

    Args:
        predict: texts to predictions; called in a thread of its own.
        settings: of the service.
        measure: called with the texts and the seconds of each pass.
    """

    def __init__(
        self, predict: Predict, settings: Settings, measure: Callable[[int, float], None] = lambda *_: None
    ) -> None:
        self._predict, self._settings, self._measure = predict, settings, measure
        self._waiting: deque[_Asked] = deque()
        self._open = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mecam-model")
        self._work: asyncio.Task[None] | None = None
        self.stopping = False

    async def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The predictions of some texts; their ids count from 1.

        Raises: Refused if too many wait, or the service stops; MecamError if the model cannot read them.
        """
        if self.stopping:
            raise Refused(503, "the service is stopping", retry_s=5)
        if len(self._waiting) >= self._settings.max_waiting:
            raise Refused(429, "too many texts wait for the model", fix="try again in a moment", retry_s=1)
        asked = _Asked(list(texts))
        self._waiting.append(asked)
        self._open += 1
        try:
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._pass())
            return await asked.answer
        finally:
            self._open -= 1

    def stop(self) -> None:
        """Finish what is in the model; refuse what waits."""
        self.stopping = True
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                asked.answer.set_exception(Refused(503, "the service is stopping", retry_s=5))

    async def _pass(self) -> None:
        """Pass after pass, until nothing waits."""
        while self._waiting:
            if self._open > 1 and self._texts_waiting() < self._settings.batch and self._settings.patience_ms:
                await asyncio.sleep(self._settings.patience_ms / 1000)
            batch = self._next()
            if batch:
                await self._answer(batch)

    def _texts_waiting(self) -> int:
        return sum(len(asked.texts) for asked in self._waiting)

    def _next(self) -> list[_Asked]:
        """Whole requests, up to the size of a batch; those whose client has left are left out."""
        batch: list[_Asked] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].texts) <= self._settings.batch):
            asked = self._waiting.popleft()
            if not asked.answer.done():
                batch.append(asked)
                size += len(asked.texts)
        return batch

    async def _answer(self, batch: list[_Asked]) -> None:
        texts = [text for asked in batch for text in asked.texts]
        began = time.perf_counter()
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, texts)
        except Exception as error:
            await self._fail(batch, error)
            return
        self._measure(len(texts), time.perf_counter() - began)
        place = 0
        for asked in batch:
            mine = found[place : place + len(asked.texts)]
            place += len(asked.texts)
            if not asked.answer.done():
                asked.answer.set_result([replace(one, id=str(i)) for i, one in enumerate(mine, 1)])

    async def _fail(self, batch: list[_Asked], error: Exception) -> None:
        """One text that cannot be predicted spoils no other request: each is asked alone."""
        if len(batch) > 1:
            for asked in batch:
                await self._answer([asked])
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(error)
