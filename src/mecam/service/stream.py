"""`WS /v1/stream`: a conversation while it goes on."""

import asyncio
import json
import math
import struct
import time
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from mecam.escaping import json_text
from mecam.service.problems import Refused, problem_of_fields
from mecam.service.readers import Reader, ReaderGone
from mecam.service.security import bearer, check_connection, check_token
from mecam.service.settings import Settings
from mecam.service.waiting import SAMPLE_BYTES, Waiting

__all__ = ["SayMessage", "StartMessage", "router"]

router = APIRouter()

START_S, READY_S, IDLE_S, SEND_S, WATCH_S = 10.0, 60.0, 30.0, 30.0, 0.25
"""Seconds within which a client begins; in which the model is loaded; after which a client that sends nothing is gone;
in which a client takes an answer; between two looks at all that."""
MAX_PICTURE = 1_000_000
MAX_SOUND_S = 1.0
HEAD = struct.Struct("<Bd")
"""Before the payload: its kind, and the time in seconds at which it was taken."""
SOUND, PICTURE = 1, 2
ORDINARY, REFUSED, FAILED, RESTART, TAKEN = 1000, 1008, 1011, 1012, 1013
"""Codes with which a stream is closed."""


Fields = TypeVar("Fields", bound=BaseModel)


class StartMessage(BaseModel):
    """How a client begins."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    type: Literal["start"]
    token: str | None = None
    window_s: float = Field(10.0, ge=2.0, le=30.0)
    every_s: float = Field(0.5, ge=0.25, le=10.0)
    sample_rate: int = Field(16_000, ge=8_000, le=48_000)
    asr: bool | None = None
    language: str | None = Field(None, max_length=20, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*$")
    person: int | Literal["speaker", "listener"] = "speaker"


class SayMessage(BaseModel):
    """Words that the client knows."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    id: str = Field(min_length=1, max_length=100)
    text: str = Field(max_length=2_000)
    start: float
    stop: float


class _Closing(NamedTuple):
    """Why a session ends: the code of the stream, and what is wrong, if anything is."""

    code: int
    problem: dict[str, Any] | None = None


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    """Serve one live session."""
    if check_connection(websocket.app.state.settings, websocket):
        await websocket.close(REFUSED)  # before it is accepted: 403
        return
    await websocket.accept()
    try:
        closing = await _begun(websocket)
    except WebSocketDisconnect:
        return
    except Refused as refused:
        codes = {429: TAKEN, 503: RESTART}
        closing = _Closing(codes.get(refused.status_code, REFUSED), refused.problem)
    with suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):  # the client may have left
        if closing.problem is not None:
            await _send(websocket, {"type": "error", **closing.problem})
        await asyncio.wait_for(websocket.close(closing.code), SEND_S)


async def _begun(websocket: WebSocket) -> _Closing:
    """Wait for the beginning of a session, then serve it.

    Raises: Refused if it cannot be served.
    """
    start = await _start_of(websocket)
    async with websocket.app.state.readers.live() as reader:
        try:
            fields = {**start.model_dump(exclude={"type", "token"}), "began": time.time()}
            await reader.send(("live", fields))
            return await _Session(websocket, reader, start).run()
        except ReaderGone:
            return _Closing(
                FAILED, {"status": 500, "what": "the process of this session has ended", "fix": "start anew"}
            )


async def _start_of(websocket: WebSocket) -> StartMessage:
    """The first message.

    Raises: Refused if it is none that begins a session, or does not come in time, or the token is wrong.
    """
    try:
        message = await asyncio.wait_for(websocket.receive(), START_S)
    except asyncio.TimeoutError:
        raise Refused(408, f"no message of the type `start` came in {START_S:g} s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", ORDINARY))
    start = _fields(message.get("text"), StartMessage)
    if not check_token(websocket.app.state.settings, start.token or bearer(websocket.headers)):
        raise Refused(401, "the token is missing or wrong", where="token", fix="send it in the message `start`")
    return start


def _fields(text: str | None, kind: type[Fields]) -> Fields:
    """A text message as what it should be.

    Raises: Refused if it is something else; values are not told back.
    """
    try:
        return kind.model_validate(json.loads(text or ""))
    except ValidationError as error:
        problem = problem_of_fields(error.errors(include_url=False, include_context=False, include_input=False))
        raise Refused(problem["status"], problem["what"], where=problem.get("where")) from None
    except (ValueError, RecursionError):
        raise Refused(400, "this message is not JSON") from None


async def _send(websocket: WebSocket, message: dict[str, Any]) -> None:
    await asyncio.wait_for(websocket.send_text(json_text(message)), SEND_S)


class _Session:
    """What goes on between a client and the process that reads what it sends."""

    def __init__(self, websocket: WebSocket, reader: Reader, start: StartMessage) -> None:
        self._websocket, self._reader = websocket, reader
        self._settings: Settings = websocket.app.state.settings
        self._waiting, self._came = Waiting(start.sample_rate), asyncio.Event()
        self._opened = time.monotonic()
        self._began = self._heard = math.inf  # until it is ready
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)

    async def run(self) -> _Closing:
        """Serve until one side ends."""
        parts = (self._receive, self._hand_on, self._hear_back, self._reply, self._watch)
        tasks = [asyncio.create_task(part()) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> _Closing:
        """Take in what the client sends; nothing waits here, and nothing grows."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return _Closing(ORDINARY)
            self._heard = max(self._heard, time.monotonic())
            if (data := message.get("bytes")) is not None:
                self._waiting.put(self._binary(data))
            elif _is_end(message.get("text")):
                self._waiting.put(("end",))
                self._came.set()
                return await _never()  # the answer to all that came before is still to be sent
            else:
                said = _fields(message.get("text"), SayMessage)
                self._waiting.put(("text", said.model_dump(exclude={"type"})))
            self._came.set()

    def _binary(self, data: bytes) -> tuple[Any, ...]:
        """Sound or a picture.

        Raises: Refused if it is neither, or too large.
        """
        if len(data) <= HEAD.size:
            raise Refused(400, f"a binary message is shorter than its head of {HEAD.size} bytes")
        kind, at = HEAD.unpack_from(data)
        payload = data[HEAD.size :]
        if kind == SOUND and len(payload) % SAMPLE_BYTES == 0:
            if len(payload) > MAX_SOUND_S * SAMPLE_BYTES * self._waiting.rate:
                raise Refused(413, f"a message holds more than {MAX_SOUND_S:g} s of sound", fix="send shorter pieces")
            return "sound", at, payload, time.time()
        if kind == PICTURE:
            if len(payload) > MAX_PICTURE:
                raise Refused(413, f"a picture is larger than {MAX_PICTURE / 1e6:g} MB", fix="send smaller pictures")
            return "picture", at, payload, time.time()
        raise Refused(400, "a binary message is neither 16-bit sound (1) nor a picture (2)")

    async def _hand_on(self) -> _Closing:
        """Give the process what waits, as fast as it takes it."""
        while True:
            message = self._waiting.take()
            if message is None:
                self._came.clear()
                await self._came.wait()
                continue
            await self._reader.send(message)
            if message == ("end",):
                return await _never()

    async def _hear_back(self) -> _Closing:
        """Take what the process says; of answers that the client is too slow for, the newest stays."""
        while True:
            kind, *rest = await self._reader.receive()
            if kind == "end":
                await self._outbox.join()
                return _Closing(ORDINARY)
            if kind == "error":
                problem = rest[0]
                return _Closing(FAILED if problem["status"] >= 500 else REFUSED, problem)
            if self._outbox.full():
                self._outbox.get_nowait()
                self._outbox.task_done()
            self._outbox.put_nowait({"type": kind, **rest[0]})
            if kind == "ready":
                await self._outbox.join()
                self._began = self._heard = time.monotonic()

    async def _reply(self) -> _Closing:
        """Send what was heard back."""
        while True:
            answer = await self._outbox.get()
            if answer["type"] == "answer":
                dropped = answer["dropped"]
                dropped["pictures"] += self._waiting.pictures
                dropped["sound_s"] = round(dropped["sound_s"] + self._waiting.sound_s, 3)
            try:
                await _send(self._websocket, answer)
            except (WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
                return _Closing(ORDINARY)
            self._outbox.task_done()

    async def _watch(self) -> _Closing:
        """End what has gone on for too long, or goes on no more."""
        while True:
            await asyncio.sleep(WATCH_S)
            now, minutes = time.monotonic(), self._settings.max_live_minutes
            if self._websocket.app.state.stopping:
                return _Closing(RESTART, {"status": 503, "what": "the service is stopping", "fix": "start anew"})
            if self._began == math.inf and now - self._opened > READY_S:
                return _Closing(FAILED, {"status": 500, "what": f"the model was not ready in {READY_S:g} s"})
            if now - self._heard > IDLE_S and not self._waiting.ended:
                return _Closing(REFUSED, {"status": 408, "what": f"nothing came for {IDLE_S:g} s"})
            if now - self._began > minutes * 60:
                what = f"a session lasts {minutes:g} minutes at most"
                return _Closing(REFUSED, {"status": 408, "what": what, "fix": "start anew"})


async def _never() -> _Closing:
    await asyncio.Event().wait()
    raise AssertionError


def _is_end(text: str | None) -> bool:
    """Whether a text message ends the session."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("type") == "end"
