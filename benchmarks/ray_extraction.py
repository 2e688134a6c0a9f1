"""Two workers of a Ray cluster against one, on the same clips: the time, the bytes, and the memory of a worker.

    python benchmarks/ray_extraction.py clips --workers 1 2 --output ray_extraction.json

Each number of workers gets a cluster of its own on this machine, with as many processors. Its first extraction, of one
clip, is not counted: it warms the caches. `seconds` is the whole of the second one: finding the clips, starting the
workers, the pipeline, the store; so give clips that take minutes. Memory is what the workers, and the processes in
which they read, have in RAM at the most, each counted on its own.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from mecam.features.extract import extract
from mecam.features.extractor import DEFAULT
from mecam.features.find_media import find_media
from mecam.features.ray_extraction import RayProcesses
from mecam.features.recording import Recipe
from mecam.ray_cluster import QUIET, connected

MB = 1 << 20


class Memory:
    """Looks at the processes below this one and its cluster: the most that any worker, and any of its readers, has."""

    def __init__(self) -> None:
        self.worker_mb = self.reader_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            for process in psutil.process_iter():
                try:
                    if "MapWorker" in process.name() or "MapWorker" in " ".join(process.cmdline()[:1]):
                        self.worker_mb = max(self.worker_mb, process.memory_info().rss / MB)
                        readers = [child.memory_info().rss / MB for child in process.children()]
                        self.reader_mb = max([self.reader_mb, *readers])
                except psutil.Error:
                    continue


def measure(clips: Path, workers: int, folder: Path, recipe: Recipe) -> dict[str, Any]:
    import ray

    first = find_media([clips]).places[0].path
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with connected("local"), Memory() as memory:
            extract([first], folder / "first", recipe=recipe, workers=RayProcesses("local", workers))
            began = time.monotonic()
            extract([clips], folder / f"store{workers}", recipe=recipe, workers=RayProcesses("local", workers))
            seconds = time.monotonic() - began
    finally:
        ray.shutdown()
    shutil.rmtree(folder / "first")
    return {
        "workers": workers,
        "seconds": round(seconds, 2),
        "worker_mb": round(memory.worker_mb),
        "reader_mb": round(memory.reader_mb),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a folder")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--extractor", action="append")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ.update({**QUIET, "OMP_NUM_THREADS": "1"})
    recipe = Recipe(tuple(options.extractor or DEFAULT))
    runs: list[dict[str, Any]] = []
    stores = []
    for repeat in range(options.repeats):  # in turn, so that a slow minute meets all of them
        for workers in options.workers:
            folder = Path(tempfile.mkdtemp(prefix="mecam-ray-extraction-"))
            runs.append({"repeat": repeat, **measure(options.clips, workers, folder, recipe)})
            store = folder / f"store{workers}"
            stores.append({path.name: path.read_bytes() for path in store.iterdir()})
            shutil.rmtree(folder)
    best = {str(n): min(run["seconds"] for run in runs if run["workers"] == n) for n in options.workers}
    few, many = str(min(options.workers)), str(max(options.workers))
    result = {
        "clips": len(find_media([options.clips]).places),
        "extractors": recipe.extractors,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "runs": runs,
        "best_seconds": best,
        "speed_up": round(best[few] / best[many], 3),
        "same_bytes": all(store == stores[0] for store in stores),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
