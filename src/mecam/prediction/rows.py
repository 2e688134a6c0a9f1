"""Predictions as one flat table: a row an utterance, or a moment, and a person.

A row is a dictionary of plain values; what it lacks is unknown. `docs/predictions.md` describes the columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mecam.data_table import DataTable, Kind
from mecam.prediction.result import Face, Prediction, RecordingPrediction, Voice

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["ORDER", "columns_of", "in_time", "kind_of_column", "mean_of_known", "place_of", "row_of", "rows_of"]
__all__ += ["rows_of_recording", "table_of", "tells_more", "to_frame"]

Row = dict[str, Any]

MOVEMENTS = "movements"
ORDER = (
    *("file", "start", "stop", "id", "person", "speaking", "text", "label", "score", "low", "high", "prob_"),
    *("emotion_", "activation", "activation_low", "activation_high", "words_per_s", "pitch_hz", "pitch_range"),
    *("pauses", "visible", "expression_", MOVEMENTS, "kept_", "share_", "absent", "doubt_", "contradicts"),
    *("disagrees", "note"),
)
"""Columns from left to right: `prob_` stands for all that begin with it, `movements` for all that are not named."""

TEXTS = frozenset({"file", "id", "text", "label", "absent", "contradicts", "disagrees", "note"})


def rows_of(results: Iterable[RecordingPrediction | Prediction]) -> list[Row]:
    """The rows of recordings, and of predictions of sentences or of a store."""
    rows = []
    for one in results:
        rows += rows_of_recording(one) if isinstance(one, RecordingPrediction) else [row_of(one)]
    return rows


def table_of(results: Iterable[RecordingPrediction | Prediction]) -> DataTable:
    """The rows as a table, with a type for each column that does not depend on what it holds."""
    rows = rows_of(results)
    columns = columns_of(rows)
    return DataTable(rows, columns=columns, kinds={column: kind_of_column(column) for column in columns})


def to_frame(results: Iterable[RecordingPrediction | Prediction]) -> "DataFrame":
    """The table as a pandas DataFrame.

    Raises: MissingExtraError if pandas is not installed.
    """
    return table_of(results).to_pandas()


def rows_of_recording(recording: RecordingPrediction) -> list[Row]:
    """A row for each moment, where they were asked for; otherwise for each utterance and everybody seen in it."""
    note = {"note": " ".join(recording.notes)} if recording.notes else {}
    rows = []
    for part in in_time(recording):
        place = {"file": recording.name, "start": part.start, "stop": part.stop}
        rows.append({**place, **row_of(part), "disagrees": " ".join(part.disagrees), **note})
    return rows


def in_time(recording: RecordingPrediction) -> Sequence[Prediction]:
    """Moments, where they were asked for; otherwise utterances, each followed by the other people seen in it."""
    if recording.moments or not recording.listeners:
        return recording.moments or recording.parts
    return sorted((*recording.parts, *recording.listeners), key=lambda p: (p.start or 0.0, not p.speaking))


def row_of(part: Prediction) -> Row:
    """One prediction, without its place in a recording."""
    row: Row = {"id": part.id, "text": part.text or "", "label": part.label}
    row |= {"person": part.person, "speaking": part.speaking} if part.person is not None else {}
    row |= {"score": part.score, "low": part.low, "high": part.high} if part.score is not None else {}
    row |= {f"prob_{name}": p for name, p in part.probabilities.items()}
    row |= {f"emotion_{name}": p for name, p in part.emotions.items()}
    row |= _voice(part.voice) if part.voice is not None else {}
    row |= _face(part.face) if part.face is not None else {}
    row |= {f"kept_{m}": mean for m, gates in part.kept.items() if (mean := mean_of_known(gates)) is not None}
    row |= {f"share_{m}": share for m, share in part.shares.items()}
    row |= {"absent": " ".join(part.absent)} if part.absent else {}
    row |= {f"doubt_{m}": doubt for m, doubt in part.doubts.items()}
    return row | ({"contradicts": " ".join(part.contradicts)} if part.doubts or part.contradicts else {})


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns that some row fills, in the order of `ORDER`; those of one group as they first appear."""
    filled = dict.fromkeys(name for row in rows for name, value in row.items() if value not in (None, ""))
    return sorted(filled, key=place_of)


def place_of(column: str) -> int:
    """Where a column stands in `ORDER`."""
    group = column if column in ORDER else f"{column.partition('_')[0]}_"
    return ORDER.index(group if group in ORDER else MOVEMENTS)


def tells_more(result: RecordingPrediction | Prediction) -> bool:
    """Whether more is told than trained models say of utterances."""
    if isinstance(result, RecordingPrediction):
        return bool(result.moments or result.listeners) or any(map(tells_more, result.parts))
    return bool(result.voice or result.face or result.emotions) or result.person is not None


def kind_of_column(column: str) -> Kind:
    """What the cells of a column are."""
    if column in TEXTS:
        return "text"
    return "integer" if column == "person" else "flag" if column == "speaking" else "number"


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean without those that are None; None where all are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _voice(voice: Voice) -> Row:
    ends = {"activation_low": voice.low, "activation_high": voice.high}
    return {**{name: value for name, value in vars(voice).items() if name not in ("low", "high")}, **ends}


def _face(face: Face) -> Row:
    return {"visible": face.visible, **{f"expression_{n}": p for n, p in face.expressions.items()}, **face.movements}
