"""The words of a conversation that still goes on, each text with what is said of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mecam.features.text import Segment, spread
from mecam.prediction.live_answer import SaidText
from mecam.prediction.predictor import Predictor
from mecam.prediction.result import Prediction
from mecam.types import Utterance, Word

__all__ = ["LiveTexts"]

MOST, LONGEST = 100, 2000
"""Texts that are kept at once, and letters of one of them."""


@dataclass
class LiveTexts:
    """Texts by their id; each is predicted once, when it is first asked for.

    Attributes:
        predictor: of the words; None of a model that does not read any.
        refused: texts that could not be taken since the session began.
    """

    predictor: Predictor | None
    refused: int = 0
    _texts: dict[str, SaidText] = field(default_factory=dict)

    def say(
        self,
        id: str,
        text: str,
        start: float,
        stop: float,
        *,
        source: Literal["client", "asr"] = "client",
        words: Sequence[Word] = (),
    ) -> None:
        """Take in a text; an earlier one with the same id is replaced, by an empty one it is removed.

        Args:
            id: of the text.
            text: the words.
            start: seconds.
            stop: seconds.
            source: who knew them.
            words: with times, where they are known; otherwise each has a share of the text's by its length.
        """
        if not (math.isfinite(start) and math.isfinite(stop) and 0 <= start <= stop) or len(text) > LONGEST:
            self.refused += 1
            return
        known = self._texts.pop(id, None)
        text = " ".join(text.split())
        if not text:
            return
        timed = tuple(words) or spread(Segment(start, stop, text)).words
        prediction = known.prediction if known is not None and known.text == text else None
        self._texts[id] = SaidText(id, text, start, stop, source, timed, prediction)
        while len(self._texts) > MOST:
            del self._texts[next(iter(self._texts))]
            self.refused += 1

    def remove(self, source: Literal["client", "asr"]) -> None:
        """Without those that one of the sources knew."""
        self._texts = {id: text for id, text in self._texts.items() if text.source != source}

    def forget(self, before: float) -> None:
        """Without those that ended before a time."""
        self._texts = {id: text for id, text in self._texts.items() if text.stop >= before}

    def within(self, start: float, stop: float) -> list[SaidText]:
        """Those that are said between two times, in order, predicted."""
        found = [text for text in self._texts.values() if text.stop > start and text.start < stop]
        new = [text for text in found if text.prediction is None]
        if self.predictor is not None and new:
            told = self.predictor.predict_utterances([Utterance(id=text.id, text=text.text) for text in new])
            self._texts.update(
                (text.id, replace(text, prediction=_timed(one, text))) for text, one in zip(new, told, strict=True)
            )
        return sorted((self._texts[text.id] for text in found), key=lambda text: (text.start, text.stop))


def _timed(prediction: Prediction, text: SaidText) -> Prediction:
    return replace(prediction, start=text.start, stop=text.stop)
