"""A whole run: configuration → data → model → fit, for every seed → evaluate → run folder.

    runs/name/
      config.yaml         resolved configuration; training it again gives this run again
      environment.json    versions, seeds, hardware, hashes of the data
      seeds/1111/         one folder per seed: checkpoint, history, predictions (see `results`)
      checkpoint/         that of the seed which is best on validation
      tensorboard/1111/   the same history for TensorBoard, where `training.tensorboard` asks for it
      metrics.json  history.csv  predictions.csv  filter_maps.json  embeddings.npz  report.html

A run that was interrupted is gone on with by giving the same command again: finished seeds are kept as they are.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from lightning_fabric import Fabric

from mecam.config import Count, DataConfig, TrainingConfig, decode, dump_yaml
from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture, Source
from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.evaluation.calibration import LEVEL, half_width, widening
from mecam.evaluation.predict import in_recordings, predict, with_widths
from mecam.evaluation.recording_context import check_recording_context, recording_context
from mecam.files import claimed, clear, writing
from mecam.hashes import sha256_of
from mecam.models.checkpoint import Trained, load_checkpoint, save_checkpoint
from mecam.models.registry import MODELS
from mecam.report.page import write_report
from mecam.runs.environment import environment
from mecam.runs.folder import RECORDED, claim, copy_folder
from mecam.training.costs import costs
from mecam.training.loop import Progress, fit
from mecam.training.preparation import Material, SplitData, make_fabric, prepare
from mecam.training.results import SeedResult, write_json, write_tables
from mecam.training.tensorboard import tensorboard
from mecam.training.transfer import Loaded

__all__ = ["RunConfig", "record_of", "train"]

log = logging.getLogger(__name__)

WRITTEN = ("config.yaml", "metrics.json", "history.csv", "predictions.csv", "filter_maps.json", "embeddings.npz")
"""Files whose SHA-256 `environment.json` keeps, so that the report and comparisons notice what was changed."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on beside the data.

    Attributes:
        model: name in the registry.
        options: the model's own configuration.
        data: batching.
        training: the loop.
        seeds: how many, counting up from `training.seed`.
        accelerator: `auto`, `cpu`, `cuda`, as Lightning Fabric names them.
        devices: how many.
        strategy: `auto` or `ddp`, as Lightning Fabric names them.
        init: a run folder whose weights training starts from; empty for a fresh model.
        tuned: how much searching the options come from, as in `30 trials`; empty where nobody searched.
    """

    model: str
    options: Any
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seeds: Count = 1
    accelerator: str = "auto"
    devices: Count = 1
    strategy: str = "auto"
    init: str = ""
    tuned: str = ""

    @classmethod
    def decode(cls, values: dict[str, Any]) -> "RunConfig":
        """Build from plain values: `model` (a mapping with `name`, or a name), `data`, `training`, and the rest.

        Raises: ConfigError with every problem found.
        """
        # `config.yaml` of a run also records what it read; that is no option. An empty group is an absent one.
        values = {key: value for key, value in values.items() if key not in RECORDED and value is not None}
        given = values.pop("model", {})
        given = {"name": given} if isinstance(given, str) else given
        name = given.get("name", "mecam") if isinstance(given, dict) else given
        if not isinstance(name, str) or name not in MODELS:
            raise ConfigError(f"no model is called {name!r}", where="model", fix=f"choose one of {', '.join(MODELS)}")
        problems, options = [], None
        try:
            chosen = {key: value for key, value in given.items() if key != "name"}
            options = decode(MODELS[name].config, chosen, where="model")
        except ConfigError as error:
            problems.append(error.what)
        try:
            config = decode(cls, {**values, "model": name, "options": options}, where="")
        except ConfigError as error:
            problems.append(error.what)
        if problems:
            raise ConfigError("\n".join(problems), fix="`mecam models NAME` lists every option with its default")
        return config

    def to_yaml(self) -> str:
        """The resolved configuration, which `decode` reads back."""
        options = yaml.safe_load(dump_yaml({"o": self.options}))["o"]
        return dump_yaml(
            {
                "model": {"name": self.model, **options},
                "data": self.data,
                "training": self.training,
                "seeds": self.seeds,
                "accelerator": self.accelerator,
                "devices": self.devices,
                "strategy": self.strategy,
                "init": self.init,
                "tuned": self.tuned,
            }
        )


def train(
    config: RunConfig,
    store: Store | Sequence[Source],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Train every seed, evaluate on validation and test, write the run folder.

    Args:
        config: what to train and how.
        store: with a train and a valid split; a test split is evaluated once, at the end. Of several sources, the
            train splits are mixed by weight, and valid and test are those of the first.
        out: the run folder; one with the same configuration and data is gone on with.
        overwrite: begin anew whatever lies there.
        progress: called with (steps done, all steps, what is being done).
        command: for the report.

    Returns: the run folder.
    Raises: MecamError for anything that a user can mend.
    """
    started = time.time()
    sources = [Source(store)] if isinstance(store, Store) else list(store)
    material = Material.of(config, sources)
    first = config.training.seed
    # Whatever is wrong with the options or the data shows here, before anything is written or started.
    trained, splits, loaded = prepare(config, material, first)
    if config.training.recording_context:
        valid = splits["valid"]
        assert isinstance(valid, Dataset)  # only train splits are mixed
        check_recording_context(valid)
    fabric = make_fabric(config, trained.model)
    fabric.launch()
    with claimed(out) if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            _refuse_itself(out, config)
            claim(out, config, record_of(sources, loaded), overwrite=overwrite)
            clear([out, *out.glob("seeds/*")])
        fabric.barrier()
        results = _train_seeds(config, material, (trained, splits, loaded), out, fabric, progress)
        if fabric.is_global_zero:
            _write_run(out, config, sources, results, started=started, command=command)
        fabric.barrier()
    return out


def _train_seeds(
    config: RunConfig,
    material: Material,
    prepared: tuple[Trained, dict[str, Dataset | Mixture], Loaded | None],
    out: Path,
    fabric: Fabric,
    progress: Progress | None,
) -> list[SeedResult]:
    """One seed after the other; those that are finished are read."""
    trained, splits, loaded = prepared
    first = config.training.seed
    results = []
    for seed in range(first, first + config.seeds):
        folder = out / "seeds" / str(seed)
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


def record_of(sources: Sequence[Source], loaded: Loaded | None) -> dict[str, Any]:
    """What a run reads, as `config.yaml` records it: another run, if any of it is another."""
    known = [{"name": source.store.name, "sha256": dict(source.store.manifest["sha256"])} for source in sources]
    record: dict[str, Any] = {"store": known[0]}
    if len(sources) > 1:
        weights = [source.weight for source in sources]
        record["store"]["weight"] = weights[0]
        record["mixed_with"] = [{**k, "weight": w} for k, w in zip(known[1:], weights[1:], strict=True)]
    if loaded is not None:
        record["init_sha256"] = loaded.sha256
    return record


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
    model, checkpoint = trained.model, trained.checkpoint
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
    seconds = time.time() - began
    predictions = {
        name: predict(model, split, trained.collator, details=True) for name, split in held_out.items() if len(split)
    }
    if config.training.recording_context and model.reads:  # who reads nothing says the same of every recording
        context = recording_context(trained, held_out["valid"], predictions["valid"], seed)
        trained = replace(trained, checkpoint=replace(checkpoint, recording=context))
        predictions = {name: in_recordings(trained, alone) for name, alone in predictions.items()}
    width = half_width(checkpoint.inputs.task, predictions["valid"])
    if width is not None:
        found = widening(trained, held_out["valid"], predictions["valid"], width, seed) if model.reads else None
        known = replace(trained.checkpoint, calibration={str(LEVEL): width}, widening=found)
        trained = replace(trained, checkpoint=known)
        predictions = {name: with_widths(trained, said) for name, said in predictions.items()}
    result = SeedResult(
        seed=seed,
        score=fitted.best_score,
        history=fitted.history,
        predictions=predictions,
        half_width=width,
        facts={
            "seconds": seconds,
            "precision": str(fabric._precision.precision),
            **costs(model, held_out["valid"], trained.collator, fabric.device),
            **({} if loaded is None else {"init": loaded.to_json()}),
        },
    )
    if fabric.is_global_zero:
        save_checkpoint(folder / "checkpoint", trained)
        result.write(folder)
    fabric.barrier()


def _write_run(
    out: Path,
    config: RunConfig,
    sources: Sequence[Source],
    results: list[SeedResult],
    *,
    started: float,
    command: str,
) -> None:
    """Bring the seeds together: the best one's checkpoint, the tables, the report."""
    best = max(results, key=lambda result: result.score)
    store = sources[0].store
    copy_folder(out / "seeds" / str(best.seed) / "checkpoint", out / "checkpoint")
    trained = load_checkpoint(out)
    splits = {name: trained.dataset(store, store.split(name)) for name in results[0].predictions}
    write_tables(out, splits, trained.checkpoint.inputs.prior, LEVEL, results)
    found = environment(config, sources, results, started=started, command=command)
    files = [out / name for name in WRITTEN if (out / name).is_file()]
    write_json(out / "environment.json", found | {"files": {file.name: sha256_of(file) for file in files}})
    write_report(out)


def _labelled(progress: Progress | None, label: str) -> Progress:
    """The same callback, with `label` before every note."""

    def tick(done: int, total: int, note: str) -> None:
        if progress:
            progress(done, total, f"{label}, {note}")

    return tick


def _refuse_itself(out: Path, config: RunConfig) -> None:
    if config.init and out.resolve() == Path(config.init).resolve():
        raise ConfigError("a run cannot start from itself", where="init", fix="choose another --out")
