"""Raw input → scores: what the command line and Python share. Safe to call from several threads at once."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mecam.errors import DataError, ModelError
from mecam.models.backend import Backend
from mecam.prediction.answers import notes_of, predict_dataset, predict_utterances
from mecam.prediction.backend import open_backend
from mecam.prediction.hub_models import fetch, is_hub_model
from mecam.prediction.inputs import as_paths, as_sentences, kind_of, kind_of_all
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.task import Task
from mecam.types import Utterance

if TYPE_CHECKING:
    from mecam.data.store import Store
    from mecam.models.trained import Trained
    from mecam.pretrained.cards import Tier

__all__ = ["Predictor", "load"]

log = logging.getLogger(__name__)


class Predictor:
    """A trained model in use. Several threads may share one.

    Args:
        backend: what computes it: from `open_backend`, or a `Trained` in memory.

    Attributes:
        page_every: seconds of the moments that a page shows where none are asked for; None: its utterances.
        source: of a model of the hub, its address with the commit: `hf:ORG/NAME@COMMIT`; empty for others.
    """

    page_every: float | None = None
    source: str = ""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __repr__(self) -> str:
        about = ", learned from ".join(str(one) for one in self.about.values() if one)
        return f"{type(self).__name__}({about})"

    @property
    def trained(self) -> "Trained":
        """The model of PyTorch, for explanations that look inside it.

        Raises: ModelError if another library computes it.
        """
        from mecam.models.trained import Trained

        if not isinstance(self.backend, Trained):
            raise ModelError("this needs the PyTorch model", fix="load the run folder that it was exported from")
        return self.backend

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.backend.checkpoint.inputs.task

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that belong to every answer."""
        return notes_of(self.backend)

    @property
    def about(self) -> Mapping[str, Any]:
        """What a page says about the model: `model` and, where known, `learned_from` and `run`, by name."""
        checkpoint = self.backend.checkpoint
        known = {"run": self.source} if self.source else {}
        return {**known, "model": checkpoint.name, "learned_from": checkpoint.data_name}

    def check_reads_recordings(self, baseline: str | Path | None = None) -> None:
        """Whether this model can read recordings at all.

        Args:
            baseline: of the person, if there is one.

        Raises: ModelError if it reads features that we cannot make.
        """
        from mecam.prediction.recordings import recipe_of

        recipe_of(self.backend, baseline)

    @overload
    def predict(self, what: Path, **options: Any) -> RecordingPrediction: ...
    @overload
    def predict(self, what: str, **options: Any) -> RecordingPrediction | Prediction: ...
    @overload
    def predict(self, what: Sequence[str | Path], **options: Any) -> list[Any]: ...
    def predict(self, what: Any, **options: Any) -> Any:
        """Predict recordings or sentences, whichever is given: a shortcut that refuses what could be either.

        A path, or a text that names an existing file, is a recording (`predict_file`); another text is a sentence
        (`predict_text`), unless it looks like the name of a file. One thing gives one result, a list gives a list.

        Args:
            what: a recording, a sentence, or a list of either.
            options: of recordings; see `mecam.prediction.recordings.predict_recording`.

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
            raise ModelError(f"a sentence cannot have the option {min(options)!r}, which is for recordings")
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
        if self.backend.preprocessor.tokenizer is None and self.backend.reads:
            raise ModelError(
                "this model cannot read text",
                where=f"it was trained on {', '.join(self.backend.reads)}",
                fix="predict a store with these features",
            )
        predictions = self.predict_utterances([Utterance(id=str(i), text=one) for i, one in enumerate(texts, 1)])
        return predictions[0] if isinstance(text, str) else predictions

    @overload
    def predict_file(self, path: str | Path, **options: Any) -> RecordingPrediction: ...
    @overload
    def predict_file(self, path: Sequence[str | Path], **options: Any) -> list[RecordingPrediction]: ...
    def predict_file(self, path: Any, **options: Any) -> Any:
        """Predict recordings.

        Args:
            path: a video or sound file, which gives one result, or a list of them, which gives a list.
            options: see `mecam.prediction.recordings.predict_recording`.

        Raises: ModelError if the model reads features that we cannot make, or it is no path; MediaError if a file
            cannot be used; DataError if one transcript is given for several recordings.
        """
        paths = as_paths(path)
        if len(paths) > 1 and options.get("transcript") is not None:
            raise DataError(
                "one transcript is given for several recordings",
                fix="predict each recording separately with its transcript",
            )
        recordings = [self._predict_recording(one, options) for one in paths]
        return recordings[0] if isinstance(path, str | os.PathLike) else recordings

    def _predict_recording(self, path: Path, options: Mapping[str, Any]) -> RecordingPrediction:
        from mecam.prediction.recordings import predict_recording  # a sentence need not wait for it

        return predict_recording(self.backend, path, **options)

    def predict_utterances(self, utterances: Sequence[Utterance], *, together: bool = False) -> list[Prediction]:
        """Predict utterances in memory.

        Args:
            utterances: of one recording or several.
            together: they are all utterances of their recordings, so that a model may use the context of a recording;
                otherwise each is predicted alone.
        """
        return predict_utterances(self.backend, utterances, together=together)

    def predict_store(
        self, store: "Store", *, split: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> list[Prediction]:
        """Predict the utterances of a store.

        Args:
            store: with features of the same kind as the model was trained on.
            split: one split; None takes all.
            progress: called with (utterances done, all).

        Raises: ModelError if the features differ.
        """
        self.backend.preprocessor.check_features(store)
        store = store.for_task(self.task, self.backend.checkpoint.data.target)
        indices = np.arange(len(store)) if split is None else store.split(split)
        column = store.column("text")
        texts = [column[int(i)] for i in indices]
        return predict_dataset(
            self.backend, self.backend.preprocessor.dataset(store, indices), texts, progress, together=True
        )


def load(
    run: str | Path | None = None,
    *,
    tier: "Tier" = "research",
    device: str | None = None,
    allow_encoder: bool | None = None,
    max_download_gb: float | None = None,
) -> Predictor:
    """Load a run folder, a checkpoint folder or an exported model, ready to predict; without one, the built-in model.

    Args:
        run: the folder, or an address on the Hugging Face hub: `hf:ORG/NAME@REVISION`. None is the built-in model.
        tier: of the built-in model; `permissive` leaves out what learned from data for research only.
        device: where PyTorch computes; None takes the GPU if there is one.
        allow_encoder: let the checkpoint name encoders that are fetched, or read from elsewhere on this machine.
        max_download_gb: most that a model of the hub may be, in 10⁹ bytes. None takes `MECAM_MAX_DOWNLOAD_GB`, or 8.

    Raises: ModelError if the model cannot be used; MissingExtraError if it needs PyTorch, or a model of the hub its
        client, which is not installed; ServiceError if the hub does not answer.

    Examples:
        mecam.load().predict_file("clip.mp4").overall.score
        mecam.load("runs/demo").predict_text("I would see it again tomorrow").score
        mecam.load("hf:org/name@v1").predict_file("clip.mp4", transcript="clip.srt").overall.score
    """
    if run is None:
        from mecam.prediction.built_in import BuiltIn

        return BuiltIn(tier)
    if not is_hub_model(run):
        return Predictor(open_backend(run, device=device, allow_encoder=allow_encoder))
    found = fetch(run, max_download_gb=max_download_gb, allow_encoder=allow_encoder)
    if found.note:
        log.warning("%s", found.note)
    predictor = Predictor(open_backend(found.folder, device=device, allow_encoder=allow_encoder))
    predictor.source = found.address
    return predictor
