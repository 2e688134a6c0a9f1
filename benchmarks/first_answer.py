"""From nothing to the first answers: `pip install` of a wheel into an empty environment, then a sentence and a clip.

    python -m build && python benchmarks/first_answer.py --wheel dist/mecam-*.whl --output first.json

`seconds` tells each step alone. `to_first_answer` runs from the start of `pip install` to the answer about the
sentence, `to_both_answers` to that about the clip; `within_limit` compares the latter with `--limit`. Before these the
environment is made, which is not part of them. The answers after the first show what is only paid once.

The installation takes its packages from the index that pip is set to, and nothing from pip's own cache; a distant index
takes longer. `load` tells how busy the machine was before. Memory: `benchmarks/cold.py`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SENTENCE = "I would see it again tomorrow"
LIMIT_SECONDS = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--clip", type=Path, help="a recording (default: the clip that comes with mecam)")
    parser.add_argument("--python", default=sys.executable, help="makes the environment")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds to both answers")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    told = {"python": version(options.python), "platform": platform.platform(), "cores": os.cpu_count()}
    told["load"] = [round(load, 2) for load in psutil.getloadavg()]
    with tempfile.TemporaryDirectory(prefix="mecam-first-") as folder:
        told |= measured(Path(folder), options)
    text = json.dumps(told, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Make the environment in a folder, ask, and tell the seconds."""
    place = folder / "venv"
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    seconds = {"environment": timed([options.python, "-m", "venv", place], folder)}
    install = [programs / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir", options.wheel.resolve()]
    seconds["install"] = timed(install, folder)
    # Found by its name: a program that imported mecam to ask where it is would have warmed up what is measured next.
    clip = options.clip.resolve() if options.clip else next(place.rglob("mecam/pretrained/demo/clip.mp4"))
    for answer in ("first", "second"):
        seconds[f"{answer} sentence"] = timed([programs / "mecam", "predict", SENTENCE], folder)
        seconds[f"{answer} clip"] = timed([programs / "mecam", "predict", clip], folder)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    first = seconds["install"] + seconds["first sentence"]
    both = first + seconds["first clip"]
    return {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "to_first_answer": round(first, 2),
        "to_both_answers": round(both, 2),
        "limit": options.limit,
        "within_limit": both <= options.limit,
        "environment_mb": round(size / 1e6, 1),
    }


def timed(command: list[object], folder: Path) -> float:
    """Run a program that sees nothing of this checkout or of caches; it must not fail. Returns its seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)
    return time.perf_counter() - start


def version(python: str) -> str:
    """Of an interpreter."""
    return subprocess.check_output(
        [python, "-c", "import platform; print(platform.python_version())"], text=True
    ).strip()


if __name__ == "__main__":
    main()
