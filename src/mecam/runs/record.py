"""What a run folder says about a run, read for the report.

Only files of the folder are read, and only as data. A file that a run may lack (`filter_maps.json`,
`embeddings.npz`) reads as nothing; one that it must have is an error that names it.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mecam.budget import check_regular_file, small_text
from mecam.data.cells import original_cell
from mecam.errors import DataError, MecamError, TrainingError
from mecam.evaluation.groups import Groups
from mecam.evaluation.sums import Array
from mecam.hashes import sha256_of
from mecam.task import Task
from mecam.types import Modality

__all__ = ["Answers", "RunRecord", "understood"]

Row = Mapping[str, str]

MOST_BYTES = 256 << 20
"""Of a file of a run."""

TINY = 1e-6
"""Truths are written with six digits."""


@dataclass(frozen=True)
class Answers:
    """What every seed answered on one split, utterances in the same order: S seeds, N utterances.

    Attributes:
        ids: N utterance ids.
        texts: N transcripts, None where the run folder does not hold them.
        truth: N scores, or N class names joined by "|" where there may be several; None if unlabelled.
        prediction: N scores or names, of the seeds together.
        scores: S × N scores (regression) or S × N × C probabilities.
        low: N, lower ends of the intervals, mean over seeds; None where there are none.
        high: N, upper ends.
        shares: modality → N, mean over seeds.
        videos: N recordings that the utterances were cut from.
        speakers: N who speak; () where nobody is named.
        inside: S × N, whether the truth lies in the interval of each seed; None where there is none.
    """

    ids: tuple[str, ...]
    texts: tuple[str | None, ...]
    truth: NDArray[Any] | None
    prediction: NDArray[Any]
    scores: Array
    low: Array | None
    high: Array | None
    shares: Mapping[Modality, Array]
    videos: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    inside: Array | None = None

    @property
    def groups(self) -> Groups:
        """What is resampled."""
        return Groups.among(self.videos, self.speakers)

    def label_matrix(self, task: Task) -> NDArray[np.bool_]:
        """The truth of a task of several labels: N × C, True where the label is present."""
        assert self.truth is not None
        given = [set(str(names).split("|")) for names in self.truth]
        return np.array([[name in names for name in task.names] for names in given], np.bool_)


@dataclass(frozen=True)
class RunRecord:
    """A run folder, in memory.

    Attributes:
        folder: where it lies.
        config: the resolved YAML, as text.
        environment: versions, hardware, data.
        metrics: split → metric → {mean, std, ci95, per_seed}, and `constant`, `filter`, `calibration`.
        history: one row per seed and epoch; None where a value is missing.
        rows: of `predictions.csv`, as they are.
        filter_maps: what was kept of a few utterances.
        embeddings: `before_<modality>`, `after_<modality>`, `truth`.
        comparison: this run beside others, as `mecam compare` writes it into `comparison.json`; {} where there is none.
        projection: how embeddings are drawn, `pca` or `tsne`.
    """

    folder: Path
    config: str
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, float | None]]
    rows: Sequence[Row]
    filter_maps: Sequence[Mapping[str, Any]]
    embeddings: Mapping[str, NDArray[Any]]
    comparison: Mapping[str, Any] = field(default_factory=dict)
    projection: Literal["pca", "tsne"] = "pca"

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """Read a finished run.

        Raises: TrainingError if a file is missing or cannot be read.
        """
        with understood(folder):
            return cls._read(folder)

    @classmethod
    def _read(cls, folder: Path) -> "RunRecord":
        if not (folder / "config.yaml").exists():
            raise _broken(folder, "there is no run here: it has no config.yaml")
        environment = _mapping(folder / "environment.json")
        for name, sha256 in environment.get("files", {}).items():  # runs of earlier versions do not say
            if not (folder / name).exists():
                continue
            if check_regular_file(folder / name) > MOST_BYTES or sha256_of(folder / name) != sha256:
                raise _broken(folder / name, f"{name} is not what the run wrote: it was changed, or cut off")
        return cls(
            folder=folder,
            config=_text(folder / "config.yaml"),
            environment=environment,
            metrics=_mapping(folder / "metrics.json"),
            history=[{key: _number(value) for key, value in row.items()} for row in _rows(folder / "history.csv")],
            rows=_rows(folder / "predictions.csv"),
            filter_maps=_json(folder / "filter_maps.json") if (folder / "filter_maps.json").exists() else [],
            embeddings=_arrays(folder / "embeddings.npz"),
            comparison=_mapping(folder / "comparison.json") if (folder / "comparison.json").exists() else {},
        )

    @cached_property
    def task(self) -> Task:
        """What the data set asks for."""
        found = self.environment.get("data", {}).get("task", {})
        try:
            return Task.from_json(found)
        except DataError as error:
            raise _broken(self.folder / "environment.json", f"data.task is {found!r}") from error

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.environment.get("model", "model"))

    @property
    def data(self) -> Mapping[str, Any]:
        """What `environment.json` says about the data."""
        found: Mapping[str, Any] = self.environment.get("data", {})
        return found

    @property
    def splits(self) -> list[str]:
        """The splits that have metrics, the one that counts first."""
        return [split for split in ("test", "valid", "train") if split in self.metrics]

    @cached_property
    def answers(self) -> Mapping[str, Answers]:
        """Split → answers, the one that counts first."""
        present = {row["split"] for row in self.rows}
        return {split: self._answers(split) for split in ("test", "valid", "train") if split in present}

    @property
    def labelled(self) -> tuple[str, Answers] | None:
        """The first split whose truth is known, and the answers on it."""
        return next(((split, given) for split, given in self.answers.items() if given.truth is not None), None)

    def _answers(self, split: str) -> Answers:
        seeds: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            if row["split"] == split:
                seeds.setdefault(row["seed"], {})[row["id"]] = row
        tables = list(seeds.values())
        ids = tuple(tables[0])
        if any(set(table) != set(ids) for table in tables):
            raise _broken(self.folder / "predictions.csv", f"the seeds answer different utterances of {split}")
        ordered = [[table[name] for name in ids] for table in tables]
        truth = [row["truth"] for row in ordered[0]]
        known = all(truth) or (self.task.several and any(truth))
        scores = np.array([[self.task.read_columns(row) for row in rows] for rows in ordered])
        speakers = tuple(original_cell(row.get("speaker") or "") for row in ordered[0])
        texts = {str(one["id"]): one.get("text") for one in self.filter_maps}
        return Answers(
            ids=ids,
            texts=tuple(row.get("text") or texts.get(row["id"]) for row in ordered[0]),
            truth=np.array([float(t) for t in truth] if self.task.is_score else truth) if known else None,
            prediction=self.task.decide(scores.mean(axis=0)),
            scores=scores,
            low=_column(ordered, "low"),
            high=_column(ordered, "high"),
            shares=self._shares(ordered),
            videos=tuple(original_cell(row.get("video") or "") or row["id"] for row in ordered[0]),
            speakers=speakers if any(speakers) else (),
            inside=_inside(ordered) if known and self.task.is_score else None,
        )

    def _shares(self, ordered: Sequence[Sequence[Row]]) -> dict[Modality, Array]:
        names = [key.removeprefix("share_") for key in ordered[0][0] if key.startswith("share_")]
        found = {name: _column(ordered, f"share_{name}") for name in names}
        return {name: values for name, values in found.items() if values is not None}


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
        what = f"the files of this run cannot be understood: {type(error).__name__}: {error}"
        raise _broken(folder, what) from error


def _inside(ordered: Sequence[Sequence[Row]]) -> Array | None:
    """Whether each seed's interval holds the truth: S × N; None where an interval is missing."""
    ends = [[[_number(row.get(key)) for key in ("low", "truth", "high")] for row in rows] for rows in ordered]
    if any(end is None for rows in ends for row in rows for end in row):
        return None
    low, truth, high = np.moveaxis(np.array(ends, np.float64), -1, 0)
    return np.asarray((low - TINY <= truth) & (truth <= high + TINY), np.float64)


def _column(ordered: Sequence[Sequence[Row]], key: str) -> Array | None:
    """Mean over seeds of a numeric column; None if it is missing anywhere."""
    cells = [[_number(row.get(key)) for row in rows] for rows in ordered]
    if any(cell is None for row in cells for cell in row):
        return None
    return np.asarray(np.array(cells, np.float64).mean(axis=0))


def _number(cell: str | None) -> float | None:
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else None


def _text(path: Path) -> str:
    try:
        return small_text(path, most=MOST_BYTES)  # line ends as they are: one may stand in a name
    except MecamError as error:
        raise _broken(path, error.what if path.exists() else f"{path.name} cannot be read") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"{path.name} is no JSON: {error}") from error


def _mapping(path: Path) -> Mapping[str, Any]:
    found = _json(path)
    if not isinstance(found, dict):
        raise _broken(path, f"{path.name} holds no mapping")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        lines = list(csv.reader(io.StringIO(_text(path), newline="")))
    except csv.Error as error:
        raise _broken(path, f"{path.name} is no CSV: {error}") from error
    head = [original_cell(cell) for cell in lines[0]] if lines else []
    if not head or any(len(line) != len(head) for line in lines[1:] if line):
        raise _broken(path, f"{path.name} is empty or cut off: a row has other columns than the first")
    return [dict(zip(head, map(original_cell, line), strict=True)) for line in lines[1:] if line]


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.exists():
        return {}
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy's, zip's and zlib's own
        raise _broken(path, f"{path.name} cannot be read: {error}") from error


def _broken(path: Path, what: str) -> TrainingError:
    return TrainingError(what, where=str(path), fix="give the folder of a finished run, or train it again")
