"""`mecam assets`: the model files that extraction needs."""

from typing import Annotated

import typer

from mecam.cli.console import out, print_json

__all__ = ["assets"]


def assets(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the model files for face analysis; they are part of mecam.

    Example: mecam assets
    """
    from mecam.features.vision.model_files import BUILT_IN, find
    from mecam.report.data import asset_table

    rows = [(asset, find(asset)) for asset in BUILT_IN]
    if as_json:
        keys = ("name", "size", "sha256", "licence", "purpose")
        print_json([{key: getattr(a, key) for key in keys} | {"path": str(p) if p else None} for a, p in rows])
        return
    out.print(asset_table(rows).terminal())
