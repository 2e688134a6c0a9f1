"""Files of predictions, by ending: each writer makes the whole file of recordings and of other predictions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mecam.data.cells import csv_text
from mecam.escaping import json_text
from mecam.files import write_whole
from mecam.prediction.rows import columns_of, place_of, rows_of

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["WRITERS", "as_csv", "as_json", "as_jsonl", "write_predictions"]


def as_jsonl(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """One line a recording, with its utterances inside; one a prediction of anything else."""
    return "".join(json_text(one.to_json()) + "\n" for one in [*recordings, *others])


def as_json(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """The lines of `as_jsonl` as one list."""
    return "[\n" + as_jsonl(recordings, others).rstrip("\n").replace("\n", ",\n") + "\n]\n"


def as_csv(recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"]) -> str:
    """The table of `rows_of`."""
    rows = rows_of(recordings, others)
    columns = columns_of(rows) if _beside_scores(recordings) else _columns_as_ever(rows)
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))


def _beside_scores(recordings: Sequence["RecordingPrediction"]) -> bool:
    """Whether more is told of recordings than trained models say of utterances."""
    parts = [part for each in recordings for part in each.parts]
    told = any(p.voice or p.face or p.emotions or p.person is not None for p in parts)
    return told or any(each.moments or each.listeners for each in recordings)


def _columns_as_ever(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The columns of trained models as programs know them: as they first appear, also empty ones; no means of gates."""
    ordered = [sorted(row, key=place_of) for row in rows]
    return [name for name in dict.fromkeys(name for row in ordered for name in row) if not name.startswith("kept_")]


WRITERS: Mapping[str, Callable[[Sequence["RecordingPrediction"], Sequence["Prediction"]], str]] = {
    ".csv": as_csv,
    ".jsonl": as_jsonl,
    ".json": as_json,
}
"""Ending of the file that predictions go to → what makes its content."""


def write_predictions(
    path: Path, recordings: Sequence["RecordingPrediction"], others: Sequence["Prediction"] = ()
) -> Path:
    """Write predictions in the format of the file's ending, whole or not at all.

    Raises: DataError if it cannot be written.
    """
    return write_whole(path, WRITERS[path.suffix.lower()](recordings, others))
