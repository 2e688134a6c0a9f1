"""Pages of recordings that commands write: where they go, and what they say about the model."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.errors import ConfigError
from mecam.files import writing

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.result import RecordingPrediction
    from mecam.task import Task

__all__ = ["Copy", "Pages", "Preview", "about_model"]


class Copy(str, Enum):
    """When a page gets a copy of its recording."""

    auto = "auto"
    never = "never"
    always = "always"


Preview = Annotated[
    Copy,
    typer.Option(help="Add a small copy of the recording to the page. auto: if browsers cannot play the original."),
]


def about_model(run: Path | None, predictor: "Predictor") -> dict[str, Any]:
    """What a page says about the model that it is made with; the built-in one is of no run."""
    return {**({} if run is None else {"run": run.resolve().name}), **predictor.about}


class Pages:
    """Where pages go: one file, or a folder with the layout of the recordings and an index.

    Args:
        place: that was asked for.
        several: recordings, or a folder of them, were given.

    Raises: ConfigError if there is no place, or several recordings are to go into one page.
    """

    def __init__(self, place: Path, *, several: bool) -> None:
        if not str(place).strip():
            raise ConfigError("the place of the page is empty", where="--html")
        self.place = place
        named = place.suffix.lower() in (".html", ".htm") and not place.is_dir()
        if several and named:
            raise ConfigError(
                "several recordings take a folder of pages, and this names one page",
                where=f"--html {place}",
                fix="name a folder",
            )
        self._folder = several or place.is_dir()

    def write(
        self, recordings: Sequence["RecordingPrediction"], task: "Task", about: dict[str, Any], preview: Copy
    ) -> list[Path]:
        """Write a page per recording, and of several an index; return the pages."""
        from mecam.report.predictions import page_names, write_index
        from mecam.report.recording import write_recording

        if not self._folder:
            return [write_recording(self.place, recordings[0], task, about, preview=preview.value)]
        pages = []
        names = page_names([each.name for each in recordings])
        for each, name in zip(recordings, names, strict=True):
            page = self.place / name
            with writing(page):
                page.parent.mkdir(parents=True, exist_ok=True)
            pages.append(write_recording(page, each, task, about, preview=preview.value))
        write_index(self.place / "index.html", recordings, names, about)
        return pages
