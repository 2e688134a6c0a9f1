"""`mecam tune`."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, out, print_place, progress
from mecam.cli.many import shared_options
from mecam.cli.ray import RayAddress

if TYPE_CHECKING:
    from mecam.experiments.grid import Member
    from mecam.experiments.search import Tuned

__all__ = ["tune"]


def tune(
    data: Annotated[Path, typer.Option("--data", metavar="STORE", help="Folder of the store.")],
    out_: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="Folder for the results, one subfolder per model; continued if it exists."
        ),
    ],
    models: Annotated[str, typer.Option(metavar="A,B,...", help="Models to tune, or all.")] = "mecam",
    trials: Annotated[
        int, typer.Option(min=1, help="Total number of trials of each model; the first uses the defaults.")
    ] = 20,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds of each trial; its score is their mean. [default: 1]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of trials at the same time; more than one makes a search depend on which ends first. "
            "[default: 1; with --ray as many as have room]",
        ),
    ] = None,
    ray: RayAddress = None,
    storage: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Database of the trials, which several commands on several machines share: "
            "postgresql://USER@HOST/DATABASE (extra `postgres`). [default: a file in --out]",
        ),
    ] = "",
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE", help="Also search this option, or change its range: 16|32, 0..1, 1e-4..1e-2:log."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Label to learn; `mecam data info` lists them. [default: the first]"),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file with options that stay fixed.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one fixed option; repeatable.")
    ] = None,
) -> None:
    """Tune hyperparameters on the validation split; the test split is never read.

    Each model gets the same budget: the same number of trials over seven options, five common ones and two of its own.
    Bad trials stop early. Give the same command again to continue, or with more trials to extend the search. Several
    commands may use the same --out for different models and, with --storage, share the trials of one. Needs the extra
    `tune` (Optuna).

    Example: mecam tune --data stores/mosi --models mult,misa --trials 30 --out searches/mosi

    Example: mecam tune --data stores/mosi --trials 100 --out searches/mosi --storage postgresql://me@host/searches

    Example: mecam train --data stores/mosi --tuned searches/mosi --seeds 5 --out runs/tuned
    """
    from mecam.data.store import Store
    from mecam.errors import ConfigError
    from mecam.experiments.search import parsed_ranges
    from mecam.experiments.tuning import tune as search_options
    from mecam.experiments.variants import members_of, model_variants
    from mecam.ray_cluster import connected
    from mecam.report.tuning import best_table, search_table

    # Fabric sets its own level when it is imported, which is only now.
    logging.getLogger("lightning_fabric").setLevel(logging.getLogger("lightning.fabric").level)
    ranges, store = parsed_ranges(search or []), Store(data)
    options = [*(set_ or []), *([f"data.target={target}"] if target else [])]
    members, missing = members_of(model_variants(models.split(",")), shared_options(config, options, seeds))
    search_one = partial(search_options, store=store, trials=trials, jobs=jobs, ray=ray, storage=storage, search=ranges)
    with connected(ray) if ray is not None else nullcontext():  # once for all models
        found = _searched(members, out_, missing, search_one)
    for name, reason in missing.items():
        err.print(f"{name} was not tuned: {' '.join(reason.split())}", style="yellow")
    if not found:
        raise ConfigError("all searches failed", where=str(out_))
    out.print(search_table(found).terminal())
    if len(found) > 1:
        print_place("searches", out_)
        return
    if (best := best_table(found[0])) is not None:
        out.print(best.terminal())
    print_place("page", out_ / found[0].model / "tune.html")
    print_place("configuration", out_ / found[0].model / "best.yaml")


def _searched(
    members: "Sequence[Member]", out_: Path, missing: dict[str, str], search: "Callable[..., Tuned]"
) -> "list[Tuned]":
    """Search one model after the other; why there is nothing of one goes to `missing`, unless it is the only one."""
    from mecam.errors import MecamError, MissingExtraError
    from mecam.files import write_whole
    from mecam.report.tuning import tuning_page

    found: list[Tuned] = []
    for number, member in enumerate(members, 1):
        place = out_ / member.name
        with progress(f"{member.name} ({number} of {len(members)})") as callback:

            def told(done: int, total: int, now: str, name: str = member.name) -> None:
                callback(done, total, f"{name}: {now}")

            def draw(tuned: "Tuned", place: Path = place) -> None:
                write_whole(place / "tune.html", tuning_page(tuned))

            try:
                found.append(search(member.config, out=place, page=draw, progress=told))
            except MissingExtraError:
                raise
            except MecamError as error:
                missing[member.name] = str(error)
                if len(members) == 1:
                    raise
    return found
