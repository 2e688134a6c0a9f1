"""Search a model's options by Optuna, on validation alone.

out/
  study.db     every trial; the search goes on from it when the same command is given again
  best.yaml    the best configuration, for `mecam train --config`
  trials.csv   every trial and its options

Each trial is drawn from what is finished and from how many that is, and from nothing else: an interrupted search ends
as one that was not.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mecam.config import Choice, Range, apply_overrides
from mecam.data.store import Store
from mecam.errors import ConfigError, MecamError, MissingExtraError, TrainingError
from mecam.experiments.search import Trial, Tuned, space_of
from mecam.experiments.validation import validate_once
from mecam.files import claimed, write_whole
from mecam.runs.config import RunConfig
from mecam.runs.tables import write_rows
from mecam.training.preparation import selection_metric

__all__ = ["STUDY", "tune"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

STUDY = "study.db"
STARTUP = 5
"""Trials before the first may be cut short, and before anything is said of what mattered."""

PARTS = 1000
"""Progress is counted in thousandths of a trial."""

INTERRUPTED = "interrupted"
"""Marks a trial that was killed while it ran: it is not counted, and its options are drawn again."""


def tune(
    config: RunConfig,
    store: Store,
    out: Path,
    *,
    trials: int,
    search: Mapping[str, Range] | None = None,
    page: Callable[[Tuned], object] | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Search until there are so many trials, those of an interrupted search among them.

    Args:
        config: what to train; what is searched replaces what it says. Every trial trains its `seeds` and is scored by
            their mean.
        store: with train and valid splits; its test split is never opened.
        out: folder for what the module's docstring lists.
        trials: how many in all.
        search: further ranges beside the model's, or other ones.
        page: draws how the search went; called when it has ended, or is interrupted.
        progress: called with (done, all, a line about the search), in thousandths of a trial.

    Raises: MissingExtraError without the extra `tune`; ConfigError for options that do not fit; TrainingError if `out`
        holds the search of something else, or no trial could be finished.
    """
    optuna = _optuna()
    space_of(config.model, search)  # where there is nothing to search, nothing is made
    with claimed(out), closing(_Search(optuna, config, store, out, search, page)) as hunt:
        return _searched(hunt, trials, progress)


def _searched(hunt: "_Search", trials: int, progress: Progress | None) -> Tuned:
    while (done := len(hunt.finished())) < trials:

        def tell(steps: int, total: int, note: str, done: int = done) -> None:
            if progress:
                now = f"trial {done + 1} of {trials}, {note}"
                progress(done * PARTS + PARTS * steps // max(total, 1), trials * PARTS, now)

        try:
            hunt.try_once(tell)
        except KeyboardInterrupt:
            hunt.write()
            raise
        hunt.keep()
    tuned = hunt.write()
    if tuned.best is None:
        reasons = [trial.error.splitlines()[0] for trial in tuned.trials if trial.error]
        what = f"none of {len(tuned.trials)} trials succeeded" + (f": {reasons[-1]}" if reasons else "")
        raise TrainingError(what, where=str(hunt.out), fix="train the model once with `mecam train` to see the error")
    return tuned


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _check_database(path: Path) -> None:
    """Raises: ValueError for a file that is no SQLite database; a new one may still be empty."""
    head = b""
    if path.exists():
        with path.open("rb") as file:
            head = file.read(16)
    if head and head != b"SQLite format 3\0":
        raise ValueError("this file is not an SQLite database")


class _Search:
    """One study and what its trials are made of."""

    def __init__(
        self,
        optuna: Any,
        config: RunConfig,
        store: Store,
        out: Path,
        search: Mapping[str, Range] | None,
        page: Callable[[Tuned], object] | None,
    ) -> None:
        self.optuna, self.out, self.page = optuna, out, page
        self.store = store.choosing(config.data.target) if config.data.target else store
        self.config = replace(config, tuned="")
        self.values: dict[str, Any] = yaml.safe_load(self.config.to_yaml())
        self.space = space_of(self.config.model, search)
        for key, where in self.space.items():
            for end in where.ends:
                self._config_with({key: end})  # a range that the options do not allow is told before the first trial
        self.metric = selection_metric(self.store.task, self.config.training.select)
        self.sign = 1.0 if self.metric.higher_is_better else -1.0
        self.defaults = {key: _value(self.config, key) for key in self.space}
        self.storage: Any = None
        try:
            self.study = self._open()
        except TrainingError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database, so that nothing is left open when the search has ended."""
        if self.storage is not None:
            self.storage.remove_session()
            self.storage.engine.dispose()

    def finished(self) -> list[Any]:
        """Optuna's trials that count."""
        return [
            trial for trial in self.study.trials if trial.state.is_finished() and INTERRUPTED not in trial.user_attrs
        ]

    def try_once(self, tell: Progress) -> None:
        """Draw a configuration, train it, keep what came of it.

        Raises: MecamError, of the first trial, for what would spoil the others too.
        """
        before = self.finished()
        waiting = self.study.get_trials(states=(self.optuna.trial.TrialState.WAITING,))
        if not before and not waiting and all(self.defaults[key] in where for key, where in self.space.items()):
            self.study.enqueue_trial(self.defaults)
        self.study.sampler = self.optuna.samplers.TPESampler(seed=_mixed(self.config.training.seed, len(before)))
        trial = self.study.ask()
        options = {key: _suggested(trial, key, where) for key, where in self.space.items()}
        state = self.optuna.trial.TrialState
        try:
            score = self._score(trial, self._config_with(options), tell)
        except self.optuna.TrialPruned:
            self.study.tell(trial, state=state.PRUNED)
        except (MecamError, RuntimeError, MemoryError) as error:  # a diverging or oversized configuration is a result
            if not before and isinstance(error, MecamError) and not isinstance(error, TrainingError):
                raise
            log.warning("a trial failed: %s", error)
            trial.set_user_attr("error", str(error) or type(error).__name__)
            self.study.tell(trial, state=state.FAIL)
        else:
            self.study.tell(trial, score)

    def write(self) -> Tuned:
        """All files but the database, from what the database holds, and the page."""
        tuned = self.keep()
        tuned = replace(tuned, importance=self._importance([t for t in tuned.trials if t.score is not None]))
        if self.page:
            self.page(tuned)
        return tuned

    def keep(self) -> Tuned:
        """What a search must not lose: the best so far, and every trial."""
        tuned = self._tuned()
        if tuned.best is not None:
            best = self._config_with(tuned.best.options, tuned=tuned.budget)
            write_whole(self.out / "best.yaml", best.to_yaml())
        write_rows(self.out / "trials.csv", _rows(tuned))
        return tuned

    def _open(self) -> Any:
        """The study in the folder, new or to go on with.

        Raises: TrainingError if it is of another model, data or configuration, or cannot be read or written.
        """
        optuna, setup = self.optuna, self._setup()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            _check_database(self.out / STUDY)  # Optuna leaves a file open that it cannot read
            self.storage = optuna.storages.RDBStorage(f"sqlite:///{(self.out / STUDY).resolve()}")
            study = optuna.create_study(
                study_name="mecam",
                storage=self.storage,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=self._judged_from()),
            )
            known = study.user_attrs.get("setup")
        except Exception as error:  # SQLAlchemy's and SQLite's own errors, by way of Optuna
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"the search cannot be stored here: {reason}", where=str(self.out / STUDY), fix="choose another --out"
            ) from error
        if known != setup and any(trial.state.is_finished() for trial in study.trials):
            raise TrainingError(
                "this folder holds the search of another model, other data or other options",
                where=str(self.out),
                fix="choose another --out, or delete the folder",
            )
        study.set_user_attr("setup", setup)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            self.storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return study

    def _judged_from(self) -> int:
        """The epoch from which a trial may be cut short: until then the rate has hardly begun to fall."""
        return max(2, self.config.training.epochs // 2)

    def _setup(self) -> str:
        """What a search must share with the one it goes on with; where it is computed is nobody's business."""
        told = replace(self.config, accelerator="auto", devices=1, nodes=1, strategy="auto")
        return json.dumps([told.to_yaml(), self.store.name, dict(self.store.manifest["sha256"]), repr(self.space)])

    def _config_with(self, options: Mapping[str, Any], **more: Any) -> RunConfig:
        overrides = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        return RunConfig.decode({**apply_overrides(self.values, overrides), **more})

    def _score(self, trial: Any, config: RunConfig, tell: Progress) -> float:
        """Mean selection score over the seeds, larger is better.

        Lagging behind is judged after every epoch of the first seed, then after every seed by the mean so far.

        Raises: TrialPruned if the trial lags behind.
        """
        column, scores = f"valid_{self.metric.name}", []

        def judge(score: float, step: int) -> None:
            if math.isfinite(score):
                trial.report(score, step)
                if trial.should_prune():
                    raise self.optuna.TrialPruned

        def record(row: Mapping[str, float]) -> None:
            judge(self.sign * row[column], int(row["epoch"]))

        for place in range(config.seeds):

            def tick(done: int, total: int, note: str, place: int = place) -> None:
                tell(place * total + done, config.seeds * total, note)

            seed = config.training.seed + place
            fitted = validate_once(config, self.store, seed=seed, progress=tick, record=None if place else record)
            if not math.isfinite(fitted.best_score):
                raise TrainingError(f"{self.metric.name} is undefined on validation")
            scores.append(fitted.best_score)
            if place:
                judge(float(np.mean(scores)), config.training.epochs + place)
        return float(np.mean(scores))

    def _tuned(self) -> Tuned:
        names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        trials = []
        for number, trial in enumerate(self.finished(), 1):
            steps = [step for step in sorted(trial.intermediate_values) if step <= self.config.training.epochs]
            trials.append(
                Trial(
                    number=number,
                    options=trial.params,
                    state=names[trial.state.name],
                    score=self.sign * trial.value if trial.state.name == "COMPLETE" else None,
                    epochs=tuple(self.sign * trial.intermediate_values[step] for step in steps),
                    error=trial.user_attrs.get("error", ""),
                )
            )
        complete = [trial for trial in trials if trial.score is not None]
        return Tuned(
            model=self.config.model,
            data=self.store.name,
            seeds=self.config.seeds,
            metric=self.metric,
            trials=tuple(trials),
            best=max(complete, key=lambda trial: self.sign * (trial.score or 0.0), default=None),
            defaults=next((trial for trial in trials if trial.options == self.defaults), None),
            importance={},
            space=self.space,
        )

    def _importance(self, complete: list[Trial]) -> dict[str, float]:
        """Needs a few trials whose scores differ."""
        if len(complete) < STARTUP or len({trial.score for trial in complete}) < 2:
            return {}
        evaluator = self.optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {key: float(share) for key, share in found.items()}


def _suggested(trial: Any, key: str, where: Range) -> Any:
    if isinstance(where, Choice):
        return trial.suggest_categorical(key, list(where.values))
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(key, where.low, where.high, log=where.log)
    return trial.suggest_float(key, where.low, where.high, log=where.log)


def _value(config: RunConfig, key: str) -> Any:
    """What a dotted option is set to.

    Raises: ConfigError if there is no such option.
    """
    group, *rest = key.split(".")
    place: Any = config.options if group == "model" else getattr(config, group, None)
    for name in rest:
        if not hasattr(place, name):
            raise ConfigError(f"{key}: no such option", where="--search", fix=f"see `mecam models {config.model}`")
        place = getattr(place, name)
    return place


def _mixed(seed: int, count: int) -> int:
    """A seed for every draw, unlike those of the neighbours."""
    return int(np.random.SeedSequence((seed, count)).generate_state(1)[0])


def _rows(tuned: Tuned) -> Iterator[dict[str, Any]]:
    keys = list(dict.fromkeys(key for trial in tuned.trials for key in trial.options))
    for trial in tuned.trials:
        score = "" if trial.score is None else trial.score
        head = {"trial": trial.number, "state": trial.state, tuned.metric.name: score, "epochs": len(trial.epochs)}
        yield {**head, **{key: trial.options.get(key, "") for key in keys}, "error": " ".join(trial.error.split())}
