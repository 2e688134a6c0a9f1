"""Mean ranks of runs over corruptions, of one protocol or of several together, as tables and files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mecam.evaluation.robustness.findings import ALL, MeanRank, RobustnessFindings, joint_ranks
from mecam.evaluation.robustness.protocols import GRADED
from mecam.report.format import named, plain
from mecam.report.table import Cell, Table, latex_tables, markdown_page, write_files

__all__ = ["joint_ranks_table", "ranks_table", "write_joint_ranks"]

INTERVAL = "with its 95 % interval over other recordings (or speakers), seeds and masks."


def ranks_table(findings: RobustnessFindings) -> Table:
    """A row per run, the first in front; columns: all corruptions, those of each modality."""
    where = "In every corruption" if findings.plan.protocol in GRADED else "Under every condition"
    mean = ", mean over its severities" if findings.plan.protocol in GRADED else ""
    note = (
        f"{where} the runs are ranked by {named(findings.leading[0])}{mean}; the mean of these ranks (1 is best), "
        f"{INTERVAL}"
    )
    return _table(findings.ranks, "Mean rank over the corruptions", note)


def joint_ranks_table(findings: Sequence[RobustnessFindings]) -> Table:
    """A row per run, the first in front; columns: all corruptions of several protocols, those of each protocol."""
    note = (
        f"The runs are ranked by {named(findings[0].leading[0])} under every condition, of kinds of corruption by the "
        f"mean over their severities; the mean of these ranks (1 is best), {INTERVAL}"
    )
    return _table(joint_ranks(findings), "Mean rank over all protocols", note)


def write_joint_ranks(findings: Sequence[RobustnessFindings], folder: Path) -> list[Path]:
    """Write `mean_rank.md`, `.tex` and `.json` into `folder`, each whole or not at all.

    Returns: their paths.
    Raises: DataError if the folder cannot be written to.
    """
    table = joint_ranks_table(findings)
    notes = list(dict.fromkeys(note for each in findings for note in each.notes))
    first = findings[0]
    values = {
        "protocols": [each.plan.protocol for each in findings],
        "data": {"name": first.data, "synthetic": first.synthetic, **first.identity},
        "metric": first.leading[0].name,
        "resampled": asdict(first.resampled),
        "mask_seeds": list(first.seeds),
        "runs": {run.name: {"model": run.model, "run": run.folder, "seeds": list(run.seeds)} for run in first.runs},
        "ranks": {
            group: {name: asdict(rank) for name, rank in ranks.items()}
            for group, ranks in joint_ranks(findings).items()
        },
        "notes": notes,
    }
    return write_files(
        folder,
        {
            "mean_rank.md": markdown_page(f"Mean rank on {first.data}, {first.split}", [table], notes),
            "mean_rank.tex": latex_tables([table]),
            "mean_rank.json": json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        },
    )


def _table(ranks: Mapping[str, Mapping[str, MeanRank]], title: str, note: str) -> Table:
    order = sorted(ranks[ALL], key=lambda name: ranks[ALL][name].mean)
    best = {group: min(rank.mean for rank in found.values()) for group, found in ranks.items()}
    rows: list[list[Cell | str]] = []
    for name in order:
        places = {group: found[name] for group, found in ranks.items()}
        cells = [
            Cell(
                plain(place.mean, 1),
                "" if place.ci95 is None else f"{plain(place.ci95[0], 1)} to {plain(place.ci95[1], 1)}",
                "best" if place.mean == best[group] else "",
                place.mean,
            )
            for group, place in places.items()
        ]
        rows.append([name, *cells])
    return Table(("run", *ranks), rows, title, note, sortable=True)
