"""A whole run: configuration → data → model → fit, for every seed → evaluate → run folder (`mecam.runs.run`).

A run that was interrupted is gone on with by giving the same command again: finished seeds are kept as they are.
Nothing is drawn here: `report.html` is written by who calls.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from lightning_fabric import Fabric

from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture, WeightedStore, with_target
from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.evaluation.calibration import LEVEL, calibrate, check_recording_context
from mecam.evaluation.predict import predict
from mecam.evaluation.summary import calibration_table, evaluation_tables, filter_maps
from mecam.files import claimed, clear, writing
from mecam.models.trained import Trained, load_checkpoint, save_checkpoint
from mecam.runs.config import RunConfig, record_of
from mecam.runs.environment import environment
from mecam.runs.run import RunFolder
from mecam.runs.seed import SeedResult
from mecam.training.costs import costs
from mecam.training.loop import Progress, fit
from mecam.training.preparation import Material, SplitData, as_launched, make_fabric, prepare
from mecam.training.tensorboard import tensorboard
from mecam.training.transfer import Loaded
from mecam.training.world import World

__all__ = ["train"]


def train(
    config: RunConfig,
    store: Store | Sequence[WeightedStore],
    out: Path,
    *,
    overwrite: bool = False,
    wait: float = 0.0,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Train every seed, evaluate on validation and test, write the run folder.

    Args:
        config: what to train and how.
        store: with a train and a valid split; a test split is evaluated once, at the end. Of several sources, the
            train splits are mixed by weight, and valid and test are those of the first.
        out: the run folder; one with the same configuration and data is gone on with.
        overwrite: start again whatever lies there.
        wait: seconds to wait for another one that writes there to end.
        progress: called with (steps done, all steps, what is being done).
        command: for the record.

    Returns: the run folder. Its page is not written: see `mecam.report`.
    Raises: MecamError for anything that a user can fix.
    """
    started = time.time()
    sources = with_target([WeightedStore(store)] if isinstance(store, Store) else list(store), config.data.target)
    if (chosen := sources[0].store).target != next(iter(chosen.targets)):
        config = replace(config, data=replace(config.data, target=chosen.target))
    material = Material.of(config, sources)
    config, run, first = as_launched(config), RunFolder(out), config.training.seed
    # Whatever is wrong with the options or the data shows here, before anything is written or started.
    trained, splits, loaded = prepare(config, material, first)
    if config.training.recording_context:
        valid = splits["valid"]
        assert isinstance(valid, Dataset)  # only train splits are mixed
        check_recording_context(valid)
    fabric = make_fabric(config, trained.model)
    fabric.launch()
    world = World(fabric)

    def claim() -> None:
        held.enter_context(claimed(out, wait=wait))
        _refuse_itself(out, config)
        read = record_of(sources, None if loaded is None else loaded.sha256)
        run.claim(config, read, overwrite=overwrite)
        clear([out, *out.glob("seeds/*")])

    with ExitStack() as held:
        world.in_first(claim)
        results = _train_seeds(config, material, (trained, splits, loaded), run, fabric, progress)
        world.in_first(lambda: _write_run(run, config, sources, results, started=started, command=command))
    return out


def _train_seeds(
    config: RunConfig,
    material: Material,
    prepared: tuple[Trained, dict[str, Dataset | Mixture], Loaded | None],
    run: RunFolder,
    fabric: Fabric,
    progress: Progress | None,
) -> list[SeedResult]:
    """One seed after the other; those that are finished are read."""
    trained, splits, loaded = prepared
    first = config.training.seed
    results = []
    for seed in config.seed_numbers:
        folder = run.seed_folder(seed)
        result = SeedResult.read(folder)
        fabric.barrier()  # nobody writes what another has still to read
        if result is None:
            if seed != first:
                trained, splits, loaded = prepare(config, material, seed)
            label = f"seed {seed} ({seed - first + 1} of {config.seeds})" if config.seeds > 1 else "training"
            tick = _labelled(progress if fabric.is_global_zero else None, label)
            _train_seed(config, trained, splits, folder, seed, fabric, tick, loaded)
            result = SeedResult.read(folder)  # so that a run that is gone on with sees the same as this one
            assert result is not None
        results.append(result)
    return results


def _train_seed(
    config: RunConfig,
    trained: Trained,
    splits: dict[str, Dataset | Mixture],
    folder: Path,
    seed: int,
    fabric: Fabric,
    progress: Progress | None,
    loaded: Loaded | None,
) -> None:
    """Train and evaluate one seed and write its folder."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    model = trained.model
    held_out = {name: split for name, split in splits.items() if isinstance(split, Dataset) and name != "train"}
    data = SplitData(
        splits["train"], held_out["valid"], trained.collator, config, views=model.views, fabric=fabric, seed=seed
    )
    began = time.time()
    place = folder.parents[1] / "tensorboard" / str(seed)
    with tensorboard(place) if config.training.tensorboard else nullcontext() as record:
        fitted = fit(
            model,
            data,
            config.training,
            fabric=fabric,
            seed=seed,
            resume=folder / "resume.pt",
            progress=progress,
            record=record,
        )
    facts = {"seconds": time.time() - began, "precision": str(fabric._precision.precision)}
    facts |= {} if loaded is None else {"init": loaded.to_json()}
    world = World(fabric)
    world.share_buffers(model)
    predictions = {
        name: predict(model, split, trained.collator, details=True, processes=world)
        for name, split in held_out.items()
        if len(split)
    }

    def write() -> None:
        recordings = config.training.recording_context
        calibrated, known = calibrate(trained, held_out["valid"], predictions, seed, recordings=recordings)
        measured = costs(model, held_out["valid"], trained.collator, fabric.device)
        result = SeedResult(
            seed=seed,
            score=fitted.best_score,
            history=fitted.history,
            predictions=known,
            half_width=calibrated.checkpoint.half_width,
            facts=facts | measured,
        )
        save_checkpoint(folder / "checkpoint", calibrated)
        result.write(folder)

    world.in_first(write)


def _write_run(
    run: RunFolder,
    config: RunConfig,
    sources: Sequence[WeightedStore],
    results: list[SeedResult],
    *,
    started: float,
    command: str,
) -> None:
    """Bring the seeds together: the best one's checkpoint, and the tables."""
    best = max(results, key=lambda result: result.score)
    run.choose(best.seed)
    trained, store = load_checkpoint(run.folder), sources[0].store
    splits = {name: trained.dataset(store, store.split(name)) for name in results[0].predictions}
    prior = trained.checkpoint.inputs.prior
    metrics = evaluation_tables(splits, [result.predictions for result in results], prior)
    run.finish(
        results,
        splits,
        metrics=metrics | calibration_table(LEVEL, results),
        filter_maps=filter_maps(splits, best),
        environment=environment(config, sources, results, run.folder, started=started, command=command),
    )


def _labelled(progress: Progress | None, label: str) -> Progress:
    """The same callback, with `label` before every note."""

    def tick(done: int, total: int, note: str) -> None:
        if progress:
            progress(done, total, f"{label}, {note}")

    return tick


def _refuse_itself(out: Path, config: RunConfig) -> None:
    if config.init and out.resolve() == Path(config.init).resolve():
        raise ConfigError("a run cannot start from itself", where="init", fix="choose another --out")
