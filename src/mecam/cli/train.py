"""`mecam train`, `mecam evaluate`."""

import logging
import shlex
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.many import Jobs, Memory, shared_options, train_many, variants_of
from mecam.cli.ray import RayAddress
from mecam.cli.report import write_missing_reports
from mecam.errors import ConfigError, MecamError

if TYPE_CHECKING:
    from mecam.data.mixture import WeightedStore
    from mecam.task import Task

__all__ = ["evaluate", "train"]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `mecam train`.")]
Data = Annotated[Path, typer.Option("--data", metavar="STORE", help="Folder of the store.")]


def train(
    data: Annotated[
        list[str],
        typer.Option("--data", metavar="STORE[=WEIGHT]", help="Store to train on; several are combined."),
    ],
    out_: Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder to create or to continue.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[STORE[=WEIGHT]]...", help="More stores, after --data.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Label to learn; `mecam data info` lists them. [default: the first]"),
    ] = None,
    validate_on: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="With several stores: validate and test on this one. [default: the first]"),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Start from the weights of this run; those that do not fit are left out."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model; `mecam models` lists them. [default: mecam]")
    ] = None,
    models: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Several models, or all; each run goes to OUT/NAME.")
    ] = None,
    tuned: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Use the best options that `mecam tune --out DIR` found.")
    ] = None,
    jobs: Jobs = None,
    memory: Memory = None,
    ray: RayAddress = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds to train. [default: 1]")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file with options.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one option, as in training.epochs=8; repeatable."),
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="Hardware: auto, cpu or cuda. [default: auto]")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Number of devices on each node. [default: 1]")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Number of machines; torchrun and SLURM say both themselves. [default: 1]")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="With several devices: auto or ddp. [default: auto]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train again if the run folder exists.")] = False,
    allow_encoder: AllowEncoder = False,
) -> None:
    """Train a model, select the best epoch on validation, evaluate it on test, write a report.

    Give the same command again to continue an interrupted run, or with more --seeds to add seeds. With several stores,
    WEIGHT is how often an epoch uses each train utterance of a store (default 1; 0.3: a random 30 %). The options of
    --set: `mecam models NAME`.

    Example: mecam train --data stores/mosi --out runs/mosi --seeds 3 --set training.epochs=8

    Example: mecam train --data stores/mosi --models mecam,text_only --seeds 3 --out runs/mosi-models
    """
    from mecam.runs.config import run_values

    if target is not None and (Path(target) / "manifest.json").is_file():
        err.print("--target STORE is now --validate-on STORE; --target names what to learn.", style="yellow")
        validate_on, target = Path(target), None
    overrides = [*(set_ or []), *([f"data.target={target}"] if target is not None else [])]
    if models is not None or tuned is not None:
        single = {
            "--model": model,
            "--init": init,
            "--validate-on": validate_on,
            "more than one store": more or data[1:] or None,
        }
        if stray := [name for name, value in single.items() if value is not None]:
            raise ConfigError(
                f"{stray[0]} cannot be combined with --models or --tuned",
                where="mecam train",
                fix="train one model with --model, or leave the option out",
            )
        options = shared_options(config, overrides, seeds)
        rows, store = variants_of(models, tuned), Path(data[0])
        made = train_many(rows, options, store, out_, jobs=jobs, memory=memory, ray=ray, overwrite=overwrite)
        for folder in made.folders.values():
            print_place("run", folder)
        err.print(f"To compare the runs: mecam compare {shlex.quote(str(out_))}")
        return
    if ray is not None:
        raise ConfigError(
            "one run is not spread over a cluster", where="--ray", fix="use torchrun, or --models A,B,..."
        )
    given: dict[str, Any] = {"seeds": seeds, "accelerator": accelerator, "devices": devices, "nodes": nodes}
    given |= {"strategy": strategy, "init": None if init is None else str(init)}
    values = run_values(config, overrides, model=model, **given)
    run(values, _sources([*data, *(more or [])], validate_on), out_, overwrite=overwrite)


def run(values: dict[str, Any], sources: "list[WeightedStore]", folder: Path, *, overwrite: bool) -> None:
    """Train with a progress bar and show the results."""
    from lightning_fabric.utilities import rank_zero_only

    from mecam.runs.config import RunConfig
    from mecam.training.run import train as train_run

    # Fabric sets its own level when it is imported, which is only now.
    logging.getLogger("lightning_fabric").setLevel(logging.getLogger("lightning.fabric").level)
    config = RunConfig.decode(values)
    speaks = getattr(rank_zero_only, "rank", 0) == 0  # of several processes, one
    if not speaks:
        logging.getLogger("mecam").setLevel(logging.ERROR)
    try:
        with progress("training") if speaks else nullcontext() as callback:
            train_run(
                config,
                sources,
                folder,
                overwrite=overwrite,
                progress=callback,
                command=shlex.join(["mecam", *sys.argv[1:]]),
            )
    except MecamError as error:
        if error.everywhere and not speaks:
            raise typer.Exit(1) from error
        raise
    if speaks:
        finish_run(folder)


def finish_run(folder: Path) -> None:
    """Write the report of a finished run where it is missing; print its tables and where the report lies."""
    from mecam.runs.run import RunFolder

    write_missing_reports([folder])
    run = RunFolder(folder)
    metrics, facts = run.metrics, run.environment
    if facts["data"]["synthetic"]:
        from mecam.types import RENDERED

        corpus = "rendered clips" if facts["data"]["name"] == RENDERED else "the built-in synthetic corpus"
        err.print(f"Trained on {corpus}: not comparable with results on real data.", style="yellow")
    if started := list(facts.get("init", {}).values())[:1]:
        from mecam.report.run_diagnostics import started_from

        err.print(f"Started from {started_from(started[0])}")
    _show_metrics(metrics, run.task, f"{facts['model']} on {facts['data']['name']}")
    print_place("report", run.report)


def _show_metrics(metrics: Mapping[str, Any], task: "Task", title: str) -> None:
    """A table for each split, and how well the filter finds the inserted corruption."""
    from mecam.report.run_results import conflict_table, filter_table, results_table
    from mecam.types import SPLITS

    for split in [name for name in SPLITS if name in metrics]:
        out.print(results_table(metrics, split, task, title=f"{title}, {split}").terminal())
    if metrics.get("filter"):
        out.print(filter_table(metrics["filter"], brief=True).terminal())
    if metrics.get("conflict"):
        out.print(conflict_table(metrics["conflict"], brief=True).terminal())


def evaluate(
    run_: Run,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="STORE", help="Store to evaluate on. [default: the store of the run]"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Evaluate only this split. [default: valid and test]")] = None,
    allow_encoder: AllowEncoder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Evaluate all seeds of a trained model on a store.

    Example: mecam evaluate runs/mosi --data stores/mosi --split test
    """
    from mecam.evaluation.evaluate_run import evaluate_run
    from mecam.runs.run import RunFolder

    store = RunFolder(run_).store(data)
    with progress("evaluating") as callback:
        metrics, place = evaluate_run(run_, store, split=split, progress=callback)
    if as_json:
        print_json(metrics)
        return
    _show_metrics(metrics, store.task, f"{run_.name} on {store.name}")
    print_place("metrics", place)


def _sources(given: list[str], validate_on: Path | None) -> "list[WeightedStore]":
    """Stores with their weights, the one to validate on first.

    Raises: ConfigError for a weight that is no number, or a place to validate on that is none of the stores.
    """
    from mecam.data.mixture import sources_of

    places = dict(_weighted(text) for text in given)
    if len(places) < len(given):
        raise ConfigError(
            "a store is given twice", where="--data", fix="name each store once; give it a weight instead"
        )
    return sources_of(places, validate_on)


def _weighted(text: str) -> tuple[Path, float]:
    """`stores/mosei=0.3` as path and weight; a folder may have an equals sign in its name."""
    place, separator, weight = text.rpartition("=")
    if not separator or Path(text).exists():
        return Path(text), 1.0
    try:
        return Path(place), float(weight)
    except ValueError as error:
        raise ConfigError(
            f"{weight!r} is not a number", where=f"--data {text}", fix="write a weight as in STORE=0.3"
        ) from error
