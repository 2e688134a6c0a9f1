"""A run folder made of random numbers, with every file that a report may read."""

import csv
import json
from pathlib import Path

import numpy as np

from mecam.evaluation.statistics import conformal_quantile, coverage, metrics_table
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import Predictions

SCORES = Regression(-3.0, 3.0)
EMOTIONS = Classes(("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"))
FEELINGS = Labels(("happy", "sad", "anger", "fear", "disgust", "surprise"))
SEEDS = (1111, 1112, 1113)
SIZES = {"valid": 60, "test": 120}
SENTENCES = (
    "I really loved the acting but the story was a mess",
    "umm the <b>camera</b> work is not bad at all & I would watch it again",
    "THIS IS THE WORST FILM I HAVE SEEN IN YEARS",
    "",
    "it is fine I guess",
)


def make_run(folder: Path, task: Task = SCORES, *, synthetic: bool = True) -> Path:
    """Write a run folder; its numbers mean nothing, its files are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    splits = {name: _predictions(name, count, task, rng) for name, count in SIZES.items()}
    _write_json(folder / "environment.json", _environment(task, synthetic))
    _write_json(folder / "metrics.json", _metrics(task, splits))
    _write_rows(folder / "predictions.csv", _rows(task, splits))
    _write_rows(folder / "history.csv", _history(rng))
    _write_json(folder / "filter_maps.json", _maps(task, rng))
    _write_embeddings(folder / "embeddings.npz", splits["test"][0], task, rng)
    (folder / "config.yaml").write_text("model:\n  name: mecam\n  width: 64  # <of everything>\n", encoding="utf-8")
    return folder


def _predictions(split: str, count: int, task: Task, rng: np.random.Generator) -> list[Predictions]:
    ids = tuple(f"{split}_{i}<script>" for i in range(count))
    videos = tuple(f"v{i // 6}" for i in range(count))
    shares = {m: rng.dirichlet((6, 3, 2), count)[:, k].astype(np.float32) for k, m in enumerate(MODALITIES)}
    seeds = []
    if task.kind == "regression":
        truth = np.round(rng.uniform(-3, 3, count) * 5) / 5
        for _ in SEEDS:
            seeds.append(Predictions(ids, videos, 0.8 * truth + rng.normal(0, 0.8, count), truth, shares=shares))
        return seeds
    if task.kind == "multilabel":
        present = (rng.random((count, len(task.names))) < np.linspace(0.5, 0.05, len(task.names))).astype(np.float64)
        for _ in SEEDS:
            odds = 1 / (1 + np.exp(-3 * (present - 0.6) - rng.normal(0, 1, present.shape)))
            seeds.append(Predictions(ids, videos, odds, present, shares=shares))
        return seeds
    truth = rng.integers(0, len(task.names), count)
    for _ in SEEDS:
        logits = 2.5 * np.eye(len(task.names))[truth] + rng.normal(0, 1.2, (count, len(task.names)))
        odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        seeds.append(Predictions(ids, videos, odds, truth.astype(np.float64), shares=shares))
    return seeds


MODALITIES = ("text", "audio", "vision")


def _half_width(splits: dict[str, list[Predictions]]) -> float:
    return conformal_quantile(np.abs(splits["valid"][0].prediction - splits["valid"][0].truth)) or 0.0


def _metrics(task: Task, splits: dict[str, list[Predictions]]) -> dict:
    constant = {}
    for split, seeds in splits.items():
        shape = seeds[0].prediction.shape
        flat = np.eye(shape[1])[np.zeros(shape[0], int)] if task.kind == "classes" else np.full(shape, 0.2)
        one = Predictions(seeds[0].ids, seeds[0].videos, flat, seeds[0].truth)
        constant[split] = metrics_table(task, [one], resamples=50)
    metrics = {split: metrics_table(task, seeds, resamples=50) for split, seeds in splits.items()}
    metrics["constant"] = constant
    metrics["filter"] = {
        "text": {"all": _entry(0.93), "missing": _entry(0.99), "shuffled": _entry(0.88)},
        "audio": {"all": _entry(0.9), "burst": _entry(0.97), "frozen": _entry(0.52), "contradiction": _entry(None)},
    }
    if task.kind == "regression":
        half = _half_width(splits)
        rates = {s: coverage(p[0].truth, p[0].prediction - half, p[0].prediction + half) for s, p in splits.items()}
        metrics["calibration"] = {"level": 0.9, "half_width": half, "coverage": rates}
    return metrics


def _entry(mean: float | None) -> dict:
    ends = None if mean is None else [mean - 0.03, mean + 0.02]
    return {"mean": mean, "std": None if mean is None else 0.012, "ci95": ends, "per_seed": [mean] * len(SEEDS)}


def _rows(task: Task, splits: dict[str, list[Predictions]]) -> list[dict]:
    half, rows = _half_width(splits) if task.kind == "regression" else 0.0, []
    for number, seed in enumerate(SEEDS):
        for split, seeds in splits.items():
            p = seeds[number]
            for i, name in enumerate(p.ids):
                row = {"split": split, "seed": seed, "id": name, "video": p.videos[i]}
                row["text"] = SENTENCES[i % len(SENTENCES)]
                if task.kind == "regression":
                    value = float(p.prediction[i])
                    row |= {"truth": p.truth[i], "prediction": value, "low": value - half, "high": value + half}
                elif task.kind == "multilabel":
                    row |= {"truth": _joined(task, p.truth[i]), "prediction": _joined(task, p.prediction[i])}
                    row |= {f"prob_{name}": p.prediction[i, c] for c, name in enumerate(task.names)}
                else:
                    row |= {
                        "truth": task.names[int(p.truth[i])],
                        "prediction": task.names[int(p.prediction[i].argmax())],
                    }
                    row |= {f"prob_{name}": p.prediction[i, c] for c, name in enumerate(task.names)}
                rows.append(row | {f"share_{m}": float(share[i]) for m, share in p.shares.items()})
    return rows


def _joined(task: Task, values: np.ndarray) -> str:
    return "|".join(name for name, value in zip(task.names, values, strict=True) if value >= 0.5)


def _history(rng: np.random.Generator) -> list[dict]:
    rows = []
    for seed in SEEDS:
        best = int(rng.integers(5, 9))
        for epoch in range(1, 11):
            fall = float(np.exp(-epoch / 4))
            rows.append(
                {
                    "seed": seed,
                    "epoch": epoch,
                    "seconds": 8.1,
                    "learning_rate": 1e-3 * (1 - epoch / 11),
                    "loss_task": 0.4 + fall + rng.normal(0, 0.02),
                    "loss_contrast_text": 2 + fall + rng.normal(0, 0.05),
                    "loss_contrast_audio": 2.3 + fall + rng.normal(0, 0.05),
                    "loss_gate": 0.1 + fall / 3,
                    "valid_mae": 0.75 + fall / 2 + rng.normal(0, 0.02),
                    "valid_corr": "" if epoch == 1 else 0.8 - fall / 2 + rng.normal(0, 0.01),
                    "valid_acc2_nonzero": 0.84 - fall / 4,
                    "valid_uar": 0.6 - fall / 3,
                    "best": int(epoch == best),
                }
            )
    return rows


def _maps(task: Task, rng: np.random.Generator) -> list[dict]:
    maps = []
    for i, text in enumerate(SENTENCES[:3]):
        words = text.split()
        touched = [3 <= k < 5 for k in range(len(words))]
        frames, burst = 300, (60 + 40 * i, 120 + 40 * i)
        noise = np.zeros(frames, bool)
        noise[slice(*burst)] = True
        kept = np.clip(np.where(noise, 0.15, 0.9) + rng.normal(0, 0.05, frames), 0, 1)
        answer = {"truth": -1.2, "prediction": 0.4, "low": -0.9, "high": 1.7}
        if task.kind != "regression":
            answer = {"truth": task.names[0], "prediction": task.names[1], "low": None, "high": None}
        maps.append(
            {
                "id": f"test_{i}<script>",
                "text": text,
                **answer,
                "modalities": {
                    "text": {
                        "kept": [0.1 if t else float(rng.uniform(0.5, 1)) for t in touched],
                        "labels": words,
                        "seconds": None,
                        "injected": touched,
                        "kinds": ["shuffled"],
                    },
                    "audio": {
                        "kept": kept.tolist(),
                        "labels": None,
                        "seconds": (np.arange(frames) / 50).tolist(),
                        "injected": noise.tolist(),
                        "kinds": ["burst"],
                    },
                    "vision": {
                        "kept": rng.uniform(0.6, 1, 40).tolist(),
                        "labels": None,
                        "seconds": None,
                        "injected": None,
                        "kinds": [],
                    },
                },
            }
        )
    return maps


def _write_embeddings(path: Path, p: Predictions, task: Task, rng: np.random.Generator) -> None:
    arrays = {"truth": p.truth}
    signal = np.eye(len(task.names))[p.truth.astype(int)] if task.kind == "classes" else p.truth
    basis = rng.normal(0, 1, (signal.reshape(len(p), -1).shape[1], 16))
    for modality in MODALITIES:
        noise = rng.normal(0, 1, (len(p), 16))
        arrays[f"before_{modality}"] = (0.4 * signal.reshape(len(p), -1) @ basis + 2 * noise).astype(np.float32)
        arrays[f"after_{modality}"] = (signal.reshape(len(p), -1) @ basis + noise).astype(np.float32)
    np.savez_compressed(path, **arrays)


def _environment(task: Task, synthetic: bool) -> dict:
    return {
        "mecam": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0+cpu",
        "platform": "Linux-6.1-x86_64",
        "cpu": "Some CPU @ 2.40GHz",
        "cores": 2,
        "device": "cpu",
        "precision": "bf16-mixed",
        "seeds": list(SEEDS),
        "started": "2026-01-02T03:04:05Z",
        "seconds": 312.4,
        "git": "abc1234",
        "command": "mecam train --data stores/made-up --out runs/fake --seeds 3",
        "model": "mecam",
        "parameters": 22713216,
        "data": {
            "name": "made-up",
            "path_name": "made-up",
            "count": 580,
            "sha256": {"utterances.jsonl": "0123456789abcdef" * 4, "audio.safetensors": "fedcba9876543210" * 4},
            "synthetic": synthetic,
            "task": {"kind": task.kind, "low": task.low, "high": task.high, "names": list(task.names)},
            "splits": {"train": 400, **SIZES},
        },
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def _write_rows(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
