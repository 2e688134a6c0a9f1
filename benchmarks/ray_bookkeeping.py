"""What the Ray pipeline of `mecam extract --ray` costs besides the extraction: many short clips, read by a stub.

    PYTHONPATH=src:tests python benchmarks/ray_bookkeeping.py --clips 10000 --workers 2 --output ray_bookkeeping.json

The clips are files of a few bytes, which a stub takes for sounds: it gives 20 rows of numbers for each. What is
measured is all the rest: finding the clips, the pipeline, the parts, and the store. Time is told for all of it, less
what the cluster takes to start, and for the same clips by the same stub in one process. The driver's memory is its
resident set, looked at while recordings are done; flat means that its growth over the last half is small.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from in_this_process import InThisProcess
from mecam.features.clips import Clip
from mecam.features.extract import extract
from mecam.features.extraction_cache import ExtractedRecording
from mecam.features.ray_extraction import RayProcesses
from mecam.features.recording import Recipe
from mecam.ray_cluster import connected
from mecam.types import Utterance

RECIPE = Recipe(("mecam-audio",))
MB = 1 << 20


def read_stub(clip: Clip, recipe: Recipe) -> ExtractedRecording:
    """Numbers that depend on the clip's name alone."""
    width = recipe.specs()["audio"].width
    rows = np.full((20, width), sum(clip.id.encode()) % 97, np.float32)
    times = np.stack([np.arange(20) / 10, np.arange(1, 21) / 10], axis=1)
    one = Utterance(clip.id, video=clip.id, text="a word", streams={"audio": rows}, intervals={"audio": times})
    return ExtractedRecording((one,))


def stub_reader(device: str) -> Callable[[Clip, Recipe], ExtractedRecording]:
    return read_stub


def timed(folder: Path, name: str, workers: Any) -> dict[str, Any]:
    memory: list[tuple[int, float]] = []
    process = psutil.Process()

    def look(done: int, total: int) -> None:
        if done % max(total // 20, 1) == 0:
            memory.append((done, round(process.memory_info().rss / MB, 1)))

    began = time.monotonic()
    extract([folder / "clips"], folder / name, recipe=RECIPE, workers=workers, progress=look)
    seconds = time.monotonic() - began
    half = [rss for done, rss in memory if done >= memory[-1][0] / 2]
    return {"seconds": round(seconds, 2), "driver_rss_mb": memory, "growth_mb_last_half": round(half[-1] - half[0], 1)}


def measure(clips: int, workers: int, folder: Path) -> dict[str, Any]:
    (folder / "clips").mkdir(parents=True)
    for i in range(clips):
        (folder / "clips" / f"clip{i:06}.wav").write_bytes(b"RIFF")
    plain = timed(folder, "plain", InThisProcess(lambda clip: read_stub(clip, RECIPE)))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with connected("local"):
        on_ray = timed(folder, "ray", RayProcesses("local", workers, stub_reader))
    names = sorted(path.name for path in (folder / "plain").iterdir())
    same = all((folder / "plain" / name).read_bytes() == (folder / "ray" / name).read_bytes() for name in names)
    return {
        "clips": clips,
        "workers": workers,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "same_bytes": same,
        "without_cluster": plain,
        "with_ray": on_ray,
        "overhead_ms_per_clip": round(1000 * (on_ray["seconds"] - plain["seconds"]) / clips, 3),
        "total_ms_per_clip": round(1000 * on_ray["seconds"] / clips, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        result = measure(given.clips, given.workers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(result, indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
