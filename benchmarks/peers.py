"""What one training step of every model takes: seconds and peak memory, each model in a process of its own.

    python benchmarks/peers.py --out peers.json                       # all models, batch 32, lengths 50/500/500
    python benchmarks/peers.py --models mult misa --text features --out -

The data is random numbers of MOSEI's widths (audio 74, vision 35; text 50 tokens for MiniLM, or rows of 768 numbers),
so the figures say nothing about quality. A step is forward, losses, backward, clipping and AdamW, through all phases of
the model. `peak_mb` is the highest resident size of the process, `step_mb` how much of it came on top of the libraries,
the model and the data; `cpu_seconds_per_step` counts all threads and, unlike the wall time, hardly depends on what else
the machine does; `times_text_only` is its ratio to that of `text_only`, where that one is measured too, and means more
than seconds of one machine; with CUDA, `cuda_peak_mb` is the largest allocation.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mecam.batch import Batch, Stream, Targets
from mecam.config import DataConfig, TrainingConfig
from mecam.errors import MecamError
from mecam.models.inputs import Inputs
from mecam.models.registry import MODELS
from mecam.models.trained import build_model
from mecam.task import Regression
from mecam.training.loop import moving_only
from mecam.training.optimizers import phase_optimizer
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec

WIDTHS = {TEXT: 768, AUDIO: 74, VISION: 35}


def tokens(batch: int, length: int) -> Stream:
    ids = torch.randint(1000, 20_000, (batch, length))
    words = torch.arange(-1, length - 1).expand(batch, length).clone()
    words[:, -1] = -1
    return Stream(ids, torch.ones(batch, length, dtype=torch.bool), torch.full((batch,), length), words=words)


def rows(batch: int, length: int, width: int) -> Stream:
    mask = torch.ones(batch, length, dtype=torch.bool)
    return Stream(torch.randn(batch, length, width), mask, torch.full((batch,), length))


def random_batch(size: int, lengths: dict[str, int], raw_text: bool) -> Batch:
    streams = {m: rows(size, length, WIDTHS[m]) for m, length in lengths.items()}
    if raw_text:
        streams[TEXT] = tokens(size, lengths[TEXT])
    score = torch.empty(size).uniform_(-3, 3)
    targets = Targets(score, {m: score + torch.randn(size) / 4 for m in lengths})
    ids = tuple(str(i) for i in range(size))
    batch = Batch(ids, torch.arange(size), streams, targets)
    touched = {m: replace(s, injected=torch.rand(s.mask.shape) < 0.2) for m, s in streams.items()}
    return replace(batch, view=replace(batch, streams=touched))


def measure(name: str, size: int, lengths: dict[str, int], text: str, steps: int) -> dict[str, Any]:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    features = {m: FeatureSpec(width) for m, width in WIDTHS.items() if m != TEXT or text == "features"}
    inputs = Inputs(Regression(), features, raw_text=text == "tokens", unimodal=tuple(lengths))
    model, _ = build_model(name, MODELS[name].config(), inputs, DataConfig())
    model = model.to(device).train()
    batch = random_batch(size, lengths, text == "tokens").to(device)
    if not model.views:
        batch = replace(batch, view=None)
    optimizers = [phase_optimizer(model, phase, TrainingConfig()) for phase in model.phases()]
    before, seconds, busy = peak_mb(), [], []
    for _ in range(steps + 1):
        began, worked = time.perf_counter(), time.process_time()
        for phase, optimizer in zip(model.phases(), optimizers, strict=True):
            with moving_only(model, phase):
                output = model(batch)
                losses = model.losses(output, batch)
                sum(w * losses[key] for key, w in phase.weights.items() if w and key in losses).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                model.after_step(output, batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    result = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "beside_the_text_encoder": sum(p.numel() for n, p in model.named_parameters() if "encoders.text." not in n),
        "seconds_per_step": round(statistics.median(seconds[1:]), 3),
        "cpu_seconds_per_step": round(statistics.median(busy[1:]), 3),
        "peak_mb": peak_mb(),
        "step_mb": peak_mb() - before,
    }
    if device.type == "cuda":
        result["cuda_peak_mb"] = torch.cuda.max_memory_allocated() // 2**20
    return result


def peak_mb() -> int:
    """Highest resident size of this process so far; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def with_ratios(models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each model's time for a step over that of the text encoder alone."""
    key = "cpu_seconds_per_step"
    unit = models.get("text_only", {}).get(key)
    if not unit:
        return models
    return {
        name: row | ({"times_text_only": round(row[key] / unit, 1)} if key in row else {})
        for name, row in models.items()
    }


def in_a_process(name: str, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, *arguments, "--out", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="*", choices=[*MODELS], default=[name for name in MODELS if name != "constant"]
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lengths", type=int, nargs=3, default=[50, 500, 500], metavar=("TEXT", "AUDIO", "VISION"))
    parser.add_argument("--text", choices=["tokens", "features"], default="tokens")
    parser.add_argument("--steps", type=int, default=2, help="timed steps, after one that is not")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    lengths = dict(zip((TEXT, AUDIO, VISION), options.lengths, strict=True))
    if options.one:
        try:
            result = measure(options.one, options.batch, lengths, options.text, options.steps)
        except MecamError as error:
            result = {"error": error.what}
    else:
        shared = ["--batch", str(options.batch), "--text", options.text, "--steps", str(options.steps)]
        shared += ["--lengths", *map(str, options.lengths)]
        result = {
            "machine": platform.processor() or platform.machine(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "batch": options.batch,
            "lengths": lengths,
            "text": options.text,
            "models": with_ratios({name: in_a_process(name, shared) for name in options.models}),
        }
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
