"""How much longer computing takes while another program keeps a core busy.

    python benchmarks/busy.py --out busy.json
    python benchmarks/busy.py --repetitions 3 --epochs 1      # a quick look

One sentence through a model with a text encoder, and short trainings of one, each in a process of its own, quiet and
beside a program that spins on one core. `command line` is how the `mecam` command sets its process up, `defaults` how
PyTorch does alone, `one thread` what is left without parallelism. `ratio` is busy over quiet, of medians; a machine
that others use too disturbs both, so look at `min` beside `median`.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecam.threads import available_cores, settle
from mecam.version import __version__

SETTINGS = ("command line", "defaults", "one thread")
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS")
SENTENCE = "The acting was superb but the last half hour drags on and on, so I left before the end."


def spin() -> None:
    while True:
        pass


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many programs that do nothing but keep a core busy."""
    spinning = [multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(count)]
    for one in spinning:
        one.start()
    try:
        time.sleep(0.5 if count else 0)
        yield
    finally:
        for one in spinning:
            one.terminate()
            one.join()


def measure(work: str, setting: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of every repetition, measured in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    if setting == "one thread":
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, __file__, "--child", work, "--setting", setting]
    command += [
        "--repetitions",
        str(options.repetitions),
        "--epochs",
        str(options.epochs),
        "--encoder",
        options.encoder,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)}


def child(options: argparse.Namespace) -> list[float]:
    if options.setting == "command line":
        settle()
    work = {"sentence": sentence, "training": training}[options.child]
    with tempfile.TemporaryDirectory(prefix="mecam-busy-") as folder:
        return work(Path(folder), options)


def corpus(folder: Path) -> Any:
    from mecam.data.store import Store
    from mecam.synthetic import synthesise

    synthesise(folder / "store", utterances=100, speakers=10)
    return Store(folder / "store")


def settings_of(options: argparse.Namespace) -> Any:
    from mecam.runs.config import RunConfig

    model = {"name": "mecam", "encoder": options.encoder, "freeze_layers": 0 if options.encoder != "minilm" else 4}
    return RunConfig.decode({"model": model, "training": {"epochs": options.epochs}, "accelerator": "cpu"})


def sentence(folder: Path, options: argparse.Namespace) -> list[float]:
    """One sentence, through a model that has learned nothing: that takes the same time."""
    from mecam.data.mixture import WeightedStore
    from mecam.evaluation.predict import predict
    from mecam.training.preparation import Material, prepare
    from mecam.types import Utterance

    config = settings_of(options)
    trained, _, _ = prepare(config, Material.of(config, [WeightedStore(corpus(folder))]), 1)
    seconds = []
    for _ in range(options.repetitions * 5 + 3):
        began = time.perf_counter()
        predict(trained.model, trained.dataset([Utterance("1", text=SENTENCE)]), trained.collator, details=True)
        seconds.append(time.perf_counter() - began)
    return seconds[3:]  # the first ones also find out shapes


def training(folder: Path, options: argparse.Namespace) -> list[float]:
    """Trainings of a few dozen steps, by the clock."""
    from mecam.runs.run import RunFolder
    from mecam.training.run import train

    config, store, seconds = settings_of(options), corpus(folder), []
    for number in range(options.repetitions):
        run = train(config, store, folder / f"run{number}")
        seconds += [row["seconds"] or 0.0 for row in RunFolder(run).history]
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--work", nargs="+", default=["sentence", "training"], choices=["sentence", "training"])
    parser.add_argument("--neighbours", type=int, default=1, help="programs that spin")
    parser.add_argument("--encoder", default="minilm", help="text encoder: name or folder")
    parser.add_argument("--out", default="-", help="where the JSON goes; - is standard output")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(child(options)) + "\n")
        return
    result: dict[str, Any] = {
        "mecam": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {available_cores()} cores",
        "load_before": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "neighbours": options.neighbours,
    }
    for work in options.work:
        for setting in SETTINGS:
            found: dict[str, Any] = {"quiet": measure(work, setting, options)}
            with neighbours(options.neighbours):
                found["busy"] = measure(work, setting, options)
            found["ratio"] = found["busy"]["median"] / found["quiet"]["median"]
            result.setdefault(work, {})[setting] = found
    text = json.dumps(result, indent=2)
    if options.out == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
