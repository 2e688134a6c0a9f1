"""`mecam compare` and `mecam ablate`."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.evaluation.comparison import Predicts
    from mecam.experiments.variants import Variant

__all__ = ["ablate", "compare", "shared_options"]

Config = Annotated[Path | None, typer.Option(help="A YAML file of options for every run.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one option of every run that has it; repeatable."),
]
Split = Annotated[str | None, typer.Option(help="To compare on. [default: test, or valid where there is no test]")]
Jobs = Annotated[int, typer.Option(min=1, help="Runs at a time; they share the cores.")]
Memory = Annotated[
    float | None,
    typer.Option("--memory", metavar="GB", min=0.1, help="Stop a run that takes more, and go on without it (Linux)."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Train again what is finished.")]


def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[[NAME=]RUN]...", help="Run folders, and what to call them.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="STORE", help="Train --models on this store.")] = None,
    models: Annotated[str | None, typer.Option(help="Models to train, as in a,b,c; or all.")] = None,
    tuned: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train with the best options that `mecam tune --out DIR` found.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each trained model. [default: 1]")] = None,
    out_: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the comparison there, and what is trained.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="NAME", help="Test every run against this one too.")] = None,
    on: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Compare on this labelled store, not on the runs' own.")
    ] = None,
    split: Split = None,
    jobs: Jobs = 1,
    memory: Memory = None,
    config: Config = None,
    set_: Set = None,
    overwrite: Overwrite = False,
    allow_encoder: AllowEncoder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Put runs side by side: every metric with its interval, the best marked, tested in pairs with Holm's correction.

    Give finished runs, or a store and the models to train on it, or both. Training goes on where it stopped when the
    same command is given again; a model that fails is shown with the reason.

    Example: mecam compare MECAM=runs/mosi text=runs/mosi-text --out comparisons/mosi

    Example: mecam compare --data stores/mosi --models mecam,text_only --seeds 3 --out comparisons/mosi

    Example: mecam compare --data stores/mosi --tuned searches/mosi --seeds 5 --out comparisons/tuned

    Example: mecam compare runs/mecam runs/mult --on stores/mosei --split valid
    """
    named = dict(_named(text) for text in runs or [])
    given = list(named)
    if len(given) < len(runs or []):
        raise ConfigError("a run is given twice", where="mecam compare", fix="name each run once")
    if (data is None) != (models is None and tuned is None):
        raise ConfigError(
            "--data belongs to --models or --tuned", where="mecam compare", fix="name a store and models, or only runs"
        )
    if not given and data is None:
        raise ConfigError("there is nothing to compare", fix="name two or more runs, or --data STORE --models a,b")
    if data is None and (stray := _stray(seeds=seeds, config=config, set=set_, overwrite=overwrite or None)):
        raise ConfigError(f"--{stray} is for training", fix="add --data STORE and --models")
    folders, names = given, _names(named)
    missing: dict[str, str] = {}
    notes: dict[str, str] = {}
    if data is not None:
        from mecam.experiments.variants import model_variants, tuned_variants

        place = _required(out_)
        wanted = None if models is None else models.split(",")
        variants = model_variants(wanted or []) if tuned is None else tuned_variants(tuned, wanted)
        shared = shared_options(config, set_, seeds)
        trained, missing, notes = _train(variants, shared, data, place, jobs=jobs, memory=memory, overwrite=overwrite)
        folders, names = [*given, *trained.values()], _names(named | {place: name for name, place in trained.items()})
    _show(folders, names, missing, notes, on=on, split=split, baseline=baseline, place=out_, as_json=as_json)


def ablate(
    data: Annotated[Path, typer.Option("--data", metavar="STORE", help="The store's folder.")],
    out_: Annotated[Path, typer.Option("--out", metavar="DIR", help="For the runs and the table; goes on with both.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every row.")] = 3,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these rows, as in no-filter,no-views; full is always one.")
    ] = None,
    split: Split = None,
    jobs: Jobs = 1,
    memory: Memory = None,
    config: Config = None,
    set_: Set = None,
    overwrite: Overwrite = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the rows and what each changes; train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Train MECAM whole and without each of its pieces, and test every row against the whole.

    A row that cannot be made here is listed with the reason. Training goes on where it stopped when the same command
    is given again.

    Example: mecam ablate --data stores/mosi --out ablations/mosi --seeds 5

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
    folders, missing, notes = _train(variants, shared, data, out_, jobs=jobs, memory=memory, overwrite=overwrite)
    base = FULL if FULL in folders else None
    names = list(folders)
    _show(list(folders.values()), names, missing, notes, split=split, baseline=base, place=out_, as_json=as_json)


def _train(
    variants: "Sequence[Variant]",
    shared: Mapping[str, Any],
    data: Path,
    place: Path,
    *,
    jobs: int,
    memory: float | None,
    overwrite: bool,
) -> tuple[dict[str, Path], dict[str, str], dict[str, str]]:
    """Train what is not finished: name → folder, name → why it is missing, name → note."""
    from mecam.data.store import Store
    from mecam.experiments.grid import train_grid
    from mecam.experiments.variants import members_of

    members, missing = members_of(variants, shared)
    if not members:
        raise ConfigError("no row can be made here: " + "; ".join(missing.values()))
    command = shlex.join(["mecam", *sys.argv[1:]])
    with progress(f"training {len(members)} rows") as callback:
        outcome = train_grid(
            members,
            Store(data),
            place / "runs",
            jobs=jobs,
            memory_gb=memory,
            overwrite=overwrite,
            command=command,
            progress=callback,
        )
    missing |= outcome.failed
    if not outcome.folders:
        raise ConfigError("no run came to an end", where=str(place), fix="\n".join(missing.values()))
    return outcome.folders, missing, {member.name: member.note for member in members}


def _show(
    folders: Sequence[Path],
    names: Sequence[str] | None,
    missing: Mapping[str, str],
    notes: Mapping[str, str],
    *,
    on: Path | None = None,
    split: str | None,
    baseline: str | None,
    place: Path | None,
    as_json: bool,
) -> None:
    """Compare finished runs, print the tables, write the files."""
    from mecam.evaluation.comparison import compare as compare_runs
    from mecam.evaluation.comparison import read_contenders
    from mecam.report.comparison import agreement, terminal_tables, write_comparison

    predicts, data = _predicts(on)
    with progress("reading the runs" if on is None else "evaluating") as callback:
        task, chosen, contenders = read_contenders(
            folders, names=names, split=split, predicts=predicts, progress=callback
        )
    tidy = {name: " ".join(reason.split()) for name, reason in missing.items()}
    with progress("testing") as callback:
        standings = compare_runs(
            contenders, task, chosen, data=data, baseline=baseline, notes=dict(notes), missing=tidy, progress=callback
        )
    places = write_comparison(standings, place) if place is not None else []
    if as_json:
        print_json(standings.to_json())
        return
    for table in terminal_tables(standings):
        out.print(table.terminal())
    if sentence := agreement(standings.overlap):
        out.print(sentence)
    for note in standings.notes:
        err.print(note, style="yellow")
    for name, reason in tidy.items():
        err.print(f"{name} is not in the table: {reason}", style="yellow")
    if places:
        print_place("comparison", places[-1])
    else:
        err.print("All metrics, intervals as a figure, LaTeX and CSV: add --out DIR.")


def _predicts(on: Path | None) -> "tuple[Predicts | None, str | None]":
    """Who predicts another store, and the store's name; nobody where what the runs kept is compared."""
    if on is None:
        return None, None
    from mecam.data.store import Store
    from mecam.evaluation.evaluate_run import answers

    store = Store(on)
    return lambda run, split: answers(run, store, split), store.path.name + " (synthetic)" * store.synthetic


def shared_options(config: Path | None, set_: Sequence[str] | None, seeds: int | None) -> dict[str, Any]:
    """The options of every run."""
    from mecam.config import apply_overrides, read_yaml

    values = apply_overrides(read_yaml(config) if config else {}, set_ or [])
    if isinstance(values.get("model"), str):
        values.pop("model")  # the rows say which model
    return values | ({} if seeds is None else {"seeds": seeds})


def _chosen(variants: "list[Variant]", only: str | None) -> "list[Variant]":
    """The first row and those that are asked for."""
    if only is None:
        return variants
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = [variant.name for variant in variants]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"no row is called {unknown[0]!r}", where="--only", fix=f"choose from {', '.join(known)}")
    return [variant for variant in variants if variant.name in wanted or variant is variants[0]]


def _named(text: str) -> tuple[Path, str]:
    """`text=runs/a` as folder and name; a folder may have an equals sign in its name."""
    name, separator, place = text.partition("=")
    return (Path(place), name) if separator and not Path(text).exists() else (Path(text), "")


def _names(named: Mapping[Path, str]) -> list[str] | None:
    """What to call the runs; None, where nobody said, for what tells their paths apart."""
    from mecam.evaluation.comparison.contenders import row_names

    if not any(named.values()):
        return None
    told = dict(zip(named, row_names(list(named)), strict=True))
    names = [name or told[place] for place, name in named.items()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two runs are called {twice[0]!r}", where="mecam compare", fix="name them: NAME=RUN")
    return names


def _required(place: Path | None) -> Path:
    if place is None:
        raise ConfigError("trained runs need a place", where="--out", fix="add --out DIR")
    return place


def _stray(**options: object) -> str | None:
    """The name of an option that was given and means nothing here."""
    return next((name for name, value in options.items() if value is not None), None)
