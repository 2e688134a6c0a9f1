"""Run folders, as a user names them → a comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.evaluation.comparison.comparison_table import ComparisonTable, compare
from mecam.evaluation.comparison.run_results import Predicts, read_run_results, row_names
from mecam.evaluation.evaluate_run import answers
from mecam.runs.failed_runs import read_failed
from mecam.runs.run import runs_in

__all__ = ["NamedRuns", "compare_folders", "find_runs"]


@dataclass(frozen=True)
class NamedRuns:
    """Runs to compare.

    Attributes:
        folders: of the runs.
        names: one per folder; None takes them from the paths.
        missing: name → why there is no run.
        notes: name → what a reader should know about its row.
    """

    folders: Sequence[Path]
    names: Sequence[str] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def find_runs(given: Sequence[tuple[Path, str]]) -> NamedRuns:
    """The runs that places stand for.

    Args:
        given: run folders, or folders that contain run folders, each with its name, or "" for that of the folder.

    Raises: ConfigError if a run or a name is given twice, or nothing is given; TrainingError if the list of failed runs
        in a folder is damaged.
    """
    named: dict[Path, str] = {}
    missing: dict[str, str] = {}
    for place, name in given:
        for folder in runs_in(place):
            if folder in named:
                raise ConfigError("a run is given twice", where=str(folder), fix="give each run once")
            named[folder] = name if folder == place else folder.name
        missing |= read_failed(place)
    if not named:
        raise ConfigError(
            "there is nothing to compare", fix="give two or more run folders, or a folder that contains them"
        )
    lacking = {name: reason for name, reason in missing.items() if name not in named.values()}
    return NamedRuns(list(named), _names(named), lacking)


def compare_folders(
    runs: NamedRuns,
    *,
    on: Path | None = None,
    split: str | None = None,
    baseline: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> ComparisonTable:
    """Compare finished runs on every metric, as `compare` does.

    Args:
        runs: from `find_runs`.
        on: a labelled store that they predict; None takes the predictions that they have kept.
        split: to compare on; None takes test, or valid where a run has no labelled test split.
        baseline: name of a run that every other is tested against.
        progress: called with (steps done, all, what is being done).

    Raises: as `read_run_results` and `compare`.
    """

    def reading(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "reading the runs" if on is None else "evaluating")

    def testing(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "testing")

    predicts, data = _predicts(on)
    task, chosen, run_results = read_run_results(
        runs.folders, names=runs.names, split=split, predicts=predicts, progress=reading
    )
    missing = {name: " ".join(reason.split()) for name, reason in runs.missing.items()}
    return compare(
        run_results,
        task,
        chosen,
        data=data,
        baseline=baseline,
        notes=dict(runs.notes),
        missing=missing,
        progress=testing,
    )


def _predicts(on: Path | None) -> tuple[Predicts | None, str | None]:
    """How to predict another store, and its name; None to compare the stored predictions of the runs."""
    if on is None:
        return None, None
    store = Store(on)
    return lambda run, split: answers(run, store, split), store.path.name + " (synthetic)" * store.synthetic


def _names(named: Mapping[Path, str]) -> list[str] | None:
    """Names of the runs; None if none was given: the paths then provide them."""
    if not any(named.values()):
        return None
    told = dict(zip(named, row_names(list(named)), strict=True))
    names = [name or told[place] for place, name in named.items()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two runs have the name {twice[0]!r}", where="compare", fix="give names, as in NAME=RUN")
    return names
