"""`mecam tune`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mecam.cli.console import err, out, print_place, progress
from mecam.cli.many import shared_options

if TYPE_CHECKING:
    from mecam.experiments.search import Tuned

__all__ = ["tune"]


def tune(
    data: Annotated[Path, typer.Option("--data", metavar="STORE", help="The store's folder.")],
    out_: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For a folder per model; goes on with what is there.")
    ],
    models: Annotated[str, typer.Option(help="Models to search, as in a,b,c; or all.")] = "mecam",
    trials: Annotated[int, typer.Option(min=1, help="Of each model in all, the defaults among them.")] = 20,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds of each trial; its score is their mean. [default: 1]")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE", help="Search this option too, or in this range: 16|32, 0..1, 1e-4..1e-2:log."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What to learn, as `mecam data info` lists it. [default: the first]"),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of options that are not searched.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one of them; repeatable.")
    ] = None,
) -> None:
    """Search the options of models on validation; the test split is not opened.

    Each model has seven options to search, five that all share and two of its own, and the same number of trials: an
    equal budget. Trials that lag behind are cut short. An interrupted search goes on when the same command is given
    again, or with more trials. Models may be searched side by side by several commands with the same --out.

    Needs the extra `tune` (Optuna).

    Example: mecam tune --data stores/mosi --models mult,misa --trials 30 --out searches/mosi

    Example: mecam train --data stores/mosi --config searches/mosi/mult/best.yaml --seeds 5 --out runs/mult

    Example: mecam train --data stores/mosi --tuned searches/mosi --seeds 5 --out runs/tuned
    """
    from mecam.data.store import Store
    from mecam.errors import ConfigError, MecamError, MissingExtraError
    from mecam.experiments.search import parsed_ranges
    from mecam.experiments.tuning import tune as search_options
    from mecam.experiments.variants import members_of, model_variants
    from mecam.files import write_whole
    from mecam.report.tuning import tuning_page

    # Fabric sets its own level when it is imported, which is only now.
    logging.getLogger("lightning_fabric").setLevel(logging.getLogger("lightning.fabric").level)
    ranges, store = parsed_ranges(search or []), Store(data)
    options = [*(set_ or []), *([f"data.target={target}"] if target else [])]
    members, missing = members_of(model_variants(models.split(",")), shared_options(config, options, seeds))
    found: list[Tuned] = []
    for number, member in enumerate(members, 1):
        with progress(f"{member.name} ({number} of {len(members)})") as callback:

            def told(done: int, total: int, now: str, name: str = member.name) -> None:
                callback(done, total, f"{name}: {now}")

            def draw(tuned: "Tuned", name: str = member.name) -> None:
                write_whole(out_ / name / "tune.html", tuning_page(tuned))

            place = out_ / member.name
            try:
                found.append(
                    search_options(member.config, store, place, trials=trials, search=ranges, page=draw, progress=told)
                )
            except MissingExtraError:
                raise
            except MecamError as error:
                missing[member.name] = str(error)
                if len(members) == 1:
                    raise
    for name, reason in missing.items():
        err.print(f"{name} was not searched: {' '.join(reason.split())}", style="yellow")
    if not found:
        raise ConfigError("no search came to an end", where=str(out_))
    out.print(_view(found))
    if len(found) > 1:
        print_place("searches", out_)
        return
    out.print(_options_view(found[0]))
    print_place("page", out_ / found[0].model / "tune.html")
    print_place("configuration", out_ / found[0].model / "best.yaml")


def _view(found: "Sequence[Tuned]") -> Table:
    """A row per model: what the search found, what the defaults gave, how the trials ended."""
    from mecam.report.markup import UNDEFINED, plain

    metric, arrow = found[0].metric, "↑" if found[0].higher_is_better else "↓"
    seeds = f", each the mean of {found[0].seeds} seeds" if found[0].seeds > 1 else ""
    caption = f"On validation{seeds}; the test split was not opened. The best of many trials is a little lucky."
    title = f"{found[0].data}: best of {len(found[0].trials)} trials"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for head in (f"{metric} {arrow}", "with the defaults", "best trial", "complete", "pruned", "failed"):
        table.add_column(head, justify="right")
    table.add_column("what mattered most")
    for tuned in found:
        assert tuned.best is not None
        first = UNDEFINED if tuned.defaults is None else plain(tuned.defaults.score)
        counts = [str(tuned.count(state)) for state in ("complete", "pruned", "failed")]
        mattered = max(tuned.importance, key=lambda key: tuned.importance[key], default=UNDEFINED)
        table.add_row(Text(tuned.model), plain(tuned.best.score), first, str(tuned.best.number), *counts, mattered)
    return table


def _options_view(tuned: "Tuned") -> Table:
    """What the search chose for each option."""
    from mecam.report.markup import UNDEFINED, percent
    from mecam.report.tuning import shown

    assert tuned.best is not None
    table = Table("option")
    for head in ("best", "default", "importance"):
        table.add_column(head, justify="right")
    before = {} if tuned.defaults is None else tuned.defaults.options
    for key, value in tuned.best.options.items():
        table.add_row(
            key, Text(shown(value)), Text(shown(before.get(key, UNDEFINED))), percent(tuned.importance.get(key))
        )
    return table
