"""`mecam assets`: the model files that extraction needs, and how they come here."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mecam.cli.console import err, out, print_json, print_place

__all__ = ["assets"]


def assets(
    action: Annotated[Literal["show", "fetch"], typer.Argument(help="What to do.")] = "show",
    source: Annotated[
        Path | None,
        typer.Option(
            help="Instead of the package index: a mediapipe wheel, a folder with the files, or face_landmarker.task."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to put them; MECAM_ASSETS has to name this folder later.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the model files that looking at faces needs, or fetch what is missing of them.

    They are taken out of the package mediapipe==0.10.21, through this machine's pip. What only some
    extractors need and that package lacks (face_landmarker.task, for mecam-blendshapes), you bring.

    Example: mecam assets fetch

    Example: mecam assets fetch --source face_landmarker.task
    """
    if action == "fetch":
        from mecam.features.vision.assets import fetch

        paths = fetch(source, folder, say=lambda text: err.print(text))
        print_place("face models", paths[0].parent)
        return
    from mecam.features.vision.assets import ASSETS, GIVEN, find, folders
    from mecam.report.data import asset_table

    rows = [(asset, find(asset)) for asset in (*ASSETS, *GIVEN)]
    if as_json:
        keys = ("name", "size", "sha256", "licence", "purpose")
        print_json([{key: getattr(a, key) for key in keys} | {"path": str(p) if p else None} for a, p in rows])
        return
    out.print(asset_table(rows).terminal())
    for asset, path in rows:
        if path is None and not asset.member:
            out.print(f"{asset.name} is needed by mecam-blendshapes only: {asset.remedy}", soft_wrap=True)
    print_place("looked for in", ", ".join(str(folder) for folder in folders()))
