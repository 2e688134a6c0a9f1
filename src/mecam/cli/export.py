"""`mecam export`."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import err, out, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.errors import ConfigError, MecamError

if TYPE_CHECKING:
    from mecam.data.store import Store

__all__ = ["export"]


def export(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `mecam train`, or a checkpoint folder.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write. [default: RUN/onnx or RUN/onnx-int8]"),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Store the text encoder's matrices as 8-bit integers: smaller and faster.")
    ] = False,
    max_loss: Annotated[
        float,
        typer.Option(
            min=0,
            help="Largest loss by --int8 on the validation split that is accepted: 0.01 is one percentage point of the "
            "leading metric, or an error that is larger by 0.01 on a scale from -3 to 3.",
        ),
    ] = 0.01,
    data: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Store to check the export on. [default: the store of the run]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    allow_encoder: AllowEncoder = False,
) -> None:
    """Write a trained model for use without PyTorch.

    mecam predict and mecam explain use the folder like a run folder: mecam predict clip.mp4 --model DIR. Its answers
    are compared with PyTorch's on the validation split before it is written.

    Example: mecam export runs/mosi

    Example: mecam export runs/mosi --int8 -o mosi-int8
    """
    from mecam.export.export import export_model
    from mecam.files import claimed
    from mecam.models.trained import load_checkpoint
    from mecam.report.export_card import card_table

    place = output or run_ / ("onnx-int8" if int8 else "onnx")
    if place.exists() and not overwrite:
        raise ConfigError("this folder exists", where=f"--output {place}", fix="choose another, or add --overwrite")
    with progress(f"loading {run_}"):
        trained = load_checkpoint(run_)
        store = _store(run_, data, required=int8)
    with progress("exporting") as callback, claimed(place):
        step = itertools.count()

        def tell(what: str) -> None:
            callback(next(step), 4 if int8 else 2, what)

        card: Any = export_model(trained, place, store, int8=int8, max_loss=max_loss, progress=tell)
    out.print(card_table(card).terminal())
    print_place("exported model", place)


def _store(run_: Path, data: Path | None, *, required: bool) -> "Store | None":
    """The store to check on; where that of the run is not found, none.

    Raises: MecamError if it is given or required and cannot be read.
    """
    from mecam.runs.run import RunFolder

    try:
        return RunFolder(run_).store(data)
    except MecamError as error:
        if data is not None or required:
            raise
        err.print(f"{error.what}: the export is checked on made-up utterances", style="yellow")
        return None
