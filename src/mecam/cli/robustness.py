"""`mecam robustness`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.evaluation.robustness import Findings
    from mecam.report.robustness.tables import Table as Shown

__all__ = ["robustness"]

WIDEST = 12
"""Columns of a table that a terminal can show; the page holds all."""


def robustness(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders made by `mecam train`.")],
    protocol: Annotated[
        str, typer.Option(help="random-missing, missing-modality, corruptions or raw.")
    ] = "random-missing",
    split: Annotated[str, typer.Option(help="Of the store.")] = "test",
    seeds: Annotated[int, typer.Option(min=1, help="Masks drawn of every condition that is random.")] = 3,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="STORE", help="[default: the store that the runs learned from]")
    ] = None,
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For the results. [default: RUN/robustness, for one run]"),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="PATTERNS", help="Only these conditions, as in text.*,*.noise.*")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="For the protocol raw: what the store was extracted from; repeatable."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The label table that it was extracted with.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes that extract.")] = None,
    allow_encoder: AllowEncoder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure runs under negative information: every seed, the same masks for all, with intervals and tests.

    What was measured already is not measured again: an interrupted call goes on where it stopped, and a further run or
    seed costs only its own. Results go to DIR/PROTOCOL, one page among them.

    Example: mecam robustness runs/mosi --protocol random-missing

    Example: mecam robustness runs/mosi runs/text --protocol corruptions --seeds 3 --out robustness/mosi

    Example: mecam robustness runs/mine --protocol raw --recordings videos --only audio.babble.*
    """
    import torch

    from mecam.data.store import Store
    from mecam.evaluation.robustness import assess
    from mecam.report.robustness.files import write_findings

    if out_ is None and len(runs) > 1:
        raise ConfigError("several runs need a place for their results", where="--out", fix="add --out DIR")
    place = runs[0] / "robustness" if out_ is None else out_
    patterns = [pattern.strip() for pattern in (only or "").split(",") if pattern.strip()]
    with progress(f"{protocol} on {len(runs)} run{'s' if len(runs) > 1 else ''}") as callback:
        findings = assess(
            runs,
            protocol,
            place,
            store=None if data is None else Store(data),
            split=split,
            seeds=seeds,
            only=patterns,
            recordings=recordings or (),
            labels=labels,
            processes=jobs,
            device="cuda" if torch.cuda.is_available() else "cpu",
            progress=callback,
        )
    places = write_findings(findings, place / protocol)
    if as_json:
        print_json(findings.to_json())
        return
    _print(findings)
    print_place("robustness", places[-1])


def _print(findings: "Findings") -> None:
    """The summaries, and one run under every condition; the files hold the rest."""
    from mecam.report.robustness.tables import tables, tests_table

    shown = [table for table in tables(findings) if len(findings.runs) == 1 or " under every " not in table.title]
    tested = tests_table(findings)
    for table in shown:
        if tested is not None and table.title == tested.title:
            continue
        if len(table.head) > WIDEST:
            err.print(f"{table.title}: too wide for a terminal, see the page")
        else:
            out.print(_view(table))
    for note in findings.notes:
        err.print(note, style="yellow")


def _view(shown: "Shown") -> Table:
    table = Table(title=shown.title, title_justify="left", caption=shown.note, caption_justify="left")
    table.add_column(shown.head[0])
    for name in shown.head[1:]:
        table.add_column(name, justify="right")
    for name, cells in shown.rows:
        table.add_row(Text(name), *_texts(cells))
    return table


def _texts(cells: "Sequence[object]") -> list[Text]:
    from mecam.report.robustness.tables import Cell

    found = []
    for cell in cells:
        assert isinstance(cell, Cell)
        text = Text(cell.text, style="bold green" if cell.best else "")
        found.append(text.append(f"\n{cell.under}", style="dim not bold") if cell.under else text)
    return found
