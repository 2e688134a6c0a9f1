"""Several runs by one command, each in a folder of its own: what `train --models` and `ablate` share."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import err, progress
from mecam.cli.report import write_missing_reports
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.experiments.variants import Variant

__all__ = ["Jobs", "Memory", "TrainedRuns", "shared_options", "train_many", "variants_of"]

Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of runs at the same time; they share the cores. [default: 1; with --ray as many as have room]",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory", metavar="GB", min=0.1, help="Stop a run that needs more memory, and continue with the others."
    ),
]


@dataclass(frozen=True)
class TrainedRuns:
    """The runs that a command trained.

    Attributes:
        folders: name → run folder, of those that succeeded.
        failed: name → why it failed.
        notes: name → how it differs from the others.
    """

    folders: Mapping[str, Path]
    failed: Mapping[str, str]
    notes: Mapping[str, str]


def train_many(
    variants: "Sequence[Variant]",
    shared: Mapping[str, Any],
    data: Path,
    place: Path,
    *,
    jobs: int | None,
    memory: float | None,
    ray: str | None,
    overwrite: bool,
) -> TrainedRuns:
    """Train the variants that are not finished, each into a folder of its name; a failure does not stop the others.

    Raises: ConfigError if no run is possible, or all fail.
    """
    from mecam.data.store import Store
    from mecam.experiments.grid import train_grid
    from mecam.experiments.variants import members_of
    from mecam.runs.failed_runs import write_failed

    members, failed = members_of(variants, shared)
    if not members:
        raise ConfigError("no run is possible on this data: " + "; ".join(failed.values()))
    with progress(f"training {len(members)} runs") as callback:
        outcome = train_grid(
            members,
            Store(data),
            place,
            jobs=jobs,
            memory_gb=memory,
            ray=ray,
            overwrite=overwrite,
            command=shlex.join(["mecam", *sys.argv[1:]]),
            progress=callback,
        )
    write_missing_reports(outcome.folders.values())
    failed = {name: " ".join(reason.split()) for name, reason in (failed | outcome.failed).items()}
    if not outcome.folders:
        raise ConfigError("all runs failed", where=str(place), fix="\n".join(failed.values()))
    write_failed(place, failed)
    for name, reason in failed.items():
        err.print(f"{name} was not trained: {reason}", style="yellow")
    return TrainedRuns(outcome.folders, failed, {member.name: member.note for member in members if member.note})


def variants_of(models: str | None, tuned: Path | None) -> "list[Variant]":
    """The named models, with the options that a search found, if there was one."""
    from mecam.experiments.variants import model_variants, tuned_variants

    wanted = None if models is None else models.split(",")
    return model_variants(wanted or []) if tuned is None else tuned_variants(tuned, wanted)


def shared_options(config: Path | None, set_: Sequence[str] | None, seeds: int | None) -> dict[str, Any]:
    """The options that all runs have in common."""
    from mecam.runs.config import run_values

    values = run_values(config, set_ or [], seeds=seeds)
    if isinstance(values.get("model"), str):
        values.pop("model")  # each run says which model it is
    return values
