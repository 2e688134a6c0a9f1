"""Peak memory of importing an MMSA pickle of at least a quarter of CMU-MOSEI, over the file's own size.

    python benchmarks/import_memory.py --out import_memory.json

The file is generated (random features, true dimensions), written by plain `pickle.dump` and imported in
a process of its own. `resident` counts every page that the process held, those of the memory-mapped file
too, which the system takes back when it needs them; `anonymous` counts what it cannot take back.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

MOSEI = 22_856
TOKENS, TEXT = 50, 768
LENGTH, AUDIO, VISION = 500, 74, 35


def write_mmsa(path: Path, utterances: int, protocol: int) -> None:
    """MOSEI's unaligned_50.pkl, cut to `utterances`."""
    rng = np.random.default_rng(0)
    content = {}
    for split, share in (("train", 0.71), ("valid", 0.08), ("test", 0.21)):
        count = round(share * utterances)
        lengths = rng.integers(20, LENGTH + 1, count)
        kept = np.arange(LENGTH)[None, :, None] < lengths[:, None, None]
        content[split] = {
            "raw_text": np.array(["a sentence about something"] * count),
            "id": np.array([f"{split}{index // 7}$_${index % 7}" for index in range(count)]),
            "text": rng.random((count, TOKENS, TEXT), np.float32),
            "text_bert": np.zeros((count, 3, TOKENS), np.int64),
            "audio": rng.random((count, LENGTH, AUDIO), np.float32) * kept,
            "vision": rng.random((count, LENGTH, VISION), np.float32) * kept,
            "audio_lengths": lengths.tolist(),
            "vision_lengths": lengths.tolist(),
            "regression_labels": rng.uniform(-3, 3, count),
            "classification_labels": np.zeros(count, np.int64),
            "annotations": np.array(["Positive"] * count),
        }
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)


def held_bytes(key: str) -> int:
    """A figure of this process from the Linux kernel: `RssAnon` now, or `VmHWM`, the resident peak.

    (`ru_maxrss` would be the larger one of this process and of the one that started it.)
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def import_one(source: Path, store: Path) -> None:
    """Import in this process and print what it took."""
    from mecam.data.importing.importer import import_data

    before, peak, done = held_bytes("RssAnon"), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], held_bytes("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    report = import_data([source], store)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    result = {
        "utterances": sum(report.splits.values()),
        "seconds": seconds,
        "resident_bytes": held_bytes("VmHWM"),
        "anonymous_bytes": peak[0],
        "anonymous_bytes_before": before,
    }
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("import_memory.json"))
    parser.add_argument("--utterances", type=int, default=MOSEI // 4)
    parser.add_argument("--protocol", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where the file is made; about 370 kB an utterance, twice")
    parser.add_argument("--import-one", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.import_one:
        import_one(*options.import_one)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file = Path(folder) / "unaligned_50.pkl"
        write_mmsa(file, options.utterances, options.protocol)
        size = file.stat().st_size
        command = [sys.executable, __file__, "--import-one", str(file), str(Path(folder) / "store")]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result |= {
        "file_bytes": size,
        "protocol": options.protocol,
        "resident_over_file": result["resident_bytes"] / size,
        "anonymous_over_file": result["anonymous_bytes"] / size,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
