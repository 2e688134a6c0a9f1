"""Recordings predicted on a Ray cluster: the same answers as without.

The built-in model, an exported one, and every other one where the cluster has no GPU is loaded by each process that
reads recordings. With a GPU, a trained model has a stage of its own: processors read recordings into utterances, and an
actor for each GPU predicts all utterances of a recording together.
"""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.errors import MecamError
from mecam.features.extraction_processes import CRASHED, Child
from mecam.features.recording import Recipe, Recording
from mecam.features.segmentation import Lengths
from mecam.models.checkpoint import is_exported
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.predictor import Predictor, load
from mecam.prediction.recordings import prediction_of, recipe_of, recording_of
from mecam.prediction.result import RecordingPrediction
from mecam.ray_cluster import Stage, connected, streamed

if TYPE_CHECKING:
    from mecam.pretrained.cards import Tier

__all__ = ["ModelChoice", "predict_on_ray"]


@dataclass(frozen=True)
class ModelChoice:
    """Which model predicts; each worker loads it.

    Attributes:
        folder: of a run or an exported model, which all machines see; None is the built-in one.
        tier: of the built-in one.
        all_emotions: of the built-in one.
        allow_encoder: as `mecam.prediction.predictor.load` has it.
    """

    folder: Path | None = None
    tier: "Tier" = "research"
    all_emotions: bool = False
    allow_encoder: bool = False

    def load(self) -> Predictor:
        """The model, ready to predict.

        Raises: ModelError if it cannot be used.
        """
        if self.folder is None:
            return BuiltIn(self.tier, all_emotions=self.all_emotions)
        return load(self.folder, allow_encoder=self.allow_encoder or None)


def predict_on_ray(
    address: str,
    model: ModelChoice,
    predictor: Predictor,
    recordings: Sequence[tuple[Path, str]],
    options: Mapping[str, Any],
    *,
    workers: int | None = None,
) -> Iterator[tuple[int, RecordingPrediction | str]]:
    """Predict recordings.

    Args:
        address: of the cluster; see `mecam.ray_cluster.connected`.
        model: which one.
        predictor: that model, as it is loaded here.
        recordings: path and name of each; all machines see the files.
        options: of `Predictor.predict_file`, for all of them.
        workers: the most processes; None is one for each processor of the cluster.

    Yields: the position of a recording, and its prediction or why there is none, as they come.
    Raises: DataError if the cluster fails; ConfigError if there is none; MissingExtraError if Ray is not installed.
    """
    model = replace(model, folder=None if model.folder is None else model.folder.absolute())
    options = {**options, **{name: _absolute(options.get(name)) for name in ("transcript", "baseline")}}
    rows = [
        {"index": index, "path": pickle.dumps(path.absolute()), "name": name}
        for index, (path, name) in enumerate(recordings)
    ]
    with connected(address) as ray:
        light = model.folder is None or is_exported(model.folder)
        if light or not ray.cluster_resources().get("GPU", 0):
            stages = [Stage(_WholeActor, (model, options), workers)]
        else:
            recipe = _recipe(predictor, options)
            stages = [
                Stage(_ReadingActor, (recipe, options), workers),
                Stage(_PredictingActor, (model, recipe, options), processors=0, gpus=1),
            ]
        for row in streamed(ray, rows, *stages):
            answer = pickle.loads(row["answer"])  # noqa: S301 - a worker of ours made it
            index: int = row["index"]
            yield index, answer if isinstance(answer, str) else replace(answer, path=recordings[index][0])


def _absolute(place: str | Path | None) -> str | Path | None:
    """A file of an option for a process that works in another folder; `auto` and the like stay."""
    return Path(place).absolute() if place is not None and Path(place).exists() else place


def _recipe(predictor: Predictor, options: Mapping[str, Any]) -> Recipe:
    return replace(
        recipe_of(predictor.backend, options.get("baseline")),
        asr=options.get("asr") or None,
        language=options.get("language"),
        lengths=options.get("lengths") or Lengths(),
        person=options.get("person", "speaker"),
    )


@cache
def _loaded(model: ModelChoice) -> Predictor:
    """The model of this process."""
    return model.load()


def _predict(model: ModelChoice, path: Path, options: Mapping[str, Any]) -> RecordingPrediction | str:
    """All of it, in a process of its own."""
    try:
        predicted: RecordingPrediction = _loaded(model).predict_file(path, **options)
    except MecamError as error:
        return error.what
    except Exception as error:  # whatever a codec or a model raises concerns this file alone
        return f"{type(error).__name__}: {error}"
    return predicted


def _read(path: Path, recipe: Recipe, name: str, transcript: Path | None) -> Recording | str:
    """The first half, in a process of its own."""
    try:
        return recording_of(path, recipe, transcript=transcript, name=name)
    except MecamError as error:
        return error.what
    except Exception as error:  # as above
        return f"{type(error).__name__}: {error}"


class _WholeActor:
    def __init__(self, model: ModelChoice, options: Mapping[str, Any]) -> None:
        self._model, self._options, self._child = model, options, Child()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        path = pickle.loads(row["path"])  # noqa: S301 - the driver made it a moment ago
        answer = self._child.call(_predict, self._model, path, {**self._options, "name": row["name"]})
        return {"index": row["index"], "answer": pickle.dumps(CRASHED if answer is None else answer)}


class _ReadingActor:
    def __init__(self, recipe: Recipe, options: Mapping[str, Any]) -> None:
        self._recipe, self._transcript, self._child = recipe, options.get("transcript"), Child()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        path = pickle.loads(row["path"])  # noqa: S301 - the driver made it a moment ago
        recording = self._child.call(_read, path, self._recipe, row["name"], self._transcript)
        return {**row, "recording": pickle.dumps(CRASHED if recording is None else recording)}


class _PredictingActor:
    def __init__(self, model: ModelChoice, recipe: Recipe, options: Mapping[str, Any]) -> None:
        self._backend, self._recipe = model.load().backend, recipe
        self._asked = {name: options[name] for name in ("words", "every") if name in options}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        path, answer = pickle.loads(row["path"]), pickle.loads(row["recording"])  # noqa: S301 - workers of ours made it
        if not isinstance(answer, str):
            try:
                answer = prediction_of(self._backend, path, answer, self._recipe, name=row["name"], **self._asked)
            except MecamError as error:
                answer = error.what
            except Exception as error:  # as above
                answer = f"{type(error).__name__}: {error}"
        return {"index": row["index"], "answer": pickle.dumps(answer)}
