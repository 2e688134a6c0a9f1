"""The option by which a user lets a checkpoint name encoders that it does not hold."""

from typing import Annotated

import typer

__all__ = ["AllowEncoder"]


def _allow(given: bool) -> bool:
    if given:
        from mecam.models.checkpoint import ALLOW_ENCODER

        ALLOW_ENCODER.set(True)
    return given


AllowEncoder = Annotated[
    bool,
    typer.Option(
        "--allow-encoder",
        is_eager=True,  # a model of the hub is checked while the command line is read
        callback=_allow,
        help="Allow a checkpoint to download its text encoder, or to load it from another folder.",
    ),
]
"""What the option is annotated with; it holds for the whole command."""
