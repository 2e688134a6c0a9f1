"""`mecam push`."""

import itertools
from pathlib import Path
from typing import Annotated

import typer

from mecam.cli.console import err, one_line, out, print_place, progress

__all__ = ["push"]


def push(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `mecam train`.")],
    repository: Annotated[str, typer.Argument(metavar="hf:ORG/NAME", help="Repository; it is made if there is none.")],
    private: Annotated[
        bool, typer.Option("--private/--public", help="Only its owners see the repository, or everybody.")
    ] = True,
    revision: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="Branch to push to; it is made if there is none. [default: main]"),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="Licence of the weights: apache-2.0, cc-by-nc-4.0 …")
    ] = None,
    data_licence: Annotated[
        str | None, typer.Option("--data-license", metavar="TEXT", help="Licence and terms of the training data.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="Push the ONNX export too.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be pushed, and push nothing.")] = False,
) -> None:
    """Push a trained model to the Hugging Face hub, or to the server that HF_ENDPOINT names.

    Weights (of the seed that is best on validation), ONNX export, options and a model card are pushed; no data, no
    predictions, no paths. The repository is private unless you say --public. Needs the extra `hub`, and a token
    (`hf auth login`, or HF_TOKEN).

    Example: mecam push runs/mosi hf:org/mosi --dry-run

    Example: mecam push runs/mosi hf:org/mosi --public --license cc-by-nc-4.0 --data-license "CMU-MOSI, research only"
    """
    from mecam.export.push import push as push_run

    with progress("preparing") as callback:
        step = itertools.count()
        pushed = push_run(
            run_,
            repository,
            private=private,
            revision=revision,
            message=message,
            licence=licence,
            data_licence=data_licence,
            onnx=onnx,
            dry_run=dry_run,
            progress=lambda what: callback(next(step), 0, what),
        )
    if dry_run:
        out.print(pushed.card)
    for name, size in pushed.files.items():
        out.print(f"{size:>14,}  {one_line(name)}")
    for note in pushed.notes:
        err.print(note, style="yellow", soft_wrap=True)
    for what, given in (("--license", licence), ("--data-license", data_licence)):
        if not given:
            err.print(f"{what} is not given: the card says that it is not stated", style="yellow", soft_wrap=True)
    seen = "private: only its owners see it" if pushed.private else "PUBLIC: everybody sees these files"
    out.print(f"{'would be ' if dry_run else ''}{seen}")
    print_place("nothing was pushed; it would go to" if dry_run else "pushed", pushed.address)
