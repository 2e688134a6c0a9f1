"""Files of a run folder as plain values: written whole or not at all, read as data, one error for damaged ones."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.budget import small_text
from mecam.data.cells import original_cell, safe_row
from mecam.errors import MecamError, TrainingError
from mecam.files import whole_file, write_whole

__all__ = ["MAX_BYTES", "broken", "number", "read_arrays", "read_json", "read_mapping", "read_rows", "read_text"]
__all__ += ["understood", "write_arrays", "write_json", "write_rows"]

MAX_BYTES = 256 << 20
"""Of a file of a run."""


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all; a NaN is an error, not a value."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write CSV with the union of the rows' columns, whole or not at all; no text in it is a formula."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (
        whole_file(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(safe_row(columns))
        writer.writerows(safe_row(row.get(column, "") for column in columns) for row in rows)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write NPZ, whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(arrays))


def read_text(path: Path) -> str:
    """A text file; its line ends stay as they are, for one may stand in a name.

    Raises: TrainingError if it is missing, too large or not UTF-8.
    """
    try:
        return small_text(path, most=MAX_BYTES)
    except MecamError as error:
        raise broken(path, error.what if path.exists() else f"{path.name} cannot be read") from error


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises: TrainingError.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise broken(path, f"{path.name} is not valid JSON: {error}") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises: TrainingError.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise broken(path, f"{path.name} is not a JSON object")
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that `write_rows` wrote.

    Raises: TrainingError.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise broken(path, f"{path.name} is not a CSV file: {error}") from error
    head = [original_cell(cell) for cell in lines[0]] if lines else []
    if not head or any(len(line) != len(head) for line in lines[1:] if line):
        raise broken(path, f"{path.name} is empty or incomplete: a line has other columns than the header")
    return [dict(zip(head, map(original_cell, line), strict=True)) for line in lines[1:] if line]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file; none where there is no file.

    Raises: TrainingError.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy's, zip's and zlib's own
        raise broken(path, f"{path.name} cannot be read: {error}") from error


def number(cell: str | None) -> float | None:
    """A cell of a CSV file as a number; None where it is empty or not finite."""
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else None


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Turn whatever damaged files of a run folder make of the code that reads them into one error.

    Raises: TrainingError.
    """
    try:
        yield
    except MecamError:
        raise
    except Exception as error:  # a missing column, a text for a number: anything can stand in a file
        what = f"the files of this run cannot be read: {type(error).__name__}: {error}"
        raise broken(folder, what) from error


def broken(path: Path, what: str) -> TrainingError:
    """The error for a file of a run folder that is not what a run wrote."""
    return TrainingError(what, where=str(path), fix="give the folder of a finished run, or train it again")
