"""A model that the command line names by its address on the hub: fetched before the command begins."""

from pathlib import Path
from typing import Annotated

import typer

from mecam.cli.console import err, one_line, progress

__all__ = ["MaxDownload", "local_model"]


def local_model(model: Path | None) -> Path | None:
    """The folder of a model: the one that is given, or where a model of the hub was fetched to; says which commit.

    Raises: MecamError if it cannot be fetched, or is refused.
    """
    from mecam.prediction.hub_models import fetch, is_hub_model

    if model is None or not is_hub_model(model):
        return model
    with progress(f"fetching {model}"):
        found = fetch(model)
    err.print(f"model: {found.address}", soft_wrap=True)
    if found.note:
        err.print(one_line(found.note), style="yellow", soft_wrap=True)
    return found.folder


def _limit(given: float | None) -> float | None:
    if given is not None:
        from mecam.prediction.hub_models import DOWNLOAD_LIMIT

        DOWNLOAD_LIMIT.set(given)
    return given


MaxDownload = Annotated[
    float | None,
    typer.Option(
        "--max-download-gb",
        metavar="GB",
        is_eager=True,
        callback=_limit,
        help="Largest model that is fetched from the hub, in GB. [default: MECAM_MAX_DOWNLOAD_GB, or 8]",
    ),
]
"""What the option is annotated with; it holds for the whole command."""
