"""`mecam predict`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import echo, err, out, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.extract import SOME_FAILED, AsrModel, Language, Longest, Shortest, UseAsr
from mecam.cli.prediction_tables import as_csv, as_jsonl, failures_view, predictions_view, watched_view
from mecam.errors import DataError, MecamError, ModelError
from mecam.files import write_whole, writing

if TYPE_CHECKING:
    from mecam.serve.predictor import Prediction, Predictor
    from mecam.serve.recordings import Watched
    from mecam.types import Task

__all__ = ["predict"]

SHOWN = 50
"""Rows of a table; more go to a file or to --format csv or jsonl."""


class Format(str, Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Videos or sound files, folders of them, sentences, text files (one sentence a line), or stores.",
        ),
    ],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", metavar="RUN", help="A run folder. [default: the newest in runs/]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a store: only this split.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write there: .csv or .jsonl.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="A page per recording: a file for one, a folder for several.")
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option(help="What is said: txt, SRT, VTT, CSV or JSON. [default: one beside the recording]")
    ] = None,
    asr: UseAsr = False,
    asr_model: AsrModel = "small",
    language: Language = None,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    allow_encoder: AllowEncoder = False,
) -> None:
    """Predict videos, sound files, sentences or a store with a trained model.

    Of a recording: what each utterance says and the whole, which modality disagrees or is absent; --html shows it over
    time. Exit code 3 when some of several recordings could not be predicted.

    Example: mecam predict clip.mp4 --transcript clip.srt --model runs/mine --html clip.html
    """
    found = _sorted_out(inputs)
    if transcript is not None and len(found.recordings) != 1:
        raise DataError("--transcript goes with one recording", where=f"{len(found.recordings)} were given")
    if html is not None and not found.recordings:
        raise DataError("--html goes with recordings, and none was given")
    chosen = model or _newest_run()
    from mecam.serve.predictor import load
    from mecam.serve.recordings import notes_of

    with progress(f"loading {chosen}"):
        predictor = load(chosen)
    for note in notes_of(predictor):
        err.print(note, style="yellow")
    options = {
        "transcript": transcript,
        "asr": asr_model if asr else None,
        "language": language,
        "lengths": (shortest, longest),
    }
    watched, failures = _watch_all(predictor, found.recordings, options, words=html is not None)
    others = _predict_all(predictor, found, split)
    if output is None:
        _print(watched, others, predictor.task, format_)
    else:
        write_whole(output, as_csv(watched, others) if output.suffix == ".csv" else as_jsonl(watched, others))
        print_place(f"{sum(len(each.parts) for each in watched) + len(others)} predictions", output)
    if html is not None:
        pages = _write_pages(html, watched, predictor.task, several=len(found.recordings) > 1)
        print_place("page" if len(pages) == 1 else f"{len(pages)} pages", html)
    if failures:
        err.print(failures_view(failures))
        raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True)
class _Found:
    """The inputs by kind."""

    recordings: list[Path]
    stores: list[Path]
    sentences: list[str]


def _sorted_out(inputs: Sequence[str]) -> _Found:
    """What each input is.

    Raises: DataError if a path leads nowhere, or a sentence is empty.
    """
    from mecam.features.clips import MEDIA_SUFFIXES

    found = _Found([], [], [])
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in MEDIA_SUFFIXES and f.is_file())
            if inside and not (path / "manifest.json").exists():
                found.recordings.extend(inside)
            else:
                found.stores.append(path)
        elif path.suffix.lower() in MEDIA_SUFFIXES and (path.is_file() or " " not in given.strip()):
            found.recordings.append(path)
        elif path.is_file():
            found.sentences.extend(_read_sentences(path))
        elif " " not in given.strip() and ("/" in given or path.suffix):
            raise DataError(f"there is no file {given!r}", fix="check the path; a sentence needs quotes around it")
        else:
            found.sentences.append(given)
    blank = [i for i, sentence in enumerate(found.sentences) if not sentence.strip()]
    if blank:
        raise DataError("a sentence is empty", where=f"sentence {blank[0] + 1}")
    return found


def _watch_all(
    predictor: "Predictor", paths: Sequence[Path], options: dict[str, Any], *, words: bool
) -> tuple[list["Watched"], list[tuple[Path, str]]]:
    """Predict recordings; of several, one that fails does not stop the rest."""
    if not paths:
        return [], []
    from mecam.features.segmentation import Lengths
    from mecam.serve.recordings import recipe_of, watch

    recipe_of(predictor)  # whether this model can see recordings at all does not depend on the file
    options = {**options, "lengths": Lengths(*options["lengths"])}
    watched, failures = [], []
    with progress("watching") as callback:
        for done, path in enumerate(paths):
            callback(done, len(paths), f"watching {path.name}")
            try:
                watched.append(watch(predictor, path, words=words, **options))
            except MecamError as error:
                if len(paths) == 1:
                    raise
                failures.append((path, error.what))
    if not watched:
        raise DataError(
            f"none of {len(paths)} recordings could be predicted: {failures[0][1]}", where=failures[0][0].name
        )
    return watched, failures


def _write_pages(place: Path, watched: Sequence["Watched"], task: "Task", *, several: bool) -> list[Path]:
    from mecam.serve.page import write_watched

    if not several:
        return [write_watched(place, watched[0], task)]
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    return [write_watched(place / f"{each.path.name}.html", each, task) for each in watched]


def _print(watched: Sequence["Watched"], others: Sequence["Prediction"], task: "Task", format_: Format) -> None:
    if format_ is not Format.table:
        # Not through the console, which breaks lines at the width of a terminal.
        echo((as_csv if format_ is Format.csv else as_jsonl)(watched, others))
        return
    for each in watched:
        out.print(watched_view(each, task))
    if others:
        out.print(predictions_view(others[:SHOWN]))
    if len(others) > SHOWN:
        err.print(f"and {len(others) - SHOWN} more: write them with --output predictions.csv")


def _predict_all(predictor: "Predictor", found: _Found, split: str | None) -> list["Prediction"]:
    """Stores and sentences."""
    from mecam.data.store import Store

    results: list[Prediction] = []
    for path in found.stores:
        with progress(f"predicting {path}") as callback:
            results += predictor.predict_store(Store(path), split=split, progress=callback)
    return results + (predictor.predict(found.sentences) if found.sentences else [])


def _read_sentences(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("this is not a text file in UTF-8", where=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=str(path)) from error
    sentences = [line for line in lines if line.strip()]
    if not sentences:
        raise DataError("there is no sentence in this file", where=str(path))
    return sentences


def _newest_run() -> Path:
    runs = [path.parent.parent for path in Path("runs").glob("*/checkpoint/config.json")]
    if not runs:
        raise ModelError("there is no trained model in runs/", fix="name one with --model RUN, or train: `mecam demo`")
    return max(runs, key=lambda run: (run / "checkpoint" / "config.json").stat().st_mtime)
