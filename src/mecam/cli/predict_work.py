"""What `mecam predict` predicts, with progress: recordings, stores, sentences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.cli.console import progress
from mecam.cli.predict_inputs import Found, RecordingFile
from mecam.errors import DataError, MecamError, MediaError

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.ray_prediction import ModelChoice
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["OnCluster", "predict_others", "predict_recordings"]

Callback = Callable[[int, int, str], None]
"""Called with (recordings done, all, what is done)."""


def predict_recordings(
    predictor: "Predictor",
    recordings: Sequence[RecordingFile],
    options: dict[str, Any],
    *,
    cluster: "OnCluster | None" = None,
) -> tuple[list["RecordingPrediction"], list[tuple[str, str]]]:
    """Predict recordings; of several, one that fails, in whatever way, does not stop the rest."""
    if not recordings:
        return [], []
    from mecam.features.segmentation import Lengths
    from mecam.prediction.inputs import printable

    predictor.check_reads_recordings(options.get("baseline"))  # this does not depend on the file
    options = {**options, "lengths": Lengths(*options["lengths"])}
    named = [(one.path, printable(one.name)) for one in recordings]
    with progress("predicting") as callback:
        if cluster is None:
            told = dict(_predicted_here(predictor, named, options, callback))
        else:
            told = dict(cluster.predicted(predictor, named, options, callback))
    in_order = [(name, told[place]) for place, (_, name) in enumerate(named)]
    failures = [(name, outcome) for name, outcome in in_order if isinstance(outcome, str)]
    if len(failures) == len(named):
        name, what = failures[0]
        raise DataError(f"none of {len(named)} recordings could be predicted: {what}", where=name)
    return [outcome for _, outcome in in_order if not isinstance(outcome, str)], failures


@dataclass(frozen=True)
class OnCluster:
    """Prediction of recordings on a Ray cluster.

    Attributes:
        address: of the cluster.
        model: which one its workers load.
    """

    address: str
    model: "ModelChoice"

    def predicted(
        self, predictor: "Predictor", named: Sequence[tuple[Path, str]], options: dict[str, Any], callback: Callback
    ) -> Iterator[tuple[int, "RecordingPrediction | str"]]:
        """The position of each recording, and its prediction or why there is none."""
        from mecam.prediction.ray_prediction import predict_on_ray

        for done, (place, outcome) in enumerate(predict_on_ray(self.address, self.model, predictor, named, options), 1):
            callback(done, len(named), "predicting")
            if isinstance(outcome, str) and len(named) == 1:
                raise MediaError(f"this recording cannot be predicted: {outcome}", where=named[0][1])
            yield place, outcome


def _predicted_here(
    predictor: "Predictor", named: Sequence[tuple[Path, str]], options: dict[str, Any], callback: Callback
) -> Iterator[tuple[int, "RecordingPrediction | str"]]:
    """As `OnCluster.predicted`."""
    for place, (path, name) in enumerate(named):
        callback(place, len(named), f"predicting {name}")
        try:
            yield place, predictor.predict_file(path, name=name, **options)
        except MecamError as error:
            if len(named) == 1:
                raise
            yield place, error.what
        except Exception as error:  # whatever a codec or a model raises concerns this file alone
            what = f"{type(error).__name__}: {error}"
            if len(named) == 1:
                raise MediaError(f"this recording cannot be predicted: {what}", where=name) from error
            yield place, what


def predict_others(predictor: "Predictor", found: Found, split: str | None) -> list["Prediction"]:
    """Stores and sentences."""
    results: list[Prediction] = []
    for path in found.stores:
        from mecam.data.store import Store

        with progress(f"predicting {path}") as callback:
            results += predictor.predict_store(Store(path), split=split, progress=callback)
    ids, texts = [name for name, _ in found.sentences], [text for _, text in found.sentences]
    said = zip(ids, predictor.predict_text(texts) if texts else [], strict=True)
    return [*results, *(replace(one, id=name) for name, one in said)]
