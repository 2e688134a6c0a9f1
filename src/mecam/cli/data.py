"""`mecam data`: make stores, look into them, change and leave them."""

from pathlib import Path
from typing import Annotated

import typer

from mecam.cli.console import out, print_json, print_place, progress
from mecam.cli.data_tables import description_view, findings_view

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Import, inspect, split, align, join and export data.")

StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="The store to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the store if it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders; joined by id.")],
    output: Output,
    name: Annotated[str | None, typer.Option(help="The data set's name; default: from what is recognised.")] = None,
    task: Annotated[
        str | None, typer.Option(help="regression, classes or multilabel; default: from the labels.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at anything that would be repaired.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Read data of any known layout into a store.

    The layout is recognised by content: MMSA, MulT, MMIM, MISA, MAG-BERT and LMF pickles, CMU-MultimodalSDK
    .csd files, label.csv with or without CSV/NPZ features.

    Example: mecam data import label.csv audio.npz -o stores/mosi
    """
    from mecam.data.importing import import_data

    with progress("importing") as callback:
        report = import_data(paths, output, name=name, task=task, strict=strict, overwrite=overwrite, progress=callback)
    if as_json:
        print_json(report.to_json())
        return
    _show_store(output)
    if report.findings:
        rows = [("", f.kind, f.count, f.rule, tuple(map(str, f.examples))) for f in report.findings]
        out.print(findings_view(rows))
    print_place("store", output)


@app.command()
def info(store: StorePath, as_json: AsJson = False) -> None:
    """Show splits, labels, streams and lengths of a store.

    Example: mecam data info stores/mosi
    """
    from mecam.data.describe import describe
    from mecam.data.store import Store

    description = describe(Store(store))
    if as_json:
        print_json(description.to_json())
    else:
        out.print(description_view(description))


def _show_store(path: Path) -> None:
    from mecam.data.describe import describe
    from mecam.data.store import Store

    out.print(description_view(describe(Store(path))))
