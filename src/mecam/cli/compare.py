"""`mecam compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.many import shared_options, train_many, variants_of
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.evaluation.comparison.compare_folders import NamedRuns

__all__ = ["Split", "compare", "show_comparison"]

Split = Annotated[str | None, typer.Option(help="Split to compare on. [default: test, or valid if there is no test]")]
Old = typer.Option(hidden=True)
"""Deprecated options: the command used to train; accepted for one release."""


def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=]RUN...", help="Run folders, or folders of run folders.")
    ] = None,
    out_: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the comparison page and tables.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="NAME", help="Also test every run against this one.")] = None,
    on: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Compare on this labelled store. [default: the store of the runs]"),
    ] = None,
    split: Split = None,
    allow_encoder: AllowEncoder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    data: Annotated[Path | None, Old] = None,
    models: Annotated[str | None, Old] = None,
    tuned: Annotated[Path | None, Old] = None,
    seeds: Annotated[int | None, Old] = None,
    jobs: Annotated[int, Old] = 1,
    memory: Annotated[float | None, Old] = None,
    config: Annotated[Path | None, Old] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", hidden=True)] = None,
    overwrite: Annotated[bool, Old] = False,
) -> None:
    """Compare finished runs: metrics with confidence intervals, and paired tests with Holm's correction.

    Give run folders, optionally as NAME=FOLDER, or a folder that contains run folders.

    Example: mecam compare MECAM=runs/mosi text=runs/mosi-text --out comparisons/mosi

    Example: mecam compare runs/mosi-models --baseline text_only --on stores/mosei --split valid
    """
    given = list(runs or [])
    if data is not None:
        if out_ is None:
            raise ConfigError("there is no folder for the trained runs", where="--out", fix="add --out DIR")
        wanted = " ".join([*([f"--models {models}"] if models else []), *([f"--tuned {tuned}"] if tuned else [])])
        err.print(
            "Training with `mecam compare` is deprecated and ends with the next release. Use two commands:\n"
            f"  mecam train --data {data} {wanted} --out {out_ / 'runs'}\n"
            f"  mecam compare {out_ / 'runs'} --out {out_}",
            style="yellow",
        )
        options = shared_options(config, set_, seeds)
        rows, place = variants_of(models, tuned), out_ / "runs"
        train_many(rows, options, data, place, jobs=jobs, memory=memory, ray=None, overwrite=overwrite)
        given.append(str(out_ / "runs"))
    elif any(option is not None for option in (models, tuned, seeds, memory, config, set_)) or overwrite:
        raise ConfigError("`mecam compare` reads finished runs", fix="train them first: mecam train --models a,b")
    from mecam.evaluation.comparison.compare_folders import find_runs

    found = find_runs([_named(text) for text in given])
    show_comparison(found, on=on, split=split, baseline=baseline, place=out_, as_json=as_json)


def show_comparison(
    runs: "NamedRuns",
    *,
    on: Path | None = None,
    split: str | None,
    baseline: str | None,
    place: Path | None,
    as_json: bool,
) -> None:
    """Compare finished runs, print the tables, write the files."""
    from mecam.evaluation.comparison.compare_folders import compare_folders
    from mecam.report.comparison import agreement, terminal_tables
    from mecam.report.comparison_page import write_comparison

    with progress("comparing") as callback:
        comparison = compare_folders(runs, on=on, split=split, baseline=baseline, progress=callback)
    places = write_comparison(comparison, place) if place is not None else []
    if as_json:
        print_json(comparison.to_json())
        return
    for table in terminal_tables(comparison):
        out.print(table.terminal())
    if sentence := agreement(comparison.overlap):
        out.print(sentence)
    for note in comparison.notes:
        err.print(note, style="yellow")
    for name, reason in comparison.missing.items():
        err.print(f"{name} is missing from the table: {reason}", style="yellow")
    if places:
        print_place("comparison", places[-1])
    else:
        err.print("Add --out DIR to write all metrics as a page with figures, LaTeX and CSV.")


def _named(text: str) -> tuple[Path, str]:
    """`text=runs/a` as folder and name; a folder may have an equals sign in its name."""
    name, separator, place = text.partition("=")
    return (Path(place), name) if separator and not Path(text).exists() else (Path(text), "")
