"""One study of Optuna: drawn from, told, and what is written of it."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mecam.config import Choice, Range, apply_overrides
from mecam.data.store import Store
from mecam.errors import ConfigError, MecamError, TrainingError
from mecam.escaping import without_passwords
from mecam.experiments.executors import Over
from mecam.experiments.search import Trial, Tuned, space_of
from mecam.experiments.storage import Heart, about_heartbeats, database, file_database, shown_url
from mecam.files import write_whole
from mecam.runs.config import RunConfig
from mecam.runs.tables import write_rows
from mecam.training.preparation import selection_metric

__all__ = ["STUDY", "Drawn", "Study"]

log = logging.getLogger(__name__)

STUDY = "study.db"
STARTUP = 5
"""Trials before the first may be cut short, and before anything is said of what mattered."""

INTERRUPTED = "interrupted"
"""Marks a trial that was killed while it ran, or one too many: it is not counted, and its options are drawn again."""

RETRIED = "retry_history"
"""Where Optuna notes, of a trial that is drawn again, which ones it stands for."""


@dataclass
class Drawn:
    """A trial that runs.

    Attributes:
        trial: of Optuna.
        config: what to train.
        heard: the steps that it has told a score of.
    """

    trial: Any
    config: RunConfig
    heard: set[int] = field(default_factory=set)


class Study:
    """One study and what its trials are made of.

    Args:
        optuna: the module.
        config: what to train; what is searched replaces what it says.
        store: with train and valid splits.
        out: folder of the files.
        search: further ranges beside the model's, or other ones.
        page: draws how the search went.
        storage: URL of a database that others use at the same time; "" is a file in `out`.

    Attributes:
        running: number of a trial of this process → the trial.

    Raises: as `tune`.
    """

    def __init__(
        self,
        optuna: Any,
        config: RunConfig,
        store: Store,
        out: Path,
        *,
        search: Mapping[str, Range] | None,
        page: Callable[[Tuned], object] | None,
        storage: str,
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
        self.running: dict[str, Drawn] = {}
        self.url, self.shared = storage, bool(storage)
        self.place = shown_url(storage) if storage else str(out / STUDY)
        self.storage: Any = None
        self._heart: Heart | None = None
        try:
            self.study = self._open()
        except TrainingError:
            self.close()
            raise
        if self.shared:
            self._heart = Heart(self.storage)

    def close(self) -> None:
        """Close the database, so that nothing is left open when the search has ended."""
        if self._heart is not None:
            self._heart.close()
        if self.storage is not None:
            self.storage.remove_session()
            self.storage.engine.dispose()

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Inside, a database that does not answer, or is full, is an error that says so."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, self.optuna.exceptions.StorageInternalError) as error:
            reason = without_passwords(str(error).splitlines()[0])
            fix = "give the same command again when it answers: no trial that has ended is lost"
            raise TrainingError(f"the database of the search fails: {reason}", where=self.place, fix=fix) from error

    def finished(self) -> list[Any]:
        """Optuna's trials that count and have ended."""
        return [trial for trial in self._counted() if trial.state.is_finished()]

    def _counted(self) -> list[Any]:
        """Those that are finished, run or wait, in their order; but none that was given up or is tried again."""
        trials = self.study.get_trials(deepcopy=False)
        retried = {number for trial in trials for number in trial.system_attrs.get(RETRIED, ())}
        return [trial for trial in trials if INTERRUPTED not in trial.user_attrs and trial.number not in retried]

    def take_up(self) -> None:
        """Let the trials of dead processes be drawn again, in a database that several use."""
        if self.shared:
            with about_heartbeats():
                self.optuna.storages.fail_stale_trials(self.study)

    def draw(self, trials: int, *, alone: bool) -> Drawn | None:
        """The next configuration; None where all trials that are wanted are finished or run.

        Args:
            trials: how many are wanted in all.
            alone: one trial at a time draws, so that each follows from those before it alone.
        """
        counted, waiting = self._counted(), self.study.get_trials(states=(self.optuna.trial.TrialState.WAITING,))
        if len(counted) >= trials and not waiting:
            return None
        if not counted and all(self.defaults[key] in where for key, where in self.space.items()):
            self.study.enqueue_trial(self.defaults)
        seed = None if self.shared else _mixed(self.config.training.seed, len(self._drawn(alone=alone)))
        self.study.sampler = self.optuna.samplers.TPESampler(seed=seed)
        with about_heartbeats():
            trial = self.study.ask()
        if self._heart is not None:
            self._heart.add(trial._trial_id)
        options = {key: _suggested(trial, key, where) for key, where in self.space.items()}
        drawn = self.running[str(trial.number)] = Drawn(trial, self._config_with(options))
        if self.shared and [one.number for one in self._counted()].index(trial.number) >= trials:
            self._leave_out(self.running.pop(str(trial.number)).trial)  # another process was quicker
            return None
        return drawn

    def _drawn(self, *, alone: bool) -> list[Any]:
        """What the next draw follows from, by its number."""
        return self.finished() if alone else self.study.get_trials(deepcopy=False)

    def goes_on(self, name: str, score: float, step: int) -> bool:
        """Take a trial's score after a step; False if it lags behind, or another process has taken it for dead."""
        drawn = self.running[name]
        if step in drawn.heard:  # it was begun again elsewhere
            return True
        drawn.heard.add(step)
        try:
            drawn.trial.report(score, step)
        except self.optuna.exceptions.UpdateFinishedTrialError:
            return False
        return not drawn.trial.should_prune()

    def tell(self, over: Over) -> None:
        """Keep what came of a trial.

        Raises: MecamError, of a first trial, for what would spoil the others too.
        """
        error, state = over.error, self.optuna.trial.TrialState
        first = not self.finished()
        if first and isinstance(error, MecamError) and not isinstance(error, TrainingError):
            raise error
        trial = self.running.pop(over.name).trial
        if self._heart is not None:
            self._heart.living.discard(trial._trial_id)
        told: dict[str, Any] = {"state": state.PRUNED} if over.result is None else {"values": over.result}
        if error is not None:  # a diverging or oversized configuration is a result
            log.warning("a trial failed: %s", error)
            trial.set_user_attr("error", str(error) or type(error).__name__)
            told = {"state": state.FAIL}
        self.study.tell(trial, **told, skip_if_finished=self.shared)

    def give_up(self) -> None:
        """Leave the trials that run here to the others, where there are any; in a file, the next command finds them."""
        if not self.shared:
            return
        with suppress(TrainingError), self.reachable(), about_heartbeats():  # else they find out by its silence
            for drawn in self.running.values():
                number = drawn.trial.number
                self.study.tell(number, state=self.optuna.trial.TrialState.FAIL, skip_if_finished=True)
                again = self.optuna.storages.RetryHeartbeatStaleTrialCallback()
                again(self.study, self.study.trials[number])
        self.running.clear()

    def _leave_out(self, trial: Any) -> None:
        self.storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
        self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
        if self._heart is not None:
            self._heart.living.discard(trial._trial_id)

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
        """The study, new or to go on with.

        Raises: TrainingError if it is of another model, data or configuration, or cannot be read or written.
        """
        optuna, setup = self.optuna, self._setup()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if self.shared:
                self.storage = database(optuna, self.url)
            else:
                self.storage = file_database(optuna, self.out / STUDY)
            study = optuna.create_study(
                study_name=f"{self.config.model}-{_digest(setup)}" if self.shared else "mecam",
                storage=self.storage,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=self._judged_from()),
            )
            known = study.user_attrs.get("setup")
        except MecamError:
            raise
        except Exception as error:  # SQLAlchemy's and SQLite's own errors, by way of Optuna
            fix = "check the URL, and that the server runs and lets you in" if self.shared else "choose another --out"
            reason = without_passwords(str(error).splitlines()[0])
            what = f"the search cannot be stored here: {reason}"
            raise TrainingError(what, where=self.place, fix=fix) from error
        if not _alike(known, setup) and any(trial.state.is_finished() for trial in study.trials):
            raise TrainingError(
                "this folder holds the search of another model, other data or other options",
                where=str(self.out),
                fix="choose another --out, or delete the folder",
            )
        study.set_user_attr("setup", setup)
        if not self.shared:  # whoever holds the folder is the only one
            for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                self.storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return study

    def _judged_from(self) -> int:
        """The epoch from which a trial may be cut short: until then the rate has hardly begun to fall."""
        return max(2, self.config.training.epochs // 2)

    def _setup(self) -> str:
        """What a search must share with the one it goes on with; where it is computed is nobody's business."""
        data = replace(self.config.data, workers=None)
        told = replace(self.config, data=data, accelerator="auto", devices=1, nodes=1, strategy="auto")
        return json.dumps([told.to_yaml(), self.store.name, dict(self.store.manifest["sha256"]), repr(self.space)])

    def _config_with(self, options: Mapping[str, Any], **more: Any) -> RunConfig:
        overrides = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        return RunConfig.decode({**apply_overrides(self.values, overrides), **more})

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


def _alike(known: str | None, setup: str) -> bool:
    """True if two searches are of the same; an option that one does not name has its default."""
    if known == setup:
        return True
    try:
        (before, *others), (now, *own) = json.loads(known or "[]"), json.loads(setup)
        return others == own and RunConfig.decode(yaml.safe_load(before)) == RunConfig.decode(yaml.safe_load(now))
    except (ValueError, TypeError, AttributeError, MecamError):
        return False


def _digest(setup: str) -> str:
    """By which the same search is the same study on every machine."""
    return hashlib.sha256(setup.encode()).hexdigest()[:16]


def _mixed(seed: int, count: int) -> int:
    """A seed for every draw, unlike those of the neighbours."""
    return int(np.random.SeedSequence((seed, count)).generate_state(1)[0])


def _rows(tuned: Tuned) -> Iterator[dict[str, Any]]:
    keys = list(dict.fromkeys(key for trial in tuned.trials for key in trial.options))
    for trial in tuned.trials:
        score = "" if trial.score is None else trial.score
        head = {"trial": trial.number, "state": trial.state, tuned.metric.name: score, "epochs": len(trial.epochs)}
        yield {**head, **{key: trial.options.get(key, "") for key in keys}, "error": " ".join(trial.error.split())}
