"""Score a finished run on a store: its own, or another with the same task."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.predict import calibrated, predict
from mecam.evaluation.summary import evaluation_tables
from mecam.models.trained import Trained, load_checkpoint
from mecam.runs.predictions import prediction_rows
from mecam.runs.run import RunFolder
from mecam.types import Predictions

__all__ = ["answers", "evaluate_run"]


def evaluate_run(
    run: Path, store: Store, *, split: str | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Any], Path]:
    """Predict with every seed of a run and compute the metrics.

    Args:
        run: a run folder.
        store: with labels.
        split: one split; None takes valid and test, where they have utterances.
        progress: called with (utterances done, all).

    Returns: the content of `metrics.json` for these splits, and the file it was written to,
        `RUN/evaluations/STORE.json`; the predictions lie beside it, in `STORE.csv`.
    Raises: ModelError if the run is none or does not fit the store, DataError if nothing is labelled.
    """
    store = RunFolder(run).choose_target(store)
    wanted = [name for name in ([split] if split else ["valid", "test"]) if len(store.split(name))]
    if not wanted:
        raise DataError(f"the store has no utterance in {split or 'valid or test'}", where=str(store.path))
    results: dict[int, tuple[dict[str, Predictions], float | None]] = {}
    places = RunFolder(run).checkpoints
    for number, (place, trained) in enumerate(_trained(places, store)):
        splits = {name: trained.dataset(store, store.split(name)) for name in wanted}
        total = sum(len(dataset) for dataset in splits.values())
        before = 0
        found: dict[str, Predictions] = {}
        for name, dataset in splits.items():
            start = number * total + before

            def tick(done: int, _: int, start: int = start, whole: int = total * len(places)) -> None:
                if progress:
                    progress(start + done, whole)

            predicted = predict(trained.model, dataset, trained.collator, details=True, progress=tick)
            found[name] = calibrated(trained, predicted)
            before += len(dataset)
        name = place.parent.name
        results[int(name) if name.isdigit() else 0] = (found, trained.checkpoint.half_width)
    per_seed = [predictions for predictions, _ in results.values()]
    if all(p.truth is None for p in per_seed[0].values()):
        raise _unlabelled(store)
    metrics = evaluation_tables(splits, per_seed, trained.checkpoint.inputs.prior)
    rows = prediction_rows(store.task, {name: dataset.texts for name, dataset in splits.items()}, results)
    return metrics, RunFolder(run).write_evaluation(store.path.name, metrics, rows)


def answers(run: Path, store: Store, split: str) -> tuple[Predictions, ...]:
    """The predictions of every seed of a run for a labelled split; nothing is written.

    Raises: as `evaluate_run`.
    """
    store = RunFolder(run).choose_target(store)
    if not len(chosen := store.split(split)):
        raise DataError(f"the store has no utterance in {split}", where=str(store.path))
    given = []
    for _, trained in _trained(RunFolder(run).checkpoints, store):
        dataset = trained.dataset(store, chosen)
        given.append(calibrated(trained, predict(trained.model, dataset, trained.collator)))
    if given[0].truth is None:
        raise _unlabelled(store)
    return tuple(given)


def _trained(places: Sequence[Path], store: Store) -> Iterator[tuple[Path, Trained]]:
    """One model after the other, each made sure to fit the store."""
    for place in places:
        trained = load_checkpoint(place)
        trained.preprocessor.check_features(store)
        if trained.checkpoint.inputs.task != store.task:
            raise ModelError(
                f"the model predicts {trained.checkpoint.inputs.task.answers}, the store has other labels",
                where=str(store.path),
                fix="train on this store",
            )
        yield place, trained


def _unlabelled(store: Store) -> DataError:
    return DataError("the utterances have no labels", where=str(store.path), fix="use `mecam predict`")
