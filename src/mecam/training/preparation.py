"""What a training needs before its first step: the model of a seed, the splits as it reads them, the devices."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mecam.batch import Batch
from mecam.data.collate import Collator, ViewOptions, batches
from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture, WeightedStore, check_sources, merged
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError, MecamError
from mecam.evaluation.metrics import Metric, metrics_for, score
from mecam.evaluation.predict import predict
from mecam.models.base import Model
from mecam.models.checkpoint import Checkpoint
from mecam.models.inputs import Inputs
from mecam.models.trained import Trained, build_model
from mecam.task import Task
from mecam.threads import available_cores, keep_few_shapes
from mecam.training.loop import choose_precision
from mecam.training.tensorboard import require_tensorboard
from mecam.training.transfer import Loaded, initialise
from mecam.training.world import World
from mecam.types import TEXT, Utterance

if TYPE_CHECKING:
    from mecam.runs.config import RunConfig

__all__ = ["Material", "SplitData", "as_launched", "make_fabric", "prepare", "selection_metric"]

log = logging.getLogger(__name__)

STRATEGIES = ("auto", "ddp")
"""How several devices share the work: each has the whole model. What a model remembers allows no other."""


SLURM_STEP = "SLURM_STEP_NUM_TASKS"
"""Set by `srun`, for the tasks that it starts, and not in the script of a job."""

AHEAD = 4
"""Batches that every worker process keeps ready."""


@dataclass(frozen=True)
class Material:
    """What all seeds learn from: the stores, what they offer a model, and how their features are normalised."""

    sources: Sequence[WeightedStore]
    inputs: Inputs
    normalisers: Sequence[Normaliser]

    @classmethod
    def of(cls, config: "RunConfig", sources: Sequence[WeightedStore]) -> "Material":
        """Read the sources once, for all seeds."""
        clip, zeros = config.data.clip, config.data.zero_rows_missing
        fitted = [Normaliser.fit(s.store, s.store.split("train"), clip=clip, zero_rows_missing=zeros) for s in sources]
        inputs = _inputs(sources, config.data.without)
        met = {modality for one in fitted for modality in one.centre} | ({TEXT} if inputs.raw_text else set())
        has_text = any(source.store.has_text for source in sources) and TEXT not in config.data.without
        for modality in sorted({*inputs.features, *([TEXT] if has_text else [])}):
            if modality not in met:
                log.warning("no utterance of the train split has %s: it is not used", modality)
        return cls(sources, inputs, fitted)


def prepare(
    config: "RunConfig", material: Material, seed: int, *, held_out: Sequence[str] = ("valid", "test")
) -> tuple[Trained, dict[str, Dataset | Mixture], Loaded | None]:
    """The untrained model of one seed, the splits as it reads them, and what it starts from.

    Args:
        config: what to train.
        material: from the same configuration.
        seed: of the weights.
        held_out: the splits beside train; what is not named is not opened.
    """
    keep_few_shapes()
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
        synthetic=any(source.store.synthetic for source in sources),
    )
    if model.reads and tokenizer is None and not checkpoint.normaliser.centre:
        raise DataError(f"the train split holds nothing that {config.model} reads", where=str(store.path))
    trained = Trained(model, checkpoint, tokenizer)
    selection_metric(inputs.task, config.training.select)
    if config.training.tensorboard:
        require_tensorboard()
    loaded = initialise(trained, Path(config.init), seed) if config.init else None
    splits: dict[str, Dataset | Mixture] = {}
    for name in ("train", *held_out):
        splits[name] = split = trained.dataset(store, store.split(name))
        if name != "test":
            split.require_labels(name)
    if len(sources) > 1:
        parts = []
        for source, normaliser in zip(sources, material.normalisers, strict=True):
            own = replace(trained, checkpoint=replace(checkpoint, normaliser=normaliser.only(model.reads)))
            parts.append(own.dataset(source.store, source.store.split("train")))
            parts[-1].require_labels(f"train of {source.store.path.name}")
        splits["train"] = Mixture(parts, [source.weight for source in sources])
    if not config.training.compile:  # what is compiled is the encoder as a whole
        trained.remember_texts(splits.values())
    return trained, splits, loaded


class SplitData:
    """The train and valid splits, as the loop sees them."""

    def __init__(
        self,
        train: Dataset | Mixture,
        valid: Dataset,
        collator: Collator,
        config: "RunConfig",
        *,
        views: bool,
        fabric: Fabric,
        seed: int,
    ) -> None:
        self._train, self._valid, self._collator, self._config = train, valid, collator, config
        training = config.training
        self._views = ViewOptions(training.view_rate, training.view_missing) if views else None
        self._world = World(fabric)
        self._pins = fabric.device.type == "cuda"
        given = config.data.workers
        self._workers = _workers_for(fabric.device, config.devices) if given is None else given
        self._seed = seed
        self._loader: DataLoader[Batch | MecamError] | None = None
        self._paired_recordings = (
            tuple(_PairedRecordings(Path(place), train) for place in config.data.corrupted_stores) if views else ()
        )
        total = -(-train.epoch_size // config.data.batch_size)
        self.steps = -(-total // fabric.world_size)
        self._select = selection_metric(valid.task, config.training.select)
        self.metric = self._select.name

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The train split in the order of this seed and epoch; the same whoever makes the batches."""
        make = partial(
            batches,
            self._train,
            self._collator,
            self._config.data.batch_size,
            views=self._views,
            augmentation=self._config.training.augmentation,
            paired_recordings=self._paired_recordings,
        )
        if not self._workers:
            made = make(shuffle_seed=self._order(epoch), part=(self._world.rank, self._world.count))
            return (batch.pin_memory() for batch in made) if self._pins else made
        if self._loader is None:
            self._shared = _Shared(make, (self._world.rank, self._world.count))
            self._loader = DataLoader(
                self._shared,
                batch_size=None,
                num_workers=self._workers,
                pin_memory=self._pins,
                persistent_workers=True,
                prefetch_factor=AHEAD,
                generator=torch.Generator(),  # its own, so that dropout draws the same with any number of workers
            )
        self._shared.turn_to(self._order(epoch))
        return itertools.islice(map(_unless_error, self._loader), self.steps)

    def _order(self, epoch: int) -> int:
        return self._seed * 10_000 + epoch

    def validate(self, model: Model) -> dict[str, float | None]:
        """Metrics on validation, and under `select` the one to choose by, larger is better."""
        self._world.share_buffers(model)
        predictions = predict(model, self._valid, self._collator, processes=self._world)
        assert predictions.truth is not None
        scores = score(self._valid.task, predictions.prediction, predictions.truth)
        value = scores[self.metric]
        return {**scores, "select": value if value is None or self._select.higher_is_better else -value}


def _workers_for(device: torch.device, devices: int) -> int:
    """Processes that make the batches of one device: on a CPU they would take from the cores that compute."""
    return max(0, min(4, available_cores() // devices - 1)) if device.type == "cuda" else 0


class _Shared(IterableDataset[Batch | MecamError]):
    """One process's batches, each made by the worker whose turn it is; the workers stay from epoch to epoch."""

    def __init__(self, make: Callable[..., Iterator[Batch]], part: tuple[int, int]) -> None:
        self._make, self._part = make, part
        self._order = torch.zeros((), dtype=torch.long)
        self._order.share_memory_()  # type: ignore[no-untyped-call]

    def turn_to(self, order: int) -> None:
        """Let the next pass be in this order, which the workers read."""
        self._order.fill_(order)

    def __iter__(self) -> Iterator[Batch | MecamError]:
        worker = get_worker_info()
        assert worker is not None
        which, count = self._part
        part = (which + count * worker.id, count * worker.num_workers)
        try:
            yield from self._make(shuffle_seed=int(self._order), part=part)
        except MecamError as error:  # raised by the loader, it would be a page of traceback
            yield error


def _unless_error(made: Batch | MecamError) -> Batch:
    if isinstance(made, MecamError):
        raise made
    return made


class _PairedRecordings(Mapping[str, Utterance]):
    """Id → the utterance of the train split as its corrupted recording gives it, normalised likewise; read on demand.

    Raises: ConfigError if the training has several stores; DataError if the store has other utterances or features.
    """

    def __init__(self, place: Path, train: "Dataset | Mixture") -> None:
        if not isinstance(train, Dataset) or train.normaliser is None:
            raise ConfigError("corrupted recordings can be given for one store only", where="data.corrupted_stores")
        self._store, self._normaliser, known = Store(place), train.normaliser, set(train.ids)
        self._places = {name: i for i, name in enumerate(self._store.column("id")) if name in known}
        shared = self._normaliser.centre.keys() & self._store.specs.keys()
        strange = [m for m in shared if len(self._normaliser.centre[m]) != self._store.specs[m].width]
        if strange or not self._places:
            what = f"its {strange[0]} features are others" if strange else "it has none of the train split's utterances"
            raise DataError(
                f"this is not a corrupted version of the store: {what}",
                where=str(place),
                fix="see data.corrupted_stores",
            )

    def __getitem__(self, name: str) -> Utterance:
        return self._normaliser(self._store[self._places[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def selection_metric(task: Task, select: str) -> Metric:
    """The validation metric that chooses a checkpoint.

    Raises: ConfigError if the task has no metric of this name.
    """
    known = metrics_for(task)
    name = task.leading if select == "auto" else select
    if name not in known:
        raise ConfigError(f"there is no metric {name!r}", where="training.select", fix=f"one of {', '.join(known)}")
    return known[name]


def as_launched(config: "RunConfig") -> "RunConfig":
    """The configuration with the nodes and devices of torchrun or SLURM, where these have started the processes.

    Raises: ConfigError if it asks for other ones.
    """
    launcher, nodes, devices = _launched()
    if not launcher or (config.nodes, config.devices) == (nodes, devices):
        return config
    if (config.nodes, config.devices) != (1, 1):
        raise ConfigError(
            f"{launcher} has started {nodes * devices} processes, {devices} on each of {nodes} nodes; the options ask "
            f"for {config.devices} on each of {config.nodes}",
            where="devices, nodes",
            fix=f"leave --devices and --nodes out: {launcher} says how many there are (srun: --ntasks-per-node)",
        )
    return replace(config, nodes=nodes, devices=devices)


def _launched() -> tuple[str, int, int]:
    """What has started this process as one of several, the number of nodes, and of processes on each; else ""."""
    if TorchElasticEnvironment.detect():
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return "torchrun", int(os.environ["WORLD_SIZE"]) // each, each
    if SLURMEnvironment.detect() and SLURM_STEP in os.environ:
        nodes = int(os.environ["SLURM_STEP_NUM_NODES"])
        return "SLURM", nodes, int(os.environ[SLURM_STEP]) // nodes
    return "", 1, 1


def make_fabric(config: "RunConfig", model: Model) -> Fabric:
    """Devices, strategy and precision, before they are launched.

    Raises: ConfigError for what is not there.
    """
    cuda = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = choose_precision(config.training.precision, model, torch.device("cuda" if cuda else "cpu"))
    strategy = config.strategy
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"there is no strategy {strategy!r}", where="strategy", fix=f"choose one of {', '.join(STRATEGIES)}"
        )
    if strategy == "ddp" or (strategy == "auto" and config.devices * config.nodes > 1):
        strategy = "ddp_find_unused_parameters_true" if _rests(model) else "ddp"
    # In a job of SLURM without `srun`, nobody starts the processes that SLURM counts: Fabric does.
    alone = not TorchElasticEnvironment.detect() and "SLURM_NTASKS" in os.environ and SLURM_STEP not in os.environ
    try:
        return Fabric(
            plugins=[LightningEnvironment()] if alone else None,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=strategy,
            precision=precision,
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            str(error).splitlines()[0],
            where="accelerator, devices, nodes, strategy",
            fix="leave them out to use the available hardware",
        ) from error


def _rests(model: Model) -> bool:
    """True if there may be steps in which a trainable parameter gets no gradient."""
    phases = model.phases()
    return len(phases) > 1 or not all(phase.weights.values() for phase in phases)


def _inputs(sources: Sequence[WeightedStore], without: Sequence[str]) -> Inputs:
    """What the sources offer a model together, less what the options leave out.

    Raises: DataError if they may not be mixed or nothing is labelled; ConfigError for a modality that none has.
    """
    task, specs = check_sources(sources)
    known = {*specs, *([TEXT] if any(source.store.has_text for source in sources) else [])}
    if unknown := [modality for modality in without if modality not in known]:
        raise ConfigError(
            f"there is no modality {unknown[0]!r}",
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
        raw_text=TEXT not in without and any(_train_has_text(source.store) for source in sources),
        prior=task.prior(task.encode(known_labels)),
        unimodal=tuple(sorted({m for i in train for m in scores[i] or () if m not in without})),
    )


def _train_has_text(store: Store) -> bool:
    texts = store.column(TEXT) if store.has_text else []
    return bool(texts) and any(texts[i] for i in store.split("train"))
