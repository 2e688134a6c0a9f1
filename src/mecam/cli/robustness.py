"""`mecam robustness`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, out, print_json, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.evaluation.robustness import RobustnessFindings

__all__ = ["robustness"]


def robustness(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of `mecam train`.")],
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="One or more of random-missing, random-missing-noise, imbalanced, blocks, missing-modality, "
            "corruptions, raw, permutation.",
        ),
    ] = "random-missing",
    split: Annotated[str, typer.Option(help="Split of the store.")] = "test",
    seeds: Annotated[int, typer.Option(min=1, help="Number of random draws per condition.")] = 3,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="STORE", help="Store to measure on. [default: the store of the runs]"),
    ] = None,
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the results. [default for one run: RUN/robustness]"),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="PATTERNS", help="Only these conditions, as in text.*,*.noise.*")
    ] = None,
    corrupted: Annotated[
        str | None,
        typer.Option(metavar="PATTERNS", help="Protocol permutation: corrupt the data too, as in audio.burst.3"),
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Protocol raw: the recordings of the store; repeatable."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Protocol raw: the label table of the store.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Protocol raw: number of processes.")] = None,
    allow_encoder: AllowEncoder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure how much missing, corrupted or noisy input harms trained runs, with intervals and tests.

    All seeds of all runs see the same corruption. Earlier measurements are reused, so an interrupted command continues,
    and a new run or seed is added at its own cost only. Results and a page go to DIR/PROTOCOL; of several protocols and
    runs, the mean rank over all of them to DIR/mean_rank.md.

    Example: mecam robustness runs/mosi runs/text --protocol corruptions --seeds 3 --out robustness/mosi

    Example: mecam robustness runs/a runs/b --protocol random-missing,blocks,corruptions --out robustness/all

    Example: mecam robustness runs/mosi --protocol permutation --corrupted audio.burst.3

    Example: mecam robustness runs/mine --protocol raw --recordings videos --only audio.babble.*
    """
    import torch

    from mecam.data.store import Store
    from mecam.evaluation.robustness import assess_all
    from mecam.report.robustness_page import write_findings
    from mecam.report.robustness_ranks import joint_ranks_table, write_joint_ranks

    if out_ is None and len(runs) > 1:
        raise ConfigError("several runs need a place for their results", where="--out", fix="add --out DIR")
    place = runs[0] / "robustness" if out_ is None else out_
    with progress(f"{protocol} on {len(runs)} run{'s' if len(runs) > 1 else ''}") as callback:
        findings = assess_all(
            runs,
            _listed(protocol),
            place,
            store=None if data is None else Store(data),
            split=split,
            seeds=seeds,
            only=_listed(only),
            corrupted=_listed(corrupted),
            recordings=recordings or (),
            labels=labels,
            processes=jobs,
            device="cuda" if torch.cuda.is_available() else "cpu",
            progress=callback,
        )
    places = [write_findings(each, place / each.plan.protocol)[-1] for each in findings]
    together = len(findings) > 1 and len(runs) > 1
    if together:
        places.append(write_joint_ranks(findings, place)[0])
    if as_json:
        print_json(
            findings[0].to_json() if len(findings) == 1 else {each.plan.protocol: each.to_json() for each in findings}
        )
        return
    for each in findings:
        _print(each)
    if together:
        out.print(joint_ranks_table(findings).terminal())
    for written in places:
        print_place("robustness", written)


def _listed(patterns: str | None) -> list[str]:
    return [pattern.strip() for pattern in (patterns or "").split(",") if pattern.strip()]


def _print(findings: "RobustnessFindings") -> None:
    """The summaries, and one run under every condition; the files hold the rest."""
    from mecam.report.robustness import terminal_tables

    for table in terminal_tables(findings):
        out.print(table.terminal())
    for note in findings.notes:
        err.print(note, style="yellow")
