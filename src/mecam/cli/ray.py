"""The option of commands that may use a cluster."""

from typing import Annotated

import typer

__all__ = ["RayAddress"]

RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread the work over a Ray cluster: local (this machine), auto (the one that runs here) or HOST:PORT; "
        "needs the extra `ray`.",
    ),
]
