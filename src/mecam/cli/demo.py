"""`mecam demo`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli.console import err, progress
from mecam.cli.train import run, show_run

__all__ = ["demo"]

SETTINGS: dict[str, Any] = {"model": {"name": "mecam", "freeze_layers": 4}}
"""Departures from the defaults, which keep the demonstration short."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder.")] = Path("runs/demo"),
    utterances: Annotated[int, typer.Option(min=100, help="Size of the built-in corpus.")] = 1600,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to train.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if it was made before.")] = False,
) -> None:
    """Show the whole road on the built-in synthetic corpus: make it, train MECAM, evaluate, write the report.

    Needs no data and no network.

    Example: mecam demo
    """
    from mecam.data.synth import synthesise

    corpus = out.with_name(f"{out.name}-corpus")
    if overwrite or not (corpus / "manifest.json").exists():
        with progress("generating the built-in corpus") as callback:
            synthesise(corpus, utterances=utterances, overwrite=overwrite, progress=callback)
    if (out / "report.html").exists() and not overwrite:
        err.print(f"{out} was made before; --overwrite makes it again.")
        show_run(out)
        return
    run({**SETTINGS, "seeds": seeds}, corpus, out, overwrite=overwrite)
