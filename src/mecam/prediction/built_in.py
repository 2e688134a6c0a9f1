"""The model that comes with mecam: words, voice and face, read side by side under stated rules.

No data with words, voice, face and a sentiment label may be redistributed, so nothing is fused that was never learned
together. Words decide the score. What the voice and the face show stands beside it, and is compared with the words by
two rules (`mecam.prediction.panel_reading.contradicting`). A model trained on clips of one's own takes its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ModelError
from mecam.prediction.answers import predict_utterances
from mecam.prediction.emotions import GROUPS
from mecam.prediction.exported import Files
from mecam.prediction.heads import Head
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.prediction.predictor import Predictor
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.pretrained.cards import FOLDER, Card, Tier, cards
from mecam.task.kinds import Regression
from mecam.threads import keep_few_shapes
from mecam.types import TEXT, Utterance

if TYPE_CHECKING:
    from mecam.data.store import Store

__all__ = ["BuiltIn", "predict", "predict_text"]

WEIGHTS, TOKENIZER = "encoder.data", "tokenizer.json"
"""What both text models read."""

SCALE = Regression(-3.0, 3.0)


def files_of(name: str) -> Files:
    """The files of one of the two text models, `sentiment` or `emotions`."""
    return Files(f"{name}.json", f"{name}.onnx", WEIGHTS, TOKENIZER, again="install mecam again")


def text_model(name: str) -> OnnxBackend:
    """One of the two text models."""
    return OnnxBackend(FOLDER / "text", files=files_of(name))


class BuiltIn(Predictor):
    """The built-in model in use. Several threads may share one.

    Args:
        tier: `research`: all parts. `permissive`: without those that learned from data for research only, which is
            the sentiment of words: there are emotions and no score.
        all_emotions: tell all 28 emotions of words, instead of their seven groups.

    Raises: ModelError if the package is damaged, or the tier is unknown.
    """

    page_every = 1.0

    def __init__(self, tier: Tier = "research", *, all_emotions: bool = False) -> None:
        if tier not in ("research", "permissive"):
            raise ModelError(f"there is no tier {tier!r}", fix="choose research or permissive")
        self.tier, self.all_emotions = tier, all_emotions
        self._sentiment = text_model("sentiment") if tier == "research" else None
        self._emotions = text_model("emotions")
        super().__init__(self._sentiment or self._emotions)

    @property
    def task(self) -> Regression:
        """A score from -3 to 3."""
        return SCALE

    @property
    def cards(self) -> list[Card]:
        """Of the parts that this tier uses."""
        return [card for card in cards().values() if card.tier == "permissive" or self.tier == "research"]

    @property
    def notes(self) -> tuple[str, ...]:
        """What every answer should be read with."""
        score = "sentiment learned from MOSEI (for research only), emotions from GoEmotions"
        words = score if self.tier == "research" else "emotions learned from GoEmotions, and no score in this tier"
        return (
            f"Built-in model. Words: {words}. Voice: activation, from EmoDB. Face: MediaPipe and face-api. "
            "`mecam models --ready` says how good each part is.",
        )

    @property
    def about(self) -> Mapping[str, Any]:
        """What a page says about it."""
        return {"model": f"the built-in model, {self.tier} tier"}

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Emotion → the probability from which on it counts as expressed: where F1 is highest on held-out comments."""
        found: Mapping[str, float] = self._groups.about["label_thresholds" if self.all_emotions else "thresholds"]
        return found

    @cached_property
    def _groups(self) -> Head:
        return Head.read(FOLDER / "text" / "groups.safetensors")

    def predict_utterances(self, utterances: Sequence[Utterance], *, together: bool = False) -> list[Prediction]:
        """As `Predictor.predict_utterances`: what the words of each say; nothing where there are none."""
        said = [u for u in utterances if (u.text or "").split()]
        answers = iter(self._read_words(said))
        nothing = Prediction("", None, None, None, None, "", absent=(TEXT,))
        return [next(answers) if (u.text or "").split() else replace(nothing, id=u.id, text=u.text) for u in utterances]

    def _read_words(self, utterances: Sequence[Utterance]) -> list[Prediction]:
        words = [Utterance(id=str(i), text=one.text) for i, one in enumerate(utterances)]
        emotions = self._emotions_of(predict_utterances(self._emotions, words))
        if self._sentiment is not None:
            scored = predict_utterances(self._sentiment, words)
        else:
            scored = [Prediction(one.id, one.text, None, None, None, "") for one in words]
        return [
            replace(one, id=utterance.id, emotions=found, shares={})
            for one, utterance, found in zip(scored, utterances, emotions, strict=True)
        ]

    def _emotions_of(self, predictions: Sequence[Prediction]) -> list[dict[str, float]]:
        """Name → probability; of groups, from those of the labels."""
        if self.all_emotions or not predictions:
            return [dict(one.probabilities) for one in predictions]
        odds = np.array([list(one.probabilities.values()) for one in predictions], np.float64)  # N 28
        told = self._groups.probabilities(logits(odds))
        return [dict(zip(GROUPS, map(float, row), strict=True)) for row in told]

    def predict_store(self, store: "Store", *, split: str | None = None, progress: Any = None) -> list[Prediction]:
        """As `Predictor.predict_store`; only the words of a store are read.

        Raises: ModelError if it has none.
        """
        if not store.has_text:
            raise ModelError("the built-in model reads words, and this store has none", where=str(store.path))
        indices = np.arange(len(store)) if split is None else store.split(split)
        results: list[Prediction] = []
        for place in range(0, len(indices), 64):
            results += self.predict_utterances([store[int(i)] for i in indices[place : place + 64]])
            if progress is not None:
                progress(len(results), len(indices))
        return results

    def check_reads_recordings(self, baseline: str | Path | None = None) -> None:
        """It reads any recording."""

    def _predict_recording(self, path: Path, options: Mapping[str, Any]) -> RecordingPrediction:
        from mecam.prediction.panel import Asked, predict_panel

        return predict_panel(self, path, Asked(**options))


def logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds."""
    odds = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(odds / (1 - odds)))


@cache
def _model() -> BuiltIn:
    return BuiltIn()


def predict(what: Any, **options: Any) -> Any:
    """Predict recordings or sentences with the built-in model.

    Args:
        what: a recording, a sentence, or a list of either; see `mecam.prediction.predictor.Predictor.predict`.
        options: of recordings; see `mecam.prediction.panel.Asked`.

    Examples:
        mecam.predict("clip.mp4").to_frame()
        mecam.predict("clip.mp4", every=1.0, person=2)
    """
    keep_few_shapes()  # speech to text multiplies in ever new ones
    return _model().predict(what, **options)


def predict_text(text: Any) -> Any:
    """Predict sentences with the built-in model: one gives a prediction, a list a list."""
    return _model().predict_text(text)
