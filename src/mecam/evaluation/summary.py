"""What a run's `metrics.json` and `filter_maps.json` hold, computed from predictions of all its seeds.

`metrics.json`: split → metric → {mean, std, ci95, per_seed}; under `constant` the same for the constant predictor,
under `filter` modality → kind → the same of the filter AUROC, under `conflict` modality → the same of the conflict
AUROC, under `calibration` level, half_width, coverage per split, under `resampled` split → unit and count of what the
intervals draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.datasets import Dataset
from mecam.evaluation.detection import conflict_table, filter_table
from mecam.evaluation.groups import Groups
from mecam.evaluation.predict import constant_predictions, known_only
from mecam.evaluation.statistics import coverage, metrics_table
from mecam.runs.predictions import prediction_columns
from mecam.runs.seed import SeedResult
from mecam.types import TEXT, Predictions, Span, Utterance

__all__ = ["calibration_table", "evaluation_tables", "filter_maps"]

MAX_MAPS = 12
"""Utterances whose filter map goes into the run folder."""


def evaluation_tables(
    splits: Mapping[str, Dataset], predictions: Sequence[Mapping[str, Predictions]], prior: tuple[float, ...]
) -> dict[str, Any]:
    """Metrics of each labelled split, of the constant predictor too, and how well the filter finds inserted corruption.

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


def calibration_table(level: float, results: Sequence[SeedResult]) -> dict[str, Any]:
    """`calibration`: level, mean half width and coverage of the intervals; nothing where a seed has none."""
    widths = [result.half_width for result in results if result.half_width is not None]
    if len(widths) != len(results):
        return {}
    rates = {split: _coverage(split, results) for split in results[0].predictions}
    return {"calibration": {"level": level, "half_width": float(np.mean(widths)), "coverage": rates}}


def filter_maps(splits: Mapping[str, Dataset], result: SeedResult) -> list[dict[str, Any]]:
    """A few utterances of the split that is shown, with what was kept of them.

    Where negative information was put in, they are spread over its kinds; elsewhere they are those whose gates
    differ most from row to row, one per recording as far as there are enough.
    """
    shown = "test" if "test" in result.predictions else "valid"
    p, dataset = result.predictions[shown], splits[shown]
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
    for i in sorted(list(order)[:MAX_MAPS]):
        if p.gates[i]:
            columns = prediction_columns(dataset.task, p, i, result.half_width)
            fields = {key: columns.get(key) for key in ("truth", "prediction", "low", "high")}
            modalities = _map_of(utterances[i], p, i)
            maps.append({"id": p.ids[i], "text": utterances[i].text, **fields, "modalities": modalities})
    return maps


def _injection_tables(dataset: Dataset, seeds: Sequence[Predictions]) -> dict[str, Any]:
    """`filter` and `conflict`: how well inserted corruption is found; empty without corruption or without a filter."""
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
        widths = p.interval_half_widths(width)
        values.append(coverage(p.truth, p.prediction - widths, p.prediction + widths))
    return None if any(v is None for v in values) else float(np.mean(np.array(values, np.float64)))


def _contrast(gates: Mapping[str, NDArray[np.float32]]) -> float:
    """How much the gates of an utterance differ from row to row: the largest standard deviation of a modality."""
    return max((float(gate[~np.isnan(gate)].std()) for gate in gates.values() if not np.isnan(gate).all()), default=0.0)


def _map_of(utterance: Utterance, p: Predictions, i: int) -> dict[str, Any]:
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
