"""How many times faster than real time a clip is extracted, by stage.

    python benchmarks/extraction.py clip.mp4

Every stage is run on its own, once to warm up and then `--repeats` times; the best counts. `wall` is what a person
waits, less than `cpu` where a second core helps; `times_real_time` is duration / cpu on one core, and
`times_real_time_on_two_cores`, of everything, what two processes side by side get. `cold.py` measures whole processes.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mecam.features.audio.acoustics import measure
from mecam.features.audio.voice_extractors import Acoustics
from mecam.features.media import Media
from mecam.features.recording import Recipe, read_recording
from mecam.features.vision.face_extractors import Expressions


def timed(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Best wall and CPU seconds."""
    call()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall": min(walls), "cpu": min(cpus)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    media = Media(options.clip)
    stages: dict[str, Callable[[], Any]] = {}
    if media.sound is not None:
        _, sound = media.waveform()
        stages |= {"decode sound": media.waveform, "measure sound": lambda: measure(sound)}
        stages["mecam-audio, all of it"] = lambda: Acoustics()(media)
    if media.video is not None:
        stages["decode pictures"] = lambda: sum(1 for _ in media.frames(rate=25.0, max_side=640))
        stages["mecam-vision, all of it"] = lambda: Expressions()(media)
    stages["everything"] = lambda: read_recording(options.clip, Recipe(), id="clip", text="x", whole=True)
    result: dict[str, Any] = {
        "clip": options.clip.name,
        "duration": media.duration,
        "size": [media.video.width, media.video.height] if media.video else None,
        "machine": platform.processor() or platform.machine(),
        "stages": {},
    }
    for name, stage in stages.items():
        seconds = timed(stage, options.repeats)
        result["stages"][name] = {**seconds, "times_real_time": media.duration / max(seconds["cpu"], 1e-9)}
    result["times_real_time_on_two_cores"] = 2 * result["stages"]["everything"]["times_real_time"]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
