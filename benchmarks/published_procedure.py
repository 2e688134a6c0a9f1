"""One training epoch with a BERT-base-sized text encoder, by this project's loop and by the published procedure.

    python benchmarks/published_procedure.py stores/mosi --out -              # a sample of the batches
    python benchmarks/published_procedure.py stores/mosi --batches 0 --out -  # all of them: about ten minutes
    python benchmarks/published_procedure.py stores/mosi --set training.precision=32 --out -  # without bf16

The encoder has BERT-base's architecture and random weights: the time is the same. The published procedure pads every
text to 50 tokens, computes in single precision with anomaly detection on, and goes through the data twice, both times
forward and backward through everything, the first time to step three small heads. Against it, in this project's loop,
stand `mecam_published` (the same method), `mecam` (with its corrupted views, which double what is read) and `mecam`
without views; `mecam` again with the lower half, and with two thirds of the encoder's layers frozen, of which what they
make of the clean texts is computed once, in a round before the one that is timed. All are timed in turn on the same
batches, in the same process; the figure to compare is the ratio.
`processor` counts the processor's time instead of the clock's, which other work on the machine disturbs less.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from mecam.batch import Batch
from mecam.config import apply_overrides
from mecam.data.store import Store
from mecam.hub import resolve_text_encoder
from mecam.models.base import Phase
from mecam.runs import environment
from mecam.training import loop, preparation, run
from mecam.training.optimizers import phase_optimizer
from mecam.types import TEXT

PUBLISHED_TOKENS = 50


def bert_base(folder: Path) -> str:
    """A folder with BERT-base's architecture, random weights and the embedded encoder's tokenizer (BERT's own)."""
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_text_encoder("minilm")).save_pretrained(folder)
    return str(folder)


CONTENDERS: dict[str, list[str]] = {
    "mecam_published": [],
    "mecam": [],
    "mecam without views": ["model.views=false"],
    "mecam, 6 layers frozen": ["model.freeze_layers=6"],
    "mecam without views, 6 layers frozen": ["model.views=false", "model.freeze_layers=6"],
    "mecam without views, 8 layers frozen": ["model.views=false", "model.freeze_layers=8"],
    "text_only, 8 layers frozen": ["model.freeze_layers=8"],
}
"""Name → overrides; the first word names the model."""


def prepared(store: Store, model: str, overrides: list[str]) -> tuple[run.RunConfig, Any, preparation.SplitData, Any]:
    config = run.RunConfig.decode(apply_overrides({"model": {"name": model}}, overrides))
    trained, parts, _ = preparation.prepare(config, preparation.Material.of(config, [run.WeightedStore(store)]), 1111)
    fabric = preparation.make_fabric(config, trained.model)
    data = preparation.SplitData(
        parts["train"], parts["valid"], trained.collator, config, views=trained.model.views, fabric=fabric, seed=1111
    )
    return config, trained.model, data, fabric


def chosen(data: preparation.SplitData, count: int) -> list[Batch]:
    """Every n-th batch of the first epoch, which is in random order; all of them for a count of 0."""
    batches = list(data.batches(0))
    return batches if not count else list(islice(batches[:: max(1, len(batches) // count)], count))


def ours(store: Store, model: str, overrides: list[str], count: int) -> tuple[Callable[[], None], int]:
    """This project's epoch over the chosen batches, phase by phase."""
    config, network, data, fabric = prepared(store, model, overrides)
    batches = chosen(data, count)
    phases = network.phases()
    optimizers = [phase_optimizer(network, phase, config.training) for phase in phases]
    step, *wrapped = fabric.setup(loop._Step(network), *optimizers)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o.optimizer, lambda _: 1.0) for o in wrapped]
    average = loop._Average(network, config.training.average)

    def epoch() -> None:
        for phase, optimizer, scheduler in zip(phases, wrapped, schedulers, strict=True):
            with loop.moving_only(network, phase):
                loop._epoch(
                    step, phase, iter(batches), optimizer, scheduler, config.training, fabric, average, lambda: None
                )

    return epoch, len(batches)


def published(store: Store, overrides: list[str], count: int) -> Callable[[], None]:
    """The published procedure over the same batches."""
    config, network, data, _ = prepared(store, "mecam_published", overrides)
    batches = [padded(batch) for batch in chosen(data, count)]
    phases = network.phases()
    optimizers = [phase_optimizer(network, phase, config.training) for phase in phases]

    def steps() -> Iterator[tuple[Phase, torch.optim.Optimizer, Batch]]:
        for phase, optimizer in zip(phases, optimizers, strict=True):
            yield from ((phase, optimizer, batch) for batch in batches)

    def epoch() -> None:
        network.train()
        with torch.autograd.set_detect_anomaly(True):
            for phase, optimizer, batch in steps():
                losses = network.losses(network(batch), batch)
                network.zero_grad()
                sum(weight * losses[name] for name, weight in phase.weights.items() if weight).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()

    return epoch


def padded(batch: Batch) -> Batch:
    """Its texts at 50 tokens, whatever they need."""
    text = batch.streams[TEXT]
    extra = (0, PUBLISHED_TOKENS - text.values.shape[1])
    wide = replace(
        text,
        values=torch.nn.functional.pad(text.values, extra),
        mask=torch.nn.functional.pad(text.mask, extra),
        injected=None,
        words=None,
    )
    return replace(batch, streams={**batch.streams, TEXT: wide}, view=None)


def machine() -> dict[str, Any]:
    """The processor and the instructions that decide how fast it multiplies."""
    return {
        "processor": environment._cpu(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "multiplies_bf16": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "torch": torch.__version__,
    }


def timed(epoch: Callable[[], None]) -> dict[str, float]:
    clock, processor = time.perf_counter(), time.process_time()
    epoch()
    return {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}


def measure(store: Store, count: int, overrides: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MECAM_TEXT_CACHE"] = folder  # no user's cache takes what random weights make
        common = [f"model.encoder={bert_base(Path(folder) / 'bert-base')}", "data.max_tokens=50", *overrides]
        seconds = {}
        number = 0
        for contender, own in CONTENDERS.items():
            epoch, number = ours(store, contender.split()[0].strip(","), [*common, *own], count)
            epoch()  # warm
            seconds[contender] = timed(epoch)
            del epoch
        slow = published(store, common, count)
        seconds["published procedure"] = timed(slow)
    base = seconds["published procedure"]
    return {
        "batches": number,
        "threads": torch.get_num_threads(),
        "seconds": {name: {k: round(v, 2) for k, v in part.items()} for name, part in seconds.items()},
        "times_faster": {
            name: {k: round(base[k] / v, 1) for k, v in part.items()} for name, part in seconds.items() if part != base
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--batches", type=int, default=6, help="how many of an epoch's; 0 is all")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    result = {**machine(), "overrides": options.overrides}
    result |= measure(Store(options.store), options.batches, options.overrides)
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
