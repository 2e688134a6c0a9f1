"""Compare configurations on folds over train and valid, the test split untouched.

    python benchmarks/folds.py stores/mosi --out -
    python benchmarks/folds.py stores/mosi --model text_only --out -
    python benchmarks/folds.py stores/mosi --set training.layer_decay=0.85 --only 0 1 --missing --out -

A validation split of a few hundred utterances tells little. Here the recordings of train and valid are dealt into
three folds; each is validated on once by a model that learned from the other two (one seed each, counting up). The
figures are means over folds of the epoch that is best on the fold, as a run would choose it. `--missing` adds the mean
over the rates of the protocol `random-missing` (one mask seed); `--by speaker` deals speakers instead of recordings.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mecam.config import apply_overrides
from mecam.data.operations.split import write_splits
from mecam.data.store import Store
from mecam.evaluation.metrics import score
from mecam.evaluation.robustness.conditions import RATES, RandomMissing
from mecam.evaluation.robustness.evaluation_split import read_split
from mecam.evaluation.robustness.measure import Measured
from mecam.experiments.validation import train_once
from mecam.models.trained import Trained
from mecam.runs.config import RunConfig

FOLDS = 3
MASKS = 1111
"""Seed of what goes missing."""


def fold_of(store: Store, fold: int, by: str = "video") -> list[str]:
    """A split per utterance: one third of the recordings of train and valid is valid, test stays what it is."""
    splits, groups = store.column("split"), store.column(by)
    known = sorted({g for g, split in zip(groups, splits, strict=True) if split in ("train", "valid")})
    random.Random(0).shuffle(known)
    held = set(known[fold::FOLDS])
    return [
        split if split not in ("train", "valid") else "valid" if group in held else "train"
        for group, split in zip(groups, splits, strict=True)
    ]


def validated(store: Store, model: str, overrides: list[str], *, missing: bool) -> dict[str, float]:
    """The best epoch of one training; nothing is written, the test split is not opened."""
    config = RunConfig.decode(apply_overrides({"model": {"name": model}}, overrides))
    trained, fitted = train_once(config, store, seed=config.training.seed)
    best = next(row for row in fitted.history if row["best"])
    found = {name: value for name, value in best.items() if name == "epoch" or name.startswith("valid_")}
    return found | (under_missing(trained, store) if missing else {})


def under_missing(trained: Trained, store: Store) -> dict[str, float]:
    """Means over the rates 0 to 0.9 of data missing at random."""
    material = read_split(store, "valid", raw_text=trained.tokenizer is not None)
    measured, scores = Measured(trained, material), []
    for rate in RATES[:10]:
        condition = RandomMissing.at(rate)
        spoilt = [condition.corrupt(material, place, MASKS) for place in range(len(material))]
        answers = np.array([answer.prediction for answer in measured.answers(spoilt)])
        scores.append(score(store.task, answers, material.truth))
    return {f"missing_{name}": float(np.mean([row[name] for row in scores])) for name in scores[0]}


def measure(
    store: Store, model: str, overrides: list[str], only: Sequence[int], *, by: str, missing: bool
) -> dict[str, Any]:
    folds = []
    with tempfile.TemporaryDirectory() as folder:
        for fold in only:
            place = Path(folder) / str(fold)
            write_splits(store, place, fold_of(store, fold, by), step={"by": "benchmarks/folds.py", "fold": fold})
            seeded = [*overrides, f"training.seed={1111 + fold}"]
            folds.append({"fold": fold, **validated(Store(place), model, seeded, missing=missing)})
    names = [name for name in folds[0] if name not in ("fold", "epoch")]
    return {
        "model": model,
        "overrides": overrides,
        "mean": {name: sum(row[name] for row in folds) / len(folds) for name in names},
        "folds": folds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="mecam")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--only", type=int, nargs="+", default=list(range(FOLDS)), help="these folds")
    parser.add_argument("--by", choices=("video", "speaker"), default="video")
    parser.add_argument("--missing", action="store_true", help="also with data missing at random")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    store = Store(options.store)
    found = measure(store, options.model, options.overrides, options.only, by=options.by, missing=options.missing)
    text = json.dumps(found, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
