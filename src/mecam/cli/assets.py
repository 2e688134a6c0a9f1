"""`mecam assets`: the model files that extraction needs, and the one that the user brings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mecam.cli.console import err, out, print_json, print_place

__all__ = ["assets"]


def assets(
    action: Annotated[Literal["show", "fetch"], typer.Argument(help="Show the files, or fetch one.")] = "show",
    source: Annotated[
        Path | None, typer.Option(help="With fetch: face_landmarker.task, or the folder that contains it.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Target folder; set MECAM_ASSETS to it afterwards.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the model files for face analysis, or install face_landmarker.task.

    Three face models are part of mecam. Only the extractor mecam-blendshapes needs another one: MediaPipe's
    face_landmarker.task, which you download yourself.

    Example: mecam assets

    Example: mecam assets fetch --source face_landmarker.task
    """
    from mecam.features.vision.model_files import BUILT_IN, GIVEN, LANDMARKER, find, folders, put
    from mecam.report.data import asset_table

    if action == "fetch":
        if source is None:
            err.print("nothing to fetch: the face models are part of mecam; see `mecam assets`")
            return
        print_place(LANDMARKER.purpose, put(source, folder))
        return
    rows = [(asset, find(asset)) for asset in (*BUILT_IN, *GIVEN)]
    if as_json:
        keys = ("name", "size", "sha256", "licence", "purpose")
        print_json([{key: getattr(a, key) for key in keys} | {"path": str(p) if p else None} for a, p in rows])
        return
    out.print(asset_table(rows).terminal())
    for asset, path in rows:
        if path is None:
            out.print(f"{asset.name} is needed by mecam-blendshapes only: {asset.remedy}", soft_wrap=True)
    print_place("searched folders", ", ".join(str(folder) for folder in folders()))
