"""Raw input → scores: what the command line and Python share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.evaluation.conflict_score import contradicting
from mecam.evaluation.evaluate import finished, in_words, predict
from mecam.models.checkpoint import Trained, check_features, load_checkpoint
from mecam.types import Modality, Predictions, Task, Utterance

if TYPE_CHECKING:
    from mecam.serve.recordings import Watched

__all__ = ["Prediction", "Predictor", "load"]


@dataclass(frozen=True)
class Prediction:
    """What a model says about one utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        score: regression; None otherwise.
        low: lower end of the interval around the score, None where the model is not calibrated.
        high: upper end.
        label: in words: `positive`, `negative` or, within a twelfth of the range around its middle, `neutral`;
            the most probable class; the labels above one half.
        probabilities: name → probability, for classes and labels.
        shares: modality → its part in the prediction; sums to 1 over those present.
        kept: modality → how much of each row (for text: of each word) was kept, in [0, 1]; 0 where it is missing.
        start: when it begins in its recording, in seconds; None where there is no recording.
        stop: when it ends.
        alone: modality → the score (or the label) that it would be given alone; of recordings.
        disagrees: modalities that alone would say the opposite.
        doubts: modality → how probable the model finds it that this modality contradicts the others; {} for models that
            do not ask, or where there is one modality.
        contradicts: the modality that does so more probably than not, if any.
    """

    id: str
    text: str | None
    score: float | None
    low: float | None
    high: float | None
    label: str
    probabilities: dict[str, float] = field(default_factory=dict)
    shares: dict[Modality, float] = field(default_factory=dict)
    kept: dict[Modality, list[float]] = field(default_factory=dict)
    start: float | None = None
    stop: float | None = None
    alone: Mapping[Modality, float | str] = field(default_factory=dict)
    disagrees: tuple[Modality, ...] = ()
    doubts: dict[Modality, float] = field(default_factory=dict)
    contradicts: tuple[Modality, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; absent ones are left out."""
        return {key: value for key, value in vars(self).items() if value not in (None, {}, ())}


class Predictor:
    """A trained model on a device.

    Args:
        trained: from `load_checkpoint`.
        device: where to compute; None takes the GPU if there is one.
    """

    def __init__(self, trained: Trained, *, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.trained = trained
        trained.model.to(self.device)

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.trained.checkpoint.inputs.task

    @overload
    def predict(self, what: str | Path, **options: Any) -> "Watched": ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, what: Sequence[str]) -> list[Prediction]: ...
    def predict(self, what: str | Path | Sequence[str], **options: Any) -> "Watched | list[Prediction]":
        """Predict a recording, or sentences.

        Args:
            what: the path of a video or sound file; or a list of sentences, whose other modalities are absent.
            options: of a recording; see `mecam.serve.recordings.watch`.

        Raises: ModelError if the model does not read text, or reads features that we cannot make; MediaError if the
            file cannot be used.
        """
        if isinstance(what, str | Path):
            from mecam.serve.recordings import watch

            return watch(self, what, **options)
        return self._predict_sentences(what)

    def _predict_sentences(self, texts: Sequence[str]) -> list[Prediction]:
        if self.trained.tokenizer is None and self.trained.model.reads:
            raise ModelError(
                "this model reads no transcripts",
                where=f"it was trained on {', '.join(self.trained.model.reads)}",
                fix="give it a store with these features",
            )
        return self.predict_utterances([Utterance(id=str(i + 1), text=text) for i, text in enumerate(texts)])

    def predict_utterances(self, utterances: Sequence[Utterance], *, together: bool = False) -> list[Prediction]:
        """Predict utterances in memory.

        Args:
            utterances: of one recording or several.
            together: they are all that was said there, so that a model that has learned to may look at the rest of a
                recording; otherwise each stands for itself.
        """
        return self._predict(self.trained.dataset(utterances), [u.text for u in utterances], None, together=together)

    def predict_store(
        self, store: Store, *, split: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> list[Prediction]:
        """Predict the utterances of a store.

        Args:
            store: with features of the same kind as the model was trained on.
            split: one split; None takes all.
            progress: called with (utterances done, all).

        Raises: ModelError if the features differ.
        """
        check_features(self.trained, store)
        indices = np.arange(len(store)) if split is None else store.split(split)
        column = store.column("text")
        texts = [column[int(i)] for i in indices]
        return self._predict(self.trained.dataset(store, indices), texts, progress, together=True)

    def _predict(
        self,
        dataset: Dataset,
        texts: Sequence[str | None],
        progress: Callable[[int, int], None] | None,
        *,
        together: bool,
    ) -> list[Prediction]:
        predictions = predict(self.trained.model, dataset, self.trained.collator, details=True, progress=progress)
        predictions = finished(self.trained, predictions, together=together)
        half = self.trained.checkpoint.half_width
        return [self._one(predictions, i, texts[i], half) for i in range(len(predictions))]

    def _one(self, p: Predictions, i: int, text: str | None, half: float | None) -> Prediction:
        score = float(p.prediction[i]) if self.task.kind == "regression" else None
        half = None if half is None or score is None else float(p.half_widths(half)[i])
        doubts = {m: float(doubt[i]) for m, doubt in p.doubts.items() if np.isfinite(doubt[i])}
        gates: Mapping[Modality, Any] = p.gates[i] if p.gates else {}
        doubts = doubts if len(doubts) > 1 else {}  # one voice alone contradicts nobody
        return Prediction(
            id=p.ids[i],
            text=text,
            score=score,
            low=None if half is None or score is None else score - half,
            high=None if half is None or score is None else score + half,
            label=in_words(self.task, p.prediction[i]),
            probabilities=dict(zip(self.task.names, p.prediction[i].tolist(), strict=True)) if score is None else {},
            shares={m: float(share[i]) for m, share in p.shares.items()},
            kept={m: np.nan_to_num(kept.astype(float)).round(4).tolist() for m, kept in gates.items()},
            doubts=doubts,
            contradicts=contradicting(doubts),
        )


def load(run: str | Path, *, device: str | None = None, allow_encoder: bool | None = None) -> Predictor:
    """Load a run folder or a checkpoint folder, ready to predict.

    Args:
        run: the folder.
        device: where to compute; None takes the GPU if there is one.
        allow_encoder: let the checkpoint name encoders that are fetched, or read from elsewhere on this machine.

    Examples:
        mecam.load("runs/demo").predict(["I would see it again tomorrow"])[0].score
        mecam.load("runs/mine").predict("clip.mp4", transcript="clip.srt").overall.score
    """
    return Predictor(load_checkpoint(run, allow_encoder=allow_encoder), device=device)
