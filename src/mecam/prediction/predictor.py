"""Raw input → scores: what the command line and Python share. Safe to call from several threads at once."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.detection import contradicting
from mecam.evaluation.predict import finished, known_only, predict
from mecam.models.checkpoint import Trained, check_features, load_checkpoint
from mecam.prediction.asked import as_paths, as_sentences, kind_of, kind_of_all
from mecam.runs.predictions import interval_around
from mecam.task import Task
from mecam.types import TEXT, Modality, Predictions, Utterance

if TYPE_CHECKING:
    from mecam.prediction.recordings import Watched

__all__ = ["Prediction", "Predictor", "load"]


@dataclass(frozen=True)
class Prediction:
    """What a model says about one utterance.

    Attributes:
        id: the utterance.
        text: its transcript, if any.
        score: regression; None otherwise. It may lie a little beyond the task's scale.
        low: lower end of the interval around the score, within the scale; None where the model is not calibrated.
        high: upper end.
        label: in words: `positive`, `negative` or, within a twelfth of the range around its middle, `neutral`;
            the most probable class; the labels above one half.
        probabilities: name → probability, for classes and labels.
        shares: modality → its part in the prediction; sums to 1 over those present.
        kept: modality → how much of each row (for text: of each word) was kept, in [0, 1]; None where it is missing.
        start: when it begins in its recording, in seconds; None where there is no recording.
        stop: when it ends.
        alone: modality → the score (or the label) that it would be given alone; of recordings.
        disagrees: modalities that alone would say the opposite.
        doubts: modality → how probable the model finds it that this modality contradicts the others; {} for models that
            do not ask, or where there is one modality.
        contradicts: the modality that does so more probably than not, if any.
        absent: modalities that the model reads and of which this utterance has nothing: no text, a silent sound, no
            face.
    """

    id: str
    text: str | None
    score: float | None
    low: float | None
    high: float | None
    label: str
    probabilities: dict[str, float] = field(default_factory=dict)
    shares: dict[Modality, float] = field(default_factory=dict)
    kept: dict[Modality, list[float | None]] = field(default_factory=dict)
    start: float | None = None
    stop: float | None = None
    alone: Mapping[Modality, float | str] = field(default_factory=dict)
    disagrees: tuple[Modality, ...] = ()
    doubts: dict[Modality, float] = field(default_factory=dict)
    contradicts: tuple[Modality, ...] = ()
    absent: tuple[Modality, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; absent ones are left out."""
        return {key: value for key, value in vars(self).items() if value not in (None, {}, ())}


class Predictor:
    """A trained model on a device. Several threads may share one.

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
    def predict(self, what: Path, **options: Any) -> "Watched": ...
    @overload
    def predict(self, what: str, **options: Any) -> "Watched | Prediction": ...
    @overload
    def predict(self, what: Sequence[str | Path], **options: Any) -> "list[Any]": ...
    def predict(self, what: Any, **options: Any) -> Any:
        """Predict recordings or sentences, whichever is given: a shortcut that refuses what could be either.

        A path, or a text that names an existing file, is a recording (`predict_file`); another text is a sentence
        (`predict_text`), unless it looks like the name of a file. One thing gives one result, a list gives a list.

        Args:
            what: a recording, a sentence, or a list of either.
            options: of recordings; see `mecam.prediction.recordings.watch`.

        Raises: DataError if it is not clear what is meant, or a file is not there; ModelError if it is neither text
            nor path, the model does not read text, or it reads features that we cannot make; MediaError if a file
            cannot be used.
        """
        one = isinstance(what, str | os.PathLike)
        kind = kind_of(what) if one else kind_of_all(what)
        if kind is None:
            return []
        if kind == "file":
            return self.predict_file(what, **options)
        if options:
            raise ModelError(f"a sentence has no option {min(options)!r}: it goes with a recording")
        return self.predict_text(what)

    @overload
    def predict_text(self, text: str) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict_text(self, text: Sequence[str]) -> list[Prediction]: ...
    def predict_text(self, text: str | Sequence[str]) -> Prediction | list[Prediction]:
        """Predict sentences, whose other modalities are absent.

        Args:
            text: a sentence, which gives one prediction, or a list of them, which gives a list; ids count from 1.

        Raises: ModelError if the model does not read text, or it is no text; DataError if a sentence is empty.
        """
        texts = as_sentences(text)
        if self.trained.tokenizer is None and self.trained.model.reads:
            raise ModelError(
                "this model reads no transcripts",
                where=f"it was trained on {', '.join(self.trained.model.reads)}",
                fix="give it a store with these features",
            )
        said = self.predict_utterances([Utterance(id=str(i), text=one) for i, one in enumerate(texts, 1)])
        return said[0] if isinstance(text, str) else said

    @overload
    def predict_file(self, path: str | Path, **options: Any) -> "Watched": ...
    @overload
    def predict_file(self, path: Sequence[str | Path], **options: Any) -> "list[Watched]": ...
    def predict_file(self, path: Any, **options: Any) -> Any:
        """Predict recordings.

        Args:
            path: a video or sound file, which gives one result, or a list of them, which gives a list.
            options: see `mecam.prediction.recordings.watch`.

        Raises: ModelError if the model reads features that we cannot make, or it is no path; MediaError if a file
            cannot be used; DataError if one transcript is given for several recordings.
        """
        from mecam.prediction.recordings import watch

        paths = as_paths(path)
        if len(paths) > 1 and options.get("transcript") is not None:
            raise DataError(
                "one transcript is given for several recordings", fix="predict them one by one, each with its own"
            )
        watched = [watch(self, one, **options) for one in paths]
        return watched[0] if isinstance(path, str | os.PathLike) else watched

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
        store = store.for_task(self.task, self.trained.checkpoint.data.target)
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
        score = float(p.prediction[i]) if self.task.is_score else None
        ends: tuple[float | None, float | None] = (None, None)
        if half is not None and score is not None:
            ends = interval_around(self.task, score, float(p.half_widths(half)[i]))
        doubts = {m: float(doubt[i]) for m, doubt in p.doubts.items() if np.isfinite(doubt[i])}
        gates: Mapping[Modality, Any] = p.gates[i] if p.gates else {}
        doubts = doubts if len(doubts) > 1 else {}  # one voice alone contradicts nobody
        return Prediction(
            id=p.ids[i],
            text=text,
            score=score,
            low=ends[0],
            high=ends[1],
            label=self.task.words(p.prediction[i]),
            probabilities=dict(zip(self.task.names, p.prediction[i].tolist(), strict=True)) if score is None else {},
            shares={m: float(share[i]) for m, share in p.shares.items()},
            kept={m: known_only(kept) for m, kept in gates.items()},
            doubts=doubts,
            contradicts=contradicting(doubts),
            absent=tuple(m for m in self.trained.model.reads if self._lacks(m, text, float(p.lost[m][i]))),
        )

    def _lacks(self, modality: Modality, text: str | None, lost: float) -> bool:
        """Whether an utterance has nothing of a modality; a text of unknown words only is still a text."""
        if modality == TEXT and self.trained.tokenizer is not None:
            return not (text or "").split()
        return lost >= 1


def load(run: str | Path, *, device: str | None = None, allow_encoder: bool | None = None) -> Predictor:
    """Load a run folder or a checkpoint folder, ready to predict.

    Args:
        run: the folder.
        device: where to compute; None takes the GPU if there is one.
        allow_encoder: let the checkpoint name encoders that are fetched, or read from elsewhere on this machine.

    Examples:
        mecam.load("runs/demo").predict_text("I would see it again tomorrow").score
        mecam.load("runs/mine").predict_file("clip.mp4", transcript="clip.srt").overall.score
    """
    return Predictor(load_checkpoint(run, allow_encoder=allow_encoder), device=device)
