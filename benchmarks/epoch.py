"""What one training epoch takes, what it is spent on, and how much memory it needs.

    python benchmarks/epoch.py stores/mosi --out -                       # MECAM with its defaults
    python benchmarks/epoch.py stores/mosi --model text_only --out -

Runs the project's own loop for two epochs with stopwatches around its parts and reports the second, when everything
is warm: shares of the epoch's wall time, which are comparable between machines, and seconds, which are not. Validation
is counted apart. `peak_mb` is the highest resident size of the process, weights and libraries included.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from mecam.config import apply_overrides
from mecam.data.store import Store
from mecam.training import preparation, run
from mecam.training.loop import fit


class Stopwatch:
    """Wall time per name; a name's time excludes that of the names measured inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            self._inside.append(0.0)
            try:
                return call(*args, **options)
            finally:
                whole = time.perf_counter() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + whole - self._inside.pop()
                self._inside[-1] += whole

        return timed

    def iterate(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        following = self.around(name, lambda: next(items, None))
        while (item := following()) is not None:
            yield item


def measure(store: Store, model: str, overrides: list[str]) -> dict[str, Any]:
    values = apply_overrides({"model": {"name": model}, "training": {"epochs": 2}}, overrides)
    config = run.RunConfig.decode(values)
    material = preparation.Material.of(config, [run.WeightedStore(store)])
    trained, parts, _ = preparation.prepare(config, material, config.training.seed)
    network = trained.model
    fabric = preparation.make_fabric(config, network)
    data = preparation.SplitData(
        parts["train"], parts["valid"], trained.collator, config, views=network.views, fabric=fabric, seed=1111
    )
    watch = Stopwatch()
    if trained.tokenizer is not None:
        text = network.encoders["text"]
        text.forward = watch.around("text encoder, forward", text.forward)
    network.forward = watch.around("rest of the model, forward", network.forward)
    network.losses = watch.around("losses", network.losses)
    fabric.backward = watch.around("backward", fabric.backward)
    fabric.clip_gradients = watch.around("clipping", fabric.clip_gradients)
    torch.optim.AdamW.step = watch.around("optimizer", torch.optim.AdamW.step)
    given, epochs = data.batches, []

    def batches(epoch: int) -> Iterator[Any]:
        watch.seconds.clear()
        epochs.append(time.perf_counter())
        yield from watch.iterate("batches", given(epoch))
        epochs.append(time.perf_counter())

    data.batches = batches
    validate = data.validate

    def unwatched(model: Any) -> Any:
        spent = dict(watch.seconds)
        began = time.perf_counter()
        result = validate(model)
        watch.seconds = spent
        watch.validation = time.perf_counter() - began
        return result

    data.validate = unwatched
    fit(network, data, config.training, fabric=fabric, seed=1111)
    whole = epochs[-1] - epochs[-2]
    spent = {**watch.seconds, "everything else": whole - sum(watch.seconds.values())}
    return {
        "model": model,
        "overrides": overrides,
        "utterances": len(parts["train"]),
        "batch_size": config.data.batch_size,
        "precision": str(fabric._precision.precision),
        "threads": torch.get_num_threads(),
        "epoch_seconds": round(whole, 2),
        "validation_seconds": round(watch.validation, 2),
        "shares": {name: round(value / whole, 3) for name, value in sorted(spent.items(), key=lambda x: -x[1])},
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int | None:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="mecam")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    result = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
    result |= measure(Store(options.store), options.model, options.overrides)
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
