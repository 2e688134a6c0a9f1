"""How many times faster than real time a clip is extracted, by stage, by a whole machine, and in how much memory.

    python benchmarks/extraction.py clip.mp4                 # every stage on its own
    python benchmarks/extraction.py clip.mp4 --processes 2   # as `mecam extract --jobs 2`: two at once, again and again
    python benchmarks/extraction.py clip.mp4 --memory 60     # the clip repeated to an hour, whole and cut

A stage is run once to warm up and then `--repeats` times; the best counts. `wall` is what a person waits, less than
`cpu` where a second core helps; `times_real_time` is duration / cpu, on one core. Two processes side by side get less
than twice as much where they share a cache or are two threads of one core, so `--processes` measures that: all seconds
of video that all processes have extracted, by the wall clock, without the start of the processes. `cold.py` measures
whole processes.

The processor matters: the face networks (LiteRT, XNNPACK) are faster with AVX-512. What they use cannot be switched
off: XNNPACK asks the processor itself, and so does libav. Figures for AVX2 need such a machine.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import psutil

from mecam.features.audio.acoustics import measure
from mecam.features.audio.voice_extractors import Acoustics
from mecam.features.media import Media
from mecam.features.recording import Recipe, read_recording
from mecam.features.side_threads import stay_on_one_core
from mecam.features.vision.face_extractors import Expressions
from mecam.threads import available_cores

FEWEST_SAMPLES = 10
"""Of the memory of an extraction."""


def processor() -> dict[str, Any]:
    """Its name, and what it can do that counts here."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    told = dict(reversed([line.split("\t", 1) for line in lines if "\t" in line]))
    flags = set(told.get("flags", "").split())
    name = told.get("model name", "").strip("\t: ") or platform.processor() or platform.machine()
    return {"name": name, "cores": psutil.cpu_count(), "avx2": "avx2" in flags, "avx512": "avx512f" in flags}


def extract(clip: Path, *, whole: bool = True) -> None:
    """As `mecam extract` does it where the words are known."""
    read_recording(clip, Recipe(), id="clip", text="x", whole=whole)


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


def stages(media: Media, repeats: int) -> dict[str, dict[str, float]]:
    """Stage → seconds, and times real time on one core."""
    calls: dict[str, Callable[[], Any]] = {"open": lambda: Media(media.path)}
    if media.sound is not None:
        _, sound = media.waveform()
        calls |= {"decode sound": media.waveform, "measure sound": lambda: measure(sound)}
        calls["mecam-audio, all of it"] = lambda: Acoustics()(media)
    if media.video is not None:
        rate = media.video.rate / 2
        calls["decode every picture"] = lambda: sum(1 for _ in media.glances())
        calls["decode every other picture"] = lambda: sum(1 for _ in media.glances(rate=rate))
        calls["and scale it to 640 pixels"] = lambda: sum(1 for _ in media.frames(rate=rate, max_side=640))
        calls["mecam-vision, all of it"] = lambda: Expressions()(media)
    calls["everything"] = lambda: extract(media.path)
    found = {name: timed(call, repeats) for name, call in calls.items()}
    return {name: {**took, "times_real_time": media.duration / max(took["cpu"], 1e-9)} for name, took in found.items()}


def _work(clip: Path, repeats: int, ready: Any, results: Any, busy: bool) -> None:
    if busy:
        stay_on_one_core()
    extract(clip)
    ready.wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        extract(clip)
    results.put((time.perf_counter() - wall, time.process_time() - cpu))


def side_by_side(clip: Path, duration: float, processes: int, repeats: int) -> dict[str, Any]:
    """What processes get done at once."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(processes), context.Queue()
    busy = processes >= available_cores()  # as `mecam.features.extraction_processes` decides it
    workers = [context.Process(target=_work, args=(clip, repeats, ready, results, busy)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    walls, cpus = zip(*found, strict=True)
    seconds = duration * repeats * processes
    return {
        "processes": processes,
        "seconds_of_video": seconds,
        "wall": max(walls),
        "cpu": sum(cpus),
        "times_real_time": seconds / max(walls),
        "times_real_time_by_cpu": seconds / (sum(cpus) / processes),
    }


def repeated(clip: Path, into: Path, minutes: float) -> Path:
    """The clip again and again, its packets copied."""
    with av.open(str(clip)) as source:
        there = [packet for packet in source.demux() if packet.dts is not None]
        ends = [float((packet.dts + (packet.duration or 0)) * packet.time_base) for packet in there]
        length = max(ends) - min(float(packet.dts * packet.time_base) for packet in there)
    with av.open(str(into), "w") as out:
        outs: dict[int, Any] = {}
        for number in range(max(1, round(60 * minutes / length))):
            with av.open(str(clip)) as source:
                outs = outs or {s.index: out.add_stream_from_template(s) for s in source.streams}
                for packet in source.demux():
                    if packet.dts is None or packet.pts is None:
                        continue
                    later = round(number * length / float(packet.time_base))
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = outs[packet.stream.index]
                    out.mux(packet)
    return into


def memory(clip: Path, *, whole: bool) -> dict[str, Any]:
    """Megabytes that this process takes while it extracts, in tenths of the time, and at most."""
    mine, samples, done = psutil.Process(), [], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            samples.append(mine.memory_info().rss / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    extract(clip, whole=whole)
    done.set()
    thread.join()
    tenths = [samples[len(samples) * n // FEWEST_SAMPLES] for n in range(FEWEST_SAMPLES)] if samples else []
    return {"whole": whole, "megabytes": [round(mb) for mb in tenths], "most": round(max(samples, default=0.0))}


def _remember(clip: Path, whole: bool, results: Any) -> None:
    results.put(memory(clip, whole=whole))


def memories(clip: Path, minutes: float) -> list[dict[str, Any]]:
    """Of a long recording that is one utterance, and of one that is cut: each in a process of its own."""
    context, found = multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory() as folder:
        long = repeated(clip, Path(folder) / f"long{clip.suffix}", minutes)
        for whole in (True, False):
            results = context.Queue()
            worker = context.Process(target=_remember, args=(long, whole, results))
            worker.start()
            found.append(results.get())
            worker.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, help="measure so many processes side by side, and no stages")
    parser.add_argument("--memory", type=float, metavar="MINUTES", help="measure the memory of a long recording only")
    options = parser.parse_args()
    media = Media(options.clip)
    result: dict[str, Any] = {
        "clip": options.clip.name,
        "duration": media.duration,
        "size": [media.video.width, media.video.height] if media.video else None,
        "processor": processor(),
    }
    if options.memory:
        result["memory"] = memories(options.clip, options.memory)
    elif options.processes:
        result["side_by_side"] = side_by_side(options.clip, media.duration, options.processes, options.repeats)
    else:
        result["stages"] = stages(media, options.repeats)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # as in a worker of `mecam extract`; NumPy is loaded already
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})
    main()
