"""`mecam train`, `mecam evaluate`, `mecam report`."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.result_tables import filter_view, metrics_view

__all__ = ["evaluate", "report", "train"]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `mecam train`.")]
Data = Annotated[Path, typer.Option("--data", metavar="STORE", help="The store's folder.")]


def train(
    data: Data,
    out_: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder to make, or to go on with.")],
    model: Annotated[str | None, typer.Option(help="A name that `mecam models` lists. [default: mecam]")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds to train. [default: 1]")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of options.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one option; repeatable.")
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or cuda. [default: auto]")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="How many devices. [default: 1]")] = None,
    strategy: Annotated[str | None, typer.Option(help="Lightning Fabric's: auto, ddp, fsdp. [default: auto]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the folder holds a run.")] = False,
) -> None:
    """Train a model on a store, choose the epoch on validation, evaluate on test once, write a report.

    An interrupted run goes on when the same command is given again.

    Example: mecam train --data stores/mosi --out runs/mosi --seeds 3 --set training.epochs=8
    """
    from mecam.config import apply_overrides, read_yaml

    values = apply_overrides(read_yaml(config) if config else {}, set_ or [])
    given = {"seeds": seeds, "accelerator": accelerator, "devices": devices, "strategy": strategy}
    values |= {key: value for key, value in given.items() if value is not None}
    if model is not None:
        values["model"] = {**_as_group(values.get("model", {})), "name": model}
    run(values, data, out_, overwrite=overwrite)


def run(values: dict[str, Any], data: Path, folder: Path, *, overwrite: bool) -> None:
    """Train with a progress bar and show what came of it."""
    from lightning_fabric.utilities import rank_zero_only

    from mecam.data.store import Store
    from mecam.training.run import RunConfig
    from mecam.training.run import train as train_run

    # Fabric sets its own level when it is imported, which is only now.
    logging.getLogger("lightning_fabric").setLevel(logging.getLogger("lightning.fabric").level)
    config = RunConfig.decode(values)
    store = Store(data)
    with progress("training") as callback:
        train_run(
            config,
            store,
            folder,
            overwrite=overwrite,
            progress=callback,
            command=shlex.join(["mecam", *sys.argv[1:]]),
        )
    rank_zero_only(show_run)(folder)  # of several processes, one speaks


def show_run(folder: Path) -> None:
    """Print a run's tables and where its report lies."""
    import json

    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    if facts["data"]["synthetic"]:
        err.print("[yellow]Trained on the built-in synthetic corpus: not comparable with results on real data.[/]")
    for split in ("valid", "test"):
        if split in metrics:
            out.print(metrics_view(f"{facts['model']} on {facts['data']['name']}, {split}", metrics, split))
    if metrics.get("filter"):
        out.print(filter_view(metrics["filter"]))
    print_place("report", folder / "report.html")


def evaluate(
    run_: Run,
    data: Data,
    split: Annotated[str | None, typer.Option(help="Only this split. [default: valid and test]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score a trained model, all its seeds, on a store.

    Example: mecam evaluate runs/mosi --data stores/mosi --split test
    """
    from mecam.data.store import Store
    from mecam.training.evaluation import evaluate_run

    store = Store(data)
    with progress("evaluating") as callback:
        metrics, place = evaluate_run(run_, store, split=split, progress=callback)
    if as_json:
        print_json(metrics)
        return
    for name in [key for key in metrics if key not in ("constant", "filter", "calibration")]:
        out.print(metrics_view(f"{run_.name} on {store.name}, {name}", metrics, name))
    if metrics.get("filter"):
        out.print(filter_view(metrics["filter"]))
    print_place("metrics", place)


def report(run_: Run) -> None:
    """Write the report of a run again, from its files.

    Example: mecam report runs/mosi
    """
    from mecam.evaluation.report import write_report

    with progress("writing the report"):
        place = write_report(run_)
    print_place("report", place)


def _as_group(model: Any) -> dict[str, Any]:
    return {"name": model} if isinstance(model, str) else dict(model or {})
