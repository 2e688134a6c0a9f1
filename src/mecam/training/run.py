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
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric

from mecam.config import Count, DataConfig, TrainingConfig, decode, dump_yaml
from mecam.data.collate import Collator, ViewOptions, batches, encode_labels
from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture, Source, check_sources, merged
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.evaluation.evaluate import predict
from mecam.evaluation.metrics import Metric, metrics_for, score
from mecam.evaluation.report import write_report
from mecam.evaluation.statistics import conformal_quantile
from mecam.models.base import Inputs, Model
from mecam.models.checkpoint import Checkpoint, Trained, build_model, load_checkpoint, save_checkpoint
from mecam.models.constant import constant_prediction
from mecam.models.registry import MODELS
from mecam.training.environment import environment
from mecam.training.folder import RECORDED, claim, copy_folder
from mecam.training.loop import Progress, choose_precision, fit
from mecam.training.results import SeedResult, write_json, write_tables
from mecam.training.tensorboard import require_tensorboard, tensorboard
from mecam.training.transfer import Loaded, initialise
from mecam.types import TEXT, Predictions, Task

__all__ = ["RunConfig", "record_of", "train"]

log = logging.getLogger(__name__)

LEVEL = 0.9
"""Probability that the interval around a score is made to cover."""


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
        strategy: Fabric's: `auto`, `ddp`, `fsdp` …
        init: a run folder whose weights training starts from; empty for a fresh model.
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
            }
        )


class SplitData:
    """The train and valid splits, as the loop sees them."""

    def __init__(
        self,
        train: Dataset | Mixture,
        valid: Dataset,
        collator: Collator,
        config: RunConfig,
        *,
        views: bool,
        fabric: Fabric,
        seed: int,
    ) -> None:
        self._train, self._valid, self._collator, self._config = train, valid, collator, config
        training = config.training
        self._views = ViewOptions(training.view_rate, training.view_missing) if views else None
        self._part = (fabric.global_rank, fabric.world_size)
        self._seed = seed
        total = -(-train.epoch_size // config.data.batch_size)
        self.steps = -(-total // fabric.world_size)
        self._select = selection_metric(valid.task, config.training.select)
        self.metric = self._select.name

    def batches(self, epoch: int) -> Iterator[Any]:
        """The train split in the order of this seed and epoch."""
        return batches(
            self._train,
            self._collator,
            self._config.data.batch_size,
            shuffle_seed=self._seed * 10_000 + epoch,
            views=self._views,
            augmentation=self._config.training.augmentation,
            part=self._part,
        )

    def validate(self, model: Model) -> dict[str, float | None]:
        """Metrics on validation, and under `select` the one to choose by, larger is better."""
        predictions = predict(model, self._valid, self._collator)
        assert predictions.truth is not None
        scores = score(self._valid.task, predictions.prediction, predictions.truth)
        value = scores[self.metric]
        return {**scores, "select": value if value is None or self._select.higher_is_better else -value}


def selection_metric(task: Task, select: str) -> Metric:
    """The validation metric that chooses a checkpoint.

    Raises: ConfigError if the task has no metric of this name.
    """
    known = metrics_for(task)
    name = {"regression": "mae", "classes": "uar", "multilabel": "f1_mean"}[task.kind] if select == "auto" else select
    if name not in known:
        raise ConfigError(f"no metric is called {name!r}", where="training.select", fix=f"one of {', '.join(known)}")
    return known[name]


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
    material = _Material.of(config, sources)
    first = config.training.seed
    # Whatever is wrong with the options or the data shows here, before anything is written or started.
    trained, splits, loaded = _prepare(config, material, first)
    fabric = _fabric(config, trained.model)
    fabric.launch()
    if fabric.is_global_zero:
        _refuse_itself(out, config)
        claim(out, config, record_of(sources, loaded), overwrite=overwrite)
    fabric.barrier()
    results = []
    for seed in range(first, first + config.seeds):
        folder = out / "seeds" / str(seed)
        result = SeedResult.read(folder)
        fabric.barrier()  # nobody writes what another has still to read
        if result is None:
            if seed != first:
                trained, splits, loaded = _prepare(config, material, seed)
            label = f"seed {seed} ({seed - first + 1} of {config.seeds})" if config.seeds > 1 else "training"
            tick = _labelled(progress if fabric.is_global_zero else None, label)
            _train_seed(config, trained, splits, folder, seed, fabric, tick, loaded)
            result = SeedResult.read(folder)  # so that a run that is gone on with sees the same as this one
            assert result is not None
        results.append(result)
    if fabric.is_global_zero:
        _write_run(out, config, sources, results, started=started, command=command)
    fabric.barrier()
    return out


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


@dataclass(frozen=True)
class _Material:
    """What all seeds learn from: the stores, what they offer a model, and how their features are normalised."""

    sources: Sequence[Source]
    inputs: Inputs
    normalisers: Sequence[Normaliser]

    @classmethod
    def of(cls, config: RunConfig, sources: Sequence[Source]) -> "_Material":
        clip = config.data.clip
        return cls(
            sources=sources,
            inputs=_inputs(sources, config.data.without),
            normalisers=[Normaliser.fit(s.store, s.store.split("train"), clip=clip) for s in sources],
        )


def _prepare(
    config: RunConfig, material: _Material, seed: int
) -> tuple[Trained, dict[str, Dataset | Mixture], Loaded | None]:
    """The untrained model of one seed, the splits as it reads them, and what it starts from."""
    torch.manual_seed(seed)
    sources, inputs = material.sources, material.inputs
    store = sources[0].store
    model, tokenizer = build_model(config.model, config.options, inputs, config.data)
    checkpoint = Checkpoint(
        name=config.model,
        options=config.options,
        inputs=inputs,
        data=config.data,
        normaliser=merged(material.normalisers).only(model.reads),
        calibration={},
        data_name=store.name,
        synthetic=any(_is_synthetic(source.store) for source in sources),
    )
    trained = Trained(model, checkpoint, tokenizer)
    selection_metric(inputs.task, config.training.select)
    if config.training.tensorboard:
        require_tensorboard()
    loaded = initialise(trained, Path(config.init), seed) if config.init else None
    splits: dict[str, Dataset | Mixture] = {}
    for name in ("train", "valid", "test"):
        splits[name] = split = split_dataset(store, name, trained)
        if name != "test":
            split.require_labels(name)
    if len(sources) > 1:
        parts = []
        for source, normaliser in zip(sources, material.normalisers, strict=True):
            own = replace(trained, checkpoint=replace(checkpoint, normaliser=normaliser.only(model.reads)))
            parts.append(split_dataset(source.store, "train", own))
            parts[-1].require_labels(f"train of {source.store.path.name}")
        splits["train"] = Mixture(parts, [source.weight for source in sources])
    return trained, splits, loaded


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
    half_width = _half_width(checkpoint.inputs.task, predictions["valid"])
    calibration = {} if half_width is None else {str(LEVEL): half_width}
    result = SeedResult(
        seed=seed,
        score=fitted.best_score,
        history=fitted.history,
        predictions=predictions,
        half_width=half_width,
        facts={
            "seconds": seconds,
            "precision": str(fabric._precision.precision),
            "parameters": sum(p.numel() for p in model.parameters()),
            **({} if loaded is None else {"init": loaded.to_json()}),
        },
    )
    if fabric.is_global_zero:
        save_checkpoint(
            folder / "checkpoint", replace(trained, checkpoint=replace(checkpoint, calibration=calibration))
        )
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
    splits = {name: split_dataset(store, name, trained) for name in results[0].predictions}
    write_tables(out, splits, trained.checkpoint.inputs.prior, LEVEL, results)
    write_json(out / "environment.json", environment(config, sources, results, started=started, command=command))
    write_report(out)


def _labelled(progress: Progress | None, label: str) -> Progress:
    """The same callback, with `label` before every note."""

    def tick(done: int, total: int, note: str) -> None:
        if progress:
            progress(done, total, f"{label}, {note}")

    return tick


def _fabric(config: RunConfig, model: Model) -> Fabric:
    cuda = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = choose_precision(config.training.precision, model, torch.device("cuda" if cuda else "cpu"))
    strategy = config.strategy
    if strategy == "ddp" or (strategy == "auto" and config.devices > 1):
        strategy = "ddp_find_unused_parameters_true" if _rests(model) else "ddp"
    try:
        return Fabric(accelerator=config.accelerator, devices=config.devices, strategy=strategy, precision=precision)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            str(error).splitlines()[0],
            where="accelerator, devices, strategy",
            fix="leave them out to use what is there",
        ) from error


def _rests(model: Model) -> bool:
    """True if there may be steps in which a trainable parameter gets no gradient."""
    phases = model.phases()
    return len(phases) > 1 or not all(phase.weights.values() for phase in phases)


def split_dataset(store: Store, split: str, trained: Trained) -> Dataset:
    """One split of a store as the model reads it."""
    return Dataset(
        store,
        store.split(split),
        task=trained.checkpoint.inputs.task,
        normaliser=trained.checkpoint.normaliser,
        tokenizer=trained.tokenizer,
    )


def _inputs(sources: Sequence[Source], without: Sequence[str]) -> Inputs:
    """What the sources offer a model together, less what the options leave out.

    Raises: DataError if they may not be mixed or nothing is labelled; ConfigError for a modality that none has.
    """
    task, specs = check_sources(sources)
    raw_text = any(source.store.has_text for source in sources)
    known = {*specs, *([TEXT] if raw_text else [])}
    if unknown := [modality for modality in without if modality not in known]:
        raise ConfigError(
            f"no modality is called {unknown[0]!r}",
            where="data.without",
            fix=f"the data has {', '.join(sorted(known))}",
        )
    store = sources[0].store
    labels, train = store.column("label"), store.split("train")
    known_labels = [labels[i] for i in train if labels[i] is not None]
    if not known_labels:
        raise DataError("the train split has no labelled utterance", where=str(store.path))
    scores = store.column("unimodal")
    return Inputs(
        task=task,
        features={modality: spec for modality, spec in specs.items() if modality not in without},
        raw_text=raw_text and TEXT not in without,
        prior=constant_prediction(task, encode_labels(task, known_labels)),
        unimodal=tuple(sorted({m for i in train for m in scores[i] or () if m not in without})),
    )


def _is_synthetic(store: Store) -> bool:
    return bool(store.manifest["provenance"].get("synthetic", False))


def _refuse_itself(out: Path, config: RunConfig) -> None:
    if config.init and out.resolve() == Path(config.init).resolve():
        raise ConfigError("a run cannot start from itself", where="init", fix="choose another --out")


def _half_width(task: Task, valid: Predictions) -> float | None:
    """Half width of the interval around a score, from the validation errors (split conformal)."""
    if task.kind != "regression" or valid.truth is None:
        return None
    return conformal_quantile(np.abs(valid.prediction - valid.truth), LEVEL)
