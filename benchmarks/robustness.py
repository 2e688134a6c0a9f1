"""How much faster a grid of corruptions is than the plain loop, and that both say the same.

    python benchmarks/robustness.py runs/mosi stores/mosi --out -                   # the whole grid of one seed
    python benchmarks/robustness.py runs/mosi stores/mosi --out - --part 0.1 # a tenth of it, evenly spread

The plain loop loads the model once and then, for each corruption, severity and seed of the masks, spoils every
utterance of the split, tokenises, normalises, batches and predicts it. The other way is what `mecam robustness` does:
an encoder's work on what was seen before is looked up, and so is the answer to an utterance that comes back as it was.
Both write the same cells, which are then compared. A part takes every n-th pair of a corruption and a severity with
all its seeds: what is remembered between pairs is then found less often than in the whole grid, so the part's ratio
errs towards the plain loop. `cpu_s` counts this process's own time, for a machine that others use too.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mecam.data.store import Store
from mecam.evaluation.robustness.cells import read_cell
from mecam.evaluation.robustness.conditions import CLEAN, Condition
from mecam.evaluation.robustness.evaluation_split import read_split
from mecam.evaluation.robustness.measure import Job, jobs_of, measure
from mecam.evaluation.robustness.protocols import SEEDS, plan
from mecam.models.trained import load_checkpoint
from mecam.runs.run import RunFolder

TOLERANCE = 1e-3
"""Largest difference of a prediction that is put down to the order of sums."""


def timed(checkpoint: Path, jobs: list[Job], material: Any, *, reuse: bool) -> dict[str, float]:
    trained = load_checkpoint(checkpoint)
    wall, cpu = time.perf_counter(), time.process_time()
    measure(trained, material, jobs, reuse=reuse)
    return {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }


def chosen(conditions: tuple[Condition, ...], part: float) -> list[Condition]:
    """Every n-th condition; the clean one always."""
    others = [condition for condition in conditions if condition is not CLEAN]
    count = max(1, round(part * len(others)))
    places = np.unique(np.linspace(0, len(others) - 1, count).round().astype(int))
    return [CLEAN, *(others[place] for place in places)]


def differences(fast: list[Job], plain: list[Job], material: Any) -> float:
    """Largest difference between two predictions of the same cell."""
    pairs = zip(fast, plain, strict=True)
    return max(
        float(np.abs(read_cell(a.path, material)[0].prediction - read_cell(b.path, material)[0].prediction).max())
        for a, b in pairs
    )


def measured(run: Path, store: Store, options: argparse.Namespace) -> dict[str, Any]:
    checkpoint = RunFolder(run).checkpoints[0]
    trained = load_checkpoint(checkpoint)
    material = read_split(store, options.split, raw_text=trained.tokenizer is not None)
    read = [m for m in material.modalities if m in trained.model.reads]
    conditions = chosen(plan("corruptions", material, read).conditions, options.part)
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        jobs = {}
        for name, reuse in (("mecam", True), ("plain_loop", False)):
            place = Path(folder) / name
            place.mkdir()
            jobs[name] = jobs_of(checkpoint, material, conditions, SEEDS[: options.seeds], place)
            found[name] = timed(checkpoint, jobs[name], material, reuse=reuse)
        worst = differences(jobs["mecam"], jobs["plain_loop"], material)
    return {
        "model": trained.checkpoint.name,
        "store": store.name,
        "utterances": len(material),
        "corruptions": len({(c.modality, c.kind) for c in conditions if c is not CLEAN}),
        "conditions": len(conditions),
        "mask_seeds": options.seeds,
        "cells": len(jobs["mecam"]),
        "part": options.part,
        **found,
        "times_faster": {key: round(found["plain_loop"][key] / found["mecam"][key], 2) for key in ("wall_s", "cpu_s")},
        "largest_difference": worst,
        "same": worst < TOLERANCE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the masks")
    parser.add_argument("--part", type=float, default=1.0, help="of the grid to measure")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    result = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **measured(options.run, Store(options.store), options),
    }
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
