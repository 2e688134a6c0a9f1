"""Files of predictions, by ending: each writer makes the whole content of a file.

Of captions and annotation documents there is one a recording; all other formats take any number of recordings and of
predictions of sentences or of a store.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from mecam.data.cells import csv_text
from mecam.errors import ConfigError, missing_extras, require
from mecam.escaping import json_text
from mecam.files import whole_file, write_whole
from mecam.prediction.eaf import as_eaf
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.prediction.rows import Row, columns_of, place_of, rows_of, table_of, tells_more
from mecam.prediction.vtt import as_vtt

__all__ = ["ONE_RECORDING", "WRITERS", "Results", "as_csv", "as_json", "as_jsonl", "as_parquet", "check_format"]
__all__ += ["write_predictions"]

Results: TypeAlias = Sequence[RecordingPrediction | Prediction]


def as_jsonl(results: Results) -> str:
    """One line a recording, with its utterances inside; one a prediction of anything else."""
    return "".join(json_text(one.to_json()) + "\n" for one in results)


def as_json(results: Results) -> str:
    """The lines of `as_jsonl` as one list."""
    return "[\n" + as_jsonl(results).rstrip("\n").replace("\n", ",\n") + "\n]\n"


def as_csv(results: Results) -> str:
    """The table of `rows_of`."""
    rows = rows_of(results)
    columns = columns_of(rows) if any(map(tells_more, results)) else _columns_as_ever(rows)
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))


def as_parquet(results: Results) -> bytes:
    """The table of `rows_of`; the type of a column does not depend on what it holds.

    Raises: MissingExtraError if pyarrow is not installed.
    """
    with missing_extras():
        from pyarrow import parquet
    file = io.BytesIO()
    parquet.write_table(table_of(results).to_arrow(), file)
    return file.getvalue()


def _columns_as_ever(rows: Sequence[Row]) -> list[str]:
    """The columns of trained models as programs know them: as they first appear, also empty ones; no means of gates."""
    ordered = [sorted(row, key=place_of) for row in rows]
    return [name for name in dict.fromkeys(name for row in ordered for name in row) if not name.startswith("kept_")]


def _of_one(writer: Callable[[RecordingPrediction], str]) -> Callable[[Results], str]:
    def write(results: Results) -> str:
        (recording,) = results
        assert isinstance(recording, RecordingPrediction)
        return writer(recording)

    return write


WRITERS: Mapping[str, Callable[[Results], str | bytes]] = {
    ".csv": as_csv,
    ".jsonl": as_jsonl,
    ".json": as_json,
    ".parquet": as_parquet,
    ".vtt": _of_one(as_vtt),
    ".eaf": _of_one(as_eaf),
}
"""Ending of the file that predictions go to → what makes its content."""

ONE_RECORDING = frozenset({".vtt", ".eaf"})
"""Endings of files that hold exactly one recording."""


def check_format(ending: str, *, recordings: int, others: int, where: str) -> None:
    """Whether a file of this ending can hold so many recordings and other predictions.

    Args:
        ending: with its dot, in small letters.
        recordings: how many there are.
        others: how many sentences and stores.
        where: the option or the file that is checked.

    Raises: ConfigError if there is no such format, or it holds one recording; MissingExtraError if pyarrow is missing.
    """
    if ending not in WRITERS:
        raise ConfigError(
            f"predictions cannot be written as {ending or 'a file without an ending'}",
            where=where,
            fix=f"choose a name that ends with {', '.join(WRITERS)}; or name a folder, and --format",
        )
    if ending in ONE_RECORDING and others:
        fix = f"choose one of {', '.join(name for name in WRITERS if name not in ONE_RECORDING)}"
        raise ConfigError(
            f"{ending} files are made of recordings; these are sentences or a store", where=where, fix=fix
        )
    if ending in ONE_RECORDING and recordings != 1:
        fix = f"name a folder, and --format {ending[1:]}, for a file each"
        raise ConfigError(f"a {ending} file holds one recording; these are {recordings}", where=where, fix=fix)
    if ending == ".parquet":
        require("pyarrow")


def write_predictions(path: Path, results: Results) -> Path:
    """Write predictions in the format of the file's ending, whole or not at all.

    Raises: as `check_format`; DataError if it cannot be written.
    """
    ending = path.suffix.lower()
    recordings = sum(isinstance(one, RecordingPrediction) for one in results)
    check_format(ending, recordings=recordings, others=len(results) - recordings, where=str(path))
    content = WRITERS[ending](results)
    if isinstance(content, str):
        return write_whole(path, content)
    with whole_file(path) as partial:
        partial.write_bytes(content)
    return path
