"""`mecam report`: the report of a run once more, and its figures for a paper."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mecam.cli.console import print_place, progress

__all__ = ["report", "write_missing_reports"]


def report(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `mecam train`.")],
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="RUN", help="Compare with another run on the same utterances; repeatable."),
    ] = None,
    tsne: Annotated[bool, typer.Option("--tsne", help="Draw the embeddings with t-SNE instead of PCA.")] = False,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write each figure to a file in this folder.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="File format of the figures: svg, pdf or png.")] = "svg",
    width: Annotated[float, typer.Option(min=1, max=20, help="Width of the figures in inches.")] = 3.4,
) -> None:
    """Write the report of a run again, with --figures also its figures for a paper.

    Example: mecam report runs/mosi --against runs/text

    Example: mecam report runs/mosi --figures paper/figures --format pdf
    """
    from mecam.report.run_report import rewrite_report

    with progress("writing the report") as callback:
        page, drawn = rewrite_report(
            run_, against=against or (), tsne=tsne, figures=figures, format=format_, width=width, progress=callback
        )
    if figures is not None:
        print_place(f"{len(drawn)} figures", figures)
    print_place("report", page)


def write_missing_reports(runs: Iterable[Path]) -> None:
    """Write the report of every run that has none, or was finished again since."""
    from mecam.report.run_page import write_missing_report
    from mecam.runs.run import RunFolder

    for run_ in runs:
        if not RunFolder(run_).has_report:
            with progress("writing the report"):
                write_missing_report(run_)
