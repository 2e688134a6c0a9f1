"""`mecam ablate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.compare import Split, show_comparison
from mecam.cli.console import out
from mecam.cli.many import Jobs, Memory, shared_options, train_many
from mecam.cli.ray import RayAddress
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.experiments.variants import Variant

__all__ = ["ablate"]


def ablate(
    data: Annotated[Path, typer.Option("--data", metavar="STORE", help="Folder of the store.")],
    out_: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the runs and the table; continued if it exists.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds of each variant.")] = 3,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these variants and full, as in no-filter,no-views.")
    ] = None,
    split: Split = None,
    jobs: Jobs = None,
    memory: Memory = None,
    ray: RayAddress = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file with options for every run.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one option of every run that has it; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train finished runs again.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List the variants and what each changes; do not train.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Ablation study: train full MECAM and variants without each component, and test each against full MECAM.

    A variant that is not possible on this data is listed with the reason. Give the same command again to continue an
    interrupted study.

    Example: mecam ablate --data stores/mosi --out ablations/mosi --only no-filter,text-only --set training.epochs=8
    """
    from mecam.data.store import Store
    from mecam.experiments.variants import FULL, ablation, members_of
    from mecam.types import TEXT

    store = Store(data)
    variants = _chosen(ablation(sorted({*store.specs, *([TEXT] if store.has_text else [])})), only)
    shared = shared_options(config, set_, seeds)
    if list_:
        for member in (found := members_of(variants, shared))[0]:
            out.print(f"{member.name:20} {member.note}")
        for name, reason in found[1].items():
            out.print(f"{name:20} left out: {' '.join(reason.split())}")
        return
    from mecam.evaluation.comparison.compare_folders import NamedRuns

    place = out_ / "runs"
    made = train_many(variants, shared, data, place, jobs=jobs, memory=memory, ray=ray, overwrite=overwrite)
    show_comparison(
        NamedRuns(list(made.folders.values()), list(made.folders), made.failed, made.notes),
        split=split,
        baseline=FULL if FULL in made.folders else None,
        place=out_,
        as_json=as_json,
    )


def _chosen(variants: "list[Variant]", only: str | None) -> "list[Variant]":
    """The full model and the requested variants."""
    if only is None:
        return variants
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = [variant.name for variant in variants]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"there is no variant {unknown[0]!r}", where="--only", fix=f"choose from {', '.join(known)}")
    return [variant for variant in variants if variant.name in wanted or variant is variants[0]]
