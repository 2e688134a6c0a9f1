"""What runs in a process of `mecam.service.readers`: recordings and live sessions, with one model that stays loaded."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.errors import DataError, MecamError, MediaError
from mecam.files import no_room
from mecam.pipes import PipeEnd
from mecam.service.problems import problem_of
from mecam.service.settings import Settings

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.result import RecordingPrediction

__all__ = ["open_model", "serve_readings"]

NICE = 10
"""How much a process that reads a recording gives way to others; of 19."""
REPORT_S = 0.25
"""Seconds between two reports of how far it is."""
STAGES: Mapping[str, float] = {"words": 0.3, "voice": 0.1, "faces": 0.55}
"""Stage → its part of the work."""


def open_model(settings: Settings) -> "Predictor":
    """The model that the service answers with.

    Raises: ModelError if it cannot be used.
    """
    from mecam.prediction.predictor import load

    return load(settings.model, tier=settings.tier)  # type: ignore[arg-type]


def serve_readings(connection: PipeEnd, settings: Settings) -> None:
    """Answer what comes through a pipe until it closes."""
    for kind in (signal.SIGINT, signal.SIGTERM):  # the server decides when this ends
        signal.signal(kind, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    predictor = open_model(settings)
    try:
        while True:
            kind, *rest = connection.recv()
            if kind == "recording":
                _give_way()
                connection.send(_read(connection, predictor, settings, *rest))
            elif kind == "end":
                return
            elif kind == "live":
                from mecam.service.live_session import serve_live

                serve_live(connection, predictor, rest[0], settings)
                return
    except (EOFError, BrokenPipeError, ConnectionError):
        return


def _leave_with_parent() -> None:
    """End at once when the server has ended, however it did."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@cache
def _give_way() -> None:
    """Let requests that are answered at once, and live sessions, have the processor first."""
    if hasattr(os, "nice"):
        os.nice(NICE)


def _read(
    connection: PipeEnd,
    predictor: "Predictor",
    settings: Settings,
    folder: str,
    name: str,
    options: dict[str, Any],
) -> tuple[Any, ...]:
    """Read the recording in a folder of a job; what comes out lies beside it."""
    from mecam.service.outputs import write_outputs

    place = Path(folder)
    given: dict[str, str] = options.pop("files")
    names = {str(place / file): _called(part, name, options) for part, file in given.items()}
    progress = _Progress(connection)
    try:
        page, moments = bool(options.pop("page", False)), "every" in options
        if page and not moments:
            options["every"] = predictor.page_every  # as `mecam predict --html` does
        files = {part: place / file for part, file in given.items()}
        recording = _predicted(predictor, settings, files, name, options, progress)
        progress("answer", 0.0)
        kinds = write_outputs(recording, predictor, place, page=page, moments=moments)
    except MecamError as error:
        return ("full",) if no_room(error) else ("failed", problem_of(error, rename=names))
    except Exception as error:
        if no_room(error):
            return ("full",)
        if not place.is_dir():
            return "failed", {"status": 404, "what": "the job was removed while it was read"}
        _log_without_message(error)
        what = f"reading it ended in an unexpected error ({type(error).__name__})"
        return "failed", {"status": 422, "what": what, "where": name, "fix": "convert the recording, or report this"}
    return "done", kinds


def _called(part: str, name: str, options: Mapping[str, Any]) -> str:
    """What the client calls a file that it sent."""
    names: Mapping[str, str] = options.get("names", {})
    return name if part == "file" else names.get(part, part)


def _predicted(
    predictor: "Predictor",
    settings: Settings,
    files: Mapping[str, Path],
    name: str,
    options: dict[str, Any],
    progress: "_Progress",
) -> "RecordingPrediction":
    from mecam.features.segmentation import Lengths

    options = {key: value for key, value in options.items() if key != "names"}
    _check(files["file"], settings)
    if "baseline" in files:
        _check(files["baseline"], settings)
        options["baseline"] = files["baseline"]
    if (asr := options.pop("asr", None)) is not None:
        options["asr"] = _speech_model(options.get("language")) if asr else ""
    lengths = Lengths(options.pop("shortest", 1.0), options.pop("longest", 15.0))
    return predictor.predict_file(
        files["file"],
        transcript=files.get("transcript"),
        name=name,
        lengths=lengths,
        progress=progress,
        **options,
    )


def _speech_model(language: str | None) -> str:
    """The speech model that is here; a service fetches none.

    Raises: DataError if there is none.
    """
    from mecam.features.text.asr import ready, why_not

    model = ready(language)
    if model is None:
        what = "this service cannot write down speech in this language"
        raise DataError(
            what, where="asr", fix=f"leave `asr` out, or send a transcript; who runs it: {why_not(language)}"
        )
    return model


def _check(path: Path, settings: Settings) -> None:
    """Whether a recording is within the bounds.

    Raises: MediaError if it is not, or cannot be read.
    """
    from mecam.features.media import Media

    media = Media(path)
    if media.duration > settings.max_minutes * 60:
        what = f"the recording lasts {media.duration / 60:.1f} minutes; at most {settings.max_minutes:g} are read here"
        raise MediaError(what, where=str(path), fix="cut it into pieces")
    if media.video is not None and media.video.width * media.video.height > settings.max_megapixels * 1e6:
        size = f"{media.video.width} × {media.video.height}"
        what = f"its pictures have {size} pixels; at most {settings.max_megapixels:g} megapixels are read here"
        raise MediaError(what, where=str(path), fix="make the pictures smaller")


class _Progress:
    """Tells the server how far it is, a few times a second."""

    def __init__(self, connection: PipeEnd) -> None:
        self._connection, self._last = connection, 0.0
        self._done = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    def __call__(self, stage: str, fraction: float) -> None:
        with self._lock:  # voice and faces are read side by side
            if stage in self._done:
                self._done[stage] = max(self._done[stage], min(fraction, 1.0))
            now = time.monotonic()
            if now - self._last < REPORT_S and stage in self._done:
                return
            self._last = now
            total = sum(part * self._done[stage] for stage, part in STAGES.items())
            self._connection.send(("progress", stage, total))


def _log_without_message(error: BaseException) -> None:
    """Where in the code it happened; its message may tell what the client sent, and is left out."""
    import logging

    frames = "".join(traceback.format_tb(error.__traceback__))
    logging.getLogger(__name__).error("%s while reading a recording\n%s", type(error).__name__, frames)
