"""What waits for somebody who is slower than it comes: the newest picture, some texts, and sound of a few seconds."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Message", "Waiting"]

Message = tuple[Any, ...]
"""`("sound", time, PCM, arrived)`, `("picture", time, JPEG, arrived)`, `("text", fields)` or `("end",)`."""

SOUND_S = 5.0
"""Seconds of sound that wait at most."""
TEXTS = 50
"""Texts that wait at most."""
SAMPLE_BYTES = 2


@dataclass
class Waiting:
    """Messages in the order in which they are to be looked at: sound and texts as they came, then the newest picture.

    For one thread, or under a lock.

    Attributes:
        rate: samples a second of the sound.
        pictures: that were replaced by newer ones.
        sound_s: seconds of sound that were dropped, as too much of it waited.
        texts: that were dropped.
        ended: nothing comes after what waits.
    """

    rate: int
    pictures: int = 0
    sound_s: float = 0.0
    texts: int = 0
    ended: bool = False
    _sounds: deque[Message] = field(default_factory=deque)
    _texts: deque[Message] = field(default_factory=deque)
    _picture: Message | None = None
    _held_s: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._sounds or self._texts or self._picture or self.ended)

    def put(self, message: Message) -> None:
        """Take in a message."""
        kind = message[0]
        if kind == "sound":
            self._sounds.append(message)
            self._held_s += self._seconds(message)
            while self._held_s > SOUND_S:
                seconds = self._seconds(self._sounds.popleft())
                self._held_s -= seconds
                self.sound_s += seconds
        elif kind == "picture":
            self.pictures += self._picture is not None
            self._picture = message
        elif kind == "text":
            self._texts.append(message)
            if len(self._texts) > TEXTS:
                self._texts.popleft()
                self.texts += 1
        else:
            self.ended = True

    def take(self, *, pictures: bool = True) -> Message | None:
        """The next message; None where nothing waits. `("end",)` comes last, and again and again.

        Args:
            pictures: take pictures too; otherwise they go on waiting, and so does the end behind them.
        """
        if self._sounds:
            message = self._sounds.popleft()
            self._held_s -= self._seconds(message)
            return message
        if self._texts:
            return self._texts.popleft()
        if self._picture is not None:
            if not pictures:
                return None
            message, self._picture = self._picture, None
            return message
        return ("end",) if self.ended else None

    def _seconds(self, message: Message) -> float:
        return len(message[2]) / (SAMPLE_BYTES * self.rate)
