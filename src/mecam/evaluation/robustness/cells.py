"""A cell: one model's answers under one condition and one seed of the masks, as a small file named by what it is.

The name is a hash of the checkpoint, the data, the condition and the seed; a cell that is there is never made again,
and one of other weights or other data is never taken for it.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.evaluation.robustness.material import Material
from mecam.files import whole_file
from mecam.hashes import sha256_of
from mecam.types import Modality, Predictions, Span

__all__ = ["Answer", "cell_name", "checkpoint_identity", "read_cell", "write_cell"]

VERSION = 2
"""Counts up when what a cell holds, or what a condition does under the same name, changes."""


@dataclass(frozen=True)
class Answer:
    """What a model says about one utterance.

    Attributes:
        prediction: a score, or C probabilities.
        doubts: modality → probability that it contradicts the others; empty for models that do not ask.
        gates: modality → T in [0, 1].
        lost: modality → the share of its rows that are missing.
        wider: factor on the half width of its interval.
    """

    prediction: NDArray[np.float64]
    doubts: Mapping[Modality, float]
    gates: Mapping[Modality, NDArray[np.float32]]
    lost: Mapping[Modality, float]
    wider: float = 1.0


def checkpoint_identity(folder: Path) -> str:
    """A hash of all files of a checkpoint folder.

    Raises: DataError if there is none, or it cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise DataError("there is no checkpoint here", where=str(folder), fix="name a run made by `mecam train`")
    named = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def cell_name(checkpoint: str, data: Mapping[str, object], condition: Mapping[str, Any], seed: int | None) -> str:
    """Name the file of a cell.

    Args:
        checkpoint: `checkpoint_identity`.
        data: `Material.identity`.
        condition: `Condition.to_json`.
        seed: of the masks; None where nothing is random.
    """
    facts = {"version": VERSION, "checkpoint": checkpoint, "data": data, "condition": condition, "seed": seed}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32] + ".npz"


def write_cell(
    path: Path, answers: Sequence[Answer], spans: Sequence[Sequence[Span]], modalities: Sequence[Modality]
) -> None:
    """Write a cell, whole or not at all.

    Args:
        path: from `cell_name`.
        answers: N.
        spans: N, what lies in each utterance.
        modalities: whose gates and spans are kept.
    """
    arrays: dict[str, NDArray[Any]] = {"prediction": np.stack([answer.prediction for answer in answers])}
    arrays["wider"] = np.array([answer.wider for answer in answers])
    for modality in sorted({m for answer in answers for m in answer.doubts}):
        arrays[f"doubt {modality}"] = np.array([a.doubts.get(modality, np.nan) for a in answers], np.float32)
    for modality in modalities:
        rows = [answer.gates.get(modality, np.empty(0, np.float32)) for answer in answers]
        if any(map(len, rows)):
            arrays[f"gate {modality}"] = np.concatenate(rows)
            arrays[f"offsets {modality}"] = np.cumsum([0, *map(len, rows)])
    kept = [(i, span) for i, row in enumerate(spans) for span in row if span.modality in modalities]
    arrays["span places"] = np.array([(i, span.start, span.stop) for i, span in kept], np.int32).reshape(-1, 3)
    arrays["span names"] = np.array([f"{span.modality} {span.kind}" for _, span in kept], np.str_)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_cell(path: Path, material: Material) -> tuple[Predictions, list[list[Span]]]:
    """Read a cell: the predictions, with gates and the rows that hold negative information, and its spans.

    Raises: DataError if it is damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        places, names = arrays["span places"].tolist(), arrays["span names"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError("this cell cannot be read", where=str(path), fix="delete it and run again") from error
    spans: list[list[Span]] = [[] for _ in range(len(material))]
    for (i, start, stop), name in zip(places, names, strict=True):
        modality, kind = name.split(" ", 1)
        spans[i].append(Span(modality, kind, start, stop))
    gates: list[dict[Modality, NDArray[np.float32]]] = [{} for _ in range(len(material))]
    for key in arrays:
        if key.startswith("gate "):
            modality = key[5:]
            bounds = arrays[f"offsets {modality}"].tolist()
            for i, (low, high) in enumerate(pairwise(bounds)):
                if high > low:
                    gates[i][modality] = arrays[key][low:high]
    predictions = Predictions(
        ids=material.ids,
        videos=material.videos,
        prediction=arrays["prediction"],
        truth=material.truth,
        gates=gates,
        injected=[_marked(rows, known) for rows, known in zip(gates, spans, strict=True)],
        wider=arrays["wider"],
        doubts={key[6:]: values for key, values in arrays.items() if key.startswith("doubt ")},
    )
    return predictions, spans


def _marked(rows: Mapping[Modality, NDArray[np.float32]], spans: Sequence[Span]) -> dict[Modality, NDArray[np.bool_]]:
    marks = {modality: np.zeros(len(gate), bool) for modality, gate in rows.items()}
    for span in spans:
        if span.modality in marks:
            marks[span.modality][span.start : span.stop] = True
    return marks
