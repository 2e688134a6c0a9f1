"""`mecam demo`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli.console import err, progress
from mecam.cli.train import finish_run, run
from mecam.errors import require

__all__ = ["demo"]

SETTINGS: dict[str, Any] = {"model": {"name": "mecam", "freeze_layers": 4}, "training": {"epochs": 6}}
"""Departures from the defaults, which keep the demonstration short."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder.")] = Path("runs/demo"),
    utterances: Annotated[int, typer.Option(min=100, help="Number of utterances in the synthetic corpus.")] = 1600,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds to train.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train again if the run folder exists.")] = False,
    video: Annotated[bool, typer.Option("--video", help="Use rendered video clips of a talking face.")] = False,
    clip: Annotated[
        Path | None, typer.Option(help="With --video: the clip to predict. [default: a rendered one]")
    ] = None,
    clips: Annotated[int, typer.Option(min=18, help="With --video: number of clips to render.")] = 48,
) -> None:
    """Try MECAM on synthetic data: generate a corpus, train, evaluate, write a report.

    Needs no data and no network. With --video, the corpus consists of rendered clips of a talking face, and a page
    shows the prediction for one clip. Such a model is only a demonstration: it does not know real faces or voices.

    Needs the extra `train`.

    Example: mecam demo

    Example: mecam demo --video --out runs/demo-video
    """
    require("torch")
    if video:
        _demo_video(out, clip, clips, seeds, overwrite=overwrite)
        return
    from mecam.data.mixture import WeightedStore
    from mecam.data.store import Store
    from mecam.runs.run import Run
    from mecam.synthetic import synthesise

    corpus = out.with_name(f"{out.name}-corpus")
    if overwrite or not (corpus / "manifest.json").exists():
        with progress("generating the built-in corpus") as callback:
            synthesise(corpus, utterances=utterances, overwrite=overwrite, progress=callback)
    if Run(out).is_finished() and not overwrite:
        err.print(f"{out} exists already; use --overwrite to train again.")
        finish_run(out)
        return
    run({**SETTINGS, "seeds": seeds}, [WeightedStore(Store(corpus))], out, overwrite=overwrite)


def _demo_video(out: Path, clip: Path | None, clips: int, seeds: int, *, overwrite: bool) -> None:
    """Render, extract, train, predict; what was made before is kept."""
    from mecam.cli import demo_video
    from mecam.data.mixture import WeightedStore
    from mecam.data.store import Store
    from mecam.runs.run import Run

    out = out.with_name("demo-video") if out == Path("runs/demo") else out
    folder, store = out.with_name(f"{out.name}-clips"), out.with_name(f"{out.name}-store")
    demo_video.prepare_clips(folder, store, clips=clips, overwrite=overwrite)
    if Run(out).is_finished() and not overwrite:
        err.print(f"{out} exists already; use --overwrite to train again.")
    else:
        run({**demo_video.SETTINGS, "seeds": seeds}, [WeightedStore(Store(store))], out, overwrite=overwrite)
    rendered = sorted(folder.glob("Raw/speaker6/*.mp4"))  # speaker 6 is the test split: nobody learned from it
    demo_video.show_clip(out, clip or rendered[0])
