"""`mecam demo --video`: the whole path from clips to a page, on rendered clips."""

from pathlib import Path
from typing import Any

from mecam.cli.console import err, out, print_place, progress

__all__ = ["SETTINGS", "prepare_clips", "show_clip"]

SETTINGS: dict[str, Any] = {
    "model": {"name": "mecam", "freeze_layers": 4},
    "data": {"batch_size": 4},
    "training": {"epochs": 12},
}
"""Departures from the defaults for a few dozen clips."""


def prepare_clips(folder: Path, store: Path, *, clips: int, overwrite: bool) -> None:
    """Render the clips and extract them, as far as that is not done."""
    from mecam.features.extract import extract
    from mecam.files import claimed
    from mecam.synthetic.clips.talking import render_set
    from mecam.types import RENDERED

    if (store / "manifest.json").exists() and not overwrite:
        return
    with progress("rendering talking-face clips") as callback, claimed(folder):
        voice = render_set(folder, clips=clips, progress=callback)
    err.print(f"{clips} clips rendered from one portrait; the voice is {voice}.")
    with progress("extracting voice and face") as callback:
        extract(
            [folder],
            store,
            name=RENDERED,
            overwrite=overwrite,
            remarks={"synthetic": True, "source": f"rendered by mecam from one portrait; voice: {voice}"},
            progress=callback,
        )


def show_clip(run: Path, clip: Path) -> None:
    """Predict a clip, print it and write its page beside the run's report."""
    from mecam.cli.pages import about_model
    from mecam.prediction.predictor import load
    from mecam.report.predictions import recording_view
    from mecam.report.recording import write_recording

    with progress(f"predicting {clip.name}"):
        predictor = load(run)
        recording = predictor.predict_file(clip, words=True)
        page = write_recording(run / f"{clip.stem}.html", recording, predictor.task, about_model(run, predictor))
    for note in recording.notes:
        err.print(note, style="yellow")
    out.print(recording_view(recording))
    print_place("page", page)
