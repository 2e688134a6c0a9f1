"""The files that hold what was measured: a cell is one model's predictions under one condition and one seed.

Its name is a hash of the checkpoint, the data, the condition and the seed: a cell that is there is never made again,
and one of other weights or other data is never taken for it.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.files import whole_file
from mecam.hashes import sha256_of
from mecam.types import Modality, Predictions, Span

__all__ = ["cell_name", "checkpoint_identity", "predictions_before", "read_cell", "write_cell"]

VERSION = 2
"""Counts up when what a cell holds, or what a condition does under the same name, changes."""


def checkpoint_identity(folder: Path) -> str:
    """A hash of all files of a checkpoint folder.

    Raises: DataError if there is none, or it cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise DataError("there is no checkpoint here", where=str(folder), fix="give a run folder of `mecam train`")
    named = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def cell_name(checkpoint: str, data: Mapping[str, object], condition: Mapping[str, Any], seed: int | None) -> str:
    """Name the file of a cell.

    Args:
        checkpoint: `checkpoint_identity`.
        data: `EvaluationSplit.identity`.
        condition: `Condition.to_json`.
        seed: of the masks; None where nothing is random.
    """
    facts = {"version": VERSION, "checkpoint": checkpoint, "data": data, "condition": condition, "seed": seed}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32] + ".npz"


def write_cell(
    path: Path,
    predictions: Predictions,
    spans: Sequence[Sequence[Span]],
    modalities: Sequence[Modality],
    *,
    before: NDArray[np.float64] | None = None,
) -> None:
    """Write a cell, whole or not at all.

    Args:
        path: from `cell_name`.
        predictions: N, with gates, conflict probabilities and the scale of each interval.
        spans: N, what lies in each utterance.
        modalities: whose gates and spans are kept.
        before: N predictions without the intervention, where there is one.
    """
    arrays: dict[str, NDArray[Any]] = {
        "prediction": predictions.prediction,
        "wider": predictions.interval_half_widths(1.0),
    }
    if before is not None:
        arrays["before"] = before
    arrays |= {f"doubt {modality}": doubt for modality, doubt in predictions.conflict_probabilities.items()}
    for modality in modalities:
        rows = [gates.get(modality, np.empty(0, np.float32)) for gates in predictions.gates]
        if any(map(len, rows)):
            arrays[f"gate {modality}"] = np.concatenate(rows)
            arrays[f"offsets {modality}"] = np.cumsum([0, *map(len, rows)])
    kept = [(i, span) for i, row in enumerate(spans) for span in row if span.modality in modalities]
    arrays["span places"] = np.array([(i, span.start, span.stop) for i, span in kept], np.int32).reshape(-1, 3)
    arrays["span names"] = np.array([f"{span.modality} {span.kind}" for _, span in kept], np.str_)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_cell(path: Path, data: EvaluationSplit) -> tuple[Predictions, list[list[Span]]]:
    """Read a cell: the predictions, with gates and the rows that hold negative information, and its spans.

    Raises: DataError if it is damaged.
    """
    with _readable(path):
        arrays = _arrays(path)
        places, names = arrays["span places"].tolist(), arrays["span names"].tolist()
    spans: list[list[Span]] = [[] for _ in range(len(data))]
    for (i, start, stop), name in zip(places, names, strict=True):
        modality, kind = name.split(" ", 1)
        spans[i].append(Span(modality, kind, start, stop))
    gates: list[dict[Modality, NDArray[np.float32]]] = [{} for _ in range(len(data))]
    for key in arrays:
        if key.startswith("gate "):
            modality = key[5:]
            bounds = arrays[f"offsets {modality}"].tolist()
            for i, (low, high) in enumerate(pairwise(bounds)):
                if high > low:
                    gates[i][modality] = arrays[key][low:high]
    predictions = Predictions(
        ids=data.ids,
        videos=data.videos,
        prediction=arrays["prediction"],
        truth=data.truth,
        gates=gates,
        injected=[_marked(rows, known) for rows, known in zip(gates, spans, strict=True)],
        interval_scales=arrays["wider"],
        conflict_probabilities={key[6:]: values for key, values in arrays.items() if key.startswith("doubt ")},
    )
    return predictions, spans


def predictions_before(path: Path, after: Predictions) -> Predictions:
    """The predictions without the intervention of a cell; `after` are those with it.

    Raises: DataError if the cell is damaged.
    """
    with _readable(path):
        return replace(after, prediction=_arrays(path)["before"])


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "this stored result cannot be read", where=str(path), fix="delete the file and give the command again"
        ) from error


def _marked(rows: Mapping[Modality, NDArray[np.float32]], spans: Sequence[Span]) -> dict[Modality, NDArray[np.bool_]]:
    marks = {modality: np.zeros(len(gate), bool) for modality, gate in rows.items()}
    for span in spans:
        if span.modality in marks:
            marks[span.modality][span.start : span.stop] = True
    return marks
