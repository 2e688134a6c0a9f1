"""Which runs a comparison or an ablation is made of, as data: a name, a model, and how it departs from the rest."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mecam.config import dump_yaml, read_yaml
from mecam.errors import ConfigError, MecamError
from mecam.experiments.grid import Member
from mecam.models.registry import MODELS
from mecam.runs.config import RunConfig
from mecam.types import TEXT, Modality

__all__ = ["FULL", "Variant", "ablation", "members_of", "model_variants", "tuned_variants"]

FULL = "full"
"""The row that all others of an ablation are compared with."""

MODEL = "mecam"
CONSTANT = "constant"
"""A row of every table anyway."""

LOSSES = {
    "gate": "gates that are not told where views are corrupted",
    "instance": "no contrast of clean and corrupted views",
}
"""Weight of a loss of the filter → what is missing without it."""

INFORMATION = "information"
"""MECAM's option for the information term, a weight; 0 is off."""


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        name: of the folder and the row.
        what: in words.
        model: name in the registry.
        overrides: dotted option (`model.…` or `data.…`) → value, on top of what all rows share.
        base: options of this row below what all rows share, as `RunConfig.decode` takes them.
    """

    name: str
    what: str
    model: str = MODEL
    overrides: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)


def ablation(modalities: Sequence[Modality]) -> list[Variant]:
    """The rows of the ablation for data with these modalities; `full` is the first.

    Each row leaves out one piece of the method, or one modality; the last ones are what the method is measured by.
    """
    rows = [
        Variant(FULL, "the full model"),
        Variant("no-filter", "no filter", overrides={"model.filter.enabled": False}),
        Variant("with-contrast", "intra-modal contrast by label", overrides={"model.filter.contrast": 0.1}),
    ]
    several = len(modalities) > 1
    rows += [Variant(f"no-{name}", what, overrides={f"model.filter.{name}": 0.0}) for name, what in LOSSES.items()]
    if TEXT in modalities:
        rows += [Variant("no-order", "no scores of word pairs", overrides={"model.filter.order": 0.0})]
    if several:
        rows += [
            Variant("no-conflict", "no conflict network", overrides={"model.filter.conflict": 0.0}),
            Variant("no-context", "gates that see their own modality only", overrides={"model.filter.context": False}),
        ]
    rows += [Variant("one-group", "one gate for all channels", overrides={"model.filter.groups": 1})]
    rows += [Variant("no-views", "no corrupted views: an unsupervised gate", overrides={"model.views": False})]
    if several:
        plain = Variant("no-talking-heads", "plain multi-head attention", overrides={"model.fusion.talking": False})
        rows += [plain, _information()]
        rows += [Variant(f"no-{m}", f"{m} removed", overrides={"data.without": [m]}) for m in modalities]
    rows += [Variant("published", "the published model with proper training", model="mecam_published")]
    if TEXT in modalities:
        rows += [Variant("text-only", "the text encoder alone", model="text_only")]
    if several:
        rows += [Variant("late-fusion", "three unimodal networks", model="late_fusion")]
    return rows


def model_variants(names: Iterable[str]) -> list[Variant]:
    """One row per model as it is configured by default; `all` is every model but the constant predictor."""
    wanted = [name.strip() for name in names if name.strip()]
    if wanted == ["all"]:
        wanted = [name for name in MODELS if name != CONSTANT]
    unknown = [name for name in wanted if name not in MODELS]
    if unknown or not wanted:
        raise ConfigError(
            f"there is no model {unknown[0]!r}" if unknown else "no model is given",
            where="--models",
            fix=f"choose one of {', '.join(MODELS)}, or all",
        )
    return [Variant(name, "", model=name) for name in dict.fromkeys(wanted)]


def tuned_variants(folder: Path, names: Sequence[str] | None = None) -> list[Variant]:
    """One row per model as a search found it; a model that was not searched is as it is configured by default.

    Args:
        folder: of the searches: NAME/best.yaml for each model.
        names: as in `model_variants`; None takes every model that was searched.

    Raises: ConfigError if nothing was searched here, or a name is unknown.
    """
    found = {path.parent.name: path for path in sorted(folder.glob("*/best.yaml"))}
    if not found:
        fix = "name the folder that `mecam tune --out` was given"
        raise ConfigError("there is no finished search here", where=str(folder), fix=fix)
    rows = model_variants(list(found) if names is None else names)
    return [replace(row, base=read_yaml(found[row.name])) if row.name in found else row for row in rows]


def members_of(variants: Sequence[Variant], shared: Mapping[str, Any]) -> tuple[list[Member], dict[str, str]]:
    """Turn variants into runs.

    Args:
        variants: the rows.
        shared: what all have in common, as `RunConfig.decode` takes it; an option below `model` goes to the models
            that have it.

    Returns: the runs, and name → reason for the variants that cannot be made here.
    Raises: ConfigError if the shared options themselves are wrong, or none of the models has one of them.
    """
    common = {key: value for key, value in shared.items() if key != "model"}
    given = dict(_flat(shared.get("model") or {}))
    given.pop("name", None)
    _check_shared(common, given, [v.model for v in variants])
    members, missing = [], {}
    for variant in variants:
        try:
            options = {key: value for key, value in given.items() if key in _known(variant.model)}
            values = _nested({f"model.{key}": value for key, value in options.items()} | dict(variant.overrides))
            base = {key: value for key, value in variant.base.items() if key != "model"}
            model = _joined(variant.base.get("model") or {}, values.pop("model", {})) | {"name": variant.model}
            config = RunConfig.decode({**_joined(_joined(base, common), values), "model": model})
        except MecamError as error:
            missing[variant.name] = f"{variant.what}: {error.what}" if variant.what else error.what
            continue
        changes = [f"{key}={_yaml(value)}" for key, value in variant.overrides.items()]
        note = "; ".join(filter(None, [variant.what, *changes]))
        members.append(Member(variant.name, config, note))
    return members, missing


def _information() -> Variant:
    """Without the information term where it is on by default, with it where it is off."""
    weight = getattr(MODELS[MODEL].config(), INFORMATION, 0.0)
    if weight:
        return Variant("no-information", "no information term", overrides={f"model.{INFORMATION}": 0.0})
    return Variant("with-information", "with the information term", overrides={f"model.{INFORMATION}": 0.05})


def _check_shared(common: Mapping[str, Any], given: Mapping[str, Any], models: Sequence[str]) -> None:
    """Raise ConfigError for what would make every row fail."""
    present = [name for name in models if name in MODELS]
    for key, value in given.items():
        owner = next((name for name in present if key in _known(name)), present[0])
        RunConfig.decode({**common, "model": {"name": owner, **_nested({key: value})}})
    RunConfig.decode({**common, "model": present[0]})


def _known(model: str) -> set[str]:
    """Dotted names of all options of a model."""
    return {key for key, _ in _flat(dataclasses.asdict(MODELS[model].config()))} if model in MODELS else set()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return result


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the second one's values where both have one; groups are joined."""
    result = dict(first)
    for key, value in second.items():
        there = result.get(key)
        result[key] = _joined(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
    return result


def _yaml(value: Any) -> str:
    return dump_yaml({"v": value}).removeprefix("v:").strip().replace("\n", " ").replace("- ", "")
