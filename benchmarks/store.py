"""How fast a MOSEI-sized store is, and how little memory it takes, beside the padded pickle of the same data.

    python benchmarks/store.py --out store.json              # 22 856 utterances, 6.4 GB of disk
    python benchmarks/store.py --utterances 2000 --out -     # a quick look

The data is made here: audio 74-d and vision 35-d, mean length 170 rows, 12 timed words per utterance. Each
measurement runs in a process of its own. `utterances_per_s` is whole utterances handed out, with their features as
views of the map; `utterances_per_s_copied` with every feature value copied besides; `utterances_per_cpu_s` counts this
process's own time, for a machine that others use too. `anonymous_mb` is what the process holds in memory that no file
backs (`/proc/self/smaps_rollup`), over what it held after its imports; `peak_mb` is the highest resident size, file
pages included. The pickle hands out slices of one array and parses nothing, which is fast once it is in memory.
"""

import argparse
import json
import multiprocessing
import pickle
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mecam.data.store import Store, StoreWriter
from mecam.task import Regression
from mecam.types import FeatureSpec, Utterance, Word
from mecam.version import __version__

WIDTHS = {"audio": 74, "vision": 35}
MEAN_LENGTH, PADDED_LENGTH = 170, 500
WORDS = 12
BATCH = 32


def utterances(count: int) -> Iterator[Utterance]:
    """MOSEI-like utterances, the same for every call."""
    random = np.random.default_rng(0)
    for index in range(count):
        lengths = {m: int(np.clip(random.gamma(4, MEAN_LENGTH / 4), 5, PADDED_LENGTH)) for m in WIDTHS}
        words = [f"word{w}" for w in random.integers(0, 9999, WORDS)]
        starts = np.sort(random.uniform(0, 8, WORDS)).round(3).tolist()
        yield Utterance(
            id=f"video{index // 8:05d}_{index % 8}",
            split=("train", "valid", "test")[0 if index < 0.71 * count else 1 if index < 0.79 * count else 2],
            video=f"video{index // 8:05d}",
            text=" ".join(words),
            words=tuple(Word(w, s, s + 0.25) for w, s in zip(words, starts, strict=True)),
            streams={m: random.standard_normal((n, WIDTHS[m]), np.float32) for m, n in lengths.items()},
            label=round(float(random.uniform(-3, 3)), 4),
        )


def write_store(path: Path, count: int) -> None:
    specs = {modality: FeatureSpec(width) for modality, width in WIDTHS.items()}
    with StoreWriter(path, name="benchmark", task=Regression(), specs=specs) as writer:
        for utterance in utterances(count):
            writer.add(utterance)


def write_padded_pickle(path: Path, count: int) -> None:
    """What the field ships: every stream padded to one length, in one pickle."""
    data: dict[str, Any] = {m: np.zeros((count, PADDED_LENGTH, w), np.float32) for m, w in WIDTHS.items()}
    data.update(id=[], text=[], labels=[], lengths={m: [] for m in WIDTHS})
    for index, utterance in enumerate(utterances(count)):
        for modality, values in utterance.streams.items():
            data[modality][index, : len(values)] = values
            data["lengths"][modality].append(len(values))
        data["id"].append(utterance.id)
        data["text"].append(utterance.text)
        data["labels"].append(utterance.label)
    with path.open("wb") as file:
        pickle.dump(data, file, protocol=4)


def measure_store(path: Path, seconds: float) -> dict[str, float]:
    before = anonymous_mb()
    start = time.perf_counter()
    store = Store(path)
    opened = time.perf_counter() - start
    for modality in store.specs:
        store.rows(modality)[::64].sum()  # warm: the pages are in the cache
    rates = [batches_per_second(store.__getitem__, len(store), seconds / 3) for _ in range(3)]

    def read(index: int) -> None:
        for values in store[index].streams.values():
            np.copyto(buffer[: values.size], values.reshape(-1))

    buffer = np.empty(PADDED_LENGTH * max(WIDTHS.values()), np.float32)
    reading, _ = batches_per_second(read, len(store), seconds / 3)
    start = time.perf_counter()
    store.split("train"), store.column("label")
    columns = time.perf_counter() - start
    return {
        "open_s": opened,
        "split_and_column_s": columns,
        "batches_per_s": max(rates)[0],
        "batches_per_s_median": sorted(rates)[1][0],
        "utterances_per_s": max(rates)[0] * BATCH,
        "utterances_per_cpu_s": max(cpu for _, cpu in rates) * BATCH,
        "utterances_per_s_copied": reading * BATCH,
        "anonymous_mb": anonymous_mb() - before,
        "peak_mb": peak_mb(),
    }


def measure_pickle(path: Path, seconds: float) -> dict[str, float]:
    before = anonymous_mb()
    start = time.perf_counter()
    with path.open("rb") as file:
        data = pickle.load(file)  # noqa: S301 — our own file, written above
    opened = time.perf_counter() - start

    def sample(index: int) -> list[Any]:
        return [data[m][index, : data["lengths"][m][index]] for m in WIDTHS]

    rate, _ = batches_per_second(sample, len(data["id"]), seconds / 3)
    return {
        "open_s": opened,
        "batches_per_s": rate,
        "utterances_per_s": rate * BATCH,
        "anonymous_mb": anonymous_mb() - before,
        "peak_mb": peak_mb(),
    }


def batches_per_second(sample: Callable[[int], Any], count: int, seconds: float) -> tuple[float, float]:
    """Random batches of 32 for some seconds: per second of the clock, and per second of this process."""
    batches = np.random.default_rng(1).integers(0, count, (4096, BATCH)).tolist()
    done, start, cpu = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - start) < seconds:
        for index in batches[done % len(batches)]:
            sample(index)
        done += 1
    return done / elapsed, done / (time.process_time() - cpu)


def anonymous_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def size_mb(path: Path) -> float:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=22_856)
    parser.add_argument("--seconds", type=float, default=9.0, help="time spent on each measurement of batches")
    parser.add_argument(
        "--without-pickle", action="store_true", help="it needs 5 GB of disk and of memory at full size"
    )
    parser.add_argument("--out", default="-", help="where the JSON goes; - is standard output")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "mecam": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {multiprocessing.cpu_count()} cores",
        "utterances": options.utterances,
        "batch": BATCH,
    }
    with tempfile.TemporaryDirectory(prefix="mecam-benchmark-") as folder:
        store, padded = Path(folder) / "store", Path(folder) / "padded.pkl"
        start = time.perf_counter()
        write_store(store, options.utterances)
        result["store"] = {"write_s": time.perf_counter() - start, "disk_mb": size_mb(store)}
        result["store"] |= in_own_process(measure_store, store, options.seconds)
        if not options.without_pickle:
            in_own_process(write_padded_pickle, padded, options.utterances)
            result["padded_pickle"] = {"disk_mb": size_mb(padded)}
            result["padded_pickle"] |= in_own_process(measure_pickle, padded, options.seconds)
    text = json.dumps(result, indent=2)
    if options.out == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
