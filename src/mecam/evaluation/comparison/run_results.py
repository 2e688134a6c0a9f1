"""Run folders → what a comparison needs of them, once it is clear that they can be compared.

Two runs can be compared when they answered the same utterances with the same truth. They may have learned from
other data: that is noted, not refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mecam.config import DataConfig, TrainingConfig
from mecam.errors import DataError, MecamError
from mecam.evaluation.predict import constant_predictions
from mecam.models.registry import MODELS
from mecam.runs.run import RunFolder
from mecam.runs.tables import understood
from mecam.task import Task
from mecam.types import Predictions

__all__ = ["CONSTANT", "Predicts", "RunResult", "read_run_results", "row_names"]

CONSTANT = "constant"
"""Name of the row of the constant predictor."""

MEASURED = ("parameters", "parameters_beside_text", "utterances_per_second", "peak_memory_mb", "gpu_memory_mb")
"""What a run's `environment.json` says about its costs as it is."""

OF_NO_MATTER = ("training.seed", "training.precision", "training.tensorboard")
"""Options that say nothing about how much a configuration was chosen."""

Predicts = Callable[[Path, str], tuple[Predictions, ...]]
"""Run folder, split → what every seed says."""

UNKNOWN = object()
"""Stands for an option that a run of another version did not have."""


@dataclass(frozen=True)
class RunResult:
    """One row of a comparison before it is compared.

    Attributes:
        name: of the row.
        model: name in the registry.
        folder: the run folder; None for the constant predictor.
        predictions: one per seed, on the split that is compared.
        facts: what a run costs, where it is recorded: `parameters`, `parameters_beside_text`, `seconds_per_seed`,
            `seconds_per_epoch`, `epochs`, `utterances_per_second`, `peak_memory_mb`, `gpu_memory_mb`.
        learned_from: name of the data set, the SHA-256 of its files, and whether it is `synthetic`.
        command: that made the run.
        tuned: how much searching its options come from, as in `30 trials`; empty for none.
        settings: `option=value` of every option that is not the default.
    """

    name: str
    model: str
    folder: Path | None
    predictions: tuple[Predictions, ...]
    facts: Mapping[str, float]
    learned_from: Mapping[str, Any]
    command: str = ""
    tuned: str = ""
    settings: tuple[str, ...] = ()


def read_run_results(
    folders: Sequence[Path],
    *,
    names: Sequence[str] | None = None,
    split: str | None = None,
    predicts: Predicts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Task, str, list[RunResult]]:
    """Read run folders and put the constant predictor below them.

    Args:
        folders: finished runs.
        names: one per folder; by default as much of each path's end as tells them apart.
        split: to compare on; None takes test, or valid where a run has no labelled test split.
        predicts: asked for predictions, where they are not those that the runs have kept.
        progress: called with (runs read, all).

    Returns: the task, the split, and one result per folder and the constant predictor, unless a run is one.
    Raises: TrainingError if a folder holds no finished run; DataError if the runs answered different utterances, the
        truth differs, or they have different tasks.
    """
    labels = row_names(folders) if names is None else list(names)
    runs, predictions = [RunFolder.open(folder) for folder in folders], []
    for done, run in enumerate(runs, 1):
        with understood(run.folder):
            predictions.append(_labelled(run, split, predicts))
        if progress:
            progress(done, len(folders))
    _check_tasks(runs)
    chosen = split or ("test" if all("test" in found for found in predictions) else "valid")
    run_results = [_run_result(*one, chosen) for one in zip(runs, labels, predictions, strict=True)]
    _check_answers(run_results, chosen)
    run_results = _all_with_speakers(run_results)
    task = runs[0].task
    prior = next((run.prior for run in runs if run.prior is not None), None)
    if prior is not None and not any(run_result.model == CONSTANT for run_result in run_results):
        given = constant_predictions(task, run_results[0].predictions[0], prior)
        run_results.append(RunResult(CONSTANT, CONSTANT, None, (given,), {}, run_results[0].learned_from))
    return task, chosen, run_results


def _labelled(run: RunFolder, split: str | None, predicts: Predicts | None) -> dict[str, tuple[Predictions, ...]]:
    """Split → predictions of every seed, where the truth is known."""
    if predicts is not None:
        return {(split or "test"): predicts(run.folder, split or "test")}
    wanted = [split] if split else ["test", "valid"]
    found = {name: run.predictions[name] for name in wanted if name in run.predictions}
    return {name: seeds for name, seeds in found.items() if seeds[0].truth is not None}


def _run_result(run: RunFolder, name: str, predictions: Mapping[str, tuple[Predictions, ...]], split: str) -> RunResult:
    if split not in predictions:
        known = ", ".join(predictions) or "none"
        raise DataError(
            f"there are no labelled predictions of {split}",
            where=str(run.folder),
            fix=f"compare on another split (labelled here: {known}), or remove this run",
        )
    with understood(run.folder):
        return RunResult(
            name=name,
            model=run.model,
            folder=run.folder,
            predictions=predictions[split],
            facts=_facts(run),
            learned_from={key: run.data.get(key) for key in ("name", "sha256", "synthetic")},
            command=str(run.environment.get("command", "")),
            tuned=str(run.options.get("tuned") or ""),
            settings=tuple(_settings(run.options)),
        )


def _facts(run: RunFolder) -> dict[str, float]:
    """What a run costs, where it says so."""
    environment, facts = run.environment, {}
    seeds = len(environment.get("seeds", ())) or 1
    for key in MEASURED:
        if isinstance(environment.get(key), int | float):
            facts[key] = float(environment[key])
    if isinstance(environment.get("seconds"), int | float):
        facts["seconds_per_seed"] = float(environment["seconds"]) / seeds
    per_epoch = [row["seconds"] for row in run.history if row.get("seconds") and row.get("epoch")]
    if per_epoch:
        facts["seconds_per_epoch"] = float(np.median(np.array(per_epoch, np.float64)))
        facts["epochs"] = len(per_epoch) / seeds
    return facts


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    """`option=value` wherever a run's configuration is not today's default; nothing for a model that is not here."""
    given = config.get("model")
    name = str(given.get("name") if isinstance(given, dict) else given)
    try:
        options = asdict(MODELS[name].config())
    except (KeyError, MecamError):
        return
    defaults = {"model": options, "data": asdict(DataConfig()), "training": asdict(TrainingConfig())}
    for key, default in _leaves(defaults):
        value: Any = config
        for part in key.split("."):
            value = value.get(part, UNKNOWN) if isinstance(value, Mapping) else UNKNOWN
        if key not in OF_NO_MATTER and value is not UNKNOWN and value != default:
            yield f"{key}={value}"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def row_names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parents before them as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max((len(p) for p in parts), default=1) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(str(folder) for i, folder in enumerate(folders) if parts[i] in parts[:i])
    raise DataError("a run is given twice", where=twice, fix="give each run once")


def _check_tasks(runs: Sequence[RunFolder]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.task != first.task:
            raise DataError(
                f"the runs have different tasks: {first.task.description} in {first.folder},"
                f" {other.task.description} here",
                where=str(other.folder),
                fix="compare runs on the same data",
            )


def _check_answers(run_results: Sequence[RunResult], split: str) -> None:
    """The same utterances with the same truth in all, in whatever order."""
    first = run_results[0]
    truth = dict(zip(first.predictions[0].ids, _rows(first.predictions[0]), strict=True))
    for other in run_results[1:]:
        here = dict(zip(other.predictions[0].ids, _rows(other.predictions[0]), strict=True))
        shared = truth.keys() & here.keys()
        if len(shared) != len(truth) or len(shared) != len(here):
            what = (
                f"the runs predicted different utterances of {split}: {len(truth)} in {first.folder}, {len(here)} "
                "here, "
                f"{len(shared)} in both"
            )
        elif wrong := [name for name in sorted(shared) if truth[name] != here[name]]:
            what = f"the labels differ from those of {first.folder} in {len(wrong)} utterances, the first is {wrong[0]}"
        else:
            continue
        raise DataError(what, where=str(other.folder), fix="compare runs on the same split of the same data")


def _all_with_speakers(run_results: Sequence[RunResult]) -> list[RunResult]:
    """The results, all with the speakers that one of them names: an older run kept none."""
    known = next((p for c in run_results for p in c.predictions if p.speakers), None)
    if known is None:
        return list(run_results)
    names = dict(zip(known.ids, known.speakers, strict=True))
    return [
        replace(c, predictions=tuple(replace(p, speakers=tuple(names[i] for i in p.ids)) for p in c.predictions))
        for c in run_results
    ]


def _rows(predictions: Predictions) -> list[tuple[float, ...]]:
    assert predictions.truth is not None
    return [tuple(np.atleast_1d(row).tolist()) for row in predictions.truth]
