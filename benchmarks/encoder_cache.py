"""What it saves to compute the frozen layers of the text encoder once for a text: epochs with and without.

    python benchmarks/encoder_cache.py stores/mosi stores/synthetic --out -
    python benchmarks/encoder_cache.py stores/mosi --models text_only --set model.encoder=mpnet --out -

Both variants of a model are trained in the same process, an epoch of the one after an epoch of the other, from the same
weights; a first epoch, in which what is kept is made, is stated by itself. An epoch is its steps and its validation.
Seconds are the processor's, which other work on the machine disturbs less than the clock's; the ratio of the medians is
the figure to compare. `found` is the share of the texts that were read, corrupted views among them, whose frozen layers
were known.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from published_procedure import machine

from mecam.config import apply_overrides
from mecam.data.store import Store
from mecam.nn.text import TextEncoder
from mecam.training import preparation, run
from mecam.training.loop import fit

MODELS = "text_only,mecam"


class Epochs:
    """The processor's seconds of every epoch of a training, its validation included, and how many texts it read."""

    def __init__(self, store: Store, model: str, overrides: list[str], *, reuse: bool) -> None:
        values = {"model": {"name": model}, "training": {"epochs": 1, "patience": 1000}}
        self._config = run.RunConfig.decode(apply_overrides(values, overrides))
        material = preparation.Material.of(self._config, [run.WeightedStore(store)])
        trained, parts, _ = preparation.prepare(self._config, material, 1111)
        self.model = trained.model
        [self.encoder] = [part for part in self.model.modules() if isinstance(part, TextEncoder)]
        if not reuse:
            self.encoder.remember(())
        self._fabric = preparation.make_fabric(self._config, self.model)
        self.precision = str(self._fabric._precision.precision)
        views = self.model.views
        self._data = preparation.SplitData(
            parts["train"], parts["valid"], trained.collator, self._config, views=views, fabric=self._fabric, seed=1111
        )
        self.seconds: list[float] = []
        self.read = 0
        self.encoder.register_forward_pre_hook(self._count)

    def _count(self, _: object, given: tuple[torch.Tensor, torch.Tensor]) -> None:
        ids, mask = given
        self.read += len(torch.unique(torch.cat([ids, mask.long()], dim=1), dim=0))

    def another(self) -> None:
        began = time.process_time()
        fit(self.model, self._data, self._config.training, fabric=self._fabric, seed=1111)
        self.seconds.append(time.process_time() - began)


def measure(store: Store, model: str, overrides: list[str], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MECAM_TEXT_CACHE"] = folder  # cold
        without, reusing = (Epochs(store, model, overrides, reuse=reuse) for reuse in (False, True))
        for _ in range(rounds + 1):
            without.another()
            reusing.another()
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    frozen = reusing.encoder.frozen_layers
    assert frozen is not None
    plain, kept = median(without.seconds[1:]), median(reusing.seconds[1:])
    return {
        "store": store.name,
        "model": model,
        "precision": reusing.precision,
        "seconds_without": [round(value, 2) for value in without.seconds],
        "seconds_with": [round(value, 2) for value in reusing.seconds],
        "first_epoch_times_faster": round(without.seconds[0] / reusing.seconds[0], 2),
        "times_faster": round(plain / kept, 2),
        "found": round(frozen.found / max(1, reusing.read), 3),
        "kept_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--models", default=MODELS, help="names, with commas")
    parser.add_argument("--rounds", type=int, default=2, help="epochs that count")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    overrides = ["model.freeze_layers=4", *options.overrides]
    cases = [(Store(place), model) for place in options.stores for model in options.models.split(",")]
    found = [measure(store, model, overrides, options.rounds) for store, model in cases]
    result = {**machine(), "threads": torch.get_num_threads(), "overrides": overrides, "measured": found}
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
