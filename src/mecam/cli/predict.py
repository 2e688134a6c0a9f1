"""`mecam predict`."""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import echo, err, json_text, one_line, out, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.extract import (
    SOME_FAILED,
    AsrModel,
    Language,
    Longest,
    Shortest,
    UseAsr,
    left_out_note,
    speech_model,
)
from mecam.cli.predict_inputs import Found, RecordingFile, sorted_out
from mecam.errors import ConfigError, DataError, MecamError, MediaError
from mecam.files import write_whole, writing

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor
    from mecam.prediction.result import Prediction, RecordingPrediction
    from mecam.task import Task

__all__ = ["Copy", "Preview", "about_model", "predict"]

MAX_TABLE_ROWS = 50
"""Rows of a table; more go to a file or to --format csv or jsonl."""


class Format(str, Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    json = "json"


class Copy(str, Enum):
    """When a page gets a copy of its recording."""

    auto = "auto"
    never = "never"
    always = "always"


Preview = Annotated[
    Copy,
    typer.Option(help="Add a small copy of the recording to the page. auto: if browsers cannot play the original."),
]


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Recordings or folders of them, sentences, text files with one sentence per line, - for standard "
            "input, or stores.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            metavar="RUN",
            help="Run folder, or a folder of `mecam export`. [default: the newest in runs/]",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Predict only this split of a store.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="Format of the output.")] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the predictions to a .csv, .jsonl or .json file."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a page per recording; give a folder for several.")
    ] = None,
    preview: Preview = Copy.auto,
    transcript: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Transcript: txt, SRT, VTT, CSV or JSON. [default: the file of the same name]"
        ),
    ] = None,
    asr: UseAsr = False,
    asr_model: AsrModel = None,
    language: Language = None,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    allow_encoder: AllowEncoder = False,
) -> None:
    """Predict videos, sound files, sentences or a store with a trained model.

    A recording gets a prediction for each utterance and for the whole, with modalities that disagree or are missing;
    --html shows them over time. The id of a sentence in a file is its line number. Exit code 3: some recordings could
    not be predicted.

    Example: mecam predict clip.mp4 --transcript clip.srt --model runs/mine --html clip.html

    Example: cut -f2 reviews.tsv | mecam predict - --output scores.csv
    """
    _check_places(output, html)
    found = sorted_out(inputs)
    _tell(found)
    if transcript is not None and len(found.recordings) != 1:
        raise DataError("--transcript needs exactly one recording", where=f"{len(found.recordings)} are given")
    if html is not None and not found.recordings:
        raise DataError("--html needs a recording, and none is given")
    paged = None if html is None else _Pages(html, several=len(found.recordings) > 1 or found.folders)
    from mecam.prediction.answers import notes_of
    from mecam.prediction.predictor import load

    chosen = model or _newest()
    with progress(f"loading {chosen}"):
        predictor = load(chosen)
    for note in notes_of(predictor.backend):
        err.print(note, style="yellow")
    options = {
        "transcript": transcript,
        "asr": speech_model(asr, asr_model, language),
        "language": language,
        "lengths": (shortest, longest),
    }
    recordings, failures = _predict_recordings(predictor, found.recordings, options, words=html is not None)
    others = _predict_all(predictor, found, split)
    if output is None:
        _print(recordings, others, format_)
    else:
        write_whole(output, WRITERS[output.suffix.lower()](recordings, others))
        print_place(f"{sum(len(each.parts) for each in recordings) + len(others)} predictions", output)
    if paged is not None:
        with progress("writing pages"):
            pages = paged.write(recordings, predictor.task, about_model(chosen, predictor), preview)
        print_place("page" if len(pages) == 1 else f"{len(pages)} pages and their index", paged.place)
    if failures:
        from mecam.report.predictions import failures_table

        err.print(failures_table(failures).terminal())
        raise typer.Exit(SOME_FAILED)


def _newest() -> Path:
    from mecam.runs.run import newest_run

    return newest_run(Path("runs"))


def _tell(found: Found) -> None:
    """Print remarks about the inputs."""
    for note in found.notes:
        err.print(one_line(note), style="yellow")
    if found.left_out:
        err.print(left_out_note(found.left_out), style="yellow")


def about_model(run: Path, predictor: "Predictor") -> dict[str, Any]:
    """What a page says about the model that it is made with."""
    checkpoint = predictor.backend.checkpoint
    return {"run": run.resolve().name, "model": checkpoint.name, "learned_from": checkpoint.data_name}


def as_jsonl(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """One line a recording, with its utterances inside; one a prediction of anything else."""
    return "".join(
        json_text(one) + "\n" for one in [*(w.to_json() for w in recordings), *(p.to_json() for p in others)]
    )


def as_json(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """The lines of `as_jsonl` as one list."""
    return "[\n" + as_jsonl(recordings, others).rstrip("\n").replace("\n", ",\n") + "\n]\n"


def as_csv(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """One row a prediction; those of recordings begin with the file and end with who disagrees."""
    from mecam.report.table import csv_text

    rows: list[dict[str, Any]] = []
    for each in recordings:
        for part in each.parts:
            place = {"file": each.name, "start": part.start, "stop": part.stop}
            note = {"note": " ".join(each.notes)} if each.notes else {}
            rows.append({**place, **_columns(part), "disagrees": " ".join(part.disagrees), **note})
    rows += [_columns(result) for result in others]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))


def _columns(result: "Prediction") -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.id, "text": result.text or "", "label": result.label}
    row |= {"score": result.score, "low": result.low, "high": result.high} if result.score is not None else {}
    row |= {f"prob_{name}": p for name, p in result.probabilities.items()}
    row |= {f"share_{m}": share for m, share in result.shares.items()}
    row |= {"absent": " ".join(result.absent)} if result.absent else {}
    row |= {f"doubt_{m}": doubt for m, doubt in result.doubts.items()}
    return row | ({"contradicts": " ".join(result.contradicts)} if result.doubts else {})


WRITERS = {".csv": as_csv, ".jsonl": as_jsonl, ".json": as_json}
"""Ending of the file that predictions go to → what writes them."""


def _check_places(output: Path | None, html: Path | None) -> None:
    """Check the places of the results before the work, not after an hour.

    Raises: ConfigError.
    """
    if output is not None and output.suffix.lower() not in WRITERS:
        raise ConfigError(
            f"predictions cannot be written as {output.suffix or 'a file without an ending'}",
            where=f"--output {output}",
            fix=f"choose a name that ends with {', '.join(WRITERS)}",
        )
    if html is not None and not str(html).strip():
        raise ConfigError("the place of the page is empty", where="--html")


class _Pages:
    """Where pages go: one file, or a folder with the layout of the recordings and an index.

    Args:
        place: that was asked for.
        several: recordings, or a folder of them, were given.

    Raises: ConfigError if several recordings are to go into one page.
    """

    def __init__(self, place: Path, *, several: bool) -> None:
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


def _predict_recordings(
    predictor: "Predictor", recordings: Sequence[RecordingFile], options: dict[str, Any], *, words: bool
) -> tuple[list["RecordingPrediction"], list[tuple[str, str]]]:
    """Predict recordings; of several, one that fails, in whatever way, does not stop the rest."""
    if not recordings:
        return [], []
    from mecam.features.segmentation import Lengths
    from mecam.prediction.inputs import printable
    from mecam.prediction.recordings import predict_recording, recipe_of

    recipe_of(predictor.backend)  # whether this model can see recordings at all does not depend on the file
    options = {**options, "lengths": Lengths(*options["lengths"])}
    predicted: list[RecordingPrediction] = []
    failures: list[tuple[str, str]] = []
    with progress("predicting") as callback:
        for done, one in enumerate(recordings):
            name = printable(one.name)
            callback(done, len(recordings), f"predicting {name}")
            try:
                predicted.append(predict_recording(predictor.backend, one.path, words=words, name=name, **options))
            except MecamError as error:
                if len(recordings) == 1:
                    raise
                failures.append((name, error.what))
            except Exception as error:  # whatever a codec or a model raises concerns this file alone
                what = f"{type(error).__name__}: {error}"
                if len(recordings) == 1:
                    raise MediaError(f"this recording cannot be predicted: {what}", where=name) from error
                failures.append((name, what))
    if not predicted:
        name, what = failures[0]
        raise DataError(f"none of {len(recordings)} recordings could be predicted: {what}", where=name)
    return predicted, failures


def _print(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"], format_: Format) -> None:
    from mecam.report.predictions import predictions_table, recording_view

    if format_ is not Format.table:
        # Not through the console, which breaks lines at the width of a terminal.
        echo(WRITERS[f".{format_.value}"](recordings, others))
        return
    for each in recordings:
        out.print(recording_view(each))
    if others:
        out.print(predictions_table(others[:MAX_TABLE_ROWS]).terminal())
    if len(others) > MAX_TABLE_ROWS:
        err.print(f"and {len(others) - MAX_TABLE_ROWS} more; use --output predictions.csv to write all")


def _predict_all(predictor: "Predictor", found: Found, split: str | None) -> list["Prediction"]:
    """Stores and sentences."""
    results: list[Prediction] = []
    for path in found.stores:
        from mecam.data.store import Store

        with progress(f"predicting {path}") as callback:
            results += predictor.predict_store(Store(path), split=split, progress=callback)
    ids, texts = [name for name, _ in found.sentences], [text for _, text in found.sentences]
    said = zip(ids, predictor.predict_text(texts) if texts else [], strict=True)
    return [*results, *(replace(one, id=name) for name, one in said)]
