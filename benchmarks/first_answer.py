"""From nothing to the first answer: an empty environment, `pip install` of a wheel, a clip through the built-in model.

    python benchmarks/first_answer.py --wheel dist/mecam-0.1.0-py3-none-any.whl --clip clip.mp4 --output first.json

The installation takes its packages from the index that pip is set to; a distant one takes longer. `peak_mb` is not
told: `benchmarks/cold.py` does that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--clip", type=Path, help="a recording (default: the clip that comes with mecam)")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-first-") as folder:
        place = Path(folder) / "venv"
        steps = [("environment", [options.python, "-m", "venv", str(place)])]
        python = str(place / "bin" / "python")
        steps.append(("install", [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", str(options.wheel)]))
        find = "from mecam.pretrained.cards import DEMO_CLIP as clip; print(clip)"
        seconds = {}
        for name, command in steps:
            seconds[name] = timed(command)
        clip = options.clip or subprocess.check_output([python, "-c", find], text=True).strip()
        seconds["first answer"] = timed([python, "-m", "mecam", "predict", str(clip)])
        seconds["second answer"] = timed([python, "-m", "mecam", "predict", str(clip)])
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    first = seconds["install"] + seconds["first answer"]
    text = json.dumps({"seconds": seconds, "install and first answer": first, "environment_mb": size / 1e6}, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
