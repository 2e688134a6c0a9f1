"""What a command costs from cold: whole processes from their start to their end, and where the time goes.

    python benchmarks/cold.py --model exported/mine --clip clip.mp4 --output cold.json
    python benchmarks/cold.py --clip clip.mp4                           # the built-in model
    python benchmarks/cold.py --python other/bin/python --sentence "" --repeat 3    # `import mecam` and the help alone

Every command runs `--repeat` times, after a first run that does not count: it compiles every module, into a folder that
is removed again, and brings every file into memory. `wall` is what a person waits; `cpu` (user and system) depends
less on what else the machine does, and is more than `wall` where several cores were used. `peak_mb` is the most memory
that was held at once; a process of next to nothing tells this program's own, about 15 MB.

The stages are those of further runs, in which the functions of `STAGES` and every import are timed from outside; the
time of a function is without the imports inside it and without the other stages. What runs in several threads counts
several times. `python` is its own start and end; `rest` is everything else: reading the command line, printing.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SENTENCE = "The acting was superb but the last half hour drags on and on, so I left before the end."

STAGES = {
    "model": [("mecam.prediction.predictor", "open_backend"), ("mecam.prediction.built_in", "text_model")],
    "speech": [("mecam.features.text.asr", "transcribe")],
    "reading": [(f"mecam.prediction.{module}", "read_recording") for module in ("recordings", "panel")],
    "network": [
        (f"mecam.prediction.{module}", "predict_utterances") for module in ("predictor", "recordings", "built_in")
    ],
}
"""Stage → where its functions are looked up."""

STAGED = """
import builtins, functools, importlib, json, sys, threading, time

began = time.perf_counter()
spent, here, adding = {}, threading.local(), threading.Lock()


def timed(stage, call):
    @functools.wraps(call)
    def run(*given, **options):
        stack = here.__dict__.setdefault("stack", [])
        if stack and stack[-1][0] == stage:
            return call(*given, **options)
        stack.append([stage, 0.0])
        start = time.perf_counter()
        try:
            return call(*given, **options)
        finally:
            whole = time.perf_counter() - start
            inner = stack.pop()[1]
            if stack:
                stack[-1][1] += whole
            with adding:
                spent[stage] = spent.get(stage, 0.0) + whole - inner
    return run


builtins.__import__ = timed("imports", builtins.__import__)
importlib.import_module = timed("imports", importlib.import_module)
from mecam.cli import main

stages, target, arguments = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
for stage, places in stages.items():
    for place, name in places:
        module = importlib.import_module(place)
        setattr(module, name, timed(stage, getattr(module, name)))
sys.argv = ["mecam", *arguments]
code = main()
with open(target, "w") as file:
    json.dump({"whole": time.perf_counter() - began, **spent}, file)
raise SystemExit(code)
"""


def run(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """One process: seconds, and megabytes at its peak."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: nobody waits for it again
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"wall": wall, "user": usage.ru_utime, "system": usage.ru_stime, "peak_mb": peak}


def measured(command: list[str], environment: dict[str, str], repeat: int) -> dict[str, Any]:
    """Several processes, after one that does not count."""
    run(command, environment)
    runs = [run(command, environment) for _ in range(repeat)]
    cpus = [one["user"] + one["system"] for one in runs]
    walls = [one["wall"] for one in runs]
    return {
        "wall": {"median": statistics.median(walls), "min": min(walls)},
        "cpu": {"median": statistics.median(cpus), "min": min(cpus)},
        "peak_mb": max(one["peak_mb"] for one in runs),
        "runs": runs,
    }


def staged(python: str, arguments: list[str], environment: dict[str, str], repeat: int) -> dict[str, float]:
    """Median seconds of every stage of a `mecam` command."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="mecam-cold-") as folder:
        target = Path(folder) / "stages.json"
        for _ in range(repeat):
            whole = run([python, "-c", STAGED, json.dumps(STAGES), str(target), *arguments], environment)["wall"]
            spent = json.loads(target.read_text(encoding="utf-8"))
            spent = {"python": whole - spent.pop("whole"), **spent}
            found.append({**spent, "rest": max(whole - sum(spent.values()), 0.0)})
    return {stage: statistics.median(one.get(stage, 0.0) for one in found) for stage in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a run or an exported model (default: the built-in one)")
    parser.add_argument("--clip", type=Path, help="a recording to predict")
    parser.add_argument("--sentence", default=SENTENCE, help="a sentence to predict, empty for none")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has mecam (default: this one)")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--output", type=Path, help="where the JSON goes (default: it is printed)")
    options = parser.parse_args()
    commands = {
        "python": [options.python, "-c", "pass"],
        "import mecam": [options.python, "-c", "import mecam"],
        "mecam --help": [options.python, "-m", "mecam", "--help"],
    }
    model = [] if options.model is None else ["--model", str(options.model)]
    asked = {"sentence": options.sentence, "clip": options.clip and str(options.clip)}
    predictions = {f"mecam predict, a {kind}": ["predict", *model, what] for kind, what in asked.items() if what}
    commands |= {name: [options.python, "-m", "mecam", *arguments] for name, arguments in predictions.items()}
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "model": options.model.name if options.model else "built-in",
        "clip": options.clip and options.clip.name,
        "repeat": options.repeat,
        "commands": {},
    }
    with tempfile.TemporaryDirectory(prefix="mecam-cold-") as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name, command in commands.items():
            result["commands"][name] = measured(command, environment, options.repeat)
            if name in predictions:
                stages = staged(options.python, predictions[name], environment, options.repeat)
                result["commands"][name]["stages"] = stages
    text = json.dumps(result, indent=1)
    if options.output is None:
        print(text)
    else:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
