"""Runs + a protocol → findings: what the command `mecam robustness` does, for programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mecam.batch import Device
from mecam.budget import small_json
from mecam.data.store import Store
from mecam.errors import DataError, MecamError, ModelError
from mecam.evaluation.comparison.run_results import row_names
from mecam.evaluation.robustness.changes import changes_of
from mecam.evaluation.robustness.conditions import Condition
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit, Recordings, read_split
from mecam.evaluation.robustness.findings import RobustnessFindings, find
from mecam.evaluation.robustness.interventions import Intervention, parts_of
from mecam.evaluation.robustness.measure import jobs_of, measure_all
from mecam.evaluation.robustness.protocols import PERMUTATION, SEEDS, Plan, plans
from mecam.evaluation.robustness.scores import Resample, RunCells, constant_scored, score_run
from mecam.files import claimed, clear
from mecam.models.trained import load_checkpoint
from mecam.runs.run import RunFolder
from mecam.types import TEXT, Modality

__all__ = ["assess", "assess_all", "find_store"]

CELLS = "cells"
"""Folder of the cells inside that of the results; all protocols share it."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _MeasuredRun:
    """A run folder, before anything is measured."""

    name: str
    folder: Path
    model: str
    checkpoints: tuple[Path, ...]
    reads: tuple[Modality, ...]
    raw_text: bool
    prior: tuple[float, ...]
    in_recordings: bool
    parts: tuple[str, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trainings; 0 where the folder does not say."""
        names = [path.parent.name for path in self.checkpoints]
        return tuple(int(name) if name.isdigit() else 0 for name in names)

    def able(self, conditions: Sequence[Condition]) -> list[Condition]:
        """The conditions that it can be measured under: its gates can be replaced only where it has some."""
        return [c for c in conditions if not isinstance(c, Intervention) or c.part in self.parts]


def assess(folders: Sequence[Path], protocol: str, out: Path, **options: Any) -> RobustnessFindings:
    """Measure runs under one protocol; as `assess_all`."""
    return assess_all(folders, [protocol], out, **options)[0]


def assess_all(
    folders: Sequence[Path],
    protocols: Sequence[str],
    out: Path,
    *,
    store: Store | None = None,
    split: str = "test",
    seeds: int = len(SEEDS),
    only: Sequence[str] = (),
    corrupted: Sequence[str] = (),
    recordings: Sequence[Path] = (),
    labels: Path | None = None,
    processes: int | None = None,
    device: Device = "cpu",
    progress: Progress | None = None,
) -> list[RobustnessFindings]:
    """Measure runs under protocols; cells that lie in `out` already are not made again.

    Args:
        folders: run folders; every trained seed of each is measured.
        protocols: keys of `PROTOCOLS`.
        out: where the cells go, into `out/cells`.
        store: the data; None looks for the store that the runs learned from.
        split: of the store.
        seeds: how many masks are drawn of every condition that is random.
        only: patterns of condition keys, as in `plans`.
        corrupted: what the split is corrupted by under the protocol `permutation`, as in `plans`.
        recordings: what the store was extracted from, for the protocol `raw`; corrupted stores go into `out/raw`.
        labels: the label table that it was extracted with.
        processes: that extract; by default as many as there are cores.
        device: where the models compute.
        progress: called with (cells done, all, what is being done).

    Returns: what each protocol found.
    Raises: MecamError of any kind: no checkpoint, a store of other features or another task, an empty split, an
        unknown protocol.
    """
    places = [RunFolder(folder).checkpoints for folder in folders]
    names = row_names(folders)
    found = RunFolder(folders[0]).choose_target(store or find_store(folders))
    runs = [_read(*one, found) for one in zip(names, folders, places, strict=True)]
    data = read_split(found, split, raw_text=_raw_text(runs))
    if recordings:
        data.recordings = Recordings(
            found, recordings, out / "raw", labels=labels, ids=data.ids, jobs=processes, progress=progress
        )
    read = tuple(m for m in data.modalities if any(m in run.reads for run in runs))
    planned = plans(protocols, data, read, only=only, corrupted=corrupted)
    if PERMUTATION in protocols:
        _require_taps(runs)
    drawn = tuple(SEEDS[0] + number for number in range(seeds))
    conditions = {condition.key: condition for each in planned for condition in each.conditions}
    with claimed(out):
        clear([out / CELLS])
        cells = _measured(runs, data, list(conditions.values()), drawn, out / CELLS, device, progress)
    return [_found(each, runs, cells, data, drawn, progress) for each in planned]


def _found(
    planned: Plan,
    runs: Sequence[_MeasuredRun],
    cells: Sequence[RunCells],
    data: EvaluationSplit,
    drawn: tuple[int, ...],
    progress: Progress | None,
) -> RobustnessFindings:
    """What the cells of a protocol say."""
    resample = Resample(data.groups.count)
    scored = []
    for done, run in enumerate(cells):
        if progress:
            progress(done, len(cells), "computing metrics")
        scored.append(score_run(run, data, planned, resample))
    if progress:
        progress(len(cells), len(cells), "testing")
    constant = None if any(run.model == "constant" for run in runs) else runs[0].prior
    return find(
        data,
        planned,
        drawn,
        scored,
        constant=None if constant is None else constant_scored(constant, data, planned, resample),
        notes=_notes(runs, data),
        changes={run.name: changes_of(run, data, planned) for run in cells}
        if planned.protocol == PERMUTATION
        else None,
    )


def find_store(folders: Sequence[Path]) -> Store:
    """Find the store that the runs, or one of them, learned from.

    Raises: as `RunFolder.store`, of the first run.
    """
    problem: MecamError | None = None
    for folder in folders:
        try:
            return RunFolder(folder).store()
        except MecamError as error:
            problem = problem or error
    assert problem is not None  # runs are given
    raise problem


def _read(name: str, folder: Path, checkpoints: tuple[Path, ...], store: Store) -> _MeasuredRun:
    """What a run folder holds.

    Raises: ModelError if a checkpoint cannot be read, or does not fit the store.
    """
    trained = load_checkpoint(checkpoints[0])
    trained.preprocessor.check_features(store)
    inputs = trained.checkpoint.inputs
    if inputs.task != store.task:
        raise ModelError(
            f"the model of {folder} predicts {inputs.task.answers}, the store has other labels",
            where=str(store.path),
            fix="use a store with the task of the model",
        )
    return _MeasuredRun(
        name,
        folder,
        trained.checkpoint.name,
        checkpoints,
        trained.model.reads,
        trained.tokenizer is not None,
        inputs.prior,
        trained.checkpoint.recording is not None,
        parts_of(trained.model),
    )


def _require_taps(runs: Sequence[_MeasuredRun]) -> None:
    """Refuse a model that has nothing to replace.

    Raises: ModelError.
    """
    for run in runs:
        if not run.parts:
            raise ModelError(
                f"{run.model} has neither gates nor modality weights, so there is nothing to exchange",
                where=str(run.folder),
                fix="leave it out of the protocol permutation",
            )


def _raw_text(runs: Sequence[_MeasuredRun]) -> bool:
    """True where the models read transcripts, False where none does.

    Raises: DataError if some read transcripts and others rows of text features: they cannot be corrupted alike.
    """
    of_text = [run for run in runs if TEXT in run.reads]
    kinds = {run.raw_text for run in of_text}
    if len(kinds) > 1:
        one = next(run for run in of_text if not run.raw_text)
        raise DataError(
            "some runs read transcripts, others text features: these cannot be corrupted in the same way",
            where=str(one.folder),
            fix="measure them separately",
        )
    return kinds != {False}


def _measured(
    runs: Sequence[_MeasuredRun],
    data: EvaluationSplit,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    place: Path,
    device: Device,
    progress: Progress | None,
) -> list[RunCells]:
    """Make the cells that are missing."""
    plans = [[jobs_of(c, data, run.able(conditions), seeds, place) for c in run.checkpoints] for run in runs]
    total, done = sum(len(jobs) for of_run in plans for jobs in of_run), 0

    cells = []
    for run, of_run in zip(runs, plans, strict=True):
        for checkpoint, seed, jobs in zip(run.checkpoints, run.seeds, of_run, strict=True):

            def tick(what: str = f"{run.name}, seed {seed}") -> None:
                nonlocal done
                done += 1
                if progress:
                    progress(done, total, what)

            measure_all(checkpoint, data, jobs, device=device, progress=tick)
        widths = tuple(_half_width(checkpoint) for checkpoint in run.checkpoints)
        cells.append(RunCells(run.name, run.model, str(run.folder), run.seeds, tuple(of_run), widths, run.reads))
    return cells


def _half_width(checkpoint: Path) -> float | None:
    """Half width of the interval around a score, as validation gave it."""
    calibration: dict[str, Any] = small_json(checkpoint / "config.json")["calibration"]
    return float(next(iter(calibration.values()))) if calibration else None


def _notes(runs: Sequence[_MeasuredRun], data: EvaluationSplit) -> list[str]:
    """What makes the rows less than comparable."""
    notes = []
    if data.store.synthetic:
        notes.append("Synthetic data: not comparable with results on real data.")
    for run in runs:
        blind = [m for m in data.modalities if m not in run.reads]
        if blind:
            notes.append(f"{run.name} does not read {', '.join(blind)}: its corruption has no effect on this run.")
    counts = {len(run.checkpoints) for run in runs}
    if len(counts) > 1:
        notes.append(
            f"The runs have {', '.join(map(str, sorted(counts)))} seeds: each pair is tested on the seeds that both "
            "have."
        )
    unread = [m for m in data.modalities if not any(m in run.reads for run in runs)]
    if unread:
        notes.append(f"No run reads {', '.join(unread)}: it is not corrupted.")
    if together := [run.name for run in runs if run.in_recordings]:
        notes.append(
            f"{', '.join(together)}: uses the other utterances of the recording, which are corrupted too; the "
            "results are not comparable with models that predict each utterance alone."
        )
    if len({str(RunFolder(run.folder).options.get("store", "")) for run in runs}) > 1:
        notes.append("The runs were trained on different data.")
    return notes
