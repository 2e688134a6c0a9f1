"""What a run leaves behind, per seed and together: files that the report and other programs read.

`metrics.json`: split → metric → {mean, std, ci95, per_seed}; under `constant` the same for the constant predictor,
under `filter` modality → kind → the same of the filter AUROC, under `conflict` modality → the same of the conflict
AUROC, under `calibration` level, half_width, coverage per split, under `resampled` split → unit and count of what the
intervals draw.
"""

import csv
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.budget import small_json
from mecam.data.cells import safe_row
from mecam.data.datasets import Dataset
from mecam.errors import MecamError, TrainingError
from mecam.evaluation.detection import conflict_table, filter_table
from mecam.evaluation.groups import Groups
from mecam.evaluation.predict import constant_predictions, interval_around, known_only
from mecam.evaluation.statistics import coverage, metrics_table
from mecam.files import whole_file, write_whole
from mecam.hashes import check_files, check_record, record_sha256, sha256_of
from mecam.types import TEXT, Predictions, Span, Task

__all__ = [
    "SeedResult",
    "evaluation_tables",
    "prediction_columns",
    "prediction_rows",
    "read_predictions",
    "write_json",
    "write_predictions",
    "write_rows",
    "write_tables",
]

OWN = "seed_sha256"
"""Key of `seed.json`'s own SHA-256: of all its other keys."""

AGAIN = "delete this folder and give the same command again: the seed is then trained once more"

MAPS = 12
"""Utterances whose filter map goes into the run folder."""


@dataclass(frozen=True)
class SeedResult:
    """One seed's outcome, which is all that its folder holds.

    Attributes:
        seed: the seed.
        score: of the best epoch on validation, larger is better.
        history: rows of `history.csv`.
        predictions: split → predictions.
        half_width: of the interval around the score of an undamaged utterance; None where there is none.
        facts: precision, seconds, and what `costs` measures.
    """

    seed: int
    score: float
    history: list[dict[str, float]]
    predictions: Mapping[str, Predictions]
    half_width: float | None
    facts: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write all files; `seed.json` comes last, says that the seed is done, and holds the SHA-256 of the others."""
        write_rows(folder / "history.csv", self.history)
        for split, predictions in self.predictions.items():
            write_predictions(folder / f"{split}.npz", predictions)
        known = self.score if math.isfinite(self.score) else None  # undefined for constant predictions
        content = {"seed": self.seed, "score": known, "half_width": self.half_width, "facts": dict(self.facts)}
        written = ["history.csv", *(f"{split}.npz" for split in self.predictions)]
        content["sha256"] = {name: sha256_of(folder / name) for name in written}
        write_json(folder / "seed.json", content | {OWN: record_sha256(content, OWN)})

    @classmethod
    def read(cls, folder: Path) -> "SeedResult | None":
        """Read what `write` wrote; None if the seed is not done.

        Raises: TrainingError if it is damaged.
        """
        if not (folder / "seed.json").is_file():
            return None
        try:
            return cls._read(folder)
        except MecamError as error:
            raise TrainingError(error.what, where=str(folder), fix=AGAIN) from error
        except Exception as error:  # whatever a cut or foreign file makes of JSON, CSV, NumPy and zip
            raise TrainingError(
                f"the results of a finished seed cannot be read: {type(error).__name__}: {error}",
                where=str(folder),
                fix=AGAIN,
            ) from error

    @classmethod
    def _read(cls, folder: Path) -> "SeedResult":
        content = small_json(folder / "seed.json")
        check_record(content, OWN, folder / "seed.json", fix=AGAIN)
        check_files(folder, content.pop("sha256", {}), beside="seed.json", full=True, fix=AGAIN)
        content.pop(OWN, None)
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        splits = [split for split in ("train", "valid", "test") if (folder / f"{split}.npz").is_file()]
        predictions = {split: read_predictions(folder / f"{split}.npz") for split in splits}
        score = float("-inf") if content["score"] is None else content["score"]
        return cls(history=history, predictions=predictions, **{**content, "score": score})


def write_tables(
    out: Path,
    splits: Mapping[str, Dataset],
    prior: tuple[float, ...],
    level: float,
    results: Sequence[SeedResult],
) -> dict[str, Any]:
    """Write metrics.json, history.csv, predictions.csv, filter_maps.json and embeddings.npz; return the metrics."""
    metrics = evaluation_tables(splits, [result.predictions for result in results], prior)
    widths = [result.half_width for result in results if result.half_width is not None]
    if len(widths) == len(results):
        metrics["calibration"] = {
            "level": level,
            "half_width": float(np.mean(widths)),
            "coverage": {split: _coverage(split, results) for split in results[0].predictions},
        }
    write_json(out / "metrics.json", metrics)
    write_rows(out / "history.csv", ({"seed": r.seed, **row} for r in results for row in r.history))
    best = max(results, key=lambda result: result.score)
    shown = "test" if "test" in best.predictions else "valid"
    write_rows(out / "predictions.csv", prediction_rows(splits, results))
    write_json(out / "filter_maps.json", _filter_maps(splits[shown], best, shown))
    write_embeddings(out / "embeddings.npz", results[0].predictions[shown])
    return metrics


def evaluation_tables(
    splits: Mapping[str, Dataset], predictions: Sequence[Mapping[str, Predictions]], prior: tuple[float, ...]
) -> dict[str, Any]:
    """Metrics of every labelled split, the constant predictor beside, and how well the filter finds what was put in.

    Args:
        splits: split → data set.
        predictions: per seed, split → predictions with details.
        prior: what the constant predictor says.
    """
    metrics: dict[str, Any] = {}
    constant: dict[str, Any] = {}
    resampled: dict[str, Any] = {}
    for split in predictions[0]:
        seeds = [seed[split] for seed in predictions]
        if seeds[0].truth is None:
            continue
        task = splits[split].task
        metrics[split] = metrics_table(task, seeds)
        resampled[split] = asdict(Groups.of(seeds[0]).resampled)
        constant[split] = metrics_table(task, [constant_predictions(task, seeds[0], prior)])
    metrics["constant"] = constant
    metrics["resampled"] = resampled
    shown = "test" if "test" in splits and "test" in predictions[0] else next(iter(predictions[0]))
    return metrics | _injection_tables(splits[shown], [seed[shown] for seed in predictions])


def _injection_tables(dataset: Dataset, seeds: Sequence[Predictions]) -> dict[str, Any]:
    """`filter` and `conflict`: is it found where something was put in? Nothing where nothing was, or no one looks."""
    spans = [utterance.injected for utterance in dataset]
    if not any(spans):
        return {}
    found = {
        "filter": filter_table(seeds, spans) if any(seeds[0].gates) else {},
        "conflict": conflict_table(seeds, spans),
    }
    return {name: table for name, table in found.items() if table}


def _coverage(split: str, results: Sequence[SeedResult]) -> float | None:
    values = []
    for result in results:
        p, width = result.predictions[split], result.half_width
        if p.truth is None or width is None:
            return None
        widths = p.half_widths(width)
        values.append(coverage(p.truth, p.prediction - widths, p.prediction + widths))
    return None if any(v is None for v in values) else float(np.mean(np.array(values, np.float64)))


def prediction_rows(splits: Mapping[str, Dataset], results: Sequence[SeedResult]) -> Iterable[dict[str, Any]]:
    """Rows of `predictions.csv`: one per split, seed and utterance."""
    texts = {split: dataset.texts for split, dataset in splits.items()}
    for result in results:
        for split, p in result.predictions.items():
            task = splits[split].task
            for i, name in enumerate(p.ids):
                row: dict[str, Any] = {"split": split, "seed": result.seed, "id": name, "video": p.videos[i]}
                row |= {"speaker": p.speakers[i]} if p.speakers else {}
                row |= prediction_columns(task, p, i, result.half_width)
                row["text"] = texts[split][i] or ""
                row |= {f"share_{m}": round(float(share[i]), 6) for m, share in p.shares.items()}
                known = {m: float(doubt[i]) for m, doubt in p.doubts.items() if np.isfinite(doubt[i])}
                yield row | {f"doubt_{m}": round(doubt, 6) for m, doubt in known.items()}


def prediction_columns(task: Task, p: Predictions, i: int, half_width: float | None) -> dict[str, Any]:
    """One prediction as columns: score and interval, class and probabilities, or a probability per label."""
    truth = None if p.truth is None else p.truth[i]
    if task.kind == "regression":
        value = float(p.prediction[i])
        half = None if half_width is None else float(p.half_widths(half_width)[i])
        ends = (None, None) if half is None else interval_around(task, value, half)
        known = None if truth is None else round(float(truth), 6)  # float32 labels read as people wrote them
        return {"truth": known, "prediction": value, "low": ends[0], "high": ends[1]}
    odds = {f"prob_{name}": float(p.prediction[i, c]) for c, name in enumerate(task.names)}
    if task.kind == "classes":
        true_name = None if truth is None else task.names[int(truth)]
        return {"truth": true_name, "prediction": task.names[int(p.prediction[i].argmax())], **odds}
    present = [name for c, name in enumerate(task.names) if p.prediction[i, c] >= 0.5]
    true = None if truth is None else "|".join(name for c, name in enumerate(task.names) if truth[c] > 0)
    return {"truth": true, "prediction": "|".join(present), **odds}


def _filter_maps(dataset: Dataset, result: SeedResult, split: str) -> list[dict[str, Any]]:
    """A few utterances with what was kept.

    Where negative information was put in, they are spread over its kinds; elsewhere they are those whose gates
    differ most from row to row, one per recording as far as there are enough.
    """
    p = result.predictions[split]
    if not p.gates or not any(p.gates):
        return []
    utterances = list(dataset)
    groups: dict[str, list[int]] = {}
    by_contrast = sorted(range(len(utterances)), key=lambda i: -_contrast(p.gates[i]))
    injected = any(utterance.injected for utterance in utterances)
    for i in range(len(utterances)) if injected else by_contrast:
        kinds = {f"{s.modality} {s.kind}" for s in utterances[i].injected} or {"clean"}
        for group in sorted(kinds) if injected else [utterances[i].video]:
            groups.setdefault(group, []).append(i)
    turns = range(max(map(len, groups.values()), default=0))
    order = dict.fromkeys(places[turn] for turn in turns for places in groups.values() if turn < len(places))
    maps = []
    for i in sorted(list(order)[:MAPS]):
        if p.gates[i]:
            columns = prediction_columns(dataset.task, p, i, result.half_width)
            fields = {key: columns.get(key) for key in ("truth", "prediction", "low", "high")}
            maps.append(
                {"id": p.ids[i], "text": utterances[i].text, **fields, "modalities": _map_of(utterances[i], p, i)}
            )
    return maps


def _contrast(gates: Mapping[str, NDArray[np.float32]]) -> float:
    """How much the gates of an utterance differ from row to row: the largest standard deviation of a modality."""
    return max((float(gate[~np.isnan(gate)].std()) for gate in gates.values() if not np.isnan(gate).all()), default=0.0)


def _map_of(utterance: Any, p: Predictions, i: int) -> dict[str, Any]:
    modalities = {}
    for modality, kept in p.gates[i].items():
        spans: list[Span] = [span for span in utterance.injected if span.modality == modality]
        times = utterance.intervals.get(modality)
        labels = (utterance.text or "").split()[: len(kept)] if modality == TEXT and utterance.tokens else None
        seconds: list[float] | None = None if times is None else times[:, 0].tolist()
        stop = None if times is None or not len(times) else float(times[-1, 1])
        if modality == TEXT and len(utterance.words) == len(kept):
            seconds, stop = [word.start for word in utterance.words], utterance.words[-1].stop
        modalities[modality] = {
            "kept": known_only(kept),
            "labels": labels,
            "seconds": None if seconds is None or not np.isfinite(seconds).all() else seconds,
            "stop": stop if stop is not None and np.isfinite(stop) else None,
            "injected": p.injected[i][modality].tolist() if spans else None,
            "kinds": sorted({span.kind for span in spans}),
        }
    return modalities


def write_embeddings(path: Path, predictions: Predictions) -> None:
    """`before_<modality>`, `after_<modality>` and `truth` as NPZ; nothing for models without a filter."""
    if not predictions.embeddings or predictions.truth is None:
        return
    _write_npz(path, {**predictions.embeddings, "truth": predictions.truth})


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
    if p.wider is not None:
        arrays["wider"] = p.wider
    arrays |= {f"share {m}": share for m, share in p.shares.items()}
    arrays |= {f"doubt {m}": doubt for m, doubt in p.doubts.items()}
    arrays |= {f"embedding {name}": e for name, e in p.embeddings.items()}
    for modality in sorted({m for row in p.gates for m in row}, key=lambda name: (name != TEXT, name)):
        rows = [row.get(modality, np.empty(0, np.float32)) for row in p.gates]
        marks = [row.get(modality, np.empty(0, np.bool_)) for row in p.injected]
        arrays[f"gate {modality}"] = np.concatenate(rows)
        arrays[f"injected {modality}"] = np.concatenate(marks)
        arrays[f"offsets {modality}"] = np.cumsum([0, *map(len, rows)])
    _write_npz(path, arrays)


def read_predictions(path: Path) -> Predictions:
    """Inverse of `write_predictions`."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}

    def named(prefix: str) -> dict[str, NDArray[Any]]:
        return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}

    count = len(arrays["ids"])
    maps: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}) for _ in range(count)]
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
        gates=[kept for kept, _ in maps],
        injected=[marked for _, marked in maps],
        shares=named("share "),
        embeddings=named("embedding "),
        doubts=named("doubt "),
        wider=arrays.get("wider"),
        speakers=tuple(arrays["speakers"].tolist()) if "speakers" in arrays else (),
    )


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


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(arrays))
