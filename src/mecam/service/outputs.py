"""What comes out of a job: files of one answer, each of a kind that a client may ask for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mecam.escaping import json_text
from mecam.files import write_whole
from mecam.prediction.formats import WRITERS

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.result import RecordingPrediction

__all__ = ["OUTPUTS", "Output", "file_of", "write_outputs"]

Make = Callable[["RecordingPrediction", "Predictor", Path], object]
"""Writes a file: an answer, the model that gave it, where it goes."""


@dataclass(frozen=True)
class Output:
    """A kind of file.

    Attributes:
        ending: of its name.
        type: of its content.
        make: writes it.
        asked: it is made only for a client that asks for the page.
        saved: a browser saves it and never shows it: it may hold scripts.
    """

    ending: str
    type: str
    make: Make
    asked: bool = False
    saved: bool = True


def _answer(recording: "RecordingPrediction", predictor: "Predictor", place: Path) -> None:
    """The answer as `RecordingPrediction.to_json` gives it."""
    write_whole(place, json_text(recording.to_json()))


def _written(recording: "RecordingPrediction", predictor: "Predictor", place: Path) -> None:
    """The file that `mecam predict -o` writes; the recording's place on this machine is nobody's business."""
    recording = replace(recording, path=Path("/", recording.name))
    content = WRITERS[place.suffix]([recording])
    assert isinstance(content, str)
    write_whole(place, content)


def _page(recording: "RecordingPrediction", predictor: "Predictor", place: Path) -> None:
    """The page that `mecam predict --html` writes."""
    from mecam.report.recording import write_recording

    write_recording(place, recording, predictor.task, predictor.about, sent=True)


def _fragment(recording: "RecordingPrediction", predictor: "Predictor", place: Path) -> None:
    """The sections of that page, for the page of the service."""
    from mecam.report.recording import recording_fragment

    write_whole(place, recording_fragment(recording, predictor.task, predictor.about))


def _tracks(recording: "RecordingPrediction", predictor: "Predictor", place: Path) -> None:
    """Where the faces are."""
    from mecam.prediction.tracks import tracks_of

    write_whole(place, json_text(tracks_of(recording)))


OUTPUTS: Mapping[str, Output] = {
    "json": Output(".json", "application/json", _answer),
    "jsonl": Output(".jsonl", "application/jsonl", _written),
    "csv": Output(".csv", "text/csv; charset=utf-8", _written),
    "vtt": Output(".vtt", "text/vtt; charset=utf-8", _written),
    "eaf": Output(".eaf", "application/xml", _written),
    "html": Output(".html", "text/html; charset=utf-8", _page, asked=True),
    "fragment": Output(".fragment.html", "text/html; charset=utf-8", _fragment, asked=True),
    "tracks": Output(".tracks.json", "application/json", _tracks, asked=True),
}
"""Kind → what it is."""


def file_of(kind: str) -> str:
    """The name of an output in the folder of its job."""
    return f"{kind}{OUTPUTS[kind].ending}"


def write_outputs(
    recording: "RecordingPrediction", predictor: "Predictor", folder: Path, *, page: bool, moments: bool = True
) -> list[str]:
    """Write all outputs of a recording; return their kinds.

    Args:
        recording: the answer.
        predictor: that gave it.
        folder: of the job.
        page: also what only a page needs.
        moments: were asked for; otherwise only a page tells them.

    Raises: DataError if one cannot be written.
    """
    kinds = [kind for kind, output in OUTPUTS.items() if page or not output.asked]
    told = recording if moments else replace(recording, moments=())
    for kind in kinds:
        output = OUTPUTS[kind]
        output.make(recording if output.asked else told, predictor, folder / file_of(kind))
    return kinds
