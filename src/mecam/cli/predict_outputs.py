"""Where the predictions of `mecam predict` go: the terminal, or a file."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from mecam.cli.console import echo, echo_json, err, out, print_place
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["Format", "Output"]

MAX_TABLE_ROWS = 50
"""Rows of a table; more go to a file or to --format csv or jsonl."""


class Format(str, Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    json = "json"


class Output:
    """The place and the format of predictions; checked before the work, not after an hour.

    Args:
        place: a file, or None for the standard output.
        format_: on the standard output.

    Raises: ConfigError if there is no such format.
    """

    def __init__(self, place: Path | None, format_: Format) -> None:
        from mecam.prediction.formats import WRITERS

        if place is not None and place.suffix.lower() not in WRITERS:
            raise ConfigError(
                f"predictions cannot be written as {place.suffix or 'a file without an ending'}",
                where=f"--output {place}",
                fix=f"choose a name that ends with {', '.join(WRITERS)}",
            )
        self._place = place
        self._format = format_

    def put(self, recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> None:
        """Write or print predictions."""
        if self._place is not None:
            from mecam.prediction.formats import write_predictions

            write_predictions(self._place, recordings, others)
            print_place(f"{sum(len(each.parts) for each in recordings) + len(others)} predictions", self._place)
        elif self._format is Format.table:
            _print_tables(recordings, others)
        else:
            self._print_text(recordings, others)

    def _print_text(self, recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> None:
        """Print for another program: not through the console, which breaks lines at the width of a terminal."""
        from mecam.prediction.formats import WRITERS

        text = WRITERS[f".{self._format.value}"](recordings, others)
        (echo_json if self._format in (Format.json, Format.jsonl) else echo)(text)


def _print_tables(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> None:
    from mecam.report.predictions import predictions_table, recording_view

    for each in recordings:
        out.print(recording_view(each))
    if others:
        out.print(predictions_table(others[:MAX_TABLE_ROWS]).terminal())
    if len(others) > MAX_TABLE_ROWS:
        err.print(f"and {len(others) - MAX_TABLE_ROWS} more; use --output predictions.csv to write all")
