"""The rows of one modality of a store: one safetensors file, all utterances one after the other.

`values` holds the rows (T × D float32), `offsets` says which are whose (utterance i owns rows offsets[i] to
offsets[i+1]), and `intervals` gives their seconds where the source has them.
"""

import json
import math
import shutil
from array import array
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mecam.budget import check_regular_file
from mecam.errors import DataError

__all__ = ["StoreTable", "TableWriter", "checked_rows"]

HEADER_BYTES = 4096
"""Room for the safetensors header, which is written last, when the sizes are known."""

DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}

Rows = tuple[NDArray[np.float32], NDArray[np.float64] | None]


class StoreTable:
    """Read access to one modality, memory-mapped.

    Args:
        path: the safetensors file.
        count: utterances of the store.
        width: features per row.

    Attributes:
        values: rows × D.
        offsets: count + 1 positions in `values`.
        intervals: rows × 2 seconds, or None.

    Raises: DataError if the file cannot be read or does not fit the store.
    """

    def __init__(self, path: Path, count: int, width: int) -> None:
        try:
            arrays = _map_safetensors(path)
            self.values: NDArray[np.float32] = arrays["values"]
            self.offsets: NDArray[np.int64] = np.array(arrays["offsets"])
            self.intervals: NDArray[np.float64] | None = arrays.get("intervals")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise DataError(
                f"the features cannot be read: {error}", where=str(path), fix="import or extract again"
            ) from error
        if problem := self._problem(count, width):
            raise DataError(problem, where=str(path), fix="import or extract again")
        self._bounds = array("q", self.offsets.tobytes())  # read far faster than NumPy's scalars

    def rows_of(self, index: int) -> Rows | None:
        """Values and times of one utterance, None where it has no row."""
        start, stop = self._bounds[index], self._bounds[index + 1]
        if start == stop:
            return None
        return self.values[start:stop], None if self.intervals is None else self.intervals[start:stop]

    def _problem(self, count: int, width: int) -> str | None:
        values, offsets, intervals = self.values, self.offsets, self.intervals
        if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != width:
            return f"expected float32 rows of width {width}, got {values.dtype} {values.shape}"
        if offsets.dtype != np.int64 or offsets.shape != (count + 1,):
            return "the offsets do not match the utterances"
        if offsets[0] != 0 or offsets[-1] != len(values) or (offsets[1:] < offsets[:-1]).any():
            return "the offsets do not match the rows"
        if intervals is not None and (intervals.dtype != np.float64 or intervals.shape != (len(values), 2)):
            return "the intervals do not match the rows"
        return None


class TableWriter:
    """Write one modality, an utterance at a time; the header is filled in at the end.

    Args:
        path: the safetensors file to make; its times are kept beside it until `finish`.
        width: features per row.
    """

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._width = path, width
        self._file: BinaryIO = path.open("w+b")
        self._file.write(b" " * HEADER_BYTES)
        self._times: BinaryIO | None = None
        self._offsets = [0]

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._offsets[-1]

    def append(self, rows: Rows | None) -> None:
        """Add the next utterance's rows, as `checked_rows` returned them; None for an absent modality."""
        if rows is None:
            self._offsets.append(self.rows)
            return
        values, times = rows
        if times is not None and self._times is None:
            self._times = self._path.with_suffix(".times").open("w+b")
            self._times.write(np.full(2 * self.rows, np.nan, "<f8").data)
        self._file.write(values.data)
        if self._times is not None:
            self._times.write((np.full((len(values), 2), np.nan, "<f8") if times is None else times).data)
        self._offsets.append(self.rows + len(values))

    def finish(self) -> None:
        """Put offsets, times and header in place, and close."""
        offsets = np.array(self._offsets, "<i8")
        shapes = [("values", "F32", [self.rows, self._width]), ("offsets", "I64", [len(offsets)])]
        self._file.write(offsets.data)
        if self._times is not None:
            shapes.append(("intervals", "F64", [self.rows, 2]))
            self._times.seek(0)
            shutil.copyfileobj(self._times, self._file, 1 << 20)
        header, position = {}, 0
        for key, dtype, shape in shapes:
            stop = position + np.dtype(DTYPES[dtype]).itemsize * math.prod(shape)
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [position, stop]}
            position = stop
        text = json.dumps(header).encode().ljust(HEADER_BYTES - 8)
        self._file.seek(0)
        self._file.write(len(text).to_bytes(8, "little") + text)
        self.close()

    def close(self) -> None:
        """Close the files, and remove the times' own one."""
        self._file.close()
        if self._times is not None:
            self._times.close()
            self._path.with_suffix(".times").unlink(missing_ok=True)


def checked_rows(values: ArrayLike | None, times: ArrayLike | None, width: int) -> Rows | None:
    """The rows of an utterance as they are written, or None where it has none.

    Raises: DataError if a shape is wrong or a value is infinite.
    """
    try:
        if values is None or len(np.asarray(values)) == 0:
            return None
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(values, "<f4")
        seconds = None if times is None else np.ascontiguousarray(times, "<f8")
    except (ValueError, TypeError) as error:
        raise DataError(f"these rows are no numbers: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != width:
        raise DataError(f"expected rows of width {width}, got shape {rows.shape}")
    if np.isinf(rows).any():
        raise DataError("infinite features", fix="replace them with NaN, which means missing")
    if seconds is not None and seconds.shape != (len(rows), 2):
        raise DataError(f"expected {len(rows)} × 2 times, got shape {seconds.shape}")
    return rows, seconds


def _map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file as views of one memory map (the library would copy whole tensors)."""
    size = check_regular_file(path)
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 0 < header_size < min(size - 8, 1 << 20):
            raise ValueError("not a safetensors file, or cut off")
        header = json.loads(file.read(header_size))
    memory = np.memmap(path, np.uint8, "r", offset=8 + header_size).view(np.ndarray)
    arrays = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
        if not 0 <= start <= stop <= len(memory) or stop - start != dtype.itemsize * math.prod(shape):
            raise ValueError(f"tensor {key!r} lies outside the file")
        arrays[key] = memory[start:stop].view(dtype).reshape(shape)
    return arrays
