"""Speech to text of a conversation that still goes on: the last seconds again and again, in a thread beside.

A word is committed once two passes in a row agree on it, and then stays. What a pass alone has heard is not told: its
last words change most often.

Source: Macháček, Dabre and Bojar, Turning Whisper into a real-time transcription system, 2023 (LocalAgreement-2).
Differs: a pass begins after the last committed sentence, or `PASS_S` before its end, whichever is later; a word that
is `OLD_S` old is committed without a second pass.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features.audio.acoustics import RATE_HZ
from mecam.features.audio.heard_sound import HeardSound
from mecam.features.text.asr import ENGINE_LOCK, engine
from mecam.features.text.word_times import PAUSE_S, SENTENCE_END, joined_pieces
from mecam.types import Word

__all__ = ["LiveSpeech", "agreed"]

LOG = logging.getLogger(__name__)
PASS_S = 10.0
"""Seconds of sound that are heard in one pass, at most."""
STEP_S = 1.0
"""Seconds of new sound that a pass is worth."""
REST = 0.5
"""How long a pass is followed by a rest, in its own length: answers need the processor, too."""
SAME_S = 0.1
"""By how much a word that is heard again may begin before the end of the one before."""
OLD_S = 5.0
"""Seconds after which a word is as sure as it gets."""
REPEATED = 5
"""Words at most that are looked for as repeated."""
CLEAR = 0.8
"""Probability from which on a language stays."""
KEPT = 50
"""Sentences that are kept."""
LONGEST_S = 8.0
"""Seconds after which a sentence ends at the next word: not everybody speaks in sentences."""


class LiveSpeech:
    """Writes down what is said.

    Args:
        model: the speech model, one that was fetched.
        language: its code; None: as soon as it is clearly heard.

    Attributes:
        sentences: number → words of a sentence, of the last ones; the very last one still grows.
        busy: held by a pass while it computes; whoever else needs the model does without, or waits.
        failed: why it has stopped; empty while it has not.
    """

    def __init__(self, model: str, language: str | None = None) -> None:
        self.model, self.language = model, language
        self.sentences: dict[int, tuple[Word, ...]] = {}
        self.busy = threading.Lock()
        self.failed = ""
        self._before: list[Word] = []
        self._done = self._begin = self._heard = 0.0
        self._rest_until = 0.0
        self._thread: threading.Thread | None = None

    def listen(self, sound: HeardSound) -> None:
        """Begin a pass over what was heard, unless one goes on, or there is too little that is new."""
        resting = time.monotonic() < self._rest_until or (self._thread is not None and self._thread.is_alive())
        if self.failed or resting or sound.duration - self._heard < STEP_S:
            return
        self._heard = sound.duration
        start, samples = sound.waveform(max(self._begin, sound.duration - PASS_S))
        levelled = samples * np.float32(sound.gain())
        self._thread = threading.Thread(target=self._pass, args=(start, levelled), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the pass that goes on."""
        if self._thread is not None:
            self._thread.join()

    def _pass(self, start: float, samples: NDArray[np.float32]) -> None:
        began = time.monotonic()
        try:
            with self.busy:
                self._take_in(self._words(start, samples), start + len(samples) / RATE_HZ)
        except Exception as error:  # what the engine raises; the session goes on without words
            LOG.warning("speech to text has stopped: %s", type(error).__name__)
            self.failed = f"speech to text has stopped ({type(error).__name__})"
        self._rest_until = time.monotonic() + REST * (time.monotonic() - began)

    def _words(self, start: float, samples: NDArray[np.float32]) -> list[Word]:
        """The words of a stretch of sound, with their times in the session."""
        made: Any = engine(self.model)
        with ENGINE_LOCK:
            parts, about = made.transcribe(
                samples,
                language=self.language,
                word_timestamps=True,
                vad_filter=True,
                beam_size=1,
                temperature=0.0,
                condition_on_previous_text=False,
            )
            pieces = [word for part in parts for word in part.words or ()]
        if self.language is None and about.language_probability >= CLEAR:
            self.language = about.language
        return joined_pieces([Word(p.word, float(p.start) + start, float(max(p.start, p.end)) + start) for p in pieces])

    def _take_in(self, words: Sequence[Word], stop: float) -> None:
        """Commit what this pass and the one before agree on, and what is so old that no further pass hears it better.

        Args:
            words: that this pass has heard.
            stop: seconds at which its sound ends.
        """
        new = [word for word in words if word.start >= self._done - SAME_S]
        new = new[_repeated(self._committed(), new) :]
        old = [word for word in new if word.stop <= stop - OLD_S]
        sure = max(agreed(self._before, new), old, key=len)
        self._before = new[len(sure) :]
        for word in sure:
            self._commit(word)

    def _committed(self) -> list[Word]:
        """The last words that are sure."""
        return [word for words in list(self.sentences.values())[-2:] for word in words]

    def _commit(self, word: Word) -> None:
        last = max(self.sentences, default=-1)
        sentence = self.sentences.get(last, ())
        ended = not sentence or (
            sentence[-1].text[-1] in SENTENCE_END
            or word.start - sentence[-1].stop > PAUSE_S
            or word.stop - sentence[0].start > LONGEST_S
        )
        if ended:
            self._begin, last, sentence = self._done, last + 1, ()
        self._done = max(word.stop, self._done)
        kept = {number: words for number, words in self.sentences.items() if number > last - KEPT}
        self.sentences = {**kept, last: (*sentence, word)}


def agreed(before: Sequence[Word], now: Sequence[Word]) -> list[Word]:
    """The words with which two passes begin alike, as the later one has them."""
    found = []
    for earlier, later in zip(before, now, strict=False):
        if _letters(earlier.text) != _letters(later.text):
            break
        found.append(later)
    return found


def _repeated(before: Sequence[Word], now: Sequence[Word]) -> int:
    """With how many words `now` repeats the end of `before`: a pass hears the last sure ones once more."""
    ends, begins = ([_letters(word.text) for word in words] for words in (before[-REPEATED:], now[:REPEATED]))
    counts = range(min(len(ends), len(begins)), 0, -1)
    return next((count for count in counts if ends[-count:] == begins[:count]), 0)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
