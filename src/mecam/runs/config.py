"""`config.yaml` of a run folder: everything that a run depends on beside the data, and which data it read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mecam.config import Count, DataConfig, TrainingConfig, apply_overrides, decode, dump_yaml, read_yaml
from mecam.data.mixture import WeightedStore
from mecam.errors import ConfigError
from mecam.models.registry import MODELS

__all__ = ["RECORDED", "RunConfig", "record_of", "run_values"]

RECORDED = ("store", "mixed_with", "init_sha256")
"""Keys of `config.yaml` that say what was read, and are no options."""


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
        devices: how many, on each node.
        nodes: how many machines.
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
    nodes: Count = 1
    strategy: str = "auto"
    init: str = ""
    tuned: str = ""

    @classmethod
    def decode(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Build from plain values: `model` (a mapping with `name`, or a name), `data`, `training`, and the rest.

        Raises: ConfigError with every problem found.
        """
        # `config.yaml` of a run also records what it read; that is no option. An empty group is an absent one.
        values = {key: value for key, value in values.items() if key not in RECORDED and value is not None}
        given = values.pop("model", {})
        given = {"name": given} if isinstance(given, str) else given
        name = given.get("name", "mecam") if isinstance(given, dict) else given
        if not isinstance(name, str) or name not in MODELS:
            raise ConfigError(f"there is no model {name!r}", where="model", fix=f"choose one of {', '.join(MODELS)}")
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

    @property
    def seed_numbers(self) -> list[int]:
        """The seeds themselves."""
        return list(range(self.training.seed, self.training.seed + self.seeds))

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
                "nodes": self.nodes,
                "strategy": self.strategy,
                "init": self.init,
                "tuned": self.tuned,
            }
        )


def run_values(
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    model: str | None = None,
    target: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The values of a run, for `RunConfig.decode`: those of a file, then single ones, then those that have a name here.

    Args:
        config: a YAML file, or its content.
        overrides: as of `apply_overrides`.
        model: name of the model; None leaves that of the file.
        target: what to learn, `data.target`; None leaves that of the file.
        options: `seeds`, `accelerator` and other values that are in no group; None leaves those of the file.

    Raises: ConfigError if the file cannot be read, or an override sets nothing.
    """
    read = {} if config is None else config if isinstance(config, Mapping) else read_yaml(config)
    values = apply_overrides(read, overrides)
    if target is not None:
        values = apply_overrides(values, {"data.target": target})
    values |= {key: value for key, value in options.items() if value is not None}
    if model is not None:
        known = values.get("model") or {}
        values["model"] = {**({} if isinstance(known, str) else known), "name": model}
    return values


def record_of(sources: Sequence[WeightedStore], init_sha256: str | None = None) -> dict[str, Any]:
    """What a run reads, as `config.yaml` records it: another run, if any of it is another.

    Args:
        sources: the stores, the one that is validated on first.
        init_sha256: of the weights that training starts from.
    """
    known = [{"name": source.store.name, "sha256": dict(source.store.manifest["sha256"])} for source in sources]
    record: dict[str, Any] = {"store": known[0]}
    if len(sources) > 1:
        weights = [source.weight for source in sources]
        record["store"]["weight"] = weights[0]
        record["mixed_with"] = [{**k, "weight": w} for k, w in zip(known[1:], weights[1:], strict=True)]
    if init_sha256 is not None:
        record["init_sha256"] = init_sha256
    return record
