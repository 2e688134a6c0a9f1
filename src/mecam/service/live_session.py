"""One live session, in a process of its own: takes in what comes through a pipe, and sends back answers."""

import logging
import threading
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mecam.errors import DataError, MecamError
from mecam.pipes import PipeEnd
from mecam.service.jpeg import decoded
from mecam.service.problems import problem_of
from mecam.service.settings import Settings
from mecam.service.waiting import Message, Waiting
from mecam.threads import keep_few_shapes

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor

__all__ = ["serve_live"]

_log = logging.getLogger(__name__)

JITTER_S = 0.05
"""By how much a picture may come before it is due, and still be looked at."""
BREATH_S = 0.05
"""Between two answers, where they take longer than they may: time to look at a picture."""


def serve_live(connection: PipeEnd, predictor: "Predictor", start: Mapping[str, Any], limits: Settings) -> None:
    """Serve a session until it ends, or nobody is there any more.

    Args:
        connection: to the server: see `mecam.service.waiting` for what comes; `("ready", fields)`,
            `("answer", fields)`, `("error", problem)` and `("end",)` go.
        predictor: the model.
        start: how the client began: `window_s`, `every_s`, `sample_rate`, `asr`, `language`, `person`; and `began`,
            when it did so, as `time.time` tells it.
        limits: of the service.
    """
    keep_few_shapes()  # speech to text multiplies in ever new ones
    try:
        session = _Session(connection, predictor, start)
        session.run()
        connection.send(("end",))
    except MecamError as error:
        connection.send(("error", problem_of(error)))
    except (OSError, EOFError):
        return  # nobody is there
    except Exception as error:
        # Its message may hold what a client sent, and is not logged.
        _log.error("%s in a live session\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        what = f"the session ended in an unexpected error ({type(error).__name__})"
        connection.send(("error", {"status": 500, "what": what}))


class _Session:
    """What one client sends, and what it is answered."""

    def __init__(self, connection: PipeEnd, predictor: "Predictor", start: Mapping[str, Any]) -> None:
        from mecam.prediction.live import PICTURES_PER_S, Live

        self._connection, self._every_s = connection, float(start["every_s"])
        _warm_up(predictor)
        self._live = Live(
            predictor,
            window_s=float(start["window_s"]),
            person=start["person"],
            asr=start["asr"],
            language=start["language"],
            rate=int(start["sample_rate"]),
            clock=lambda: time.time() - float(start["began"]),
        )
        self._waiting = Waiting(int(start["sample_rate"]))
        self._changed = threading.Condition()
        self._picture_s, self._picture_due = 1 / PICTURES_PER_S, 0.0
        self._skipped = self._broken = 0
        self._arrived = time.time()
        self._ready = {
            "model": predictor.about["model"],
            "window_s": float(start["window_s"]),
            "every_s": self._every_s,
            "pictures_per_s": PICTURES_PER_S,
            "asr": self._live.asr,
            "notes": list(self._live.notes),
        }

    def run(self) -> None:
        """Answer until the client ends the session, or the time is over."""
        self._connection.send(("ready", self._ready))
        threading.Thread(target=self._listen, name="mecam-live", daemon=True).start()
        due = time.monotonic() + self._every_s
        try:
            while (message := self._next(due)) != ("end",):
                if message is not None:
                    self._take_in(message)
                    continue
                self._answer()
                due = max(due + self._every_s, time.monotonic() + BREATH_S)
            self._answer()
        finally:
            self._live.close()

    def _listen(self) -> None:
        """Take messages in as they come, whatever goes on meanwhile."""
        message: Message = ()
        while message != ("end",):
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                message = ("end",)
            with self._changed:
                self._waiting.put(message)
                self._changed.notify()

    def _next(self, due: float) -> Message | None:
        """What is to be looked at next; None where an answer is due and all sound and words before it are taken in."""
        with self._changed:
            while not self._waiting and (left := due - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._waiting.take(pictures=time.monotonic() < due)

    def _take_in(self, message: Message) -> None:
        kind = message[0]
        if kind == "sound":
            _, at, pcm, self._arrived = message
            self._live.hear(at, np.frombuffer(pcm, "<i2").astype(np.int16, copy=False))
        elif kind == "picture":
            _, at, jpeg, arrived = message
            self._see(at, jpeg)
            if not self._live.heard:
                self._arrived = arrived
        elif kind == "text":
            said = message[1]
            self._live.say(said["id"], said["text"], said["start"], said["stop"])

    def _see(self, at: float, jpeg: bytes) -> None:
        """Look at a picture, unless it comes too soon after the last one."""
        if at < self._picture_due - JITTER_S:
            self._skipped += 1
            return
        try:
            image = decoded(jpeg)
        except DataError:
            self._broken += 1
            return
        if self._live.see(at, image):
            self._picture_due = max(self._picture_due, at - self._picture_s) + self._picture_s

    def _answer(self) -> None:
        answer = self._live.answer().to_json()
        with self._changed:
            pictures, sound_s, texts = self._waiting.pictures, self._waiting.sound_s, self._waiting.texts
        answer["dropped"]["pictures"] += pictures + self._skipped
        answer["dropped"]["sound_s"] = round(answer["dropped"]["sound_s"] + sound_s, 3)
        counts = {"{} pictures could not be decoded": self._broken, "{} texts came too fast: left out": texts}
        answer["findings"] += [finding.format(count) for finding, count in counts.items() if count]
        latency_s = round(max(time.time() - self._arrived, 0.0), 3)
        self._connection.send(("answer", {"latency_s": latency_s, **answer}))


def _warm_up(predictor: "Predictor") -> None:
    """Load what the first answer would have to wait for."""
    from mecam.prediction.live import Live

    live = Live(predictor, asr=False)
    noise = np.random.default_rng(0).integers(-2000, 2000, 16_000).astype(np.int16)
    live.hear(0.0, noise)
    live.see(0.5, np.zeros((90, 160, 3), np.uint8))
    live.say("1", "one", 0.0, 1.0)
    live.answer()
