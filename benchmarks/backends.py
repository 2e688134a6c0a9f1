"""One sentence at a time through the same model in several forms: how long it takes, and how much memory.

    python benchmarks/backends.py runs/mosi runs/mosi/onnx runs/mosi/onnx-int8 --output backends.json

Each model runs in a process of its own that may use one core (`--cores`), the models in turn, several rounds, so that
what else the machine does disturbs all of them alike. `quiet` and `busy` are medians over all sentences of all rounds
in milliseconds; `busy` is beside programs that spin, one for each core of the machine, with which the model takes
turns. `peak_mb` is the most memory that the process held at once.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from busy import neighbours  # the benchmark beside this one

from mecam.version import __version__

SENTENCES = (
    "The acting was superb but the last half hour drags on and on, so I left before the end.",
    "I would see it again tomorrow.",
    "It was not bad at all",
    "this is by far the worst thing that they have ever made and nobody should have to sit through it",
)


def child(model: str, repeat: int) -> dict[str, Any]:
    """Milliseconds of every sentence, in this process."""
    began = time.perf_counter()
    import mecam

    predictor = mecam.load(model)
    for sentence in SENTENCES:
        predictor.predict_text(sentence)
    ready = time.perf_counter() - began
    times = []
    for number in range(repeat):
        start = time.perf_counter()
        predictor.predict_text(SENTENCES[number % len(SENTENCES)])
        times.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    return {"ms": times, "ready_s": ready, "peak_mb": peak}


def measured(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The result of a process of its own, on so many cores."""
    command = [sys.executable, __file__, "--child", str(model), "--repeat", str(options.repeat)]
    allowed = sorted(os.sched_getaffinity(0))[: options.cores] if hasattr(os, "sched_getaffinity") else None
    before = os.sched_getaffinity(0) if allowed else None
    if allowed:
        os.sched_setaffinity(0, allowed)
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="run folders and exported models")
    parser.add_argument("--repeat", type=int, default=200, help="sentences a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1, help="that each process may use")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.repeat)))
        return
    results: dict[str, dict[str, Any]] = {str(model): {"quiet": [], "busy": []} for model in options.models}
    for _ in range(options.rounds):
        for setting in ("quiet", "busy"):
            for model in options.models:
                with neighbours((os.cpu_count() or 1) if setting == "busy" else 0):
                    results[str(model)][setting].append(measured(model, options))
    table = {}
    for name, found in results.items():
        times = {setting: [t for one in found[setting] for t in one["ms"]] for setting in found}
        table[name] = {
            "quiet_ms": round(statistics.median(times["quiet"]), 2),
            "busy_ms": round(statistics.median(times["busy"]), 2),
            "busy_ratio": round(statistics.median(times["busy"]) / statistics.median(times["quiet"]), 2),
            "ready_s": round(min(one["ready_s"] for one in found["quiet"]), 3),
            "peak_mb": round(max(one["peak_mb"] for one in found["quiet"])),
        }
    document = {
        "mecam": __version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores": options.cores,
        "repeat": options.repeat,
        "rounds": options.rounds,
        "models": table,
    }
    text = json.dumps(document, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
