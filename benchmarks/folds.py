"""Compare configurations on folds over train and valid, the test split untouched.

    python benchmarks/folds.py stores/mosi --out -
    python benchmarks/folds.py stores/mosi --model text_only --out -
    python benchmarks/folds.py stores/mosi --set training.layer_decay=0.85 --out -

A validation split of a few hundred utterances tells little. Here the recordings of train and valid are dealt into
three folds; each is validated on once by a model that learned from the other two (one seed each, counting up). The
figures are means over folds of the epoch that is best on the fold, as a run would choose it.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from mecam.config import apply_overrides
from mecam.data.split import write_splits
from mecam.data.store import Store
from mecam.training.run import RunConfig
from mecam.training.validation import validate_once

FOLDS = 3


def fold_of(store: Store, fold: int) -> list[str]:
    """A split per utterance: one third of the recordings of train and valid is valid, test stays what it is."""
    splits, videos = store.column("split"), store.column("video")
    known = sorted({v for v, split in zip(videos, splits, strict=True) if split in ("train", "valid")})
    random.Random(0).shuffle(known)
    held = set(known[fold::FOLDS])
    return [
        split if split not in ("train", "valid") else "valid" if video in held else "train"
        for video, split in zip(videos, splits, strict=True)
    ]


def validated(store: Store, model: str, overrides: list[str]) -> list[dict[str, float]]:
    """The history of one training; nothing is written, the test split is not opened."""
    config = RunConfig.decode(apply_overrides({"model": {"name": model}}, overrides))
    return validate_once(config, store, seed=config.training.seed).history


def measure(store: Store, model: str, overrides: list[str]) -> dict[str, Any]:
    histories = []
    with tempfile.TemporaryDirectory() as folder:
        for fold in range(FOLDS):
            place = Path(folder) / str(fold)
            write_splits(store, place, fold_of(store, fold), step={"by": "benchmarks/folds.py", "fold": fold})
            histories.append(validated(Store(place), model, [*overrides, f"training.seed={1111 + fold}"]))
    best = [next(row for row in rows if row["best"]) for rows in histories]
    names = [name for name in best[0] if name.startswith("valid_")]
    return {
        "model": model,
        "overrides": overrides,
        "mean": {name: sum(row[name] for row in best) / FOLDS for name in names},
        "folds": [{name: row[name] for name in ("epoch", *names)} for row in best],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="mecam")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    text = json.dumps(measure(Store(options.store), options.model, options.overrides), indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
