"""Where the predictions of `mecam predict` go: the terminal, or a file."""

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import echo, echo_json, err, out, print_place
from mecam.cli.predict_inputs import Found
from mecam.errors import ConfigError
from mecam.files import writing

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["Every", "Format", "Output", "seconds_of"]

MAX_TABLE_ROWS = 50
"""Rows of a table; more go to a file or to --format csv or jsonl."""


class Format(str, Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"
    vtt = "vtt"
    eaf = "eaf"


class Output:
    """The place and the format of predictions.

    A file holds them all, in the format of its ending. A folder gets a file of a recording each, in the format that is
    asked for. Without a place they are printed.

    Args:
        place: a file, or a folder: one that is there, or a name without an ending.
        format_: of what is printed, or of the files of a folder.
    """

    def __init__(self, place: Path | None, format_: Format) -> None:
        self._place = place
        self._format = format_
        foldered = place is not None and (place.is_dir() or not place.suffix)
        self._folder = place if foldered and format_ is not Format.table else None

    def check(self, found: Found) -> None:
        """Check that these inputs can go there: before the work, not after an hour.

        Raises: ConfigError if there is no such format, or it cannot hold or print them; MissingExtraError.
        """
        from mecam.prediction.formats import check_format

        recordings, others = len(found.recordings), len(found.stores) + len(found.sentences)
        where = f"--format {self._format.value}" if self._place is None else f"--output {self._place}"
        if self._folder is not None:
            check_format(f".{self._format.value}", recordings=1, others=0, where=where)
            if others:
                what = "a folder takes files of recordings; these are sentences or a store"
                raise ConfigError(what, where=where, fix="name a file, or predict the recordings alone")
        elif self._place is not None:
            check_format(self._place.suffix.lower(), recordings=recordings, others=others, where=where)
        elif self._format is Format.parquet:
            raise ConfigError("parquet cannot be printed", where=where, fix="give --output predictions.parquet")
        elif self._format is not Format.table:
            check_format(f".{self._format.value}", recordings=recordings, others=others, where=where)

    def put(self, recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> None:
        """Write or print predictions."""
        if self._place is None and self._format is Format.table:
            _print_tables(recordings, others)
        elif self._place is None:
            self._print_text([*recordings, *others])
        else:
            count = sum(len(each.moments or each.parts) for each in recordings) + len(others)
            files = self._write(recordings, others)
            print_place(f"{count} predictions" + (f" in {files} files" if files > 1 else ""), self._place)

    def _write(self, recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> int:
        """Write one file, or one a recording; return how many."""
        from mecam.prediction.formats import write_predictions
        from mecam.report.predictions import page_names

        assert self._place is not None
        if self._folder is None:
            write_predictions(self._place, [*recordings, *others])
            return 1
        names = page_names([each.name for each in recordings], f".{self._format.value}")
        for each, name in zip(recordings, names, strict=True):
            path = self._folder / name
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(path, [each])
        return len(recordings)

    def _print_text(self, results: Sequence["RecordingPrediction | Prediction"]) -> None:
        """Print for another program: not through the console, which breaks lines at the width of a terminal."""
        from mecam.prediction.formats import WRITERS

        text = WRITERS[f".{self._format.value}"](results)
        assert isinstance(text, str)
        (echo_json if self._format in (Format.json, Format.jsonl) else echo)(text)


Every = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Tell stretches of this length apart instead of utterances: 1s, 500ms."),
]


def seconds_of(every: str | None) -> float | None:
    """The seconds of `--every`.

    Raises: ConfigError if it is no length, or too short.
    """
    if every is None:
        return None
    from mecam.prediction.moments import SHORTEST

    match = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(ms|s|)", every.strip())
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if seconds < SHORTEST:
        fix = f"give at least {SHORTEST:g}s, such as 1s, 0.5s or 500ms"
        raise ConfigError(f"a moment cannot last {every!r}", where="--every", fix=fix)
    return seconds


def _print_tables(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> None:
    from mecam.report.predictions import predictions_table, recording_view

    for each in recordings:
        out.print(recording_view(each))
    if others:
        out.print(predictions_table(others[:MAX_TABLE_ROWS]).terminal())
    if len(others) > MAX_TABLE_ROWS:
        err.print(f"and {len(others) - MAX_TABLE_ROWS} more; use --output predictions.csv to write all")
