"""`mecam demo`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli import console
from mecam.cli.console import err, print_place, progress
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
    """Try mecam: the built-in model on a clip, then MECAM trained on synthetic data, with a report.

    Needs no data and no network. First the built-in model reads a rendered clip that comes with mecam. Then a corpus
    is generated and MECAM is trained and evaluated on it, which needs the extra `train`. With --video, the corpus
    consists of rendered clips of a talking face, and a page shows the prediction for one clip. Such a trained model is
    only a demonstration: it does not know real faces or voices.

    Example: mecam demo

    Example: mecam demo --video --out runs/demo-video
    """
    _show_built_in(out.with_name(f"{out.name}-clip.html"))
    require("torch")
    if video:
        _demo_video(out, clip, clips, seeds, overwrite=overwrite)
        return
    from mecam.data.mixture import WeightedStore
    from mecam.data.store import Store
    from mecam.runs.run import RunFolder
    from mecam.synthetic import synthesise

    corpus = out.with_name(f"{out.name}-corpus")
    if overwrite or not (corpus / "manifest.json").exists():
        with progress("generating the built-in corpus") as callback:
            synthesise(corpus, utterances=utterances, overwrite=overwrite, progress=callback)
    if RunFolder(out).is_finished() and not overwrite:
        err.print(f"{out} exists already; use --overwrite to train again.")
        finish_run(out)
        return
    run({**SETTINGS, "seeds": seeds}, [WeightedStore(Store(corpus))], out, overwrite=overwrite)


def _show_built_in(page: Path) -> None:
    """Predict the clip that comes with mecam with the built-in model, print the result and write its page."""
    from mecam.cli.pages import about_model
    from mecam.prediction.predictor import load
    from mecam.pretrained.cards import DEMO_CLIP
    from mecam.report.predictions import recording_view
    from mecam.report.recording import write_recording

    with progress("predicting a rendered clip with the built-in model"):
        predictor = load()
        recording = predictor.predict_file(DEMO_CLIP, words=True, every=1.0)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_recording(page, recording, predictor.task, about_model(None, predictor))
    console.out.print(recording_view(replace(recording, moments=())))
    print_place("page", page)


def _demo_video(out: Path, clip: Path | None, clips: int, seeds: int, *, overwrite: bool) -> None:
    """Render, extract, train, predict; what was made before is kept."""
    from mecam.cli import demo_video
    from mecam.data.mixture import WeightedStore
    from mecam.data.store import Store
    from mecam.runs.run import RunFolder

    out = out.with_name("demo-video") if out == Path("runs/demo") else out
    folder, store = out.with_name(f"{out.name}-clips"), out.with_name(f"{out.name}-store")
    demo_video.prepare_clips(folder, store, clips=clips, overwrite=overwrite)
    if RunFolder(out).is_finished() and not overwrite:
        err.print(f"{out} exists already; use --overwrite to train again.")
    else:
        run({**demo_video.SETTINGS, "seeds": seeds}, [WeightedStore(Store(store))], out, overwrite=overwrite)
    rendered = sorted(folder.glob("Raw/speaker6/*.mp4"))  # speaker 6 is the test split: nobody learned from it
    demo_video.show_clip(out, clip or rendered[0])
