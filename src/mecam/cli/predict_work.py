"""What `mecam predict` predicts, with progress: recordings, stores, sentences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mecam.cli.console import progress
from mecam.cli.predict_inputs import Found, RecordingFile
from mecam.errors import DataError, MecamError, MediaError

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["predict_others", "predict_recordings"]


def predict_recordings(
    predictor: "Predictor", recordings: Sequence[RecordingFile], options: dict[str, Any], *, words: bool
) -> tuple[list["RecordingPrediction"], list[tuple[str, str]]]:
    """Predict recordings; of several, one that fails, in whatever way, does not stop the rest."""
    if not recordings:
        return [], []
    from mecam.features.segmentation import Lengths
    from mecam.prediction.inputs import printable

    predictor.check_reads_recordings(options.get("baseline"))  # this does not depend on the file
    options = {**options, "lengths": Lengths(*options["lengths"])}
    predicted: list[RecordingPrediction] = []
    failures: list[tuple[str, str]] = []
    with progress("predicting") as callback:
        for done, one in enumerate(recordings):
            name = printable(one.name)
            callback(done, len(recordings), f"predicting {name}")
            try:
                predicted.append(predictor.predict_file(one.path, words=words, name=name, **options))
            except MecamError as error:
                if len(recordings) == 1:
                    raise
                failures.append((name, error.what))
            except Exception as error:  # whatever a codec or a model raises concerns this file alone
                what = f"{type(error).__name__}: {error}"
                if len(recordings) == 1:
                    raise MediaError(f"this recording cannot be predicted: {what}", where=name) from error
                failures.append((name, what))
    if not predicted:
        name, what = failures[0]
        raise DataError(f"none of {len(recordings)} recordings could be predicted: {what}", where=name)
    return predicted, failures


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
