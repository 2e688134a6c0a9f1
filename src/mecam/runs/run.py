"""A run folder as one object: what it holds is read here, and written here.

    runs/name/
      config.yaml         resolved configuration; training it again gives this run again
      environment.json    versions, seeds, hardware, the store, SHA-256 of the tables; written last: the run is finished
      seeds/1111/         one folder per seed: checkpoint, history, predictions (see `runs.seed`)
      checkpoint/         that of the seed which is best on validation
      tensorboard/1111/   the same history for TensorBoard, where `training.tensorboard` asks for it
      metrics.json  history.csv  predictions.csv  filter_maps.json  embeddings.npz
      evaluations/        metrics and predictions on other stores (`mecam evaluate`)
      comparison.json     this run compared with others (`mecam compare`)
      report.html         its page

Files are read as data. A file that a run may lack (`filter_maps.json`, `embeddings.npz`, `comparison.json`) reads as
nothing; one that it must have is an error that names it.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.budget import check_regular_file, small_json, small_text
from mecam.config import dump_yaml, parse_yaml
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import DataError, MecamError, ModelError, TrainingError
from mecam.files import whole_folder, write_whole, writing
from mecam.hashes import sha256_of
from mecam.models.checkpoint import no_checkpoint
from mecam.runs.config import RECORDED, RunConfig
from mecam.runs.origin import find_store
from mecam.runs.predictions import prediction_rows, predictions_of_rows
from mecam.runs.seed import SeedResult
from mecam.runs.tables import (
    MAX_BYTES,
    broken,
    number,
    read_arrays,
    read_json,
    read_mapping,
    read_rows,
    read_text,
    understood,
    write_arrays,
    write_json,
    write_rows,
)
from mecam.task import Task
from mecam.types import Predictions

__all__ = ["RunFolder", "newest_run", "runs_in"]

REQUIRED = ("config.yaml", "environment.json", "metrics.json", "history.csv", "predictions.csv")
"""Files that every finished run has."""

WRITTEN = ("config.yaml", "metrics.json", "history.csv", "predictions.csv", "filter_maps.json", "embeddings.npz")
"""Files whose SHA-256 `environment.json` keeps, so that the report and comparisons notice what was changed."""

ORDER = ("test", "valid", "train")
"""Of splits in what is shown, the one that counts first."""


class RunFolder:
    """A run folder. Nothing is read before it is asked for.

    Args:
        folder: the run folder, which need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: Path) -> "RunFolder":
        """A finished run whose files are what the run wrote.

        Raises: TrainingError if a file is missing, or was changed.
        """
        run = cls(folder)
        with understood(run.folder):
            if not (run.folder / "config.yaml").exists():
                raise broken(run.folder, "there is no run here: it has no config.yaml")
            known = run.environment.get("files", {})  # runs of earlier versions do not say
            for name in dict.fromkeys([*REQUIRED, *known]):
                path = run.folder / name
                if name in REQUIRED and not path.exists():
                    raise broken(path, f"{name} cannot be read")
                if name not in known or not path.exists():
                    continue
                if check_regular_file(path) > MAX_BYTES or sha256_of(path) != known[name]:
                    raise broken(path, f"{name} was changed or is incomplete")
        return run

    # What it was made with and from.

    @cached_property
    def config_text(self) -> str:
        """`config.yaml` as it stands."""
        return read_text(self.folder / "config.yaml")

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """`config.yaml` as plain values, which may be those of another version; {} if it cannot be understood."""
        with suppress(MecamError):
            content = parse_yaml(small_text(self.folder / "config.yaml"), where=str(self.folder))
            return content if isinstance(content, dict) else {}
        return {}

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions, hardware, data."""
        return read_mapping(self.folder / "environment.json")

    @property
    def data(self) -> Mapping[str, Any]:
        """What `environment.json` says about the data."""
        found: Mapping[str, Any] = self.environment.get("data", {})
        return found

    @cached_property
    def task(self) -> Task:
        """The task of the data set."""
        found = self.data.get("task", {}) if isinstance(self.data, Mapping) else None
        try:
            return Task.from_json(found)
        except DataError as error:
            raise broken(self.folder / "environment.json", f"data.task is {found!r}") from error

    @property
    def model(self) -> str:
        """Name of its model."""
        return str(self.environment.get("model", "model"))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that are brought together in its tables."""
        return tuple(int(seed) for seed in self.environment.get("seeds", ()))

    def store(self, given: Path | None = None) -> Store:
        """The store of a command that takes a run: the one that is given, or the one that the run was trained on.

        What is given may be another data set: whether it fits the model is for the caller to check. What the run was
        trained on is known by the SHA-256 of its files (`runs.origin`).

        Raises: ModelError if nothing is given and this is no run folder; DataError if the store is not found, or other
            data lies where it was.
        """
        if given is not None:
            return self.choose_target(Store(given))
        known = self.options.get("store")
        if not isinstance(known, dict) or "name" not in known or not isinstance(known.get("sha256"), dict):
            raise ModelError(
                "there is no run here, or its training data is unknown",
                where=str(self.folder),
                fix="give a run folder of `mecam train`, and its store with --data",
            )
        try:
            environment = small_json(self.folder / "environment.json")
        except MecamError:  # an interrupted run, or one that was damaged: the store may still lie near
            environment = {}
        with understood(self.folder):
            found = find_store(self.folder, known, environment if isinstance(environment, dict) else {})
        return self.choose_target(found)

    def choose_target(self, store: Store) -> Store:
        """The store with that target chosen which this run has learned: of its name, else the first with its task."""
        try:
            known = self._checkpoint
            return store.for_task(Task.from_json(known["inputs"]["task"]), str(known["data"].get("target", "")))
        except (MecamError, ValueError, KeyError, TypeError, AttributeError):
            return store  # whoever loads the model says what is wrong with it

    # What it predicts and how well.

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Split → metric → {mean, std, ci95, per_seed}, and `constant`, `filter`, `calibration`."""
        return read_mapping(self.folder / "metrics.json")

    @property
    def splits(self) -> list[str]:
        """The splits that have metrics, the one that counts first."""
        return [split for split in ORDER if split in self.metrics]

    @cached_property
    def history(self) -> Sequence[Mapping[str, float | None]]:
        """One row per seed and epoch; None where a value is missing."""
        return [{key: number(value) for key, value in row.items()} for row in read_rows(self.folder / "history.csv")]

    @cached_property
    def predictions(self) -> Mapping[str, tuple[Predictions, ...]]:
        """Split → predictions of every seed, the split that counts first; the utterances of a split in one order."""
        found = {split: tuple(one[split] for one, _ in self._seeds) for split in ORDER if split in self._seeds[0][0]}
        for split, seeds in found.items():
            if any(p.ids != seeds[0].ids for p in seeds):
                raise broken(self.folder / "seeds", f"the seeds predict different utterances of {split}")
        return found

    def prediction_rows(self) -> list[dict[str, Any]]:
        """The rows of `predictions.csv` in full precision: one per split, seed and utterance."""
        seeds = {seed: found for seed, found in zip(self.seeds, self._seeds, strict=True)}
        ids = {split: predictions[0].ids for split, predictions in self.predictions.items()}
        texts = {split: [self.texts.get(name) for name in names] for split, names in ids.items()}
        return list(prediction_rows(self.task, texts, seeds))

    @property
    def labelled(self) -> tuple[str, tuple[Predictions, ...]] | None:
        """The first split whose truth is known, and the predictions on it."""
        return next(((split, seeds) for split, seeds in self.predictions.items() if seeds[0].truth is not None), None)

    def intervals(self, split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """S × N lower and upper ends of the intervals around scores, within the scale; None where there are none."""
        low, high = [], []
        for predictions, half_width in self._seeds:
            if half_width is None or not self.task.is_score:
                return None
            p = predictions[split]
            halves = p.interval_half_widths(half_width)
            low.append(np.clip(p.prediction - halves, self.task.low, self.task.high))
            high.append(np.clip(p.prediction + halves, self.task.low, self.task.high))
        return np.array(low), np.array(high)

    @cached_property
    def _seeds(self) -> Sequence[tuple[Mapping[str, Predictions], float | None]]:
        """Per seed, split → predictions and the half width of an interval; from the table where `seeds/` is gone."""
        results = [SeedResult.read(self.seed_folder(seed), details=False) for seed in self.seeds]
        found = [(result.predictions, result.half_width) for result in results if result is not None]
        if results and len(found) == len(results):
            return found
        with understood(self.folder):
            rows = read_rows(self.folder / "predictions.csv")
            by_seed = predictions_of_rows(self.task, rows)
            found = [by_seed[seed] for seed in sorted(by_seed)]
        if not found:
            raise broken(self.folder, "this run contains no predictions")
        return found

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """Utterance id → transcript, as far as the folder holds them."""
        found = {str(one["id"]): one.get("text") for one in self.filter_maps}
        found |= {row["id"]: row["text"] for row in read_rows(self.folder / "predictions.csv") if row.get("text")}
        return {name: text for name, text in found.items() if text}

    @cached_property
    def filter_maps(self) -> Sequence[Mapping[str, Any]]:
        """What was kept of a few utterances."""
        path = self.folder / "filter_maps.json"
        return read_json(path) if path.exists() else []

    @cached_property
    def embeddings(self) -> Mapping[str, NDArray[Any]]:
        """`before_<modality>`, `after_<modality>`, `truth`; {} where the model has no filter."""
        return read_arrays(self.folder / "embeddings.npz")

    @cached_property
    def comparison(self) -> Mapping[str, Any]:
        """This run compared with others, as `mecam compare` writes it; {} where it was not compared."""
        path = self.folder / "comparison.json"
        return read_mapping(path) if path.exists() else {}

    # Its models.

    def seed_folder(self, seed: int) -> Path:
        """The folder of one seed."""
        return self.folder / "seeds" / str(seed)

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The checkpoint of every seed, in order; the best alone where no other is kept, or the folder is one itself.

        Raises: ModelError if there is none.
        """
        seeds = [path for path in self.folder.glob("seeds/*/checkpoint") if path.is_dir()]
        found = sorted(seeds, key=lambda path: (len(path.parent.name), path.parent.name))
        if not found:
            found = [self.folder if (self.folder / "config.json").is_file() else self.folder / "checkpoint"]
        for place in found:
            if not (place / "config.json").is_file():
                raise no_checkpoint(place)
        return tuple(found)

    @property
    def prior(self) -> tuple[float, ...] | None:
        """The prediction of the constant predictor, from the checkpoint; None where there is no checkpoint."""
        try:
            return tuple(float(value) for value in self._checkpoint["inputs"]["prior"])
        except (MecamError, ValueError, KeyError, TypeError):
            return None

    @cached_property
    def _checkpoint(self) -> Any:
        """What the best checkpoint says about itself; where it is not chosen yet, or the folder is one, the first."""
        best = self.folder / "checkpoint"
        place = best if (best / "config.json").is_file() else self.checkpoints[0]
        return small_json(place / "config.json")

    # Made, gone on with, finished.

    def claim(self, config: RunConfig, read: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder, or find the same run in it; more seeds than before are the same run, longer.

        Args:
            config: the whole configuration.
            read: what the run reads, as `record_of` gives it.
            overwrite: start again if the folder holds a run.

        Raises: TrainingError if it holds another run or something else, DataError if it cannot be written to.
        """
        out, path = self.folder, self.folder / "config.yaml"
        if overwrite and path.exists():
            with writing(out):
                shutil.rmtree(out)
        if path.exists():
            self._require_same(config, read)
        elif out.exists() and not (out.is_dir() and all(place.name == ".mecam.lock" for place in out.iterdir())):
            raise TrainingError(
                "this folder exists and is not a run folder", where=str(out), fix="choose another --out"
            )
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        write_whole(path, config.to_yaml() + dump_yaml(read))

    def is_finished(self, config: RunConfig | None = None, read: Mapping[str, Any] | None = None) -> bool:
        """True if the folder holds a whole run, and this very one where it is told which.

        `environment.json` is what a run writes last.
        """
        known = self._known()
        if known is None or (config is not None and known != (config, dict(read or {}))):
            return False
        with suppress(MecamError, TypeError, ValueError):
            files = self.environment.get("files", {"metrics.json": ""})
            return list(self.seeds) == known[0].seed_numbers and all((self.folder / name).exists() for name in files)
        return False

    def finish(
        self,
        results: Sequence[SeedResult],
        splits: Mapping[str, Dataset],
        *,
        metrics: Mapping[str, Any],
        filter_maps: Sequence[Mapping[str, Any]],
        environment: Mapping[str, Any],
    ) -> None:
        """Write the tables of all seeds together, and `environment.json` at last.

        Args:
            results: of every seed.
            splits: split → data set, for the transcripts.
            metrics: as `evaluation.summary` computes them.
            filter_maps: likewise.
            environment: as `runs.environment` finds it.
        """
        out, first = self.folder, results[0].predictions
        write_json(out / "metrics.json", metrics)
        write_rows(out / "history.csv", ({"seed": r.seed, **row} for r in results for row in r.history))
        seeds = {result.seed: (result.predictions, result.half_width) for result in results}
        task, texts = next(iter(splits.values())).task, {split: dataset.texts for split, dataset in splits.items()}
        write_rows(out / "predictions.csv", prediction_rows(task, texts, seeds))
        write_json(out / "filter_maps.json", filter_maps)
        shown = first["test" if "test" in first else "valid"]
        if shown.embeddings and shown.truth is not None:
            write_arrays(out / "embeddings.npz", {**shown.embeddings, "truth": shown.truth})
        files = {name: sha256_of(out / name) for name in WRITTEN if (out / name).is_file()}
        write_json(out / "environment.json", {**environment, "files": files})

    def choose(self, seed: int) -> None:
        """Make a seed's checkpoint that of the run; hard links where the file system allows: it can be large."""

        def link(src: str, dst: str) -> None:
            try:
                os.link(src, dst)
            except OSError:
                shutil.copy2(src, dst)

        with whole_folder(self.folder / "checkpoint") as partial:
            source = self.seed_folder(seed) / "checkpoint"
            shutil.copytree(source, partial, copy_function=link, dirs_exist_ok=True)

    def write_evaluation(self, name: str, metrics: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Path:
        """Keep what `mecam evaluate` found on a store: `evaluations/NAME.json` and `.csv`; return the former."""
        place = self.folder / "evaluations" / f"{name}.json"
        with writing(place):
            place.parent.mkdir(exist_ok=True)
        write_rows(place.with_suffix(".csv"), rows)
        write_json(place, metrics)
        return place

    @property
    def report(self) -> Path:
        """Its page."""
        return self.folder / "report.html"

    @property
    def has_report(self) -> bool:
        """True if the page was written after the run was finished."""
        with suppress(OSError):
            return self.report.stat().st_mtime_ns >= (self.folder / "environment.json").stat().st_mtime_ns
        return False

    def _require_same(self, config: RunConfig, read: Mapping[str, Any]) -> None:
        """Raises: TrainingError unless the folder holds this run, with as many seeds or fewer."""
        known = self._known()
        if known is None:
            raise TrainingError(
                "config.yaml cannot be read, so the run in this folder is unknown",
                where=str(self.folder / "config.yaml"),
                fix="choose another --out, or add --overwrite",
            )
        there, was_read = known
        if replace(there, seeds=config.seeds) != config or there.seeds > config.seeds or was_read != read:
            raise TrainingError(
                "this folder contains a run with another configuration or other data",
                where=str(self.folder),
                fix="choose another --out, or add --overwrite",
            )

    def _known(self) -> tuple[RunConfig, dict[str, Any]] | None:
        """The configuration that the folder was made with, and what was read; None if they cannot be understood."""
        path = self.folder / "config.yaml"
        try:
            values = dict(parse_yaml(small_text(path), where=str(path)))
            return RunConfig.decode(values), {key: values[key] for key in RECORDED if key in values}
        except (ValueError, TypeError, AttributeError, MecamError):
            return None


def newest_run(folder: Path) -> Path | None:
    """The run below a folder whose checkpoint is the youngest; None if there is none."""
    runs = [path.parent.parent for path in folder.glob("*/checkpoint/config.json")]
    return max(runs, key=lambda run: (run / "checkpoint" / "config.json").stat().st_mtime, default=None)


def runs_in(folder: Path) -> list[Path]:
    """The run folders that a place stands for: itself if it is one, else those below it; itself if there are none."""
    below = [] if (folder / "config.yaml").exists() else sorted(path.parent for path in folder.glob("*/config.yaml"))
    return below or [folder]
