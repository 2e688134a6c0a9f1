"""Runs the steps of a recipe below a work folder, each once.

A finished step leaves `steps/….json` there. It is not run again while its key is the same: the command, the code that
decides its result, the files it reads of DATA and CONFIGS, and the keys of the steps that made its input. A step of
another key is run over what is there, so that mecam keeps and continues what is still right, as a run of the same
options; what it refuses to continue is removed and made again.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results.recipe import CONFIGS, ROOT, Recipe, Step
from mecam.errors import MecamError
from mecam.files import remove, write_whole
from mecam.locks import locked
from mecam.threads import available_cores
from mecam.version import __version__

FAILED = "failed.json"
"""In the folder of several runs: which of them failed; the command itself succeeds."""

MECAM = (sys.executable, "-m", "mecam")
DATA_CODE = ("task", "data", "features", "synthetic")
TRAINING_CODE = (*DATA_CODE, "config.py", "nn", "losses", "models", "runs", "training", "experiments")
CODE = {"data": DATA_CODE, "extract": DATA_CODE, "train": TRAINING_CODE}
"""Command → the parts of mecam that decide what it makes; of any other one those of `train`, and `evaluation`."""

LAST_LINES = 15
"""Of the output of a failed command that are shown."""

INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_tile": "AMX"}
"""Flag of the processor → its name, of what decides the speed of a training."""


class StepError(MecamError):
    """A command of a recipe failed."""


@dataclass(frozen=True)
class Workshop:
    """Where recipes run.

    Attributes:
        work: folder for stores, runs, tables and records.
        data: folder of the data sets.
        program: what is started in place of `mecam`.
    """

    work: Path
    data: Path
    program: Sequence[str] = field(default=MECAM)

    def absent(self, recipe: Recipe) -> list[str]:
        """Data that the recipe needs and that is not there."""
        return [name for name in recipe.data if not (self.data / name).exists()]

    def keys(self, recipe: Recipe) -> dict[str, str]:
        """What each step makes → key of what would be made now."""
        keys: dict[str, str] = {}
        for step in recipe.parsed:
            told = [step.command, _code(step.words[0]), *(keys[place] for place in step.needs)]
            told += [_contents(self._place(word)) for word in step.words if _is_foreign(word)]
            keys[step.makes] = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
        return keys

    def finished(self, recipe: Recipe) -> list[Step]:
        """The steps that need not be run."""
        keys = self.keys(recipe)
        return [step for step in recipe.parsed if self._is_done(step, keys[step.makes])]

    def record(self, step: Step) -> dict[str, Any]:
        """What is known of the last time that the step ran: key, done, seconds, core_seconds, made_with, …"""
        path = self._record_path(step)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def run(self, recipe: Recipe) -> None:
        """Run the steps that are not finished.

        Raises: StepError if one fails; what it made stays, and it is continued the next time.
        """
        for folder in ("logs", "steps"):
            (self.work / folder).mkdir(parents=True, exist_ok=True)
        for step in recipe.parsed:
            with locked(self._record_path(step), wait=float("inf")):
                key = self.keys(recipe)[step.makes]
                if not self._is_done(step, key):
                    self._run_step(step, key, self.work / "logs" / f"{recipe.name}.txt")

    def _is_done(self, step: Step, key: str) -> bool:
        record = self.record(step)
        return record.get("key") == key and record["done"] and (self.work / step.makes).exists()

    def _run_step(self, step: Step, key: str, log: Path) -> None:
        before = self.record(step)
        kept = before if (self.work / step.makes).exists() else {}
        spent = (kept.get("seconds", 0.0), kept.get("core_seconds", 0.0))
        record = {"command": step.command, "key": key, "done": False, "made_with": made_with()}
        record |= {"processor": processor(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
        self._write(step, record | {"seconds": spent[0], "core_seconds": spent[1]})
        done, seconds, core_seconds = self._started(step, log)
        if not done and kept and kept["key"] != key:
            remove(self.work / step.makes)
            spent = (0.0, 0.0)
            done, seconds, core_seconds = self._started(step, log)
        record |= {"seconds": round(spent[0] + seconds, 1), "core_seconds": round(spent[1] + core_seconds, 1)}
        self._write(step, record | {"done": done})
        if not done:
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
            raise StepError(f"this command failed: {step.command}", where=str(log), fix="\n".join(last))

    def _started(self, step: Step, log: Path) -> tuple[bool, float, float]:
        """Whether all of a step succeeded; seconds, and seconds of all cores together."""
        (self.work / step.makes).parent.mkdir(parents=True, exist_ok=True)
        words = [str(self._place(word)) if _is_foreign(word) else word for word in step.words]
        began = time.monotonic()
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {step.command}\n")
            file.flush()
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *_python_path()])}
            process = subprocess.Popen(
                [*self.program, *words], cwd=self.work, stdout=file, stderr=subprocess.STDOUT, env=environment
            )
            core_seconds = _watched(process)
        done = process.returncode == 0 and not (self.work / step.makes / FAILED).exists()
        return done, time.monotonic() - began, core_seconds

    def _place(self, word: str) -> Path:
        kind, _, rest = word.partition("/")
        return (self.data.resolve() if kind == "DATA" else CONFIGS) / rest

    def _record_path(self, step: Step) -> Path:
        return self.work / "steps" / (step.makes.replace("/", "+") + ".json")

    def _write(self, step: Step, record: dict[str, Any]) -> None:
        write_whole(self._record_path(step), json.dumps(record, indent=1) + "\n")


def made_with() -> str:
    """mecam's version and commit."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return f"mecam {__version__}" + (f", commit {described.stdout.strip()}" if described.returncode == 0 else "")


def processor() -> str:
    """Its name and instructions, and how many cores there are for us."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(told.get("flags", "").split())
    known = [name for flag, name in INSTRUCTIONS.items() if flag in flags]
    parts = [told.get("model name") or platform.processor() or platform.machine(), *known]
    return f"{', '.join(parts)}; {available_cores()} cores"


def _is_foreign(word: str) -> bool:
    return re.match("(DATA|CONFIGS)/", word) is not None


def _code(command: str) -> str:
    """Hash of the code that decides what a command makes."""
    places = [ROOT / "src" / "mecam" / part for part in CODE.get(command, (*TRAINING_CODE, "evaluation"))]
    files = sorted(file for place in places for file in (place.rglob("*.py") if place.is_dir() else (place,)))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _contents(place: Path) -> str:
    """A small file by its content, anything larger by names, sizes and times, as make does it."""
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    if len(files) == 1 and files[0].is_file() and files[0].stat().st_size < 1 << 20:
        return hashlib.sha256(files[0].read_bytes()).hexdigest()
    stats = [(path.relative_to(place.parent).as_posix(), path.stat()) for path in files if path.exists()]
    return hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode()).hexdigest()


def _watched(process: "subprocess.Popen[bytes]") -> float:
    """Wait for a command; seconds that it and all below it computed.

    Looked up every second, as the system adds up only what a process waited for: not the workers of a fork server.
    """
    spent: dict[tuple[int, float], float] = {}
    try:
        while process.poll() is None:
            with suppress(psutil.Error):
                top = psutil.Process(process.pid)
                for one in (top, *top.children(recursive=True)):
                    with suppress(psutil.Error):
                        times = one.cpu_times()
                        spent[one.pid, one.create_time()] = times.user + times.system
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
    finally:
        if process.poll() is None:  # we are interrupted: so is the command
            process.terminate()
            process.wait()
    return sum(spent.values())


def _python_path() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
