"""Something is killed while `mecam extract` runs on a Ray cluster: the same store, and nothing done twice.

    PYTHONPATH=src:tests python benchmarks/ray_kills.py --tries 20 --output ray_kills.json

In each try a cluster of two nodes on this machine extracts clips by a stub that takes a while, and at a random moment
something gets SIGKILL: a worker, a node, or the driver, which is then started again. Wanted: the store has the bytes of
one that was made undisturbed in one process, and no recording whose part was there at the kill was begun again. What
was in work at the kill is begun again, and counted.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from commands import contents
from counted_reading import Counted, counts
from in_this_process import InThisProcess
from local_cluster import SECOND, two_nodes
from mecam.features.extract import extract
from mecam.features.extraction_cache import FolderParts
from mecam.features.recording import Recipe

KINDS = ("worker", "node", "driver")
RECIPE = Recipe(("mecam-audio",))
DRIVER = """
import sys
from pathlib import Path
from counted_reading import Counted
from mecam.features.extract import extract
from mecam.features.ray_extraction import RayProcesses
from mecam.features.recording import Recipe

_, address, clips, store, log, seconds = sys.argv
workers = RayProcesses(address, None, Counted(Path(log), float(seconds)))
extract([clips], store, recipe=Recipe(("mecam-audio",)), workers=workers)
"""
TIMEOUT = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.3, help="that the stub takes for a clip")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-ray-kills-") as folder:
        tries = list(tried(Path(folder), options))
    wrong = [one for one in tries if not one["same_store"] or one["done_twice"]]
    text = json.dumps({"tries": tries, "wrong": len(wrong), "seed": options.seed}, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


def tried(folder: Path, options: argparse.Namespace) -> Any:
    (folder / "clips").mkdir()
    for i in range(options.clips):
        (folder / "clips" / ("bad.wav" if i == 5 else f"c{i:03}.wav")).write_bytes(b"x" * (100 + i))
    stub = Counted(folder / "plain.log").read
    workers = InThisProcess(lambda clip: stub(clip, RECIPE))
    extract([folder / "clips"], folder / "plain", recipe=RECIPE, workers=workers)
    expected, draw = contents(folder / "plain"), random.Random(options.seed)
    with two_nodes() as cluster:
        for number in range(options.tries):
            found = one_try(cluster, folder / str(number), KINDS[number % len(KINDS)], draw, options)
            found["same_store"] = contents(folder / str(number) / "store") == expected
            print(found, file=sys.stderr, flush=True)
            yield found


def one_try(cluster: Any, folder: Path, kind: str, draw: random.Random, options: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    log, store = folder / "log", folder / "store"
    given = [cluster.address, str(folder.parent / "clips"), str(store), str(log), str(options.seconds)]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *given], stderr=subprocess.DEVNULL)
    begun_by = time.monotonic()
    while not log.exists() and time.monotonic() - begun_by < TIMEOUT:
        time.sleep(0.05)
    moment = draw.uniform(0.0, options.clips * options.seconds / 2)  # two workers
    time.sleep(moment)
    parts = FolderParts(folder / ".store.parts")
    there = {part.utterances[0].id for key in parts.known() if (part := parts.read(key)) is not None}
    before = counts(log, "begin")
    kill(kind, cluster, driver, log)
    if kind == "driver":
        driver.wait()
        time.sleep(2.0)  # the cluster ends its workers
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, *given], stderr=subprocess.DEVNULL)
    driver.wait(TIMEOUT)
    if kind == "node":
        cluster.add_node(**SECOND)
    after = counts(log, "begin")
    return {
        "killed": kind,
        "after_seconds": round(moment, 2),
        "parts_there": len(there),
        "done_twice": sorted(name for name in there if after[name] != before.get(name)),
        "begun_again": sum(after.values()) - options.clips,
        "seconds": round(time.monotonic() - begun_by, 1),
    }


def kill(kind: str, cluster: Any, driver: "subprocess.Popen[bytes]", log: Path) -> None:
    if kind == "worker":
        with suppress(ProcessLookupError):  # it was done, and ended
            os.kill(int(log.read_text(encoding="utf-8").splitlines()[-1].split()[1]), signal.SIGKILL)
    elif kind == "node":
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    else:
        driver.kill()


if __name__ == "__main__":
    main()
