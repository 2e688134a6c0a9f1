"""Search a model's options by Optuna, on validation alone.

out/
  study.db     every trial; the search goes on from it when the same command is given again
  best.yaml    the best configuration, for `mecam train --config`
  trials.csv   every trial and its options

One trial at a time, each is drawn from what is finished and from how many that is, and from nothing else: an
interrupted search ends as one that was not. Of several at a time, each is drawn from what happens to be finished.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mecam.config import Range
from mecam.data.store import Store
from mecam.errors import MissingExtraError, TrainingError
from mecam.experiments.executors import Call, Ears, Executor, InlineExecutor, Line, ProcessExecutor
from mecam.experiments.ray_executor import ray_executor
from mecam.experiments.search import Tuned, space_of
from mecam.experiments.study import Study
from mecam.experiments.validation import validate_once
from mecam.files import claimed
from mecam.runs.config import RunConfig
from mecam.training.preparation import selection_metric

__all__ = ["tune"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

PARTS = 1000
"""Progress is counted in thousandths of a trial."""

POLL_SECONDS = 2.0
"""How often to look whether the trials of other processes have ended, where all that are left are theirs."""


def tune(
    config: RunConfig,
    store: Store,
    out: Path,
    *,
    trials: int,
    jobs: int | None = None,
    ray: str | None = None,
    storage: str = "",
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
        jobs: trials at a time. By default 1 or, of a cluster, as many as it has room for.
        ray: address of a cluster whose tasks train the trials; `store` lies where all its machines find it.
        storage: URL of a database in place of `study.db`. The same search, whoever gives the command and wherever, is
            one study there; several commands share its trials, and one that dies leaves its trial to the others.
        search: further ranges beside the model's, or other ones.
        page: draws how the search went; called when it has ended, or is interrupted.
        progress: called with (done, all, a line about the search), in thousandths of a trial.

    Raises: MissingExtraError without the extra `tune`; ConfigError for options that do not fit; TrainingError if `out`
        holds the search of something else, no trial could be finished, or the database does not answer.
    """
    optuna = _optuna()
    space_of(config.model, search)  # where there is nothing to search, nothing is made
    with ExitStack() as stack:
        if not storage:
            stack.enter_context(claimed(out))
        executor = stack.enter_context(_executor(jobs, ray, gpus=config.accelerator != "cpu"))
        study = Study(optuna, config, store, out, search=search, page=page, storage=storage)
        stack.enter_context(closing(study))
        with study.reachable():
            return _searched(study, executor, trials, progress)


@contextmanager
def _executor(jobs: int | None, ray: str | None, *, gpus: bool) -> Iterator[Executor]:
    if ray is not None:
        with ray_executor(ray, jobs, gpus=gpus) as executor:
            yield executor
    else:
        yield ProcessExecutor(jobs) if jobs is not None and jobs > 1 else InlineExecutor()


def _searched(study: Study, executor: Executor, trials: int, progress: Progress | None) -> Tuned:
    board = _SearchProgress(trials, progress)
    ears = Ears(told=board.told, asked=lambda name, score: study.goes_on(name, *score))
    try:
        while (done := len(study.finished())) < trials:
            study.take_up()
            board.begin(done, study.running)
            while len(study.running) < executor.room:
                if (drawn := study.draw(trials, alone=executor.room == 1)) is None:
                    break
                executor.start(Call(str(drawn.trial.number), partial(_score, drawn.config, study.store)))
            if not study.running:
                board.wait()
            for over in executor.listen(ears):
                study.tell(over)
                study.keep()
    except KeyboardInterrupt:
        study.write()
        raise
    finally:
        executor.stop()
        study.give_up()
    tuned = study.write()
    if tuned.best is None:
        reasons = [trial.error.splitlines()[0] for trial in tuned.trials if trial.error]
        what = f"none of {len(tuned.trials)} trials succeeded" + (f": {reasons[-1]}" if reasons else "")
        raise TrainingError(what, where=str(study.out), fix="train the model once with `mecam train` to see the error")
    return tuned


class _SearchProgress:
    """How far a search is."""

    def __init__(self, trials: int, progress: Progress | None) -> None:
        self._trials, self._progress = trials, progress
        self._done = 0
        self._parts: dict[str, int] = {}

    def begin(self, done: int, running: Mapping[str, Any]) -> None:
        """So many trials are done, and these are not."""
        self._done = done
        self._parts = {name: part for name, part in self._parts.items() if name in running}

    def told(self, name: str, steps: int, total: int, note: str) -> None:
        """A trial says how far it is."""
        self._parts[name] = PARTS * steps // max(total, 1)
        now = f"trial {self._done + 1 + list(self._parts).index(name)} of {self._trials}, {note}"
        self._show(sum(self._parts.values()), now)

    def wait(self) -> None:
        """All that is left is done by others."""
        self._show(0, f"{self._done} of {self._trials} trials, waiting for those of other processes")
        time.sleep(POLL_SECONDS)

    def _show(self, parts: int, now: str) -> None:
        if self._progress:
            total = self._trials * PARTS
            self._progress(min(self._done * PARTS + parts, total), total, now)


class _LagsBehind(Exception):  # noqa: N818 (a finding, not an error)
    """Ends a training that is not worth its end."""


def _score(config: RunConfig, store: Store, line: Line) -> float | None:
    """Mean selection score over the seeds of one trial, larger is better; None if it lags behind.

    It is judged after every epoch of the first seed, then after every seed by the mean so far.
    """
    metric = selection_metric(store.task, config.training.select)
    sign = 1.0 if metric.higher_is_better else -1.0
    scores: list[float] = []

    def judge(score: float, step: int) -> None:
        if math.isfinite(score) and not line.ask((score, step)):
            raise _LagsBehind

    def record(row: Mapping[str, float]) -> None:
        judge(sign * row[f"valid_{metric.name}"], int(row["epoch"]))

    try:
        for place in range(config.seeds):

            def tick(done: int, total: int, note: str, place: int = place) -> None:
                line.tell(place * total + done, config.seeds * total, note)

            seed = config.training.seed + place
            fitted = validate_once(config, store, seed=seed, progress=tick, record=None if place else record)
            if not math.isfinite(fitted.best_score):
                raise TrainingError(f"{metric.name} is undefined on validation")
            scores.append(fitted.best_score)
            if place:
                judge(float(np.mean(scores)), config.training.epochs + place)
    except _LagsBehind:
        return None
    return float(np.mean(scores))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
