"""`mecam report`: the report of a run once more, and its figures for a paper."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli.console import print_place, progress
from mecam.errors import ConfigError

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
    from mecam.files import claimed
    from mecam.report.export import FORMATS, write_figures
    from mecam.report.run_page import run_sections, write_sections

    if format_ not in FORMATS:
        raise ConfigError(f"unknown format {format_!r}", where="--format", fix=f"choose one of {', '.join(FORMATS)}")
    comparison = _comparison([run_, *against]) if against else None
    with progress("writing the report"), claimed(run_):
        sections = run_sections(run_, comparison=comparison, projection="tsne" if tsne else "pca")
        place = write_sections(run_, sections)
    if figures is not None:
        with progress("drawing the figures") as callback, claimed(figures):
            drawn = write_figures(sections, figures, format_, width=width, progress=callback)  # type: ignore[arg-type]
        print_place(f"{len(drawn)} figures", figures)
    print_place("report", place)


def write_missing_reports(runs: Iterable[Path]) -> None:
    """Write the report of every run that has none, or was finished again since."""
    from mecam.files import claimed
    from mecam.report.run_page import write_report
    from mecam.runs.run import Run

    for run_ in runs:
        if not Run(run_).has_report:
            with progress("writing the report"), claimed(run_):
                write_report(run_)


def _comparison(runs: list[Path]) -> dict[str, Any]:
    """The first run and the others, each tested against the first."""
    from mecam.evaluation.comparison import compare, read_run_results

    with progress("comparing") as callback:
        task, split, run_results = read_run_results(runs)
        comparison = compare(run_results, task, split, baseline=run_results[0].name, progress=callback)
    return comparison.to_json()
