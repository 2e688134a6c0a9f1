"""Score a finished run on a store: its own, or another with the same task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.evaluate import finished, predict
from mecam.models.checkpoint import check_features, load_checkpoint
from mecam.training.results import SeedResult, evaluation_tables, prediction_rows, write_json, write_rows
from mecam.types import Predictions

__all__ = ["evaluate_run"]


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
    folders = sorted(path.parent for path in run.glob("seeds/*/checkpoint")) or [run]
    wanted = [name for name in ([split] if split else ["valid", "test"]) if len(store.split(name))]
    if not wanted:
        raise DataError(f"the store has no utterance in {split or 'valid or test'}", where=str(store.path))
    results: list[SeedResult] = []
    for number, folder in enumerate(folders):
        trained = load_checkpoint(folder)
        check_features(trained, store)
        if trained.checkpoint.inputs.task != store.task:
            raise ModelError(
                f"the model predicts {trained.checkpoint.inputs.task.kind}, the store is labelled otherwise",
                where=str(store.path),
                fix="train on this store",
            )
        splits = {name: trained.dataset(store, store.split(name)) for name in wanted}
        total = sum(len(dataset) for dataset in splits.values())
        before = 0
        found: dict[str, Predictions] = {}
        for name, dataset in splits.items():
            start = number * total + before

            def tick(done: int, _: int, start: int = start, whole: int = total * len(folders)) -> None:
                if progress:
                    progress(start + done, whole)

            said = predict(trained.model, dataset, trained.collator, details=True, progress=tick)
            found[name] = finished(trained, said)
            before += len(dataset)
        width = trained.checkpoint.half_width
        seed = int(folder.name) if folder.name.isdigit() else 0
        results.append(SeedResult(seed, float("nan"), [], found, width, {}))
    per_seed = [result.predictions for result in results]
    if all(p.truth is None for p in per_seed[0].values()):
        raise DataError("the utterances have no labels", where=str(store.path), fix="use `mecam predict`")
    metrics = evaluation_tables(splits, per_seed, trained.checkpoint.inputs.prior)
    place = run / "evaluations" / f"{store.path.name}.json"
    place.parent.mkdir(exist_ok=True)
    write_rows(place.with_suffix(".csv"), prediction_rows(splits, results))
    write_json(place, metrics)
    return metrics, place
