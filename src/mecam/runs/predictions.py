"""The one codec of predictions: NPZ for programs, and a table written from it for people (`predictions.csv`).

In memory they have the shape of `mecam.types.Predictions`, one per seed and split. The table is read back only where a
run folder has lost the NPZ files of its seeds.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError, ModelError
from mecam.runs.tables import number, write_arrays
from mecam.task import Task
from mecam.types import SPLITS, TEXT, Predictions

__all__ = ["interval_around", "mean_predictions", "prediction_columns", "prediction_rows", "predictions_of_rows"]
__all__ += ["read_predictions", "write_predictions"]


def write_predictions(path: Path, p: Predictions) -> None:
    """Predictions as NPZ; maps of rows are concatenated with offsets."""
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array(p.ids, np.str_),
        "videos": np.array(p.videos, np.str_),
        "prediction": p.prediction,
    }
    if p.truth is not None:
        arrays["truth"] = p.truth
    if p.speakers:
        arrays["speakers"] = np.array(p.speakers, np.str_)
    if p.interval_scales is not None:
        arrays["wider"] = p.interval_scales
    arrays |= {f"share {m}": share for m, share in p.shares.items()}
    arrays |= {f"doubt {m}": doubt for m, doubt in p.conflict_probabilities.items()}
    arrays |= {f"embedding {name}": e for name, e in p.embeddings.items()}
    for modality in sorted({m for row in p.gates for m in row}, key=lambda name: (name != TEXT, name)):
        rows = [row.get(modality, np.empty(0, np.float32)) for row in p.gates]
        marks = [row.get(modality, np.empty(0, np.bool_)) for row in p.injected]
        arrays[f"gate {modality}"] = np.concatenate(rows)
        arrays[f"injected {modality}"] = np.concatenate(marks)
        arrays[f"offsets {modality}"] = np.cumsum([0, *map(len, rows)])
    write_arrays(path, arrays)


def read_predictions(path: Path, *, details: bool = True) -> Predictions:
    """Inverse of `write_predictions`.

    Args:
        path: of the NPZ file.
        details: False leaves out gates, injected spans and embeddings, which are large.
    """
    left_out = () if details else ("gate ", "injected ", "offsets ", "embedding ")
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files if not key.startswith(left_out)}

    def named(prefix: str) -> dict[str, NDArray[Any]]:
        return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}

    maps: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}) for _ in range(len(arrays["ids"]))]
    for modality, offsets in named("offsets ").items():
        for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
            if stop > start:
                maps[i][0][modality] = arrays[f"gate {modality}"][start:stop]
                maps[i][1][modality] = arrays[f"injected {modality}"][start:stop]
    return Predictions(
        ids=tuple(arrays["ids"].tolist()),
        videos=tuple(arrays["videos"].tolist()),
        prediction=arrays["prediction"],
        truth=arrays.get("truth"),
        gates=[kept for kept, _ in maps] if details else (),
        injected=[marked for _, marked in maps] if details else (),
        shares=named("share "),
        embeddings=named("embedding "),
        conflict_probabilities=named("doubt "),
        interval_scales=arrays.get("wider"),
        speakers=tuple(arrays["speakers"].tolist()) if "speakers" in arrays else (),
    )


def prediction_rows(
    task: Task,
    texts: Mapping[str, Sequence[str | None]],
    seeds: Mapping[int, tuple[Mapping[str, Predictions], float | None]],
) -> Iterable[dict[str, Any]]:
    """Rows of `predictions.csv`: one per split, seed and utterance.

    Args:
        task: of the data.
        texts: split → transcript of each utterance.
        seeds: seed → its predictions of every split, and the half width of their intervals.
    """
    for seed, (predictions, half_width) in seeds.items():
        for split, p in predictions.items():
            for i, name in enumerate(p.ids):
                row: dict[str, Any] = {"split": split, "seed": seed, "id": name, "video": p.videos[i]}
                row |= {"speaker": p.speakers[i]} if p.speakers else {}
                row |= prediction_columns(task, p, i, half_width)
                row["text"] = texts[split][i] or ""
                row |= {f"share_{m}": round(float(share[i]), 6) for m, share in p.shares.items()}
                known = {m: float(doubt[i]) for m, doubt in p.conflict_probabilities.items() if np.isfinite(doubt[i])}
                yield row | {f"doubt_{m}": round(doubt, 6) for m, doubt in known.items()}


def prediction_columns(task: Task, p: Predictions, i: int, half_width: float | None) -> dict[str, Any]:
    """One prediction as columns: score and interval, class and probabilities, or a probability per label."""
    columns = task.columns(p.prediction[i], None if p.truth is None else p.truth[i])
    if not task.is_score:
        return columns
    half = None if half_width is None else float(p.interval_half_widths(half_width)[i])
    low, high = (None, None) if half is None else interval_around(task, columns["prediction"], half)
    return columns | {"low": low, "high": high}


def interval_around(task: Task, score: float, half: float) -> tuple[float, float]:
    """The ends of the interval around a score, within the task's scale: no truth lies beyond it.

    Args:
        task: of scores.
        score: that the model gives, which may lie a little beyond the scale.
        half: half of the interval's width.

    Raises: ModelError if the interval has no ends.
    """
    low, high = (float(np.clip(end, task.low, task.high)) for end in (score - half, score + half))
    if not np.isfinite([low, high]).all():
        raise ModelError("the interval around the score is not finite", fix="use another checkpoint, or train again")
    return low, high


def predictions_of_rows(
    task: Task, rows: Iterable[Mapping[str, str]]
) -> dict[int, tuple[dict[str, Predictions], float | None]]:
    """Inverse of `prediction_rows`: truths with six digits, and without the columns of doubt.

    Raises: DataError if the seeds predict different utterances.
    """
    tables: dict[int, dict[str, dict[str, Mapping[str, str]]]] = {}
    for row in rows:
        tables.setdefault(int(row["seed"]), {}).setdefault(row["split"], {})[row["id"]] = row
    first = next(iter(tables.values()), {})
    found = {}
    for seed, of_splits in tables.items():
        predictions, halves = {}, {}
        for split in sorted(of_splits, key=SPLITS.index):
            table, ids = of_splits[split], list(first.get(split, ()))
            if table.keys() != set(ids):
                raise DataError(f"the seeds predict different utterances of {split}", where="predictions.csv")
            predictions[split], halves[split] = _of_rows(task, [table[name] for name in ids])
        known = [half for half in halves.values() if half is not None]
        narrowest = min((float(half.min()) for half in known), default=None) if len(known) == len(halves) else None
        if narrowest:
            scales = {split: half / narrowest for split, half in halves.items() if half is not None}
            predictions = {split: replace(p, interval_scales=scales[split]) for split, p in predictions.items()}
        found[seed] = (predictions, narrowest)
    return found


def _of_rows(task: Task, rows: Sequence[Mapping[str, str]]) -> tuple[Predictions, NDArray[np.float64] | None]:
    """The rows of one seed and split, and the half width of each interval; None where there are none."""

    def column(key: str) -> NDArray[np.float64] | None:
        cells = [number(row.get(key)) for row in rows]
        return None if any(cell is None for cell in cells) else np.array(cells, np.float64)

    ids, labels = tuple(row["id"] for row in rows), [row["truth"] for row in rows]
    truth = None
    if all(labels) or (task.several and any(labels)):
        truth = task.encode([task.read_label(label) for label in labels]).astype(np.float64)
    shares = {key.removeprefix("share_"): column(key) for key in rows[0] if key.startswith("share_")}
    speakers = tuple(row.get("speaker") or "" for row in rows)
    p = Predictions(
        ids,
        tuple(row.get("video") or row["id"] for row in rows),
        np.array([task.read_columns(row) for row in rows], np.float64),
        truth,
        shares={name: values.astype(np.float32) for name, values in shares.items() if values is not None},
        speakers=speakers if any(speakers) else (),
    )
    low, high = column("low"), column("high")
    if not task.is_score or low is None or high is None:
        return p, None
    return p, np.maximum(high - p.prediction, p.prediction - low)  # one of the ends may be that of the scale


def mean_predictions(seeds: Sequence[Predictions]) -> Predictions:
    """What several seeds predict together: the mean of their scores or probabilities, and of their modality weights."""
    first = seeds[0]
    shares = {m: np.mean([p.shares[m] for p in seeds], axis=0, dtype=np.float64) for m in first.shares}
    narrow = {m: np.asarray(share, np.float32) for m, share in shares.items()}
    return Predictions(
        first.ids,
        first.videos,
        np.asarray(np.mean([p.prediction for p in seeds], axis=0)),
        first.truth,
        shares=narrow,
        speakers=first.speakers,
    )
