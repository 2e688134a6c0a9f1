"""`mecam.train` and `mecam.Run`: train a model, open what came of it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mecam.api.arguments import AnyPath, AnyStore, Progress, checked, weights_of
from mecam.data.store import Store
from mecam.data_table import DataTable
from mecam.errors import ConfigError, TrainingError, missing_extras, require
from mecam.evaluation.metrics import leading_metrics, metrics_for
from mecam.files import as_path
from mecam.models.checkpoint import ALLOW_ENCODER
from mecam.notebook import notebook_html
from mecam.runs.config import RunConfig, run_values
from mecam.runs.run import RunFolder, runs_in
from mecam.runs.tables import understood
from mecam.task import Task
from mecam.types import SPLITS

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor

__all__ = ["Run", "StepProgress", "encoders_allowed", "train"]

StepProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with (steps done, all, what is being done)."""


class Run:
    """A finished run: the folder that `mecam train` or `mecam.train` wrote.

    Args:
        path: the run folder.

    Attributes:
        path: the run folder.
        folder: everything in it, as the library reads it.

    Raises: TrainingError if there is no finished run, or a file was changed; ConfigError if there are several.
    """

    @checked
    def __init__(self, path: AnyPath) -> None:
        self.path = as_path(path, "Run: path")
        self.folder = _finished(self.path)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.folder.model

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.folder.task

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained."""
        return self.folder.seeds

    @property
    def options(self) -> Mapping[str, Any]:
        """The resolved configuration, as in `config.yaml`; `mecam.train(…, config=run.options)` trains it again."""
        return self.folder.options

    @property
    def environment(self) -> Mapping[str, Any]:
        """Versions, hardware, the data and its SHA-256, costs: `environment.json`."""
        return self.folder.environment

    def metrics(self, split: str | None = None) -> DataTable:
        """How good the predictions are: a row per split and metric.

        Columns: `split`, `metric`, `mean` and `std` over the seeds, `low` and `high` of the 95 % interval, `constant`:
        what a model gets that always predicts the same, `higher_is_better`. Fractions are not percentages.

        Args:
            split: train, valid or test; None gives all that the run was evaluated on.

        Raises: ConfigError if there are no metrics of this split.
        """
        return _metrics_table(self.folder.metrics, self.task, split, title=self._title)

    def predictions(self, split: str | None = None) -> DataTable:
        """What the run predicts: a row per split, seed and utterance, with the columns of `predictions.csv`.

        Args:
            split: train, valid or test; None gives all that the run was evaluated on.

        Raises: ConfigError if there are no predictions of this split.
        """
        with understood(self.path):
            rows = self.folder.prediction_rows()
        _check_split(split, list(dict.fromkeys(row["split"] for row in rows)))
        chosen = [row for row in rows if split in (None, row["split"])]
        return DataTable(chosen, kinds={"id": "text", "video": "text", "speaker": "text"}, title=self._title)

    def history(self) -> DataTable:
        """The training: a row per seed and epoch, with the losses and the validation metrics."""
        return DataTable(self.folder.history, title=self._title)

    def store(self) -> Store:
        """The store that the run was trained on.

        Raises: DataError if it is not where it was, or holds other data.
        """
        return self.folder.store()

    @cached_property
    def predictor(self) -> "Predictor":
        """Its best model, ready to predict."""
        from mecam.prediction.predictor import load

        return load(self.path)

    def predict(self, what: Any, **options: Any) -> Any:
        """Predict recordings or sentences; see `mecam.prediction.predictor.Predictor.predict`."""
        return self.predictor.predict(what, **options)

    @checked
    def evaluate(
        self,
        data: AnyStore | None = None,
        split: str | None = None,
        *,
        allow_encoder: bool = False,
        progress: Progress | None = None,
    ) -> DataTable:
        """Evaluate all seeds on a store, as `mecam evaluate`; the result is also written to `RUN/evaluations/`.

        Args:
            data: a labelled store; the one that the run was trained on by default.
            split: one split; None takes valid and test.
            allow_encoder: let the checkpoints fetch their text encoder, or load it from another folder.
            progress: called with (utterances done, all).

        Returns: a table like that of `metrics`.
        Raises: ModelError if the run does not fit the store; DataError if nothing there is labelled.
        """
        with missing_extras():
            from mecam.evaluation.evaluate_run import evaluate_run
        _check_split(split, SPLITS)
        place = None if data is None else _path_of(data, "Run.evaluate: data")
        with missing_extras(), encoders_allowed(allow_encoder):
            store = self.folder.store(place)
            found, _ = evaluate_run(self.path, store, split=split, progress=progress)
        return _metrics_table(found, store.task, None, title=f"{self.path.name} on {store.name}")

    @checked
    def report(
        self,
        *,
        against: "AnyRun | Sequence[AnyRun]" = (),
        tsne: bool = False,
        figures: AnyPath | None = None,
        format: str = "svg",
        width: float = 3.4,
        progress: StepProgress | None = None,
    ) -> Path:
        """Write the report of the run, as `mecam report`.

        Args:
            against: other runs on the same utterances, each compared with this one.
            tsne: draw the embeddings with t-SNE instead of PCA.
            figures: a folder, to which each figure is also written as a file.
            format: of these: svg, pdf or png.
            width: of these, in inches.
            progress: called with (steps done, all, what is being done).

        Returns: the page, `RUN/report.html`.
        """
        with missing_extras():
            from mecam.report.run_report import rewrite_report
        others = [against] if isinstance(against, Run | str | Path) else list(against)
        with missing_extras():
            page, _ = rewrite_report(
                self.path,
                against=[_path_of(other, "Run.report: against") for other in others],
                tsne=tsne,
                figures=None if figures is None else as_path(figures, "Run.report: figures"),
                format=format,
                width=float(width),
                progress=progress,
            )
        return page

    @property
    def _title(self) -> str:
        return f"{self.model} on {self.folder.data.get('name', 'data')}"

    def __repr__(self) -> str:
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"Run({str(self.path)!r}: {self._title}, {seeds})"

    def _repr_html_(self) -> str:
        """As a notebook shows it: the leading metrics of the split that counts first."""
        from mecam.report.format import interval, named, spread, value

        remarks = [f"{self.path}, seeds {', '.join(map(str, self.seeds))}"]
        if self.folder.data.get("synthetic"):
            remarks.append("synthetic data: not comparable with results on real data")
        if not self.folder.splits:
            return notebook_html(self._title, remarks=remarks)
        split, metrics = self.folder.splits[0], self.folder.metrics
        constant, rows = metrics.get("constant", {}).get(split, {}), []
        for metric in leading_metrics(self.task):
            if (entry := metrics[split].get(metric.name)) is not None:
                ends = interval(entry["ci95"], metric) if entry.get("ci95") else ""
                trivial = constant.get(metric.name, {}).get("mean")
                numbers = [value(entry["mean"], metric), spread(entry["std"], metric), ends, value(trivial, metric)]
                rows.append([named(metric), *numbers])
        columns = (f"on {split}", "mean", "± std", "95 % interval", "constant predictor")
        return notebook_html(self._title, columns, rows, remarks=remarks)


AnyRun: TypeAlias = Run | str | Path


@checked
def train(
    data: "AnyStore | Sequence[AnyStore] | Mapping[AnyStore, float]",
    out: AnyPath,
    *,
    model: str | None = None,
    seeds: int | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    config: AnyPath | Mapping[str, Any] | None = None,
    target: str | None = None,
    validate_on: AnyStore | None = None,
    init: AnyRun | None = None,
    accelerator: str | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    strategy: str | None = None,
    overwrite: bool = False,
    allow_encoder: bool = False,
    progress: StepProgress | None = None,
) -> Run:
    """Train a model, select the best epoch on validation, evaluate it on test, write a report, as `mecam train`.

    The same call continues an interrupted run, and with more seeds adds seeds.

    Args:
        data: the store to train on; or several; or a mapping from stores to weights: how often an epoch uses each train
            utterance (1 once, 0.3 a random 30 % of them).
        out: the run folder, which is made or continued.
        model: name of the model, as `mecam models` lists them; that of `config`, or `mecam`, by default.
        seeds: number of seeds; 1 by default.
        set: option → value, as `{"training.epochs": 8}`; `mecam models NAME` lists the options.
        config: a YAML file with options, or its content as a mapping.
        target: the label to learn, of a store with several; the first by default.
        validate_on: with several stores: the one to validate and test on; the first by default.
        init: a run to start from; weights that do not fit are left out.
        accelerator: auto, cpu or cuda.
        devices: number of devices on each node.
        nodes: number of machines.
        strategy: with several devices: auto or ddp.
        overwrite: train again if the run folder exists.
        allow_encoder: let the checkpoint of `init` fetch its text encoder, or load it from another folder.
        progress: called with (steps done, all, what is being done).

    Returns: the finished run.
    Raises: ConfigError for an option that is none; DataError for data that cannot be learned from; TrainingError if the
        folder holds another run, or the training fails; MissingExtraError without the extra `train`.
    """
    require("torch")
    from lightning_fabric.utilities import rank_zero_only

    from mecam.data.mixture import sources_of
    from mecam.report.run_page import write_missing_report
    from mecam.training.run import train as train_run

    place, weights = as_path(out, "mecam.train: out"), weights_of(data, "mecam.train: data")
    named: dict[str, Any] = {
        "model": model,
        "seeds": seeds,
        "target": target,
        "init": None if init is None else str(_path_of(init, "mecam.train: init")),
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
    }
    values = run_values(config, set, **named)
    first = None if validate_on is None else _path_of(validate_on, "mecam.train: validate_on")
    shown = {**named, "set": set or None, "config": config, "validate_on": None if first is None else str(first)}
    with missing_extras(), encoders_allowed(allow_encoder), _fabric_quiet():
        train_run(
            RunConfig.decode(values),
            sources_of(weights, first),
            place,
            overwrite=overwrite,
            progress=progress,
            command=_call(weights, place, shown),
        )
        if getattr(rank_zero_only, "rank", 0) == 0:  # of several processes, one
            write_missing_report(place)
    return Run(place)


@contextmanager
def encoders_allowed(allowed: bool) -> Iterator[None]:
    """Inside, checkpoints may name text encoders that they do not hold, if the user allows it."""
    token = ALLOW_ENCODER.set(True) if allowed else None
    try:
        yield
    finally:
        if token is not None:
            ALLOW_ENCODER.reset(token)


@contextmanager
def _fabric_quiet() -> Iterator[None]:
    """Inside, Fabric only warns: it prints what it notes, and a function is not to print."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _call(weights: Mapping[Path, float], out: Path, options: Mapping[str, Any]) -> str:
    """The call as text, for the record of the run; `overwrite` does not change the result."""
    stores: Any = {str(place): weight for place, weight in weights.items()}
    if all(weight == 1 for weight in weights.values()):
        stores = list(stores) if len(stores) > 1 else next(iter(stores))
    given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    return f"mecam.train({', '.join([repr(stores), repr(str(out)), *given])})"


def _path_of(given: "Store | Run | AnyPath", what: str) -> Path:
    """The folder of a store or a run, which may be open."""
    return given.path if isinstance(given, Store | Run) else as_path(given, what)


def _finished(path: Path) -> RunFolder:
    """The run in a folder.

    Raises: as `Run`.
    """
    if (below := runs_in(path)) != [path]:
        raise ConfigError(
            f"this folder contains {len(below)} run{'s' * (len(below) != 1)}",
            where=str(path),
            fix=f"open one of them, such as {below[0]}",
        )
    if (path / "config.yaml").is_file() and not (path / "environment.json").exists():
        raise TrainingError(
            "this run is not finished", where=str(path), fix="train it again with the same options: it continues"
        )
    return RunFolder.open(path)


def _check_split(split: str | None, known: Sequence[str]) -> None:
    if split is not None and split not in known:
        raise ConfigError(f"there is no split {split!r} here", where="split", fix=f"choose one of {', '.join(known)}")


def _metrics_table(metrics: Mapping[str, Any], task: Task, split: str | None, *, title: str) -> DataTable:
    """The table of `Run.metrics`."""
    splits = [name for name in reversed(SPLITS) if name in metrics]
    _check_split(split, splits)
    known, rows = metrics_for(task), []
    for name in splits if split is None else [split]:
        trivial = metrics.get("constant", {}).get(name, {})
        for key, entry in metrics[name].items():
            low, high = entry.get("ci95") or (None, None)
            row = {"split": name, "metric": key, "mean": entry["mean"], "std": entry["std"], "low": low, "high": high}
            row["constant"] = trivial.get(key, {}).get("mean")
            rows.append({**row, "higher_is_better": known[key].higher_is_better if key in known else None})
    kinds = dict.fromkeys(("mean", "std", "low", "high", "constant"), "number")
    return DataTable(rows, kinds={**kinds, "higher_is_better": "flag"}, title=title)  # type: ignore[dict-item]
